//! Levels that keep their stated coverage while the world drifts, from few runs as from many.
//!
//! Each repository has a shift per level: the quantile of what its own last runs exceeded the level by, runs of which no
//! model has seen the outcome. A window forgets what no longer holds, and its quantile is right from the first rows on:
//! split conformal prediction (Vovk, Gammerman & Shafer 2005; Lei et al. 2018), in a window that slides (Gibbs & Candès
//! 2021, 4). How long it should be depends on how fast the repository drifts, so several lengths are averaged, each weighted
//! by how well it did lately (aggregation by exponential weights, Vovk 1990; as in Zaffran et al. 2022). A repository without
//! a past begins with the windows of all. A run counts from its end on, so nothing comes from the future, and as one of its
//! window, so one run moves a window by no more than to its neighbour.

use super::data::Data;
use crate::history::{Step, in_time};
use crate::kept;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Lengths of windows, as the number of their runs that are expected above the level; and the longest of all, in runs. Of p90
/// they are 25 to 1,000 runs, of p99 250 to 1,000. On 180 stretches of 300 to 3,000 Travis builds with naive centres, p90 stayed
/// inside its 99 % binomial band in 99 % at a loss of 1.8 % less than that of one margin for all time; 100 runs alone stayed
/// inside in 96 % at 0.5 % less, 50 alone in 100 % at 0.7 %, all runs since the first in 75 % at 0.3 %.
const ABOVE: [f64; 6] = [2.5, 5.0, 10.0, 20.0, 40.0, 100.0];
const LONGEST: usize = 1000;
/// What a run counts of a window's record, when so many more runs are expected above the level, is a third.
const MEMORY: f64 = 5.0;
/// How much a window that is worse by the usual loss of one run loses of its weight, as an exponent. With 3 and 5, and with
/// memories of 2 and 10, the figures above change by less than 0.2 points.
const RATE: f64 = 2.0;
/// A place that strides over sorted values so that any first few of them are spread evenly: the golden ratio.
const STRIDE: f64 = 0.618_033_988_749_895;

/// How far upper levels follow what happened lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Margin {
    /// Windows of all lengths, averaged.
    #[default]
    Following,
    /// The longest window alone: nearly one margin for all time, which is the better where a burst was an exception.
    Steady,
}

/// The lengths of the windows of a level, the shortest first.
fn lengths(level: f64, margin: Margin) -> Vec<usize> {
    let mut lengths: Vec<usize> =
        ABOVE.iter().map(|above| ((above / (1.0 - level)).round() as usize).min(LONGEST)).collect();
    lengths.dedup();
    match margin {
        Margin::Following => lengths,
        Margin::Steady => lengths.split_off(lengths.len() - 1),
    }
}

/// The pinball loss of a shift, of what a run exceeded the level by.
fn loss(excess: f32, shift: f64, level: f64) -> f64 {
    let beyond = f64::from(excess) - shift;
    (level * beyond).max((level - 1.0) * beyond)
}

/// By how much the last runs of a repository exceeded a level, log scale, and how well windows of each length did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
struct Windows {
    level: f64,
    /// The shortest first; never none.
    lengths: Vec<usize>,
    /// The oldest first, as many as the longest window holds.
    excess: VecDeque<f32>,
    /// Of each length the loss, and of all the runs, both faded.
    lost: Vec<f64>,
    heard: f64,
    /// Of each length its runs in order of excess.
    sorted: Vec<Vec<f32>>,
}

/// As it is kept.
#[derive(Clone, Serialize, Deserialize)]
struct Written {
    level: f64,
    lengths: Vec<usize>,
    excess: VecDeque<f32>,
    lost: Vec<f64>,
    heard: f64,
}

impl From<Written> for Windows {
    fn from(Written { level, lengths, excess, lost, heard }: Written) -> Self {
        let last = |&length: &usize| {
            let mut sorted: Vec<f32> = excess.iter().rev().take(length).copied().collect();
            sorted.sort_unstable_by(f32::total_cmp);
            sorted
        };
        let sorted = lengths.iter().map(last).collect();
        Self { level, lengths, excess, lost, heard, sorted }
    }
}

impl From<Windows> for Written {
    fn from(Windows { level, lengths, excess, lost, heard, .. }: Windows) -> Self {
        Self { level, lengths, excess, lost, heard }
    }
}

impl Windows {
    /// The windows that a repository without a past begins with: the quantiles of all, the even spread kept as they leave.
    fn first(mut all: Vec<f32>, level: f64, margin: Margin) -> Self {
        all.sort_unstable_by(f32::total_cmp);
        let lengths = lengths(level, margin);
        let most = lengths.last().map_or(0, |longest| *longest).min(all.len());
        let spread = |at: usize| all[((at as f64 + 0.5) / most as f64 * all.len() as f64) as usize];
        let mut order: Vec<usize> = (0..most).collect();
        order.sort_by(|&a, &b| (a as f64 * STRIDE).fract().total_cmp(&(b as f64 * STRIDE).fract()));
        let excess = order.into_iter().map(spread).collect();
        Written { level, excess, lost: vec![0.0; lengths.len()], heard: 0.0, lengths }.into()
    }

