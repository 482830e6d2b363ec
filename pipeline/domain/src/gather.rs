//! The gather plan: how often, and how closely, each resource is to be looked at, by what is expected of it.
//!
//! Written with the shadow inventory, read by the collectors. A resource whose forecast can be trusted is looked at
//! seldom, one that surprises often; before and during a scheduled event, and in the hours of which least is known, as
//! often as it goes.

use crate::Timestamp;
use crate::time::SECOND;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The form of the file.
pub const GATHER_VERSION: u32 = 1;
/// No resource is sampled more often.
pub const OFTEN_S: f64 = 5.0;
/// No resource is sampled less often: a contention of two minutes still shows in two samples.
pub const SELDOM_S: f64 = 60.0;

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
    /// The measured confidence that the interval comes from, 0 to 1.
    pub confidence: f64,
    /// What is expected to change, or cannot be foreseen. Looked at closely: peaks between samples, stalls, the heaviest
    /// process.
    pub targets: Vec<Target>,
    /// Times that call for more, in order, not overlapping.
    pub windows: Vec<Window>,
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
            if let Some(bad) = intervals.into_iter().find(|s| !(1.0..=86_400.0).contains(s)) {
                return Err(format!("an interval of {resource} is {bad} s, not 1 s to a day"));
            }
        }
        Ok(plan)
    }

    /// How to look at a resource at `now`; `default_s` seconds, and closely, where the plan says nothing.
    pub fn pace(&self, resource: &str, now: Timestamp, default_s: f64) -> Pace {
        match self.resources.get(resource) {
            Some(gathering) if now < self.expires_at => {
                let window = gathering.windows.iter().find(|window| (window.from..window.to).contains(&now));
                Pace {
                    interval_s: window.map_or(gathering.interval_s, |window| window.interval_s),
                    closely: window.is_some() || !gathering.targets.is_empty(),
                }
            }
            _ => Pace { interval_s: default_s, closely: true },
        }
    }
}

/// Seconds between samples for a measured confidence of 0 to 1: from [`OFTEN_S`] to [`SELDOM_S`], each step of
/// confidence worth the same factor, in whole seconds.
pub fn interval_s(confidence: f64) -> f64 {
    let confidence = if confidence.is_finite() { confidence.clamp(0.0, 1.0) } else { 0.0 };
    (OFTEN_S * (SELDOM_S / OFTEN_S).powf(confidence)).round()
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
        let pace = |resource, minute| plan.pace(resource, at(minute), 7.0);
        assert_eq!(pace("dev/web", 9), Pace { interval_s: 60.0, closely: false });
        assert_eq!(pace("dev/web", 10), Pace { interval_s: 5.0, closely: true });
        assert_eq!(pace("dev/web", 20), Pace { interval_s: 60.0, closely: false });
        assert_eq!(pace("dev/web", 100), Pace { interval_s: 7.0, closely: true });
        assert_eq!(pace("dev/new", 9), Pace { interval_s: 7.0, closely: true });
    }

    #[test]
    fn confidence_buys_rest() {
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
