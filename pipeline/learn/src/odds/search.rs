//! Which columns and which learners: chosen by what was judged on folds of the training rows, and by nothing else.
//!
//! The baselines compete: the base rate, the last outcome, recent outcomes, a small tree; and the best is taken, as it is or
//! calibrated, whatever is the better. Not the simplest of those that one standard error does not tell from the best: a blend of learners whose
//! members see parts of the rows is no riskier than a baseline. On 57 stretches of 300 to 3,000 interference samples the simplest
//! was a baseline in a fifth of them, and cost an eighth of the Brier score (emulated on the predictions of all finalists).

use super::calibrate::{Calibration, KINDS, Kind};
use super::fit::{Ground, Learner, thinned};
use super::folds::{Fold, folds};
use super::rows::Rows;
use super::view::{Make, Recipe, recipes};
use crate::LearnError;
use crate::metrics::{brier, brier_losses, calibration_error, mean};
use domain::probability::Choice;
use rayon::prelude::*;
use std::sync::Arc;

const LEARNERS: [Learner; 4] = [Learner::Forest(3), Learner::Forest(20), Learner::Boosted, Learner::Line];
/// Share of its trees that a forest grows on a fold of so many rows and more: a mean of fewer is told apart as well, and of
/// few rows trees cost nothing.
const FOREST_SHARE: (f64, usize) = (0.4, 1000);
/// Share of its trees that the forest grows by which families of columns are dropped.
const QUICK: f64 = 0.2;
/// Rows that it learns from: half of those there are, within these.
const QUICK_ROWS: (usize, usize) = (1000, 6000);
/// Rows that a fold learns from, at most: choosing needs fewer than the model that is kept.
const FOLD_ROWS: usize = 40_000;
/// Steps of dropping families, at most: many families go several at a time.
const STEPS: usize = 12;
/// Steps without a gain after which the others are not tried: dropping only gets worse from there on.
const PATIENCE: usize = 3;
/// Rounds of adding a member to the blend.
const ROUNDS: usize = 20;

/// The names of the baselines, the simplest first.
pub(crate) const BASE_RATE: &str = "base_rate";
pub(crate) const SAME_AS_LAST: &str = "same_as_last";
const RECENT_OUTCOMES: &str = "recent_outcomes";
pub(crate) const SMALL_TREE: &str = "small_tree";
const BLEND: &str = "blend";

/// Shares, learners, and the columns of each.
pub(super) type Blend = Vec<(f64, Learner, Vec<usize>)>;

/// What to learn, and how it is calibrated.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) name: &'static str,
    /// Whether nothing but a baseline is in it.
    pub(crate) baseline: bool,
    /// Said as it was learnt: not calibrated, not drawn to the base rate, and no later outcomes move it.
    pub(crate) plain: bool,
    pub(super) recipes: Arc<Vec<Recipe>>,
    pub(super) blend: Blend,
    pub(super) calibration: Calibration,
}

impl Found {
    /// Its name, and whether it was calibrated.
    pub(crate) fn described(&self) -> String {
        format!("{}, {}", self.name, if self.plain { "as it was learnt" } else { "calibrated on later rows" })
    }
}

/// All that may serve, the simplest first, and which of them the folds chose.
pub(crate) struct Search {
    pub(crate) finalists: Vec<Found>,
    pub(crate) chosen: usize,
    pub(crate) choice: Choice,
}

impl Search {
    /// What the folds chose.
    pub(crate) fn found(&self) -> &Found {
        &self.finalists[self.chosen]
    }
}

/// A fold with its columns made.
struct Ready<'a> {
    fold: Fold,
    ground: Ground<'a>,
    truth: Vec<bool>,
    /// Groups among the rows judged.
    groups: usize,
}

impl Ready<'_> {
    /// What a learner on some columns says of the rows judged.
    fn said(
        &self,
        learner: Learner,
        columns: &[usize],
        share: f64,
        most: usize,
        seed: u64,
    ) -> Result<Vec<f64>, LearnError> {
        let learn = thinned(&self.fold.learn, most);
        self.ground.said([&learn, &self.fold.judge], learner, columns, share, seed)
    }
}

