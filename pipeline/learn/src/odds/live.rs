//! How far the level and the sharpness of a model's odds have moved since it learnt: shift and slope of the logit, from
//! outcomes that have come in since.
//!
//! Twice as much may be contended this week as last month, from causes that no column tells; and what learnt from a few
//! hundred rows is more doubtful than it need be. Where outcomes come in day by day, the last of those that the model has
//! not learnt from say so before it is trained again: the shift and the slope that make them most probable (Platt scaling,
//! online as in Gupta & Ramdas 2023), drawn to none by Gaussian priors. A row is corrected by outcomes known when it began,
//! and by no later ones; strangers' outcomes correct nothing.

use super::calibrate::logit;
use super::rows::Rows;
use super::trees::logistic;
use std::collections::VecDeque;

/// Outcomes that are looked back at.
const WINDOW: usize = 250;
/// The precision of the prior of the shift. A row at even odds tells a quarter, so eight of them halve a shift.
const PRIOR: f64 = 2.0;
/// That of the slope, around one.
const SLOPE_PRIOR: f64 = 20.0;
/// Below this, all rows would be said alike.
const LEAST_SLOPE: f64 = 0.2;

/// What is made of a logit.
#[derive(Clone, Copy)]
struct Line {
    slope: f64,
    shift: f64,
}

/// Rows that tell of the level: begun after the model had learnt, with an outcome.
pub(crate) fn telling(rows: &Rows, learnt_until: i64) -> Vec<u32> {
    if !rows.live {
        return Vec::new();
    }
    let tells = |row: &usize| rows.starts[*row] > learnt_until && rows.tells[*row] && !rows.label[*row].is_nan();
    let mut telling: Vec<u32> = (0..rows.len()).filter(tells).map(|row| row as u32).collect();
    telling.sort_by_key(|row| (rows.known[*row as usize], *row));
    telling
}

/// Corrects what was said of the `asked` rows by what had come of the `telling` ones (in order of being known) when each
/// began.
pub(crate) fn corrected(rows: &Rows, telling: &[u32], of_telling: &[f64], asked: &[u32], said: &mut [f64]) {
    let mut order: Vec<usize> = (0..asked.len()).collect();
    order.sort_by_key(|&at| rows.starts[asked[at] as usize]);
    let (mut window, mut next, mut line) = (VecDeque::new(), 0, Line { slope: 1.0, shift: 0.0 });
    for at in order {
        let starts = rows.starts[asked[at] as usize];
        let before = next;
        while next < telling.len() && rows.known[telling[next] as usize] <= starts {
            window.push_back((logit(of_telling[next]), f64::from(rows.label[telling[next] as usize])));
            next += 1;
        }
        if next > before {
            window.drain(..window.len().saturating_sub(WINDOW));
            line = likeliest(&window, line);
        }
        if next > 0 {
            said[at] = logistic(line.slope * logit(said[at]) + line.shift);
        }
    }
}

/// The most probable line given logits and outcomes: Newton's method from where it was.
fn likeliest(window: &VecDeque<(f64, f64)>, from: Line) -> Line {
    let mut line = from;
    for _ in 0..20 {
        let (mut by_shift, mut by_slope) = (-PRIOR * line.shift, -SLOPE_PRIOR * (line.slope - 1.0));
        let (mut shifts, mut both, mut slopes) = (PRIOR, 0.0, SLOPE_PRIOR);
        for &(z, y) in window {
            let p = logistic(line.slope * z + line.shift);
            let weight = p * (1.0 - p);
            by_shift += y - p;
            by_slope += (y - p) * z;
            shifts += weight;
            both += weight * z;
            slopes += weight * z * z;
        }
        // The priors keep the determinant away from nothing; a longer step would leap over where the loss bends.
        let determinant = shifts * slopes - both * both;
        let step = |of: f64| (of / determinant).clamp(-0.5, 0.5);
        let (shift, slope) = (step(slopes * by_shift - both * by_slope), step(shifts * by_slope - both * by_shift));
        line.shift += shift;
        line.slope = (line.slope + slope).max(LEAST_SLOPE);
        if shift.abs().max(slope.abs()) < 1e-6 {
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn rows(n: usize, share: f64) -> Rows {
        let mut random = Random::stream(5, 0);
        Rows {
            label: (0..n).map(|_| f32::from(u8::from(random.share() < share))).collect(),
            starts: (0..n as i64).collect(),
            known: (1..=n as i64).collect(),
            tells: vec![true; n],
            live: true,
            ..Rows::default()
        }
    }

    #[test]
    fn a_level_that_moved_is_followed_and_one_that_did_not_is_left() {
        let all: Vec<u32> = (0..1000).collect();
        let after = |share: f64| {
            let rows = rows(1000, share);
            let telling = telling(&rows, -1);
            let mut said = vec![0.2; 1000];
            corrected(&rows, &telling, &vec![0.2; 1000], &all, &mut said);
            assert_eq!(said[0], 0.2, "nothing was known before the first");
            said[200..].iter().sum::<f64>() / 800.0
        };
        assert!((after(0.5) - 0.5).abs() < 0.08, "{}", after(0.5));
        assert!((after(0.2) - 0.2).abs() < 0.03, "{}", after(0.2));
    }

    #[test]
    fn odds_that_were_too_doubtful_become_sharper() {
        let mut rows = rows(1000, 0.0);
        let mut random = Random::stream(6, 0);
        // Two kinds of rows, said at 30 % and 70 %, come at 5 % and 95 %.
        let is_likely: Vec<bool> = (0..1000).map(|_| random.share() < 0.5).collect();
        for (label, likely) in rows.label.iter_mut().zip(&is_likely) {
            *label = f32::from(u8::from(random.share() < if *likely { 0.95 } else { 0.05 }));
        }
        let of: Vec<f64> = is_likely.iter().map(|likely| if *likely { 0.7 } else { 0.3 }).collect();
        let (all, telling) = ((0..1000).collect::<Vec<u32>>(), telling(&rows, -1));
        let mut said = of.clone();
        corrected(&rows, &telling, &of, &all, &mut said);
        let last: Vec<f64> = (500..1000).filter(|at| is_likely[*at]).map(|at| said[at]).collect();
        let mean = last.iter().sum::<f64>() / last.len() as f64;
        assert!((0.8..0.96).contains(&mean), "{mean}");
    }

    #[test]
    fn neither_what_comes_later_nor_a_stranger_nor_what_was_learnt_shifts_a_row() {
        let mut rows = rows(300, 0.9);
        assert_eq!(telling(&rows, 299).len(), 0);
        rows.tells[10] = false;
        assert_eq!(telling(&rows, -1).len(), 299);
        let said_of_100 = |rows: &Rows| {
            let telling = telling(rows, -1);
            let mut said = vec![0.2];
            corrected(rows, &telling, &vec![0.2; telling.len()], &[100], &mut said);
            said[0]
        };
        let before = said_of_100(&rows);
        rows.label[100..].fill(0.0);
        assert_eq!(said_of_100(&rows), before);
        rows.label[10] = 1.0 - rows.label[10];
        assert_eq!(said_of_100(&rows), before);
        rows.label[50..90].fill(0.0);
        assert!(said_of_100(&rows) < before, "the test cannot fail");
        rows.live = false;
        assert!(telling(&rows, -1).is_empty());
    }
}
