//! The memory rules of [`super::ours`]: of a small grid, the one that would have cost a resource least on its own past days.
//!
//! A rule is "the highest peak of the last days × a factor + a buffer". The cheapest rule decides for tomorrow: the
//! moving-window arg-min of Google's Autopilot (Rzadca et al., EuroSys 2020, §3.2.2), with costs of our own. A day costs
//! slack ÷ √(highest peak × 1000 MiB) + 4 if any sample is above: the square root stands between bytes, which would let the
//! few large resources be tight and the small ones loose, and shares, which would do the reverse. A day of slack is worth
//! fractions of 1, a day with a kill 4. No dial: a share of kills that is acceptable is nobody's wish.

use super::last;
use crate::usage::Day;
use domain::units::MIB;

/// Days a rule may look back; the longest first, so that of equally cheap rules the most careful wins.
const WINDOWS: [usize; 3] = [30, 14, 7];
const FACTORS: [f64; 5] = [1.1, 1.15, 1.2, 1.35, 1.5];
/// The loosest factor.
pub(super) const LOOSEST: f64 = 1.5;

/// Added to every rule: at most this, and at most half the peak. Small processes vary by megabytes, not by percent;
/// the VPA's smallest step after a kill, 100 MiB, has the same reason.
const BUFFER_BYTES: f64 = 256.0 * MIB as f64;
const BUFFER_SHARE: f64 = 0.5;

const VIOLATION_WEIGHT: f64 = 4.0;
const SCALE_BYTES: f64 = 1000.0 * MIB as f64;

/// Fewer replayed days than these do not choose; the careful default decides.
const DAYS_TO_CHOOSE: usize = 2;
const DEFAULT: Rule = Rule { days: 30, factor: 1.2 };

/// KRR's floor.
const FLOOR_BYTES: f64 = 100.0 * MIB as f64;

/// How far back a kill raises the limit, and by how much: KRR's 25 %, or VPA's 100 MiB where that is more.
const HELD_BACK_DAYS: usize = 30;
const HELD_BACK_FACTOR: f64 = 1.25;
const OOM_STEP_BYTES: f64 = 100.0 * MIB as f64;

/// "The highest peak of the last `days` × `factor`", and the buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rule {
    days: usize,
    factor: f64,
}

/// The grid and what each of its rules has cost so far.
pub(super) struct MemoryRules {
    costs: Vec<f64>,
    days: usize,
}

impl Default for MemoryRules {
    fn default() -> Self {
        Self { costs: vec![0.0; WINDOWS.len() * FACTORS.len()], days: 0 }
    }
}

impl MemoryRules {
    /// Charges every rule for the last day, on which it would have decided from the days before.
    pub(super) fn learn(&mut self, days: &[Day]) {
        let Some((today, past)) = days.split_last() else { return };
        let past = peaks(past);
        if past.is_empty() || today.memory.is_empty() {
            return;
        }
        self.days += 1;
        let n = today.memory.len() as f64;
        let peak = past.iter().copied().chain(today.memory.max()).fold(0.0, f64::max);
        let scale = (peak.max(FLOOR_BYTES) * SCALE_BYTES).sqrt();
        for (rule, cost) in rules().zip(&mut self.costs) {
            let under = today.memory.under(limit(highest(&past, rule.days), rule.factor));
            *cost += under.slack / n / scale + VIOLATION_WEIGHT * f64::from(under.above > 0);
        }
    }

    /// The cheapest rule so far, and whether it was chosen by replay.
    fn rule(&self) -> (Rule, bool) {
        if self.days < DAYS_TO_CHOOSE {
            return (DEFAULT, false);
        }
        let cheapest = rules().zip(&self.costs).min_by(|a, b| a.1.total_cmp(b.1));
        cheapest.map_or((DEFAULT, false), |(rule, _)| (rule, true))
    }

    /// The limit for what comes after `days`, never below what their kills ask for.
    pub(super) fn target(&self, days: &[Day]) -> Option<f64> {
        let (rule, _) = self.rule();
        let peaks = peaks(days);
        let target = (!peaks.is_empty()).then(|| limit(highest(&peaks, rule.days), rule.factor))?;
        Some(target.max(killed_demand(days).unwrap_or(0.0)))
    }

    pub(super) fn basis(&self) -> String {
        let (rule, chosen) = self.rule();
        let why = match chosen {
            true => format!("chosen by replay of {} days", self.days),
            false => "default, too few days to choose".to_owned(),
        };
        format!(
            "memory: max of daily peaks over {} d × {:.2} + min(256 MiB, half the peak), {why}",
            rule.days, rule.factor
        )
    }
}

/// The rules, in the order of their costs.
fn rules() -> impl Iterator<Item = Rule> {
    WINDOWS.iter().flat_map(|days| FACTORS.iter().map(move |factor| Rule { days: *days, factor: *factor }))
}

fn peaks(days: &[Day]) -> Vec<f64> {
    days.iter().filter_map(|day| day.memory.max()).collect()
}

fn highest(peaks: &[f64], window: usize) -> f64 {
    peaks[peaks.len().saturating_sub(window)..].iter().copied().fold(0.0, f64::max)
}

/// A peak with factor and buffer.
pub(super) fn limit(peak: f64, factor: f64) -> f64 {
    (peak * factor + BUFFER_BYTES.min(BUFFER_SHARE * peak)).max(FLOOR_BYTES)
}

/// Bytes that the kills of the last days ask for.
pub(super) fn killed_demand(days: &[Day]) -> Option<f64> {
    let killed = super::highest_of(last(days, HELD_BACK_DAYS), |d| d.oom_at)?;
    Some((killed * HELD_BACK_FACTOR).max(killed + OOM_STEP_BYTES))
}
