//! Policies that size a resource: from what it used up to a moment to limits. One policy, one file, its source on top.
//!
//! Owns the rule that a decision stands on the past alone. Refuses to judge: how well a policy does is
//! [`crate::backtest`]'s to say, and whether to change anything is the plan's.

pub(crate) mod calendar;
mod cast;
mod ci_sizer;
mod cpu_rules;
pub(crate) mod dial;
mod facts;
mod krr;
mod memory_rules;
pub(crate) mod ours;
mod static_limits;
pub(crate) mod steady;
mod vpa;

pub(crate) use facts::only_grows;

use crate::usage::{Day, Usage, highest};
use domain::Timestamp;
use domain::plan::{Coverage, Recommendation, State};
use domain::time::DAY;
use domain::units::MIB;
use rayon::prelude::*;

/// The share of the fleet's CPU samples that may be above their limit where nobody says another.
pub const DEFAULT_RISK: f64 = 0.02;

/// Which rule sizes a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Policy {
    /// Chosen by replay of the past, at an accepted share of throttled samples.
    Ours,
    /// The Kubernetes Vertical Pod Autoscaler's recommender.
    Vpa,
    /// Robusta KRR, strategy `simple`.
    Krr,
    /// CAST AI's defaults.
    CastLike,
    /// EDP CI Sizer.
    CiSizerLike,
    /// The limits as observed.
    Static,
}

impl Policy {
    /// All of them, ours first.
    pub const ALL: [Self; 6] = [Self::Ours, Self::Vpa, Self::Krr, Self::CastLike, Self::CiSizerLike, Self::Static];

    /// Reads a name as [`Policy::name`] writes it; `cast` and `ci-sizer` are taken too.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().replace('_', "-").as_str() {
            "ours" => Some(Self::Ours),
            "vpa" => Some(Self::Vpa),
            "krr" => Some(Self::Krr),
            "cast" | "cast-like" => Some(Self::CastLike),
            "ci-sizer" | "ci-sizer-like" => Some(Self::CiSizerLike),
            "static" => Some(Self::Static),
            _ => None,
        }
    }

    /// Its name on the command line and in plans.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What a policy decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Decision {
    pub lower: State,
    pub target: State,
    pub upper: State,
}

/// A policy on its way through the days of one resource.
pub(crate) enum Sizer<'a> {
    Ours(Box<ours::Ours>, ours::Accepted<'a>),
    Vpa(Box<vpa::Vpa>),
    Krr,
    CastLike,
    CiSizerLike,
    Static,
}

impl<'a> Sizer<'a> {
    pub(crate) fn new(policy: Policy, accepted: ours::Accepted<'a>) -> Self {
        match policy {
            Policy::Ours => Self::Ours(Box::default(), accepted),
            Policy::Vpa => Self::Vpa(Box::default()),
            Policy::Krr => Self::Krr,
            Policy::CastLike => Self::CastLike,
            Policy::CiSizerLike => Self::CiSizerLike,
            Policy::Static => Self::Static,
        }
    }

    /// Takes in the last of `days`; those before it have been taken in already.
    pub(crate) fn learn(&mut self, days: &[Day]) {
        match self {
            Self::Ours(ours, _) => ours.learn(days),
            Self::Vpa(vpa) => vpa.learn(days),
            Self::Krr | Self::CastLike | Self::CiSizerLike | Self::Static => {}
        }
    }

    /// Sizes for what comes after `days`, all of which have been taken in.
    pub(crate) fn decide(&self, days: &[Day]) -> Decision {
        match self {
            Self::Ours(ours, accepted) => ours.decide(days, *accepted),
            Self::Vpa(vpa) => vpa.decide(days),
            Self::Krr => krr::decide(days),
            Self::CastLike => cast::decide(days),
            Self::CiSizerLike => ci_sizer::decide(days),
            Self::Static => static_limits::decide(days),
        }
    }

    fn basis(&self, days: &[Day]) -> String {
        match self {
            Self::Ours(ours, accepted) => ours.basis(days, *accepted),
            Self::Vpa(_) => vpa::BASIS.into(),
            Self::Krr => krr::BASIS.into(),
            Self::CastLike => cast::BASIS.into(),
            Self::CiSizerLike => ci_sizer::BASIS.into(),
            Self::Static => static_limits::BASIS.into(),
        }
    }
}

impl Usage {
    /// What a policy says every resource asked for needs, from all that was loaded, by resource, with this share of their CPU
    /// samples accepted above their limit. KRR says nothing below its own 100 points and 3 hours; the others say what
    /// they can and leave the doubt to the sample count.
    pub fn recommend(&self, policy: Policy, risk: f64, wanted: &(dyn Fn(&str) -> bool + Sync)) -> Vec<Recommendation> {
        let histories: Vec<(&String, &Vec<Day>)> = self.resources.iter().filter(|(name, _)| wanted(name)).collect();
        let dial = dial_of(&histories, policy == Policy::Ours);
        let enough = |days: &[Day]| policy != Policy::Krr || krr::enough(days);
        let coverage = self.coverage();
        let of = |resource: &str| coverage.get(resource).copied().unwrap_or_default();
        let sizer = || Sizer::new(policy, ours::Accepted { dial: &dial, risk });
        let known = histories.into_par_iter().filter(|(_, days)| enough(days));
        known.map(|(resource, days)| recommendation(resource, days, sizer(), of(resource))).collect()
    }
}

