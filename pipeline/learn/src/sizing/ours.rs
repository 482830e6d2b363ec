//! Ours: of a small grid of rules, the one that would have cost the resource least on its own past days.
//!
//! A rule is "the highest daily quantile of the last days × a factor". On every past day each rule is asked what it would
//! have said from the days before, is charged for the slack it would have left and, far more, for the demand it would have
//! cut, and the cheapest rule decides for tomorrow. That is the moving-window arg-min of Google's Autopilot (Rzadca et
//! al., EuroSys 2020, §3.2.2), with costs of our own: CPU and memory are chosen apart, because lack of CPU slows and lack
//! of memory kills.
//!
//! Costs per day, summed over the past days:
//! - CPU: (slack + 6 × overrun) ÷ √(mean use) + 5 × share of samples above; slack and overrun are means in cores.
//! - Memory: slack ÷ √(highest peak × 1000 MiB) + 4 if any sample is above.
//!
//! The square root stands between cores, which would let the few large resources be tight and the small ones loose, and
//! shares, which would do the reverse. A day of slack is worth fractions of 1, a day with a kill 4.
//!
//! What was cut off at its limit shows less than it wanted: after an OOM kill memory goes above the limit that killed it,
//! and where throttling held samples back CPU goes above the limit that held them.

use super::{Decision, highest_of, last, state};
use crate::usage::{Day, Series, highest};
use domain::plan::State;
use domain::units::MIB;

/// Days a rule may look back; the longest first, so that of equally cheap rules the most careful wins.
const CPU_WINDOWS: [usize; 6] = [30, 14, 7, 5, 3, 2];
/// No lower: a limit that holds back more than a twentieth of a busy day is not worth the cores it saves.
const CPU_QUANTILES: [f64; 5] = [1.0, 0.995, 0.99, 0.98, 0.95];
const CPU_FACTORS: [f64; 7] = [1.0, 1.05, 1.1, 1.2, 1.35, 1.5, 2.0];
const MEMORY_WINDOWS: [usize; 3] = [30, 14, 7];
/// Memory looks at peaks only: no share of samples above the limit is acceptable.
const MEMORY_QUANTILES: [f64; 1] = [1.0];
const MEMORY_FACTORS: [f64; 5] = [1.1, 1.15, 1.2, 1.35, 1.5];

/// Added to every memory rule: at most this, and at most half the peak. Small processes vary by megabytes, not by percent;
/// the VPA's smallest step after a kill, 100 MiB, has the same reason.
const MEMORY_BUFFER_BYTES: f64 = 256.0 * MIB as f64;
const MEMORY_BUFFER_SHARE: f64 = 0.5;

const CPU_OVERRUN_WEIGHT: f64 = 6.0;
const CPU_ABOVE_WEIGHT: f64 = 5.0;
const MEMORY_VIOLATION_WEIGHT: f64 = 4.0;
const MEMORY_SCALE_BYTES: f64 = 1000.0 * MIB as f64;

/// Fewer replayed days than these do not choose; the careful default rules decide.
const DAYS_TO_CHOOSE: usize = 2;
const CPU_DEFAULT: Rule = Rule { days: 14, quantile: 0.99, factor: 1.2 };
const MEMORY_DEFAULT: Rule = Rule { days: 30, quantile: 1.0, factor: 1.2 };

/// KRR's floors.
const CPU_FLOOR_CORES: f64 = 0.010;
const MEMORY_FLOOR_BYTES: f64 = 100.0 * MIB as f64;

/// How far back a kill or throttling raises the target, and by how much: KRR's 25 %, or VPA's 100 MiB where that is more.
const HELD_BACK_DAYS: usize = 30;
const HELD_BACK_FACTOR: f64 = 1.25;
const OOM_STEP_BYTES: f64 = 100.0 * MIB as f64;
/// Share of a day's samples that must have been held back for the CPU to be raised.
const HELD_BACK_SHARE: f64 = 0.05;

/// "The highest daily `quantile` of the last `days` × `factor`".
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rule {
    days: usize,
    quantile: f64,
    factor: f64,
}

/// CPU or memory.
#[derive(Clone, Copy)]
enum Figure {
    Cpu,
    Memory,
}

impl Figure {
    fn of(self, day: &Day) -> &Series {
        match self {
            Self::Cpu => &day.cpu,
            Self::Memory => &day.memory,
        }
    }

    /// The days that have the figure.
    fn days(self, days: &[Day]) -> Vec<&Series> {
        days.iter().map(|d| self.of(d)).filter(|s| !s.is_empty()).collect()
    }

    fn limit(self, peak: f64, factor: f64) -> f64 {
        match self {
            Self::Cpu => (peak * factor).max(CPU_FLOOR_CORES),
            Self::Memory => {
                let buffer = MEMORY_BUFFER_BYTES.min(MEMORY_BUFFER_SHARE * peak);
                (peak * factor + buffer).max(MEMORY_FLOOR_BYTES)
            }
        }
    }
}