    /// What each length would shift the next run by: it holds it with the probability `level`, if runs are alike: one more
    /// than the window counts, because the next is one of them. Of too few runs for that the largest.
    fn shifts(&self) -> impl Iterator<Item = f64> {
        self.sorted.iter().map(|sorted| {
            let place = ((sorted.len() + 1) as f64 * self.level).ceil() as usize;
            sorted.get(place.clamp(1, sorted.len().max(1)) - 1).copied().map_or(0.0, f64::from)
        })
    }

    fn hear(&mut self, excess: f32) {
        let kept = 1.0 - (1.0 - self.level) / MEMORY;
        let losses: Vec<f64> = self.shifts().map(|shift| loss(excess, shift, self.level)).collect();
        self.lost.iter_mut().zip(losses).for_each(|(lost, loss)| *lost = kept * *lost + loss);
        self.heard = kept * self.heard + 1.0;
        for (sorted, &length) in self.sorted.iter_mut().zip(&self.lengths) {
            // The run that leaves a window is the oldest of its length.
            if sorted.len() >= length
                && let Some(oldest) = self.excess.get(self.excess.len() - length)
            {
                let at = sorted.partition_point(|other| other.total_cmp(oldest).is_lt());
                sorted.remove(at);
            }
            let at = sorted.partition_point(|other| other.total_cmp(&excess).is_lt());
            sorted.insert(at, excess);
        }
        self.excess.push_back(excess);
        if self.excess.len() > self.lengths.last().map_or(0, |longest| *longest) {
            self.excess.pop_front();
        }
    }

    /// The mean of what all lengths say, weighted by how well they did.
    fn shift(&self) -> f64 {
        let least = self.lost.iter().copied().fold(f64::INFINITY, f64::min);
        let usual = self.lost.iter().sum::<f64>() / self.lost.len() as f64 / self.heard;
        let weight = |lost: f64| if usual > 0.0 { (-RATE * (lost - least) / usual).exp() } else { 1.0 };
        let (sum, weights) = self
            .shifts()
            .zip(&self.lost)
            .fold((0.0, 0.0), |(sum, weights), (shift, &lost)| (sum + weight(lost) * shift, weights + weight(lost)));
        if weights > 0.0 { sum / weights } else { 0.0 }
    }

    fn check(&self) -> Result<(), String> {
        if self.lost.is_empty() || self.lost.len() != self.lengths.len() {
            return Err(format!("{} losses of {} windows", self.lost.len(), self.lengths.len()));
        }
        if self.lengths.iter().any(|length| !(1..=LONGEST).contains(length)) {
            return Err(format!("windows of {:?} runs, 1 to {LONGEST} are possible", self.lengths));
        }
        let figures = self.excess.iter().copied().map(f64::from).chain(self.lost.iter().copied()).chain([self.heard]);
        kept::finite("a shift", figures)
    }
}

/// The windows of one repository, one set a shifted level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Recent(Vec<Windows>);

/// The shifts of one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Shifts {
    /// Of repositories that have none of their own.
    start: Recent,
    repos: BTreeMap<String, Recent>,
}

/// The median is left as it is: what it lacks is noise.
fn is_shifted(level: f64) -> bool {
    level > 0.5
}

impl Shifts {
    /// Starts from what the levels lack on rows that the model has not learnt from.
    /// `told`: per level, one value a row, log scale.
    pub(super) fn learn(data: &Data, rows: &[u32], levels: &[f64], told: &[Vec<f64>], margin: Margin) -> Self {
        let start = levels.iter().zip(told).filter(|(level, _)| is_shifted(**level)).map(|(&level, said)| {
            let excess = rows.iter().zip(said).map(|(&row, said)| (data.truth(row) - said) as f32);
            Windows::first(excess.collect(), level, margin)
        });
        Self { start: Recent(start.collect()), repos: BTreeMap::new() }
    }

    /// Adds to each row what its repository's shifts are when it starts, and lets them learn from each run that ends.
    /// `rows` in order of start.
    pub(super) fn apply(&mut self, data: &Data, rows: &[u32], levels: &[f64], told: &mut [Vec<f64>]) {
        let runs: Vec<usize> = rows.iter().map(|&row| row as usize).collect();
        let place = |row: usize| rows.binary_search(&(row as u32)).expect("asked only for rows given");
        let mut current: Vec<Option<Recent>> =
            data.runs.repo.names.iter().map(|name| self.repos.get(name).cloned()).collect();
        let shifted: Vec<usize> = (0..levels.len()).filter(|&at| is_shifted(levels[at])).collect();
        let raw: Vec<Vec<f64>> = told.to_vec();
        in_time(&data.runs, &runs, |step| match step {
            Step::Ended(row) => {
                let recent = current[data.runs.repo.of[row]].get_or_insert_with(|| self.start.clone());
                let at = place(row);
                for (windows, &level) in recent.0.iter_mut().zip(&shifted) {
                    windows.hear((data.runs.value[row] - raw[level][at]) as f32);
                }
            }
            Step::Started(row) => {
                let recent = current[data.runs.repo.of[row]].as_ref().unwrap_or(&self.start);
                let at = place(row);
                for (windows, &level) in recent.0.iter().zip(&shifted) {
                    told[level][at] += windows.shift();
                }
            }
        });
        for (name, recent) in data.runs.repo.names.iter().zip(current) {
            if let Some(recent) = recent {
                self.repos.insert(name.clone(), recent);
            }
        }
    }

