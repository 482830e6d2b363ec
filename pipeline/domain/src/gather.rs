//! The gather plan: how often, and how closely, each resource is to be looked at, by what is expected of it.
//!
//! Written with the shadow inventory, read by the collectors. A resource that stays near its mean is looked at seldom, one
//! whose peaks are far above it often, and while it is on its way to a peak as often as it goes; before and during a
//! scheduled event, and in the hours of which least is known, often too.

use crate::Timestamp;
use crate::time::SECOND;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The form of the file.
pub const GATHER_VERSION: u32 = 1;
/// No resource is sampled more often, but on its way to a peak.
pub const OFTEN_S: f64 = 5.0;
/// No resource is sampled less often: a contention of two minutes still shows in two samples.
pub const SELDOM_S: f64 = 60.0;
/// Seconds between samples on the way to a peak: collectors look at the kernel as often anyway.
pub const WATCH_S: f64 = 1.0;

/// `gather.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GatherPlan {
    /// [`GATHER_VERSION`].
    pub format_version: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// The end of the forecast it rests on. Later, it says nothing.
    pub expires_at: Timestamp,
    /// The newest hour with data.
    pub data_watermark: Timestamp,
    /// By `env/service`. A resource that is not here is new: there is no reason to look away.
    pub resources: BTreeMap<String, Gathering>,
}

/// One resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gathering {
    /// Seconds between samples outside the windows.
    pub interval_s: f64,
    /// The measured confidence of its forecast, 0 to 1.
    pub confidence: f64,
    /// When it is on its way to a peak; absent where it never goes far from its mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// What is expected to change, or cannot be foreseen. Looked at closely: peaks between samples, stalls, the heaviest
    /// process.
    pub targets: Vec<Target>,
    /// Times that call for more, in order, not overlapping.
    pub windows: Vec<Window>,
}

/// From which amounts on a resource is on its way to a peak: the peak of a day is among the samples that follow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// Mean cores since the sample before; absent where they stay near their mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_cores: Option<f64>,
    /// Bytes; absent where they stay near their mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<f64>,
    /// Seconds to the next sample.
    pub interval_s: f64,
}

/// What the last sample of a resource said: cores, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sampled {
    /// Mean cores since the sample before.
    pub cpu_cores: Option<f64>,
    /// Bytes.
    pub memory_bytes: Option<f64>,
}

impl Watch {
    fn is_near(&self, sampled: Sampled) -> bool {
        let near =
            |value: Option<f64>, level: Option<f64>| value.zip(level).is_some_and(|(value, level)| value >= level);
        near(sampled.cpu_cores, self.cpu_cores) || near(sampled.memory_bytes, self.memory_bytes)
    }
}

/// A figure of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// `cpu_cores`
    Cpu,
    /// `memory_bytes`
    Memory,
}

/// A time that calls for more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Begins.
    pub from: Timestamp,
    /// Ends.
    pub to: Timestamp,
    /// Seconds between samples.
    pub interval_s: f64,
    /// For people.
    pub reason: String,
    /// The scheduled event it is for; absent where it is for an uncertain hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_event_id: Option<String>,
}

/// How to look at a resource now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Seconds between samples.
    pub interval_s: f64,
    /// Also between the samples.
    pub closely: bool,
}

impl GatherPlan {
    /// Reads it.
    ///
    /// # Errors
    /// It is no gather plan, is of another version, or asks for what no collector can do.
    pub fn parse(text: &str) -> Result<Self, String> {
        let plan: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if plan.format_version != GATHER_VERSION {
            return Err(format!("its format_version is {}, not {GATHER_VERSION}", plan.format_version));
        }
        for (resource, gathering) in &plan.resources {
            let intervals = std::iter::once(gathering.interval_s).chain(gathering.windows.iter().map(|w| w.interval_s));
            let intervals = intervals.chain(gathering.watch.map(|watch| watch.interval_s));
            if let Some(bad) = intervals.into_iter().find(|s| !(1.0..=86_400.0).contains(s)) {
                return Err(format!("an interval of {resource} is {bad} s, not 1 s to a day"));
            }
        }
        Ok(plan)
    }

    /// How to look at a resource at `now`, by what its last sample said; `default_s` seconds, and closely, where the plan says
    /// nothing.
    pub fn pace(&self, resource: &str, now: Timestamp, sampled: Sampled, default_s: f64) -> Pace {
        match self.resources.get(resource) {
            Some(gathering) if now < self.expires_at => {
                let window = gathering.windows.iter().find(|window| (window.from..window.to).contains(&now));
                let watched = gathering.watch.filter(|watch| watch.is_near(sampled));
                let interval_s = window.map_or(gathering.interval_s, |window| window.interval_s);
                Pace {
                    interval_s: watched.map_or(interval_s, |watch| watch.interval_s.min(interval_s)),
                    closely: window.is_some() || watched.is_some() || !gathering.targets.is_empty(),
                }
            }
            _ => Pace { interval_s: default_s, closely: true },
        }
    }
}

