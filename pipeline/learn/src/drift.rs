//! Drift: whether a model's loss on recent rows, and what its features look like there, are still those of its training.
//!
//! Features are compared by the population stability index over tenths of the training rows, sum (now - then) ln (now /
//! then). Above 0.25 is a shift that calls for action (Siddiqi, Credit Risk Scorecards, 2006). Of few rows the index is large
//! by chance alone: about (1/n + 1/m) times chi-square of one degree less than there are ranges (Yurdakul & Naranjo, J. Risk
//! Model Validation 14(4), 2020); below the 99.9 % point of that nothing is said to have moved.
//!
//! Compared is what comes new with every row. What is told of the past changes slowly, so that any week looks odd beside a
//! month, and its drift shows in the loss; hours and weekdays come round by themselves.

use crate::card::Evaluation;
use crate::metrics::mean;
use domain::drift::{Drift, Moved, Profile, Spread};
use domain::model::Card;

/// Ranges of a feature.
const RANGES: usize = 10;
/// A shift that calls for action.
const PSI: f64 = 0.25;
/// Fewest recent rows to judge by.
const ROWS: usize = 30;
/// A few features may move by themselves (a repository grows); this share of all that were compared is too many.
const SHARE: f64 = 0.2;
/// A loss that is higher by less than this share is no reason to train again.
const MATERIAL: f64 = 0.1;
/// Recent rows are cut into so many stretches of time, because neighbours err together (batch means).
const STRETCHES: usize = 30;
/// A share that no row has is counted as that of so many rows: the logarithm must stay finite, and of few rows an empty
/// range says little.
const LEAST_ROWS: f64 = 0.5;

/// Names and columns that are compared.
pub(crate) type Features<'a> = Vec<(&'a str, &'a [f32])>;

/// The features of some rows.
pub(crate) fn profile(features: &Features, rows: &[u32]) -> Profile {
    let one = |(name, column): &(&str, &[f32])| {
        let mut values: Vec<f32> = rows.iter().map(|&row| column[row as usize]).filter(|v| !v.is_nan()).collect();
        values.sort_unstable_by(f32::total_cmp);
        let mut borders: Vec<f32> =
            (1..RANGES).filter_map(|k| values.get(k * values.len() / RANGES).copied()).collect();
        borders.dedup();
        // Of a feature that is 0 in most rows the rest is a range of its own.
        borders.retain(|border| values.last().is_some_and(|last| border < last));
        let spread = Spread { shares: shares(column, rows, &borders), borders };
        (spread.shares.iter().filter(|share| **share > 0.0).count() > 1).then(|| ((*name).to_owned(), spread))
    };
    Profile { rows: rows.len(), features: features.iter().filter_map(one).collect() }
}

fn shares(column: &[f32], rows: &[u32], borders: &[f32]) -> Vec<f64> {
    let mut counts = vec![0_usize; borders.len() + 2];
    for &row in rows {
        let value = column[row as usize];
        counts[if value.is_nan() { 0 } else { 1 + borders.partition_point(|border| *border < value) }] += 1;
    }
    counts.into_iter().map(|count| count as f64 / rows.len().max(1) as f64).collect()
}

/// The features of some rows that are in the profile: how many were compared, and those that moved, the furthest first.
pub(crate) fn compare(profile: &Profile, prefix: &str, features: &Features, rows: &[u32]) -> (usize, Vec<Moved>) {
    let (mut compared, mut moved) = (0, Vec::new());
    if rows.is_empty() {
        return (compared, moved);
    }
    for (name, column) in features {
        let feature = format!("{prefix}{name}");
        let Some(then) = profile.features.get(&feature) else { continue };
        compared += 1;
        let psi = index((&then.shares, profile.rows), (&shares(column, rows, &then.borders), rows.len()));
        let chance = (1.0 / rows.len() as f64 + 1.0 / profile.rows.max(1) as f64) * chi_square(then.shares.len() - 1);
        if psi > PSI.max(chance) {
            moved.push(Moved { feature, psi });
        }
    }
    moved.sort_by(|a, b| b.psi.total_cmp(&a.psi));
    (compared, moved)
}

/// Of shares, each with the number of rows they are of.
fn index((then, rows_then): (&[f64], usize), (now, rows_now): (&[f64], usize)) -> f64 {
    let least = |rows: usize| LEAST_ROWS / rows.max(1) as f64;
    let part = |(then, now): (&f64, &f64)| {
        let (then, now) = (then.max(least(rows_then)), now.max(least(rows_now)));
        (now - then) * (now / then).ln()
    };
    then.iter().zip(now).map(part).sum()
}

/// The 99.9 % point of chi-square (Wilson & Hilferty 1931).
fn chi_square(degrees: usize) -> f64 {
    let k = degrees.max(1) as f64;
    let part = 2.0 / (9.0 * k);
    k * (1.0 - part + 3.090 * part.sqrt()).powi(3)
}