/// Whether outcomes come in day by day while rows are asked for.
fn comes_in(folds: &[Ready]) -> bool {
    folds.iter().any(|fold| fold.ground.rows.live)
}

/// Mean over the folds of the Brier score.
fn loss(folds: &[Ready], said: &[Vec<f64>]) -> f64 {
    folds.iter().zip(said).map(|(fold, said)| brier(&fold.truth, said)).sum::<f64>() / folds.len() as f64
}

/// Chooses on `train` (ascending rows with a label). `test` marks the rows that will be judged: only where they lie is used,
/// to choose in the way that judging will.
///
/// # Errors
/// The library that grows small trees fails.
pub(crate) fn search(rows: &Rows, train: &[u32], test: &[bool], seed: u64) -> Result<Search, LearnError> {
    let recipes = Arc::new(recipes(rows, train));
    let (found, by_time) = folds(rows, train, test, seed);
    let mut choice = Choice { folds: if by_time { "time" } else { "group" }.to_owned(), ..Choice::default() };
    let mut families: Vec<String> = Vec::new();
    for recipe in recipes.iter() {
        if !families.contains(&recipe.family) {
            families.push(recipe.family.clone());
        }
    }
    let base = Ground::of(rows, &recipes, train);
    let ready = |fold: Fold| Ready {
        ground: base.knowing(&fold.learn),
        truth: rows.truth(&fold.judge),
        groups: rows.groups(&fold.judge),
        fold,
    };
    let folds: Vec<Ready> = found.into_iter().map(ready).collect();
    choice.families.clone_from(&families);
    let all: Vec<usize> = (0..recipes.len()).collect();
    if folds.is_empty() {
        choice.folds.clear();
        choice.carried_over = families;
        // Too few rows to choose by: what learns least; of the two, what lasts from one row to the next.
        let last = recipes.iter().position(|recipe| recipe.make == Make::History(0));
        let plain = |(name, learner, columns)| Found {
            name,
            baseline: true,
            plain: true,
            recipes: Arc::clone(&recipes),
            blend: vec![(1.0, learner, columns)],
            calibration: Calibration::none(),
        };
        let base_rate = (BASE_RATE, Learner::BaseRate, Vec::new());
        let same_as_last = last.map(|last| (SAME_AS_LAST, Learner::SameAsLast, vec![last]));
        let finalists: Vec<Found> = std::iter::once(base_rate).chain(same_as_last).map(plain).collect();
        let chosen = finalists.len() - 1;
        choice.chosen = finalists[chosen].name.to_owned();
        return Ok(Search { finalists, chosen, choice });
    }
    let kept = carried_over(&folds, &recipes, families, seed)?;
    let some: Vec<usize> = (0..recipes.len()).filter(|&at| kept.contains(&recipes[at].family)).collect();
    choice.carried_over = kept;
    let mut views = vec![("all", all)];
    if some.len() < recipes.len() {
        views.push(("carried over", some));
    }
    let candidates = candidates(&folds, &recipes, &views, seed)?;
    let (finalists, chosen) = finalists(&folds, &recipes, candidates, &mut choice);
    Ok(Search { finalists, chosen, choice })
}

