//! How often the truth lay at or below each level: overall, per repository, and per group of language and history.

use super::LEVELS;
use super::data::Data;
use super::model::Told;
use domain::model::{Coverage, Gate};
use std::collections::BTreeMap;

/// Groups of fewer rows are reported and not judged.
const GATE_ROWS: usize = 1000;
/// How far measured coverage may lie from what is stated.
const TOLERANCE: f64 = 0.03;
/// Two-sided 95 % of the normal distribution.
const Z: f64 = 1.96;
/// Of the gate's 99 % interval.
const Z_GATE: f64 = 2.576;

/// The kinds of part that coverage is measured on.
const ALL: &str = "all";
const REPOSITORY: &str = "repository";
const GROUP: &str = "group";

/// Of all rows, then per group, then per repository.
pub(super) fn measure(data: &Data, told: &Told, rows: &[u32]) -> Vec<Coverage> {
    let mut parts: BTreeMap<(usize, String), Vec<usize>> = BTreeMap::new();
    for (at, &row) in rows.iter().enumerate() {
        parts.entry((0, String::new())).or_default().push(at);
        parts.entry((1, group(data, row))).or_default().push(at);
        parts.entry((2, data.repo_name(row).to_owned())).or_default().push(at);
    }
    let mut coverage = Vec::new();
    for ((kind, name), part) in parts {
        for (level, said) in LEVELS.iter().zip(&told.levels) {
            let covered = part.iter().filter(|&&at| data.truth(rows[at]) <= said[at]).count();
            let (low, high) = interval(covered, part.len(), Z);
            coverage.push(Coverage {
                of: [ALL, GROUP, REPOSITORY][kind].to_owned(),
                name: name.clone(),
                rows: part.len(),
                stated: *level,
                measured: covered as f64 / part.len() as f64,
                low,
                high,
            });
        }
    }
    coverage
}

/// Language, and how much history its repository had when the run started.
fn group(data: &Data, row: u32) -> String {
    let language = &data.runs.language.names[data.runs.language.of[row as usize]];
    let language = if language.is_empty() { "no language" } else { language };
    let history = match data.past[row as usize].repo_finished {
        0..20 => "under 20 runs",
        20..200 => "20 to 199 runs",
        _ => "200 runs and more",
    };
    format!("{language}, {history}")
}

/// The interval of a share (Wilson 1927), `z` standard errors wide on either side.
fn interval(hits: usize, rows: usize, z: f64) -> (f64, f64) {
    let (n, share) = (rows as f64, hits as f64 / rows as f64);
    let middle = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    (middle - half, middle + half)
}

/// Whether each upper level covers its share of the rows, as far as chance tells (99 %).
pub(super) fn holds(data: &Data, told: &Told, rows: &[u32]) -> bool {
    LEVELS.iter().zip(&told.levels).filter(|(level, _)| **level > 0.5).all(|(level, said)| {
        let covered = rows.iter().zip(said).filter(|(row, said)| data.truth(**row) <= **said).count();
        let (low, high) = interval(covered, rows.len(), Z_GATE);
        (low..=high).contains(level)
    })
}

/// Misses when an upper level, over all rows or in a group of enough of them, covers more than three points more or less
/// than stated, and that not by chance: its 99 % interval, because several levels of several groups are judged, lies beyond. The median is reported and not judged: it states no bound.
pub(super) fn gate(coverage: &[Coverage]) -> Gate {
    let judged = |c: &&Coverage| c.stated > 0.5 && (c.of == ALL || (c.of == GROUP && c.rows >= GATE_ROWS));
    let off = |c: &&Coverage| {
        let (low, high) = interval((c.measured * c.rows as f64).round() as usize, c.rows, Z_GATE);
        low > c.stated + TOLERANCE || high < c.stated - TOLERANCE
    };
    let said = |c: &Coverage| {
        let who = if c.name.is_empty() { "all".to_owned() } else { c.name.clone() };
        let (stated, measured) = (c.stated * 100.0, c.measured * 100.0);
        format!("p{stated:.0} covers {measured:.1} % of {} rows ({who})", c.rows)
    };
    Gate { missed: coverage.iter().filter(judged).filter(off).map(said).collect() }
}

/// Stated level to measured share, over all rows.
pub(super) fn overall(coverage: &[Coverage]) -> BTreeMap<String, f64> {
    let all = coverage.iter().filter(|c| c.of == ALL);
    // A lone quantity has no name.
    all.map(|c| (format!("{} {}", c.name.trim_end_matches('_'), c.stated).trim().to_owned(), c.measured)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(of: &str, rows: usize, measured: f64) -> Coverage {
        let (low, high) = interval((rows as f64 * measured) as usize, rows, Z);
        Coverage { of: of.to_owned(), name: "x".to_owned(), rows, stated: 0.9, measured, low, high }
    }

    #[test]
    fn wilsons_interval_is_the_textbook_one() {
        let (low, high) = interval(90, 100, Z);
        assert!((low - 0.8256).abs() < 1e-3 && (high - 0.9448).abs() < 1e-3, "{low} {high}");
    }

    #[test]
    fn only_what_is_off_beyond_chance_and_large_enough_is_missed() {
        let missed = |coverage: Coverage| !gate(&[coverage]).missed.is_empty();
        assert!(missed(part(GROUP, 1000, 0.84)));
        assert!(!missed(part(GROUP, 1000, 0.86)), "within chance of three points");
        assert!(missed(part(GROUP, 10_000, 0.86)));
        assert!(missed(part(GROUP, 10_000, 0.94)), "too wide is a miss as well");
        assert!(!missed(part(GROUP, 999, 0.5)), "too few rows");
        assert!(missed(part(ALL, 200, 0.5)));
        assert!(!missed(part(REPOSITORY, 10_000, 0.5)));
    }
}