/// What recent rows say of a model. `recent`: how it did on rows later than it has seen; `features`: compared, and moved.
pub fn judge(card: &Card, recent: Option<&Evaluation>, features: (usize, Vec<Moved>), stale: bool) -> Drift {
    let (compared, moved) = features;
    let figure = card.verdict.figure.clone();
    let mut drift = Drift {
        loss_trained: card.verdict.ours,
        rows: recent.map_or(0, |recent| recent.rows),
        features: compared,
        figure,
        moved,
        stale,
        ..Drift::default()
    };
    if stale {
        drift.retrain = true;
        drift.why.push("the model has seen nothing of the newest week of data".to_owned());
    }
    let enough = recent.filter(|recent| recent.rows >= ROWS);
    let Some((recent, now)) = enough.and_then(|recent| Some((recent, *recent.metrics.get(&drift.figure)?))) else {
        drift.why.push(format!("{} later rows are too few to judge by, {ROWS} are needed", drift.rows));
        drift.moved.clear();
        return drift;
    };
    drift.loss_recent = Some(now);
    let then = drift.loss_trained;
    // Both were measured on rows that might have been others.
    let noise = 1.96 * std::f64::consts::SQRT_2 * standard_error(recent, now);
    let rise = if then > 0.0 { format!(" ({:+.0} %)", 100.0 * (now / then - 1.0)) } else { String::new() };
    let figures = format!("{} is {now:.4} on {} later rows, {then:.4} when trained{rise}", drift.figure, recent.rows);
    if now > then * (1.0 + MATERIAL) && now - then > noise {
        drift.retrain = true;
        drift.why.push(format!("{figures}: more than chance"));
    } else {
        drift.why.push(format!("{figures}: no more than chance, or less than a tenth"));
    }
    let share = drift.moved.len() as f64 / compared.max(1) as f64;
    let names: Vec<String> = drift.moved.iter().take(3).map(|m| format!("{} {:.2}", m.feature, m.psi)).collect();
    let names = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    drift.why.push(format!("{} of {compared} features moved (PSI above {PSI}){names}", drift.moved.len()));
    drift.retrain |= share > SHARE;
    drift
}

/// Of the mean loss: over stretches of time; without losses row by row that of a score between 0 and 1, whose variance is at
/// most m (1 - m).
fn standard_error(recent: &Evaluation, loss: f64) -> f64 {
    let n = recent.losses.len();
    if n < ROWS {
        return (loss * (1.0 - loss).max(0.0) / recent.rows.max(1) as f64).sqrt();
    }
    let stretches: Vec<f64> =
        recent.losses.chunks(n.div_ceil(STRETCHES)).map(|rows| mean(rows.iter().map(|(.., loss)| *loss))).collect();
    let middle = mean(stretches.iter().copied());
    let variance = mean(stretches.iter().map(|s| (s - middle).powi(2)));
    (variance / (stretches.len() as f64 - 1.0).max(1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scatter(i: usize, limit: u64) -> f32 {
        (crate::random::Random(i as u64).next() % limit) as f32
    }

    fn columns(n: usize, seed: usize, shift: f32) -> Vec<Vec<f32>> {
        let even = (0..n).map(|i| scatter(i + seed, 1000) + shift).collect();
        let mostly_none = (0..n).map(|i| if i % 20 == 0 { scatter(i, 9) } else { f32::NAN }).collect();
        vec![even, mostly_none, vec![1.0; n]]
    }

    fn features(columns: &[Vec<f32>]) -> Features<'_> {
        ["even", "mostly_none", "same"].into_iter().zip(columns.iter().map(Vec::as_slice)).collect()
    }

    fn moved(n: usize, shift: f32) -> Vec<String> {
        let all = |n: usize| (0..n as u32).collect::<Vec<_>>();
        let (before, now) = (columns(5000, 0, 0.0), columns(n, 1_000_000, shift));
        let then = profile(&features(&before), &all(5000));
        assert_eq!(then.features.len(), 2, "what never differs tells nothing");
        let (compared, moved) = compare(&then, "", &features(&now), &all(n));
        assert_eq!(compared, 2);
        moved.into_iter().map(|m| m.feature).collect()
    }

    #[test]
    fn only_what_moved_far_and_beyond_chance_is_told() {
        assert!(moved(5000, 0.0).is_empty());
        assert!(moved(30, 0.0).is_empty(), "few rows look odd by chance");
        assert!(moved(5000, 20.0).is_empty(), "a fiftieth of the range");
        assert_eq!(moved(5000, 400.0), ["even"]);
        assert_eq!(moved(100, 600.0), ["even"]);
    }

    #[test]
    fn the_index_is_the_textbook_one_and_so_is_chi_square() {
        let psi = index((&[0.5, 0.5], 100), (&[0.25, 0.75], 100));
        assert!((psi - (0.25 * 2.0_f64.ln() + 0.25 * 1.5_f64.ln())).abs() < 1e-12, "{psi}");
        assert!((chi_square(9) / 27.877 - 1.0).abs() < 0.01, "{}", chi_square(9));
    }
}