/// Drops family after family, each time the one whose loss is felt least, and takes the largest set whose Brier score on
/// the folds is as good as the best (backward elimination; Guyon & Elisseeff, JMLR 3, 2003). A family that ties the model
/// to settings it has seen does harm on later settings and goes.
fn carried_over(
    folds: &[Ready],
    recipes: &[Recipe],
    families: Vec<String>,
    seed: u64,
) -> Result<Vec<String>, LearnError> {
    let judged = |kept: &[String]| -> Result<f64, LearnError> {
        let columns: Vec<usize> = (0..recipes.len()).filter(|&at| kept.contains(&recipes[at].family)).collect();
        let said = folds.par_iter().map(|fold| {
            let most = (fold.fold.learn.len() / 2).clamp(QUICK_ROWS.0, QUICK_ROWS.1);
            fold.said(Learner::Forest(5), &columns, QUICK, most, seed)
        });
        Ok(loss(folds, &said.collect::<Result<Vec<_>, _>>()?))
    };
    let batch = families.len().div_ceil(STEPS);
    let mut kept = families;
    let mut path = vec![(judged(&kept)?, kept.clone())];
    let mut without_gain = 0;
    while kept.len() > 1 && without_gain < PATIENCE {
        let without = |at: usize| -> Result<(f64, usize), LearnError> {
            let mut rest = kept.clone();
            rest.remove(at);
            Ok((judged(&rest)?, at))
        };
        let mut tries =
            (0..kept.len()).into_par_iter().map(without).collect::<Result<Vec<(f64, usize)>, LearnError>>()?;
        tries.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut gone: Vec<usize> = tries.iter().take(batch.min(kept.len() - 1)).map(|(_, at)| *at).collect();
        gone.sort_unstable();
        gone.into_iter().rev().for_each(|at| drop(kept.remove(at)));
        let least = path.iter().map(|(loss, _)| *loss).fold(f64::INFINITY, f64::min);
        let now = if batch == 1 { tries[0].0 } else { judged(&kept)? };
        without_gain = if now < least { 0 } else { without_gain + 1 };
        path.push((now, kept.clone()));
    }
    let best = path.iter().map(|(loss, _)| *loss).fold(f64::INFINITY, f64::min);
    // Differences below half a hundredth of the worst sensible score are noise.
    let near = path.iter().find(|(loss, _)| *loss <= best + 0.001);
    Ok(near.map(|(_, kept)| kept.clone()).unwrap_or_default())
}

/// One that competes, and what it said on each fold.
struct Candidate {
    name: String,
    /// A baseline's name.
    baseline: Option<&'static str>,
    learner: Learner,
    columns: Vec<usize>,
    said: Vec<Vec<f64>>,
}