/// Seconds between samples for a calm of 0 to 1: from [`OFTEN_S`] to [`SELDOM_S`], each step of calm worth the same factor,
/// in whole seconds.
pub fn interval_s(calm: f64) -> f64 {
    let calm = if calm.is_finite() { calm.clamp(0.0, 1.0) } else { 0.0 };
    (OFTEN_S * (SELDOM_S / OFTEN_S).powf(calm)).round()
}

/// One window where several touch or overlap: all reasons, the shortest interval.
pub fn merged(mut windows: Vec<Window>) -> Vec<Window> {
    windows.sort_by(|a, b| (a.from, a.to, &a.reason).cmp(&(b.from, b.to, &b.reason)));
    let mut out: Vec<Window> = Vec::new();
    for window in windows {
        match out.last_mut() {
            Some(last) if window.from <= last.to.plus(SECOND) => {
                last.to = last.to.max(window.to);
                last.interval_s = last.interval_s.min(window.interval_s);
                if !last.reason.split("; ").any(|reason| reason == window.reason) {
                    last.reason = format!("{}; {}", last.reason, window.reason);
                }
                last.schedule_event_id = last.schedule_event_id.take().or(window.schedule_event_id);
            }
            _ => out.push(window),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp(1_800_000_000 * SECOND + minute * 60 * SECOND)
    }

    fn window(from: i64, to: i64, reason: &str) -> Window {
        Window { from: at(from), to: at(to), interval_s: 5.0, reason: reason.into(), schedule_event_id: None }
    }

    #[test]
    fn a_window_counts_while_it_lasts_and_a_plan_until_it_expires() {
        let calm = Gathering { interval_s: 60.0, windows: vec![window(10, 20, "deployment")], ..Gathering::default() };
        let plan = GatherPlan {
            format_version: 1,
            expires_at: at(100),
            resources: [("dev/web".to_owned(), calm)].into(),
            ..GatherPlan::default()
        };
        let pace = |resource, minute| plan.pace(resource, at(minute), Sampled::default(), 7.0);
        assert_eq!(pace("dev/web", 9), Pace { interval_s: 60.0, closely: false });
        assert_eq!(pace("dev/web", 10), Pace { interval_s: 5.0, closely: true });
        assert_eq!(pace("dev/web", 20), Pace { interval_s: 60.0, closely: false });
        assert_eq!(pace("dev/web", 100), Pace { interval_s: 7.0, closely: true });
        assert_eq!(pace("dev/new", 9), Pace { interval_s: 7.0, closely: true });
    }

    #[test]
    fn on_the_way_to_a_peak_every_second_counts() {
        let watch = Watch { cpu_cores: Some(0.5), memory_bytes: None, interval_s: 1.0 };
        let gathering = Gathering { interval_s: 20.0, watch: Some(watch), ..Gathering::default() };
        let resources = [("dev/web".to_owned(), gathering)].into();
        let plan = GatherPlan { format_version: 1, expires_at: at(100), resources, ..GatherPlan::default() };
        let pace = |cpu_cores, memory_bytes| plan.pace("dev/web", at(1), Sampled { cpu_cores, memory_bytes }, 7.0);
        assert_eq!(pace(Some(0.4), Some(9e9)), Pace { interval_s: 20.0, closely: false });
        assert_eq!(pace(Some(0.5), None), Pace { interval_s: 1.0, closely: true });
        assert_eq!(GatherPlan::parse(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    }

    #[test]
    fn calm_buys_rest() {
        assert_eq!([0.0, 0.5, 1.0, f64::NAN].map(interval_s), [5.0, 17.0, 60.0, 5.0]);
    }

    #[test]
    fn windows_that_touch_become_one() {
        let joined = merged(vec![window(10, 20, "b"), window(0, 10, "a"), window(30, 40, "a"), window(12, 15, "b")]);
        let spans: Vec<_> = joined.iter().map(|w| (w.from, w.to, w.reason.as_str())).collect();
        assert_eq!(spans, [(at(0), at(20), "a; b"), (at(30), at(40), "a")]);
    }

    #[test]
    fn nonsense_is_refused() {
        let text = |version: u32, interval: &str| {
            format!(
                r#"{{"format_version":{version},"created_at":"2026-10-01T00:00:00Z","expires_at":"2026-10-02T00:00:00Z","data_watermark":"2026-10-01T00:00:00Z","resources":{{"a/b":{{"interval_s":{interval},"confidence":0.5,"targets":["cpu"],"windows":[]}}}}}}"#
            )
        };
        assert_eq!(GatherPlan::parse(&text(1, "9")).unwrap().resources["a/b"].targets, [Target::Cpu]);
        for bad in [text(2, "9"), text(1, "0"), text(1, "1e9"), "{}".to_owned(), "x".to_owned()] {
            assert!(GatherPlan::parse(&bad).is_err(), "{bad}");
        }
    }
}
