//! How far the level has moved since a model learnt: a shift of the logit, from outcomes that have come in since.
//!
//! Twice as much may be contended this week as last month, from causes that no column tells. Where outcomes come
//! in day by day, the last of those that the model has not learnt from say so before it is trained again: the shift that
//! makes them most probable (Platt scaling with the slope held, online as in Gupta & Ramdas 2023), drawn to none by a
//! Gaussian prior. A row is shifted by outcomes known when it began, and by no later ones; strangers' outcomes shift nothing.

use super::calibrate::logit;
use super::rows::Rows;
use super::trees::logistic;
use std::collections::VecDeque;

/// Outcomes that are looked back at.
const WINDOW: usize = 60;
/// The precision of the prior. A row at even odds tells a quarter, so eight of them halve a shift.
const PRIOR: f64 = 2.0;

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

/// Shifts what was said of the `asked` rows by what had come of the `telling` ones (in order of being known) when each began.
pub(crate) fn shifted(rows: &Rows, telling: &[u32], of_telling: &[f64], asked: &[u32], said: &mut [f64]) {
    let mut order: Vec<usize> = (0..asked.len()).collect();
    order.sort_by_key(|&at| rows.starts[asked[at] as usize]);
    let (mut window, mut next, mut shift) = (VecDeque::new(), 0, 0.0);
    for at in order {
        let starts = rows.starts[asked[at] as usize];
        let before = next;
        while next < telling.len() && rows.known[telling[next] as usize] <= starts {
            window.push_back((logit(of_telling[next]), f64::from(rows.label[telling[next] as usize])));
            next += 1;
        }
        if next > before {
            window.drain(..window.len().saturating_sub(WINDOW));
            shift = likeliest(&window, shift);
        }
        if shift != 0.0 {
            said[at] = logistic(logit(said[at]) + shift);
        }
    }
}

/// The most probable shift given logits and outcomes: Newton's method from where it was.
fn likeliest(window: &VecDeque<(f64, f64)>, from: f64) -> f64 {
    let mut shift = from;
    for _ in 0..20 {
        let (mut slope, mut curve) = (-PRIOR * shift, PRIOR);
        for (z, y) in window {
            let p = logistic(z + shift);
            slope += y - p;
            curve += p * (1.0 - p);
        }
        // The prior keeps the curve away from nothing; a step of more than one would leap over where the loss bends.
        let step = (slope / curve).clamp(-1.0, 1.0);
        shift += step;
        if step.abs() < 1e-6 {
            break;
        }
    }
    shift
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
            shifted(&rows, &telling, &vec![0.2; 1000], &all, &mut said);
            assert_eq!(said[0], 0.2, "nothing was known before the first");
            said[200..].iter().sum::<f64>() / 800.0
        };
        assert!((after(0.5) - 0.5).abs() < 0.08, "{}", after(0.5));
        assert!((after(0.2) - 0.2).abs() < 0.03, "{}", after(0.2));
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
            shifted(rows, &telling, &vec![0.2; telling.len()], &[100], &mut said);
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
