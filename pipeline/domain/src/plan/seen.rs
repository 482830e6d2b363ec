//! What the past of a resource can and cannot tell: how much of the week was seen, what was cut off at a limit, what grows.
//!
//! A figure that was cut off at its limit is no demand, a share of samples is no time, and a burst inside a long sample
//! shows in no mean. Owns these facts and what they ask for; learns none of them.

use crate::Timestamp;
use crate::units::MIB;
use serde::{Deserialize, Serialize};

/// Hours of a week, and how many of them must have been seen before anything is cut or raised: a working week or a
/// weekend alone is no week, a missing night is no reason to wait another one.
pub const WEEK_HOURS: u32 = 168;
const HOURS_NEEDED: u32 = 150;
/// A service that is stopped most of the time must have run for a working week.
const OWN_HOURS_NEEDED: f64 = 40.0;
const SAMPLES_NEEDED: usize = 100;

/// A CPU sample longer than this is a mean that hides bursts.
pub const FINE_INTERVAL_S: f64 = 300.0;

/// What a limit that cut something off is raised by: KRR's 25 %, or VPA's 100 MiB of memory where that is more.
const RAISE: f64 = 1.25;
const RAISE_BYTES: u64 = 100 * MIB;

/// How much of the time the samples of a resource cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Hours that its own samples cover, of the last five weeks with data.
    pub hours: f64,
    /// Of the 168 hours of a week, those that were seen at least once, also those in which it was stopped while others of
    /// its environment were sampled.
    pub week_hours: u32,
}

impl Coverage {
    /// Whether limits may rest on so many samples of it.
    pub fn is_enough(&self, samples: usize) -> bool {
        self.week_hours >= HOURS_NEEDED && self.hours >= OWN_HOURS_NEEDED && samples >= SAMPLES_NEEDED
    }

    /// What there is and what is missing, in numbers.
    pub fn in_words(&self, samples: usize) -> String {
        let seen = format!("{samples} samples cover {:.1} hours", self.hours);
        let missing = if self.week_hours < HOURS_NEEDED {
            format!(
                "in {} of the {WEEK_HOURS} hours of a week; at least {HOURS_NEEDED} of these hours are needed",
                self.week_hours
            )
        } else if self.hours < OWN_HOURS_NEEDED {
            format!("at least {OWN_HOURS_NEEDED:.0} hours are needed")
        } else {
            format!("at least {SAMPLES_NEEDED} samples are needed")
        };
        format!("{seen}, {missing}")
    }
}

/// What a burst inside one sample may have taken, had all its work come within five minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Burst {
    /// Cores; no more than the limit that was in force.
    pub cores: f64,
    /// Length of that sample, seconds.
    pub interval_s: f64,
}

/// OOM kills of the last 30 days with data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Killed {
    /// Processes killed.
    pub kills: u64,
    /// The highest limit, or use where that is more, that is known of a kill, bytes.
    pub at_bytes: Option<u64>,
    /// The newest kill whose limit no sample tells.
    pub newest_unknown: Option<Timestamp>,
    /// The newest of all.
    pub newest: Timestamp,
}

impl Killed {
    /// The memory at which it was killed: a kill whose limit is unknown counts at `limit`, which was in force then.
    pub fn at(&self, limit: Option<u64>) -> Option<u64> {
        self.at_bytes.max(limit.filter(|_| self.newest_unknown.is_some()))
    }

    /// What a kill at so many bytes asks for.
    pub fn demand(at: u64) -> u64 {
        ((at as f64 * RAISE) as u64).max(at + RAISE_BYTES)
    }
}

/// Samples of the last 30 days with data in which the limit held the resource back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeldBack {
    /// The highest limit, or use where that is more, that is known of such a sample: cores, or bytes.
    pub at: Option<f64>,
    /// Whether one of them does not tell its limit.
    pub unknown: bool,
    /// The share of the worst day, of its CPU work or of its samples, 0 to 1.
    pub worst_day: f64,
    /// The newest of them.
    pub newest: Timestamp,
}

impl HeldBack {
    /// The figure at which it was held back: where no limit is known, it was the present one.
    pub fn at(&self, limit: Option<f64>) -> Option<f64> {
        match (self.at, limit.filter(|_| self.unknown)) {
            (Some(at), Some(limit)) => Some(at.max(limit)),
            (at, limit) => at.or(limit),
        }
    }

    /// What being held back at so much asks for.
    pub fn demand(at: f64) -> f64 {
        at * RAISE
    }
}

/// Memory that has grown over the newest days to more than was ever seen before: too short a time to call it a leak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// Growth of the peak of a day, bytes a day.
    pub bytes_per_day: f64,
    /// Over so many days.
    pub days: usize,
}

/// Memory that grows day after day and is not given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Leak {
    /// The day on which it began, of those looked at.
    pub since: Timestamp,
    /// How many limits it filled, each higher than the one before; 0 where it grows under one.
    pub limits_filled: usize,
    /// Growth of the least memory of a day, bytes a day.
    pub bytes_per_day: f64,
    /// Over so many days.
    pub days: usize,
    /// The largest of the newest day, bytes.
    pub now_bytes: u64,
}

impl Leak {
    /// Days until a limit is full.
    pub fn days_left(&self, limit: u64) -> f64 {
        (limit as f64 - self.now_bytes as f64).max(0.0) / self.bytes_per_day.max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::GIB;

    #[test]
    fn a_weekend_is_no_week_and_a_hundred_samples_are_no_evidence() {
        let of = |hours: f64, week_hours: u32| Coverage { hours, week_hours };
        assert!(!of(48.0, 48).is_enough(1000));
        assert!(!of(120.0, 120).is_enough(1000), "a working week without its weekend");
        assert!(!of(2.0, 2).is_enough(110));
        assert!(of(168.0, 168).is_enough(336) && of(600.0, 160).is_enough(1200));
        assert!(!of(10.0, 168).is_enough(600), "it ran for ten hours in all");
        assert_eq!(
            of(1.9, 2).in_words(110),
            "110 samples cover 1.9 hours, in 2 of the 168 hours of a week; at least 150 of these hours are needed"
        );
    }

    #[test]
    fn a_kill_without_a_known_limit_counts_at_the_limit_of_that_time() {
        let told = Killed { kills: 1, at_bytes: Some(512 * MIB), ..Killed::default() };
        assert_eq!(told.at(Some(2 * GIB)), Some(512 * MIB), "the limit was raised since");
        let untold = Killed { newest_unknown: Some(Timestamp(1)), at_bytes: Some(60 * MIB), ..told };
        assert_eq!(untold.at(Some(512 * MIB)), Some(512 * MIB));
        assert_eq!((Killed::demand(512 * MIB), Killed::demand(100 * MIB)), (640 * MIB, 200 * MIB));
        let held = HeldBack { at: Some(0.9), unknown: true, ..HeldBack::default() };
        assert_eq!((held.at(Some(2.0)), held.at(None)), (Some(2.0), Some(0.9)));
    }

    #[test]
    fn a_leak_tells_when_the_limit_is_full() {
        let leak = Leak { bytes_per_day: GIB as f64, days: 30, now_bytes: 4 * GIB, ..Leak::default() };
        assert_eq!((leak.days_left(10 * GIB), leak.days_left(GIB)), (6.0, 0.0));
    }
}
