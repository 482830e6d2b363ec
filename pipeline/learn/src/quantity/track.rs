//! Levels that keep their stated coverage while the world drifts, from few runs as from many.
//!
//! Each repository has a shift per level: the quantile of what its own last runs exceeded the level by, runs of which no
//! model has seen the outcome. A window forgets what no longer holds, and its quantile is right from the first rows on:
//! split conformal prediction (Vovk, Gammerman & Shafer 2005; Lei et al. 2018), in a window that slides (Gibbs & Candès
//! 2021, 4). A repository without a past begins with the window of all. A run counts from its end on, so nothing comes from
//! the future, and as one of its window, so one run moves a level by no more than to its neighbour.

use super::data::Data;
use crate::history::{Step, in_time};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Runs of a window that are expected above its level. Of p90 a window is 100 runs, of p99 1,000. On 200 stretches of 300
/// to 3,000 Travis builds, 5 and 10 kept p90 inside its 99 % binomial band in 98 % of them at the least pinball loss; 20, or
/// steps of a twentieth of the recent error, in 84 and 76 %.
const ABOVE: f64 = 10.0;
/// A place that strides over sorted values so that any first few of them are spread evenly: the golden ratio.
const STRIDE: f64 = 0.618_033_988_749_895;

fn window(level: f64) -> usize {
    (ABOVE / (1.0 - level)).round() as usize
}

/// By how much the last runs of a repository exceeded a level, log scale.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "VecDeque<f32>", into = "VecDeque<f32>")]
struct Window {
    /// The oldest first.
    excess: VecDeque<f32>,
    sorted: Vec<f32>,
}

impl From<VecDeque<f32>> for Window {
    fn from(excess: VecDeque<f32>) -> Self {
        let mut sorted: Vec<f32> = excess.iter().copied().collect();
        sorted.sort_unstable_by(f32::total_cmp);
        Self { excess, sorted }
    }
}

impl From<Window> for VecDeque<f32> {
    fn from(window: Window) -> Self {
        window.excess
    }
}

impl Window {
    /// The window that a repository without a past begins with: the quantiles of all, the even spread kept as they leave.
    fn first(mut all: Vec<f32>, level: f64) -> Self {
        all.sort_unstable_by(f32::total_cmp);
        let most = window(level).min(all.len());
        let spread = |at: usize| all[((at as f64 + 0.5) / most as f64 * all.len() as f64) as usize];
        let mut order: Vec<usize> = (0..most).collect();
        order.sort_by(|&a, &b| (a as f64 * STRIDE).fract().total_cmp(&(b as f64 * STRIDE).fract()));
        order.into_iter().map(spread).collect::<VecDeque<f32>>().into()
    }

    fn hear(&mut self, excess: f32, level: f64) {
        if self.excess.len() >= window(level)
            && let Some(oldest) = self.excess.pop_front()
        {
            let at = self.sorted.partition_point(|other| other.total_cmp(&oldest).is_lt());
            self.sorted.remove(at);
        }
        self.excess.push_back(excess);
        let at = self.sorted.partition_point(|other| other.total_cmp(&excess).is_lt());
        self.sorted.insert(at, excess);
    }

    /// What holds the next run with the probability `level`, if runs are alike: one more than the window counts, because
    /// the next is one of them. Of too few runs for that the largest.
    fn shift(&self, level: f64) -> f64 {
        let place = ((self.sorted.len() + 1) as f64 * level).ceil() as usize;
        self.sorted.get(place.clamp(1, self.sorted.len().max(1)) - 1).copied().map_or(0.0, f64::from)
    }
}

/// The windows of one repository, one a level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Recent(Vec<Window>);

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
    pub(super) fn learn(data: &Data, rows: &[u32], levels: &[f64], told: &[Vec<f64>]) -> Self {
        let start = levels.iter().zip(told).map(|(&level, said)| {
            let excess = rows.iter().zip(said).map(|(&row, said)| (data.truth(row) - said) as f32);
            if is_shifted(level) { Window::first(excess.collect(), level) } else { Window::default() }
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
        let raw: Vec<Vec<f64>> = told.to_vec();
        in_time(&data.runs, &runs, |step| match step {
            Step::Ended(row) => {
                let recent = current[data.runs.repo.of[row]].get_or_insert_with(|| self.start.clone());
                let at = place(row);
                for ((window, &level), raw) in recent.0.iter_mut().zip(levels).zip(&raw) {
                    if is_shifted(level) {
                        window.hear((data.runs.value[row] - raw[at]) as f32, level);
                    }
                }
            }
            Step::Started(row) => {
                let recent = current[data.runs.repo.of[row]].as_ref().unwrap_or(&self.start);
                let at = place(row);
                for ((window, &level), told) in recent.0.iter().zip(levels).zip(told.iter_mut()) {
                    told[at] += window.shift(level);
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
        for recent in std::iter::once(&self.start).chain(self.repos.values()) {
            if recent.0.len() != levels.len() {
                return Err(format!("{} windows for {} levels", recent.0.len(), levels.len()));
            }
            if recent.0.iter().flat_map(|window| &window.sorted).any(|excess| !excess.is_finite()) {
                return Err("a shift is not finite".to_owned());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn a_window_holds_its_level_from_the_first_rows_on_and_one_run_moves_it_to_a_neighbour() {
        let mut random = Random(3);
        for rows in [9, 30, 200] {
            let (mut inside, draws) = (0, 4000);
            for _ in 0..draws {
                let window = Window::first((0..rows).map(|_| random.share() as f32).collect(), 0.9);
                inside += usize::from(random.share() <= window.shift(0.9));
            }
            let share = inside as f64 / f64::from(draws);
            assert!((0.88..0.94).contains(&share), "{share} of {rows}");
        }
        let mut window = Window::first((0..100).map(|i| i as f32).collect(), 0.9);
        assert_eq!(window.shift(0.9), 90.0);
        window.hear(1e9, 0.9);
        assert!((90.0..=91.0).contains(&window.shift(0.9)), "{}", window.shift(0.9));
        assert_eq!(window.excess.len(), 100);
    }

    #[test]
    fn what_a_repository_does_takes_the_place_of_what_all_do() {
        let mut window = Window::first((0..1000).map(|i| i as f32 / 1000.0).collect(), 0.9);
        assert!((window.shift(0.9) - 0.9).abs() < 0.03);
        for _ in 0..50 {
            window.hear(5.0, 0.9);
        }
        // Half of the first window has left, and what is left of it still is spread evenly.
        let rest: Vec<f32> = window.sorted.iter().copied().filter(|excess| *excess < 1.0).collect();
        assert!((rest.iter().sum::<f32>() / rest.len() as f32 - 0.5).abs() < 0.05, "{rest:?}");
        let kept = serde_json::to_vec(&window).unwrap();
        assert_eq!(serde_json::from_slice::<Window>(&kept).unwrap(), window);
    }

    #[test]
    fn nothing_known_shifts_nothing() {
        assert_eq!(Window::default().shift(0.9), 0.0);
        assert!(Shifts { start: Recent(vec![Window::default()]), ..Shifts::default() }.check(&[0.9]).is_ok());
        assert!(Shifts::default().check(&[0.9]).is_err());
    }
}
