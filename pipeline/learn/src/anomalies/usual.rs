//! What is usual at each place of a series, by what came before it, and how far from it chance goes.

use super::track::Track;
use crate::forecast::median;
use domain::judge::normal_quantile;

/// Days in which the same hour is looked up; with so many of the same kind, work day or weekend, only those.
const DAYS: usize = 14;
const SAME_KIND: usize = 3;
/// Runs whose median is usual.
const RUNS: usize = 50;
/// Fewer values than these say nothing.
const LEAST: usize = 72;
const LEAST_RUNS: usize = 15;
/// Where too few values are there for a tail, a normal one is made so much wider.
const WIDER: f64 = 1.5;
/// The tail begins where so many distances are further out, or this share of all.
const TAIL: usize = 10;
const TAIL_SHARE: f64 = 0.02;
/// Heavier tails than these have no mean square, and the moments that the shape is taken from say nothing.
const SHAPE: std::ops::RangeInclusive<f64> = 0.0..=0.45;

/// The usual value of each place.
pub(super) struct Usual {
    /// NaN where too little is known.
    pub(super) expected: Vec<f64>,
    /// How far from it values are, the level of the last day taken off too; NaN as above.
    pub(super) distance: Vec<f64>,
    /// The median size of these distances over 0.6745: a standard deviation, were they normal.
    pub(super) scale: f64,
    /// The median of what is usual.
    pub(super) level: f64,
}

impl Usual {
    /// None: the series is too short.
    pub(super) fn of(track: &Track) -> Option<Self> {
        let n = track.value.len();
        let expected: Vec<f64> = (0..n).map(|i| expected(track, i)).collect();
        let raw: Vec<f64> = track.value.iter().zip(&expected).map(|(value, expected)| value - expected).collect();
        let distance: Vec<f64> = (0..n).map(|i| raw[i] - recent(&raw, i, track.level)).collect();
        let sizes: Vec<f64> = distance.iter().filter(|d| d.is_finite()).map(|d| d.abs()).collect();
        let least = if track.cycle.is_some() { LEAST } else { LEAST_RUNS };
        let mut levels: Vec<f64> = expected.iter().copied().filter(|e| e.is_finite()).collect();
        (sizes.len() >= least).then(|| {
            let level = median(&mut levels).abs();
            let scale = (median(&mut sizes.clone()) / 0.6745).max(0.005 * level).max(f64::MIN_POSITIVE);
            Self { expected, distance, scale, level }
        })
    }

    /// The distance that chance passes with a probability of `chance`, from those of the places before `to`: a
    /// generalized Pareto tail, its shape by moments (peaks over threshold, as in Siffer et al., KDD 2017).
    pub(super) fn bound(&self, to: usize, chance: f64) -> f64 {
        let mut sizes: Vec<f64> = self.distance[..to].iter().filter(|d| d.is_finite()).map(|d| d.abs()).collect();
        let n = sizes.len();
        let tail = TAIL.max((n as f64 * TAIL_SHARE) as usize);
        if n < 3 * TAIL {
            return WIDER * self.scale * errors(chance, n);
        }
        sizes.sort_by(|a, b| b.total_cmp(a));
        let threshold = sizes[tail];
        let over: Vec<f64> = sizes[..tail].iter().map(|size| size - threshold).collect();
        let mean = over.iter().sum::<f64>() / tail as f64;
        let variance = over.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (tail - 1) as f64;
        let shape = if variance > 0.0 { 0.5 * (1.0 - mean * mean / variance) } else { 0.0 };
        let shape = shape.clamp(*SHAPE.start(), *SHAPE.end());
        let sigma = mean * (1.0 - shape);
        let share = (chance * n as f64 / tail as f64).min(1.0);
        let beyond = if shape > 1e-6 { sigma / shape * (share.powf(-shape) - 1.0) } else { -sigma * share.ln() };
        threshold + beyond
    }
}

/// How many standard errors chance passes with a probability of `chance`, on either side, when the standard error is itself
/// measured on so few values: the first terms of the Cornish-Fisher expansion of Student's t.
pub(super) fn errors(chance: f64, values: usize) -> f64 {
    let z = normal_quantile(1.0 - chance.clamp(1e-12, 1.0) / 2.0);
    let freedom = values.saturating_sub(1).max(1) as f64;
    z + (z.powi(3) + z) / (4.0 * freedom) + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * freedom * freedom)
}

/// 1970-01-01 was a Thursday.
fn is_weekend(at: i64) -> bool {
    matches!(at.div_euclid(domain::time::DAY).rem_euclid(7), 2 | 3)
}

fn expected(track: &Track, i: usize) -> f64 {
    let Some(cycle) = track.cycle else {
        let mut before: Vec<f64> = track.value[i.saturating_sub(RUNS)..i].to_vec();
        return if before.len() >= LEAST_RUNS { median(&mut before) } else { f64::NAN };
    };
    let weekend = is_weekend(track.at[i]);
    let (mut same, mut all) = (Vec::with_capacity(DAYS), Vec::with_capacity(DAYS));
    for day in (1..=DAYS).take_while(|day| day * cycle <= i) {
        let place = i - day * cycle;
        let value = track.value[place];
        if value.is_finite() {
            all.push(value);
            if is_weekend(track.at[place]) == weekend {
                same.push(value);
            }
        }
    }
    if same.len() >= SAME_KIND {
        median(&mut same)
    } else if all.len() >= SAME_KIND {
        median(&mut all)
    } else {
        f64::NAN
    }
}

/// The median of the values just before a place; 0 where there are too few.
fn recent(raw: &[f64], i: usize, level: usize) -> f64 {
    let mut before: Vec<f64> = raw[i.saturating_sub(level)..i].iter().copied().filter(|v| v.is_finite()).collect();
    if before.len() * 2 >= level { median(&mut before) } else { 0.0 }
}