/// The dial of a fleet; at rest where nobody turns it.
pub(crate) fn dial_of(histories: &[(&String, &Vec<Day>)], turned: bool) -> dial::Dial {
    if !turned {
        return dial::Dial::default();
    }
    dial::Dial::observe(&histories.iter().map(|(_, days)| days.as_slice()).collect::<Vec<_>>())
}

fn recommendation(resource: &str, days: &[Day], mut sizer: Sizer<'_>, coverage: Coverage) -> Recommendation {
    for n in 1..=days.len() {
        sizer.learn(&days[..n]);
    }
    let Decision { lower, target, upper } = sizer.decide(days);
    let newest = days.last().map_or(Timestamp(0), |d| d.last);
    let oldest = days.first().map_or(newest, |d| d.first);
    Recommendation {
        resource: resource.to_owned(),
        lower,
        target,
        upper,
        samples: days.iter().map(|d| d.samples).sum(),
        days: (newest.0 - oldest.0) as f64 / DAY as f64,
        newest,
        coverage,
        typical: facts::typical(days),
        peak: facts::peak(days),
        burst: facts::burst(days),
        oom_kills: days.iter().map(|d| d.oom_kills).sum(),
        killed: facts::killed(days),
        throttled: facts::throttled(days),
        squeezed: facts::squeezed(days),
        leak: facts::leak(days),
        growth: facts::growth(days),
        basis: sizer.basis(days),
    }
}

/// The last `n` days with data.
fn last(days: &[Day], n: usize) -> &[Day] {
    &days[days.len().saturating_sub(n)..]
}

/// The highest of a figure over days, leaving out the days without it.
fn highest_of(days: &[Day], figure: impl Fn(&Day) -> Option<f64>) -> Option<f64> {
    days.iter().filter_map(figure).max_by(f64::total_cmp)
}

/// Cores and bytes as limits; bytes are rounded up so that a limit is never below its figure.
fn state(cpu_cores: Option<f64>, memory_bytes: Option<f64>) -> State {
    State { cpu_cores, memory_bytes: memory_bytes.map(|bytes| bytes.ceil() as u64) }
}

/// Whichever is larger of a figure and a floor.
fn at_least(floor: f64, figure: Option<f64>) -> Option<f64> {
    figure.map(|x| x.max(floor))
}

/// The day's memory peak as the VPA raises it after a kill: `max(used × 1.2, used + 100 MiB)`
/// (`oom-bump-up-ratio`, `oom-min-bump-up-bytes`; kubernetes/autoscaler, pkg/recommender/model/container.go, RecordOOM).
fn bumped_peak(day: &Day) -> Option<f64> {
    let bump = day.oom_at.map(|used| (used * 1.2).max(used + 100.0 * MIB as f64));
    highest(day.memory.max(), bump)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::tests::{Row, load};
    use domain::time::MINUTE;

    #[test]
    fn names_read_as_written() {
        for policy in Policy::ALL {
            assert_eq!(Policy::parse(policy.name()), Some(policy));
        }
        assert_eq!(Policy::parse("goldilocks"), None);
    }

    #[test]
    fn every_policy_orders_its_bounds_and_counts_its_evidence() {
        let rows: Vec<Row> = (0..2000)
            .map(|i| Row::new("a/b", i * 5 * MINUTE, 0.5 + 0.4 * (i as f64 / 7.0).sin(), 3e8 + 1e5 * (i % 50) as f64))
            .collect();
        let usage = load(&rows);
        for policy in Policy::ALL {
            let all = usage.recommend(policy, DEFAULT_RISK, &|_| true);
            assert_eq!(all.len(), 1, "{}", policy.name());
            let r = &all[0];
            assert_eq!(r.samples, 2000);
            assert!((r.days - 1999.0 / 288.0).abs() < 1e-6);
            assert!(r.lower.cpu_cores <= r.target.cpu_cores && r.target.cpu_cores <= r.upper.cpu_cores, "{r:?}");
            assert!(r.lower.memory_bytes <= r.target.memory_bytes && r.target.memory_bytes <= r.upper.memory_bytes);
            assert!(!r.basis.is_empty());
        }
    }

    #[test]
    fn krr_is_silent_on_too_few_points() {
        let rows: Vec<Row> = (0..99).map(|i| Row::new("a/b", i * 5 * MINUTE, 1.0, 1e8)).collect();
        let usage = load(&rows);
        assert!(usage.recommend(Policy::Krr, DEFAULT_RISK, &|_| true).is_empty());
        assert_eq!(usage.recommend(Policy::Vpa, DEFAULT_RISK, &|_| true).len(), 1);
    }
}