/// Everybody learns on every fold: the baselines, the simplest first, then the learners on all columns and on those that
/// carried over.
fn candidates(
    folds: &[Ready],
    recipes: &[Recipe],
    views: &[(&str, Vec<usize>)],
    seed: u64,
) -> Result<Vec<Candidate>, LearnError> {
    let of = |wanted: &dyn Fn(&Make) -> bool| -> Vec<usize> {
        (0..recipes.len()).filter(|&at| wanted(&recipes[at].make)).collect()
    };
    let last = of(&|make| matches!(make, Make::History(0)));
    let history = of(&|make| matches!(make, Make::History(_)));
    let given = of(&|make| matches!(make, Make::Raw(_) | Make::History(_)));
    let mut tasks: Vec<(String, Option<&'static str>, Learner, Vec<usize>)> = Vec::new();
    let baselines = [
        (BASE_RATE, Learner::BaseRate, Vec::new()),
        (SAME_AS_LAST, Learner::SameAsLast, last),
        (RECENT_OUTCOMES, Learner::Line, history),
        (SMALL_TREE, Learner::SmallTree, given),
    ];
    // Else the last outcomes that are known are the same of all rows judged, and old.
    let comes_in = comes_in(folds);
    let possible = |(name, _, columns): &(&str, Learner, Vec<usize>)| match *name {
        BASE_RATE => true,
        RECENT_OUTCOMES => comes_in && !columns.is_empty(),
        _ => !columns.is_empty(),
    };
    for (name, learner, columns) in baselines.into_iter().filter(possible) {
        tasks.push((name.to_owned(), Some(name), learner, columns));
    }
    for (view, columns) in views {
        for learner in LEARNERS {
            let name = match learner {
                Learner::Forest(leaf) => format!("forest (leaf {leaf}), {view}"),
                Learner::Boosted => format!("boosting, {view}"),
                _ => format!("logistic regression, {view}"),
            };
            tasks.push((name, None, learner, columns.clone()));
        }
    }
    type Task = (String, Option<&'static str>, Learner, Vec<usize>);
    let one = |(name, baseline, learner, columns): Task| -> Result<Candidate, LearnError> {
        let said = folds.par_iter().map(|fold| {
            let share = if fold.fold.learn.len() < FOREST_SHARE.1 { 1.0 } else { FOREST_SHARE.0 };
            fold.said(learner, &columns, share, FOLD_ROWS, seed)
        });
        let said = said.collect::<Result<Vec<_>, LearnError>>()?;
        Ok(Candidate { name, baseline, learner, columns, said })
    };
    tasks.into_par_iter().map(one).collect()
}

/// The baselines and the blend, each calibrated, and which of them is the best: members are added to the blend one by one,
/// each time the one that helps most (Caruana et al., ICML 2004).
fn finalists(
    folds: &[Ready],
    recipes: &Arc<Vec<Recipe>>,
    candidates: Vec<Candidate>,
    choice: &mut Choice,
) -> (Vec<Found>, usize) {
    choice.tried = candidates.iter().map(|one| (one.name.clone(), loss(folds, &one.said))).collect();
    // A baseline that is better is chosen for itself: in the blend it would only hide what its members say.
    let (baselines, candidates): (Vec<Candidate>, Vec<Candidate>) =
        candidates.into_iter().partition(|one| one.baseline.is_some());
    let counts = shares(folds, &candidates, None);
    let all_folds = mixed(&candidates, &counts);
    // What the blend says of a fold is judged with shares that had not seen it.
    let now: Vec<Vec<f64>> = if folds.len() < 2 {
        all_folds
    } else {
        (0..folds.len()).map(|at| mixed(&candidates, &shares(folds, &candidates, Some(at))).swap_remove(at)).collect()
    };
    let mut blend = Blend::new();
    for (count, one) in counts.iter().zip(&candidates).filter(|(count, _)| **count > 0) {
        let share = *count as f64 / ROUNDS as f64;
        choice.blend.push((one.name.clone(), share));
        blend.push((share, one.learner, one.columns.clone()));
    }
    choice.blend.sort_by(|a, b| b.1.total_cmp(&a.1));
    let baselines = baselines.iter().filter_map(|one| Some((one.baseline?, one)));
    let baselines =
        baselines.map(|(name, one)| (name, vec![(1.0, one.learner, one.columns.clone())], one.said.clone()));
    let all: Vec<(&'static str, Blend, Vec<Vec<f64>>)> = baselines.chain([(BLEND, blend, now)]).collect();
    let (mut finalists, mut losses) = (Vec::new(), Vec::new());
    for (name, blend, said) in all {
        let mut enter = |plain, calibration, said: &[Vec<f64>]| {
            losses.push(mean(folds.iter().zip(said).flat_map(|(fold, said)| brier_losses(&fold.truth, said))));
            let (recipes, blend) = (Arc::clone(recipes), blend.clone());
            finalists.push(Found { name, baseline: name != BLEND, plain, recipes, blend, calibration });
        };
        if name != BLEND {
            enter(true, Calibration::none(), &said);
        }
        // Rates are counted: there is nothing to calibrate, only to follow.
        if [BASE_RATE, SAME_AS_LAST].contains(&name) {
            if comes_in(folds) {
                enter(false, Calibration::none(), &said);
            }
            continue;
        }
        let Calibrated { calibration, held_out, tried } = calibrated(folds, &said);
        if name == BLEND {
            choice.calibration = calibration.kind.name().to_owned();
            choice.calibrations = tried;
        }
        enter(false, calibration, &held_out);
    }
    let chosen = best(&losses).unwrap_or_default();
    choice.chosen = finalists[chosen].name.to_owned();
    choice.tried.sort_by(|a, b| a.1.total_cmp(&b.1));
    (finalists, chosen)
}

/// The place of the least loss, of equals the first; what is no number is never the least.
fn best(losses: &[f64]) -> Option<usize> {
    let sound = losses.iter().enumerate().filter(|(_, loss)| loss.is_finite());
    sound.min_by(|a, b| a.1.total_cmp(b.1)).map(|(at, _)| at)
}

/// How often each candidate is added to the blend, each time the one that lowers the Brier score most on all folds but one.
fn shares(folds: &[Ready], candidates: &[Candidate], without: Option<usize>) -> Vec<usize> {
    let used: Vec<usize> = (0..folds.len()).filter(|at| Some(*at) != without).collect();
    let mut counts = vec![0_usize; candidates.len()];
    let mut now: Vec<Vec<f64>> = folds.iter().map(|fold| vec![0.0; fold.truth.len()]).collect();
    for round in 0..ROUNDS {
        let with = |one: &Candidate, at: usize| -> Vec<f64> {
            let mean = |(now, said): (&f64, &f64)| (now * round as f64 + said) / (round + 1) as f64;
            now[at].iter().zip(&one.said[at]).map(mean).collect()
        };
        let loss = |one: &Candidate| used.iter().map(|&at| brier(&folds[at].truth, &with(one, at))).sum::<f64>();
        let tries = candidates.iter().enumerate().map(|(place, one)| (loss(one), place));
        let Some((_, best)) = tries.min_by(|a, b| a.0.total_cmp(&b.0)) else { break };
        now = (0..folds.len()).map(|at| with(&candidates[best], at)).collect();
        counts[best] += 1;
    }
    counts
}

/// What a blend says of every fold.
fn mixed(candidates: &[Candidate], counts: &[usize]) -> Vec<Vec<f64>> {
    let folds = candidates.first().map_or(0, |one| one.said.len());
    let said = |fold: usize| -> Vec<f64> {
        let mut sums = vec![0.0; candidates[0].said[fold].len()];
        for (count, one) in counts.iter().zip(candidates).filter(|(count, _)| **count > 0) {
            let share = *count as f64 / ROUNDS as f64;
            sums.iter_mut().zip(&one.said[fold]).for_each(|(sum, p)| *sum += share * p);
        }
        sums
    };
    (0..folds).map(said).collect()
}

/// A calibration, what it says of folds that it was not learnt on, and the Brier score of every kind that was tried.
struct Calibrated {
    calibration: Calibration,
    held_out: Vec<Vec<f64>>,
    tried: Vec<(String, f64)>,
}

/// The kind of calibration with the least calibration error on folds it was not learnt on, among those that cost no more
/// than a hundredth in Brier score, learnt on all. Each fold counts the same.
fn calibrated(folds: &[Ready], said: &[Vec<f64>]) -> Calibrated {
    let learn = |kind: Kind, without: Option<usize>| {
        let (mut p, mut y, mut w) = (Vec::new(), Vec::new(), Vec::new());
        for (at, fold) in folds.iter().enumerate().filter(|(at, _)| Some(*at) != without) {
            p.extend_from_slice(&said[at]);
            y.extend(fold.truth.iter().map(|y| f64::from(*y)));
            // As many as there are groups, whose rows have one outcome, and no more than a thousand.
            w.extend(std::iter::repeat_n(fold.groups.min(1000) as f64 / fold.truth.len() as f64, fold.truth.len()));
        }
        Calibration::fit(kind, &p, &y, &w)
    };
    let mut tried: Vec<(Kind, f64, f64, Vec<Vec<f64>>)> = Vec::new();
    for kind in KINDS {
        if folds.len() < 2 && kind != Kind::None {
            break;
        }
        let mapped = |at: usize| -> Vec<f64> {
            let map = learn(kind, Some(at));
            said[at].iter().map(|&p| map.apply(p)).collect()
        };
        let held_out: Vec<Vec<f64>> = (0..folds.len()).map(mapped).collect();
        let error = |(fold, said): (&Ready, &Vec<f64>)| calibration_error(&fold.truth, said);
        let error = folds.iter().zip(&held_out).map(error).sum::<f64>() / folds.len() as f64;
        let loss = loss(folds, &held_out);
        tried.push((kind, loss, error, held_out));
    }
    let least = tried.iter().map(|(_, loss, ..)| *loss).fold(f64::INFINITY, f64::min);
    let mut best = (0, f64::INFINITY);
    for (at, (_, _, error, _)) in tried.iter().enumerate().filter(|(_, (_, loss, ..))| *loss <= least * 1.01) {
        // A map with more numbers must earn them.
        if *error < best.1 * 0.97 {
            best = (at, *error);
        }
    }
    let losses = tried.iter().map(|(kind, loss, ..)| (kind.name().to_owned(), *loss)).collect();
    let (kind, _, _, held_out) = tried.swap_remove(best.0);
    Calibrated { calibration: learn(kind, None), held_out, tried: losses }
}