/// The grid of one figure and what each of its rules has cost so far.
struct Choice {
    figure: Figure,
    windows: &'static [usize],
    quantiles: &'static [f64],
    factors: &'static [f64],
    default: Rule,
    costs: Vec<f64>,
    days: usize,
    /// Σ use and samples of the replayed days, for the scale of CPU.
    used: f64,
    samples: f64,
}

impl Choice {
    fn new(figure: Figure) -> Self {
        let (windows, quantiles, factors, default): (&[usize], &[f64], &[f64], Rule) = match figure {
            Figure::Cpu => (&CPU_WINDOWS, &CPU_QUANTILES, &CPU_FACTORS, CPU_DEFAULT),
            Figure::Memory => (&MEMORY_WINDOWS, &MEMORY_QUANTILES, &MEMORY_FACTORS, MEMORY_DEFAULT),
        };
        let costs = vec![0.0; windows.len() * quantiles.len() * factors.len()];
        Self { figure, windows, quantiles, factors, default, costs, days: 0, used: 0.0, samples: 0.0 }
    }

    /// The rules, in the order of `costs`.
    fn rules(&self) -> impl Iterator<Item = Rule> {
        self.windows.iter().flat_map(move |days| {
            self.quantiles.iter().flat_map(move |quantile| {
                self.factors.iter().map(move |factor| Rule { days: *days, quantile: *quantile, factor: *factor })
            })
        })
    }

    /// Charges every rule for the last day, on which it would have decided from the days before.
    fn learn(&mut self, days: &[Day]) {
        let known = self.figure.days(days);
        let Some((today, past)) = known.split_last() else { return };
        if past.is_empty() || days.last().is_none_or(|d| self.figure.of(d).is_empty()) {
            return;
        }
        let n = today.len() as f64;
        self.used += today.sum();
        self.samples += n;
        self.days += 1;
        let peak = known.iter().filter_map(|s| s.max()).fold(0.0, f64::max);
        let scale = match self.figure {
            Figure::Cpu => (self.used / self.samples).max(0.01).sqrt(),
            Figure::Memory => (peak.max(MEMORY_FLOOR_BYTES) * MEMORY_SCALE_BYTES).sqrt(),
        };
        let mut costs = self.costs.iter_mut();
        for days in self.windows {
            for quantile in self.quantiles {
                let peak = highest_quantile(past, *days, *quantile).unwrap_or(0.0);
                for (factor, cost) in self.factors.iter().zip(&mut costs) {
                    let under = today.under(self.figure.limit(peak, *factor));
                    let above = under.above as f64 / n;
                    *cost += match self.figure {
                        Figure::Cpu => {
                            (under.slack + CPU_OVERRUN_WEIGHT * under.over) / n / scale + CPU_ABOVE_WEIGHT * above
                        }
                        Figure::Memory => {
                            under.slack / n / scale + MEMORY_VIOLATION_WEIGHT * f64::from(under.above > 0)
                        }
                    };
                }
            }
        }
    }

    /// The cheapest rule so far, and whether it was chosen by replay.
    fn rule(&self) -> (Rule, bool) {
        if self.days < DAYS_TO_CHOOSE {
            return (self.default, false);
        }
        let cheapest = self.rules().zip(&self.costs).min_by(|a, b| a.1.total_cmp(b.1));
        cheapest.map_or((self.default, false), |(rule, _)| (rule, true))
    }

    fn target(&self, days: &[Day]) -> Option<f64> {
        let (rule, _) = self.rule();
        let peak = highest_quantile(&self.figure.days(days), rule.days, rule.quantile)?;
        Some(self.figure.limit(peak, rule.factor))
    }

    fn basis(&self, name: &str) -> String {
        let (rule, chosen) = self.rule();
        let what = match rule.quantile {
            q if q >= 1.0 => "max of daily peaks".to_owned(),
            q => format!("max of daily p{}", (q * 1000.0).round() / 10.0),
        };
        let buffer = match self.figure {
            Figure::Cpu => "",
            Figure::Memory => " + min(256 MiB, half the peak)",
        };
        let why = match chosen {
            true => format!("chosen by replay of {} days", self.days),
            false => "default, too few days to choose".to_owned(),
        };
        format!("{name}: {what} over {} d × {:.2}{buffer}, {why}", rule.days, rule.factor)
    }
}

fn highest_quantile(days: &[&Series], window: usize, quantile: f64) -> Option<f64> {
    let recent = &days[days.len().saturating_sub(window)..];
    recent.iter().filter_map(|s| s.quantile(quantile)).max_by(f64::total_cmp)
}

/// Both figures on their way through the days.
pub(crate) struct Ours {
    cpu: Choice,
    memory: Choice,
}

impl Default for Ours {
    fn default() -> Self {
        Self { cpu: Choice::new(Figure::Cpu), memory: Choice::new(Figure::Memory) }
    }
}

impl Ours {
    pub(super) fn learn(&mut self, days: &[Day]) {
        self.cpu.learn(days);
        self.memory.learn(days);
    }

