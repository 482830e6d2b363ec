//! What a model of probabilities says about itself: how it was chosen, how well it is calibrated, whom it trusts.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What holds work up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Too little memory.
    Memory,
    /// Too little CPU, or throttled.
    Cpu,
    /// Slow disk.
    Io,
    /// Others on the same host.
    Neighbours,
    /// No resource stands out.
    Unclear,
}

impl Cause {
    /// As it is written.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The resource that a column measures, by the words in its name; none: it measures no resource.
    pub fn of_column(name: &str) -> Option<Self> {
        let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.to_ascii_lowercase().as_str()));
        if has(&["host", "node", "neighbour", "neighbours", "neighbor", "neighbors", "steal"]) {
            Some(Self::Neighbours)
        } else if has(&["mem", "memory", "rss", "oom", "swap", "heap"]) {
            Some(Self::Memory)
        } else if has(&["cpu", "cores", "core", "throttled", "throttling"]) {
            Some(Self::Cpu)
        } else if has(&["io", "disk", "read", "write", "blkio", "iops"]) {
            Some(Self::Io)
        } else {
            None
        }
    }
}

/// One of ten equally wide ranges of probability: what was said in it beside what came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Lower end of the range.
    pub from: f64,
    /// Rows whose probability lies in it.
    pub rows: usize,
    /// Their mean probability.
    pub said: f64,
    /// The share of them that was positive.
    pub measured: f64,
}

/// How a model was chosen on its training rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// `time`: beginnings of stretches learn and what follows judges; `group`: whole groups are drawn; empty: too few rows.
    pub folds: String,
    /// Families of columns there were.
    pub families: Vec<String>,
    /// Families that carried over to the rows judged; a member uses all or these.
    pub carried_over: Vec<String>,
    /// What the folds chose: a baseline, or the blend.
    #[serde(default)]
    pub chosen: String,
    /// What was tried, with its mean Brier score over the folds, the best first.
    pub tried: Vec<(String, f64)>,
    /// Share of each in the blend.
    pub blend: Vec<(String, f64)>,
    /// Kinds of calibration tried, each judged on folds that it was not learnt on.
    pub calibrations: Vec<(String, f64)>,
    /// The one chosen for the blend.
    pub calibration: String,
}

/// Whose rows counted, and how much.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trust {
    /// Rows of forks and strangers among those trained on.
    pub stranger_rows: usize,
    /// Contributors whose weight was cut to the cap.
    pub capped_contributors: usize,
    /// Strangers together move no probability by more than this; none: there are too few other rows to hold them to.
    pub strangers_move_at_most: Option<f64>,
}

/// All of it, as the card has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Probability {
    /// How it was chosen.
    pub choice: Choice,
    /// On the rows held out.
    pub reliability: Vec<Reliability>,
    /// Among the rows held out that are more likely than not: how often each cause was named.
    pub causes: BTreeMap<String, usize>,
    /// Whose rows counted.
    pub trust: Trust,
    /// A small tree over the same columns, for people to read.
    pub rules: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_named_after_what_it_measures() {
        let of = Cause::of_column;
        assert_eq!(of("acme_db_mem"), Some(Cause::Memory));
        assert_eq!(of("cpu_limit_cores"), Some(Cause::Cpu));
        assert_eq!(of("psi_io_some"), Some(Cause::Io));
        assert_eq!(of("host_cpu"), Some(Cause::Neighbours));
        assert_eq!(of("hour_of_day"), None);
        assert_eq!(of("ghost_memo"), None, "words, not letters");
    }
}