    /// Refuses shifts that are not of these levels, or not finite.
    pub(super) fn check(&self, levels: &[f64]) -> Result<(), String> {
        for Recent(windows) in std::iter::once(&self.start).chain(self.repos.values()) {
            let shifted: Vec<f64> = levels.iter().copied().filter(|level| is_shifted(*level)).collect();
            if !windows.iter().map(|windows| windows.level).eq(shifted.iter().copied()) {
                return Err(format!("{} sets of windows for the levels {shifted:?}", windows.len()));
            }
            windows.iter().try_for_each(Windows::check)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn windows_hold_their_level_from_the_first_rows_on_and_one_run_moves_them_little() {
        let mut random = Random(3);
        for rows in [9, 30, 200] {
            let (mut inside, draws) = (0, 4000);
            for _ in 0..draws {
                let windows =
                    Windows::first((0..rows).map(|_| random.share() as f32).collect(), 0.9, Margin::Following);
                inside += usize::from(random.share() <= windows.shift());
            }
            let share = inside as f64 / f64::from(draws);
            assert!((0.87..0.94).contains(&share), "{share} of {rows}");
        }
        let mut windows = Windows::first((0..1000).map(|i| i as f32).collect(), 0.9, Margin::Following);
        let before = windows.shift();
        assert!((before - 900.0).abs() < 20.0, "{before}");
        windows.hear(1e9);
        assert!((before - 1.0..before + 40.0).contains(&windows.shift()), "{before} {}", windows.shift());
        assert_eq!(windows.excess.len(), LONGEST);
        assert_eq!(windows.sorted.iter().map(Vec::len).collect::<Vec<_>>(), [25, 50, 100, 200, 400, 1000]);
        assert_eq!(lengths(0.99, Margin::Following), [250, 500, 1000]);
    }

    #[test]
    fn what_a_repository_does_takes_the_place_of_what_all_do() {
        let mut windows = Windows::first((0..1000).map(|i| i as f32 / 1000.0).collect(), 0.9, Margin::Following);
        assert!((windows.shift() - 0.9).abs() < 0.03);
        for _ in 0..50 {
            windows.hear(5.0);
        }
        // Half of the window of 100 has left, and what is left of it still is spread evenly.
        let rest: Vec<f32> = windows.sorted[2].iter().copied().filter(|excess| *excess < 1.0).collect();
        assert!((rest.iter().sum::<f32>() / rest.len() as f32 - 0.5).abs() < 0.05, "{rest:?}");
        let kept = serde_json::to_vec(&windows).unwrap();
        assert_eq!(serde_json::from_slice::<Windows>(&kept).unwrap(), windows);
        assert!(windows.check().is_ok());
        windows.lost.pop();
        assert!(windows.check().is_err());
    }

    #[test]
    fn after_a_jump_short_windows_count_and_without_one_long_ones_do() {
        let mut random = Random(5);
        let mut windows = Windows::first((0..1000).map(|_| random.share() as f32).collect(), 0.9, Margin::Following);
        let mut missed = |windows: &mut Windows, by: f32, runs: usize| {
            let mut lost = 0.0;
            for _ in 0..runs {
                let excess = random.share() as f32 + by;
                lost += loss(excess, windows.shift(), 0.9);
                windows.hear(excess);
            }
            lost / runs as f64
        };
        missed(&mut windows, 0.0, 300);
        let (short, long) = (windows.lost[0], windows.lost[5]);
        assert!(long < short, "a world that stays: {short} {long}");
        missed(&mut windows, 3.0, 60);
        assert!(windows.lost[0] < windows.lost[5], "{:?}", windows.lost);
        // Of what is even between 3 and 4, the best shift loses 0.045.
        let after = missed(&mut windows, 3.0, 100);
        assert!(after < 0.06, "{after}");
        assert!((windows.shift() - 3.9).abs() < 0.1, "{}", windows.shift());
    }

    #[test]
    fn nothing_known_shifts_nothing() {
        let nothing = Windows::first(Vec::new(), 0.9, Margin::Following);
        assert_eq!(nothing.shift(), 0.0);
        assert!(Shifts { start: Recent(vec![nothing]), ..Shifts::default() }.check(&[0.5, 0.9]).is_ok());
        assert!(Shifts::default().check(&[0.9]).is_err());
    }
}