    pub(super) fn decide(&self, days: &[Day]) -> Decision {
        let target = state(
            self.cpu.target(days).map(|x| x.max(throttled_demand(days).unwrap_or(0.0))),
            self.memory.target(days).map(|x| x.max(killed_demand(days).unwrap_or(0.0))),
        );
        // Less than the p90 of the busiest of seven days would throttle daily; less than a peak of the month would kill.
        let week = Figure::Cpu.days(last(days, 7));
        let month = last(days, 30);
        let peak = highest_of(month, |d| d.memory.max());
        let lower = state(highest_quantile(&week, 7, 0.90).map(|x| x.max(CPU_FLOOR_CORES)), peak);
        // More than the loosest rule of the grid has never been worth it.
        let upper = state(
            highest_of(month, |d| d.cpu.max()).map(|x| Figure::Cpu.limit(x, CPU_FACTORS[CPU_FACTORS.len() - 1])),
            peak.map(|x| Figure::Memory.limit(x, MEMORY_FACTORS[MEMORY_FACTORS.len() - 1])),
        );
        Decision { lower: no_more_than(lower, target), target, upper: no_less_than(upper, target) }
    }

    pub(super) fn basis(&self, days: &[Day]) -> String {
        let mut basis = format!("{}; {}", self.cpu.basis("CPU"), self.memory.basis("memory"));
        if throttled_demand(days).is_some() {
            basis.push_str("; CPU at least 1.25 × the limit that throttled it");
        }
        if killed_demand(days).is_some() {
            basis.push_str("; memory at least 1.25 × what was killed, or 100 MiB more");
        }
        basis
    }
}

/// Bytes that the kills of the last days ask for.
fn killed_demand(days: &[Day]) -> Option<f64> {
    let killed = highest_of(last(days, HELD_BACK_DAYS), |d| d.oom_at)?;
    Some((killed * HELD_BACK_FACTOR).max(killed + OOM_STEP_BYTES))
}

/// Cores that the throttled samples of the last days ask for; none where a day was throttled in passing only.
fn throttled_demand(days: &[Day]) -> Option<f64> {
    let often = |d: &Day| d.throttled as f64 >= HELD_BACK_SHARE * d.samples as f64;
    let at = highest_of(last(days, HELD_BACK_DAYS), |d| d.throttled_at.filter(|_| often(d)))?;
    Some(at * HELD_BACK_FACTOR)
}

fn no_more_than(bound: State, target: State) -> State {
    State {
        cpu_cores: bound.cpu_cores.map(|x| x.min(target.cpu_cores.unwrap_or(x))),
        memory_bytes: bound.memory_bytes.map(|x| x.min(target.memory_bytes.unwrap_or(x))),
    }
}

fn no_less_than(bound: State, target: State) -> State {
    let memory = highest(bound.memory_bytes.map(|b| b as f64), target.memory_bytes.map(|b| b as f64));
    State { cpu_cores: highest(bound.cpu_cores, target.cpu_cores), memory_bytes: memory.map(|b| b as u64) }
}

#[cfg(test)]
mod tests {
    use crate::sizing::Policy;
    use crate::usage::tests::{Row, load};
    use domain::time::{DAY, MINUTE};

    fn steady(days: i64) -> Vec<Row> {
        (0..days * 288)
            .map(|i| Row::new("a/b", i * 5 * MINUTE, 0.5 + 0.01 * (i % 7) as f64, 1e9 + 1e6 * (i % 11) as f64))
            .collect()
    }

    #[test]
    fn a_steady_resource_gets_little_slack() {
        let r = &load(&steady(10)).recommend(Policy::Ours)[0];
        assert!((0.5..0.62).contains(&r.target.cpu_cores.unwrap()), "{r:?}");
        let memory = r.target.memory_bytes.unwrap() as f64;
        assert!((1.1e9..1.5e9).contains(&memory), "{memory}");
        assert!(r.basis.contains("chosen by replay of 9 days"), "{}", r.basis);
    }

    #[test]
    fn a_kill_raises_memory_above_what_killed_it() {
        let mut rows = steady(10);
        rows[500].oom_kills = 1;
        rows[500].limits.memory_bytes = Some(3_000_000_000);
        let r = &load(&rows).recommend(Policy::Ours)[0];
        assert_eq!(r.target.memory_bytes, Some(3_750_000_000));
        assert_eq!(r.oom_kills, 1);
    }

    #[test]
    fn throttling_raises_cpu_above_the_limit_that_held_it() {
        let mut rows = steady(10);
        for row in rows.iter_mut().filter(|r| r.ts.0 > 8 * DAY) {
            row.throttled_ratio = 0.6;
            row.limits.cpu_cores = Some(0.56);
        }
        let r = &load(&rows).recommend(Policy::Ours)[0];
        assert!((r.target.cpu_cores.unwrap() - 0.7).abs() < 1e-9, "{r:?}");
    }

    #[test]
    fn few_days_take_the_default() {
        let r = &load(&steady(2)).recommend(Policy::Ours)[0];
        assert!(r.basis.contains("default"), "{}", r.basis);
        assert!(r.target.memory_bytes.unwrap() as f64 > 1.2e9);
    }
}
