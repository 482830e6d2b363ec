//! Which columns and which learners: chosen by what was judged on folds of the training rows, and by nothing else.

use super::bins::Bins;
use super::calibrate::{Calibration, KINDS, Kind};
use super::folds::{Fold, folds};
use super::line::Line;
use super::rows::Rows;
use super::trees::{Lesson, Trees};
use super::view::{Make, Recipe, make, recipes, sides};
use crate::metrics::{brier, calibration_error};
use domain::probability::{Cause, Choice};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A learner and its knobs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Learner {
    /// Extremely randomised trees with leaves of at least so many rows.
    Forest(usize),
    /// Boosted trees.
    Boosted,
    /// Logistic regression.
    Line,
}

const LEARNERS: [Learner; 4] = [Learner::Forest(3), Learner::Forest(20), Learner::Boosted, Learner::Line];
const FOREST: usize = 100;
const BOOSTED: usize = 300;
/// Trees of the small forest by which families of columns are dropped, and the rows it learns from.
const QUICK: (usize, usize) = (20, 6000);
/// Rows that a fold learns from, at most: choosing needs fewer than the model that is kept.
const FOLD_ROWS: usize = 40_000;
/// Steps of dropping families, at most: many families go several at a time.
const STEPS: usize = 12;
/// Rows that went well, whose resources are put in the place of a row's own to see what holds it up.
const WELL: usize = 8;
/// Rounds of adding a member to the blend.
const ROUNDS: usize = 20;

/// A learner that has learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Learnt {
    Trees(Trees),
    Line(Line),
}

impl Learnt {
    fn probability(&self, value: impl Fn(usize) -> f32) -> f64 {
        match self {
            Self::Trees(trees) => trees.probability(value),
            Self::Line(line) => line.probability(value),
        }
    }
}

/// A learner on some of the columns, and its share of the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Member {
    share: f64,
    learner: Learner,
    /// Places in [`Odds::recipes`].
    columns: Vec<usize>,
    learnt: Learnt,
}

/// A model of probabilities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Odds {
    recipes: Vec<Recipe>,
    members: Vec<Member>,
    calibration: Calibration,
}

/// A fold with its columns made.
struct Ready {
    fold: Fold,
    /// Shared with the other folds, except history.
    columns: Vec<Arc<Vec<f32>>>,
    bins: Vec<Arc<Bins>>,
    truth: Vec<bool>,
}

impl Ready {
    /// What a learner on some columns says of the rows judged.
    fn said(&self, rows: &Rows, learner: Learner, columns: &[usize], trees: usize, most: usize, seed: u64) -> Vec<f64> {
        let learn: Vec<u32> = thinned(&self.fold.learn, most);
        let learnt = learn_from(rows, &self.columns, &self.bins, &learn, learner, columns, trees, seed);
        say(&learnt, &self.columns, columns, &self.fold.judge)
    }
}

fn made(recipes: &[Recipe], rows: &Rows, learnt: &[u32]) -> Vec<Arc<Vec<f32>>> {
    make(recipes, rows, learnt).into_iter().map(Arc::new).collect()
}

fn thinned(rows: &[u32], most: usize) -> Vec<u32> {
    // By a stride that no period of the rows shares.
    if rows.len() <= most {
        return rows.to_vec();
    }
    let step = rows.len() as f64 / most as f64;
    (0..most).map(|at| rows[(at as f64 * step) as usize]).collect()
}

fn say(learnt: &Learnt, columns: &[Arc<Vec<f32>>], used: &[usize], rows: &[u32]) -> Vec<f64> {
    rows.par_iter().map(|&row| learnt.probability(|column| columns[used[column]][row as usize])).collect()
}

#[allow(clippy::too_many_arguments)]
fn learn_from(
    rows: &Rows,
    columns: &[Arc<Vec<f32>>],
    bins: &[Arc<Bins>],
    learn: &[u32],
    learner: Learner,
    used: &[usize],
    trees: usize,
    seed: u64,
) -> Learnt {
    let bins: Vec<&Bins> = used.iter().map(|&at| bins[at].as_ref()).collect();
    let lesson = Lesson { bins: &bins, rows: learn, label: &rows.label, weight: &rows.weight, seed };
    match learner {
        Learner::Forest(leaf) => Learnt::Trees(Trees::forest(&lesson, trees, leaf.max(learn.len() / 20_000))),
        Learner::Boosted => Learnt::Trees(Trees::boosted(&lesson, trees)),
        Learner::Line => {
            let columns: Vec<&[f32]> = used.iter().map(|&at| columns[at].as_slice()).collect();
            Learnt::Line(Line::fit(&columns, learn, &rows.label, &rows.weight))
        }
    }
}

fn trees_of(learner: Learner) -> usize {
    match learner {
        Learner::Forest(_) => FOREST,
        Learner::Boosted => BOOSTED,
        Learner::Line => 0,
    }
}

/// Mean over the folds of the Brier score.
fn loss(folds: &[Ready], said: &[Vec<f64>]) -> f64 {
    folds.iter().zip(said).map(|(fold, said)| brier(&fold.truth, said)).sum::<f64>() / folds.len() as f64
}

impl Odds {
    /// Chooses on `train` (ascending rows with a label) and learns from all of them. `test` marks the rows that will be
    /// judged: only where they lie is used, to choose in the way that judging will.
    pub(crate) fn fit(rows: &Rows, train: &[u32], test: &[bool], seed: u64) -> (Self, Choice) {
        let recipes = recipes(rows, train);
        let (found, by_time) = folds(rows, train, test, seed);
        let mut choice = Choice { folds: if by_time { "time" } else { "group" }.to_owned(), ..Choice::default() };
        let mut families: Vec<String> = Vec::new();
        for recipe in &recipes {
            if !families.contains(&recipe.family) {
                families.push(recipe.family.clone());
            }
        }
        let base = made(&recipes, rows, train);
        let bins: Vec<Arc<Bins>> = base.par_iter().map(|column| Arc::new(Bins::of(column, train))).collect();
        let folds: Vec<Ready> = found
            .into_iter()
            .map(|fold| {
                let (mut columns, mut bins) = (base.clone(), bins.clone());
                let history = rows.history(&fold.learn).map(Arc::new);
                for (at, recipe) in recipes.iter().enumerate() {
                    if let Make::History(which) = recipe.make {
                        columns[at] = Arc::clone(&history[which]);
                        bins[at] = Arc::new(Bins::of(&columns[at], &fold.learn));
                    }
                }
                let truth = rows.truth(&fold.judge);
                Ready { fold, columns, bins, truth }
            })
            .collect();
        choice.families.clone_from(&families);
        let all: Vec<usize> = (0..recipes.len()).collect();
        let (blend, calibration) = if folds.is_empty() {
            choice.folds.clear();
            choice.carried_over = families;
            (vec![(1.0, Learner::Forest(20), all)], Calibration::fit(Kind::None, &[], &[], &[]))
        } else {
            let kept = carried_over(rows, &folds, &recipes, families, seed);
            let some: Vec<usize> = (0..recipes.len()).filter(|&at| kept.contains(&recipes[at].family)).collect();
            choice.carried_over = kept;
            let mut views = vec![("all", all)];
            if some.len() < recipes.len() {
                views.push(("carried over", some));
            }
            blended(rows, &folds, &views, seed, &mut choice)
        };
        drop(folds);
        let members = blend
            .into_iter()
            .map(|(share, learner, columns)| {
                let learnt = learn_from(rows, &base, &bins, train, learner, &columns, trees_of(learner), seed);
                Member { share, learner, columns, learnt }
            })
            .collect();
        (Self { recipes, members, calibration }, choice)
    }

    /// The probability of some rows; `learnt` are those whose outcomes may tell of them.
    pub(crate) fn predict(&self, rows: &Rows, learnt: &[u32], asked: &[u32]) -> Vec<f64> {
        let columns = made(&self.recipes, rows, learnt);
        let mut sums = vec![0.0; asked.len()];
        for member in &self.members {
            let said = say(&member.learnt, &columns, &member.columns, asked);
            sums.iter_mut().zip(said).for_each(|(sum, p)| *sum += member.share * p);
        }
        sums.into_iter().map(|p| self.calibration.apply(p)).collect()
    }

    /// What moved the probability of a row, the most first: the column, its value, and how far, about.
    pub(crate) fn moves(&self, rows: &Rows, learnt: &[u32], row: u32) -> Vec<(String, f32, f64)> {
        let columns = made(&self.recipes, rows, learnt);
        let one =
            |((recipe, column), moved): ((&Recipe, &Arc<Vec<f32>>), f64)| (recipe.name(), column[row as usize], moved);
        let mut moves: Vec<_> = self.recipes.iter().zip(&columns).zip(self.moved(&columns, row)).map(one).collect();
        moves.retain(|(.., moved)| moved.abs() > 1e-6);
        moves.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()));
        moves
    }

    /// How far each column moved the probability of a row.
    fn moved(&self, columns: &[Arc<Vec<f32>>], row: u32) -> Vec<f64> {
        let mut all = vec![0.0; self.recipes.len()];
        for member in &self.members {
            let mut moved = vec![0.0; member.columns.len()];
            let value = |column: usize| columns[member.columns[column]][row as usize];
            match &member.learnt {
                Learnt::Trees(trees) => trees.explain(value, member.share, &mut moved),
                Learnt::Line(line) => line.explain(value, member.share, &mut moved),
            }
            member.columns.iter().zip(moved).for_each(|(&at, moved)| all[at] += moved);
        }
        all
    }

    /// The likely cause of some rows: the resource that lowers the probability most when it is as it was in rows that went
    /// well. A question asked of the model itself, so that neither the order of a tree's questions nor what goes with a
    /// cause is taken for it (interventional attribution, Janzing et al., AISTATS 2020).
    pub(crate) fn causes(&self, rows: &Rows, learnt: &[u32], asked: &[u32]) -> Vec<Cause> {
        let columns = made(&self.recipes, rows, learnt);
        let sides = sides(&self.recipes, rows);
        let resources: Vec<[Option<Cause>; 2]> = self.recipes.iter().map(Recipe::resources).collect();
        let mut measured: Vec<Cause> = resources.iter().flatten().flatten().copied().collect();
        measured.sort_unstable();
        measured.dedup();
        let well: Vec<u32> = learnt.iter().copied().filter(|&row| rows.label[row as usize] == 0.0).collect();
        let well = thinned(&well, WELL);
        let one = |&row: &u32| {
            let say = |of: Option<Cause>, other: u32| {
                let pick = |resource: Option<Cause>| if of.is_some() && resource == of { other } else { row } as usize;
                let value = |at: usize| match &sides[at] {
                    Some([a, b]) => a[pick(resources[at][0])] - b[pick(resources[at][1])],
                    None => columns[at][pick(resources[at][0])],
                };
                let of_member =
                    |member: &Member| member.share * member.learnt.probability(|at| value(member.columns[at]));
                self.members.iter().map(of_member).sum::<f64>()
            };
            let now = say(None, row);
            let lowered = |cause: Cause| {
                let without: f64 = well.iter().map(|&other| say(Some(cause), other)).sum();
                (now - without / well.len() as f64, cause)
            };
            let most = measured.iter().filter(|_| !well.is_empty()).map(|&cause| lowered(cause));
            let most = most.max_by(|a, b| a.0.total_cmp(&b.0));
            most.filter(|(lowered, _)| *lowered > 0.0).map_or(Cause::Unclear, |(_, cause)| cause)
        };
        asked.par_iter().map(one).collect()
    }
}

/// Drops family after family, each time the one whose loss is felt least, and takes the largest set whose Brier score on
/// the folds is as good as the best (backward elimination; Guyon & Elisseeff, JMLR 3, 2003). A family that ties the model
/// to settings it has seen does harm on later settings and goes.
fn carried_over(rows: &Rows, folds: &[Ready], recipes: &[Recipe], families: Vec<String>, seed: u64) -> Vec<String> {
    let judged = |kept: &[String]| {
        let columns: Vec<usize> = (0..recipes.len()).filter(|&at| kept.contains(&recipes[at].family)).collect();
        let said: Vec<Vec<f64>> =
            folds.iter().map(|f| f.said(rows, Learner::Forest(5), &columns, QUICK.0, QUICK.1, seed)).collect();
        loss(folds, &said)
    };
    let batch = families.len().div_ceil(STEPS);
    let mut kept = families;
    let mut path = vec![(judged(&kept), kept.clone())];
    while kept.len() > 1 {
        let without = |at: usize| {
            let mut rest = kept.clone();
            rest.remove(at);
            (judged(&rest), at)
        };
        let mut tries: Vec<(f64, usize)> = (0..kept.len()).map(without).collect();
        tries.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut gone: Vec<usize> = tries.iter().take(batch.min(kept.len() - 1)).map(|(_, at)| *at).collect();
        gone.sort_unstable();
        gone.into_iter().rev().for_each(|at| drop(kept.remove(at)));
        path.push((if batch == 1 { tries[0].0 } else { judged(&kept) }, kept.clone()));
    }
    let best = path.iter().map(|(loss, _)| *loss).fold(f64::INFINITY, f64::min);
    // Differences below half a hundredth of the worst sensible score are noise.
    let near = path.iter().find(|(loss, _)| *loss <= best + 0.001);
    near.map(|(_, kept)| kept.clone()).unwrap_or_default()
}

type Blend = Vec<(f64, Learner, Vec<usize>)>;

/// Members added one by one, each time the one that helps most (Caruana et al., ICML 2004), and the calibration.
fn blended(
    rows: &Rows,
    folds: &[Ready],
    views: &[(&str, Vec<usize>)],
    seed: u64,
    choice: &mut Choice,
) -> (Blend, Calibration) {
    let mut candidates = Vec::new();
    for (view, columns) in views {
        for learner in LEARNERS {
            let said: Vec<Vec<f64>> = folds
                .iter()
                .map(|fold| fold.said(rows, learner, columns, trees_of(learner), FOLD_ROWS, seed))
                .collect();
            let name = match learner {
                Learner::Forest(leaf) => format!("forest (leaf {leaf}), {view}"),
                Learner::Boosted => format!("boosting, {view}"),
                Learner::Line => format!("logistic regression, {view}"),
            };
            choice.tried.push((name.clone(), loss(folds, &said)));
            candidates.push((name, learner, columns, said));
        }
    }
    let mut counts = vec![0_usize; candidates.len()];
    let mut now: Vec<Vec<f64>> = folds.iter().map(|fold| vec![0.0; fold.truth.len()]).collect();
    for round in 0..ROUNDS {
        let with = |said: &[Vec<f64>]| -> Vec<Vec<f64>> {
            let mean = |(now, said): (&f64, &f64)| (now * round as f64 + said) / (round + 1) as f64;
            now.iter().zip(said).map(|(now, said)| now.iter().zip(said).map(mean).collect()).collect()
        };
        let tries = candidates.iter().enumerate().map(|(at, (.., said))| (loss(folds, &with(said)), at));
        let Some((_, best)) = tries.min_by(|a, b| a.0.total_cmp(&b.0)) else { break };
        now = with(&candidates[best].3);
        counts[best] += 1;
    }
    let calibration = calibrated(folds, &now, choice);
    let shares = counts.iter().map(|count| *count as f64 / ROUNDS as f64);
    let mut blend = Blend::new();
    for (share, (name, learner, columns, _)) in shares.zip(&candidates) {
        if share > 0.0 {
            choice.blend.push((name.clone(), share));
            blend.push((share, *learner, (*columns).clone()));
        }
    }
    choice.tried.sort_by(|a, b| a.1.total_cmp(&b.1));
    choice.blend.sort_by(|a, b| b.1.total_cmp(&a.1));
    (blend, calibration)
}

/// The kind of calibration with the least calibration error on folds it was not learnt on, among those that cost no more
/// than a hundredth in Brier score, learnt on all. Each fold counts the same.
fn calibrated(folds: &[Ready], said: &[Vec<f64>], choice: &mut Choice) -> Calibration {
    let learn = |kind: Kind, without: Option<usize>| {
        let (mut p, mut y, mut w) = (Vec::new(), Vec::new(), Vec::new());
        for (at, fold) in folds.iter().enumerate().filter(|(at, _)| Some(*at) != without) {
            p.extend_from_slice(&said[at]);
            y.extend(fold.truth.iter().map(|y| f64::from(*y)));
            // As many as a fold of a thousand rows: neighbouring rows err together.
            w.extend(std::iter::repeat_n(1000.0 / fold.truth.len() as f64, fold.truth.len()));
        }
        Calibration::fit(kind, &p, &y, &w)
    };
    let mut tried: Vec<(Kind, f64, f64)> = Vec::new();
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
        choice.calibrations.push((format!("{kind:?}").to_lowercase(), loss));
        tried.push((kind, loss, error));
    }
    let least = tried.iter().map(|(_, loss, _)| *loss).fold(f64::INFINITY, f64::min);
    let mut best = (Kind::None, f64::INFINITY);
    for (kind, _, error) in tried.into_iter().filter(|(_, loss, _)| *loss <= least * 1.01) {
        // A map with more numbers must earn them.
        if error < best.1 * 0.97 {
            best = (kind, error);
        }
    }
    choice.calibration = format!("{:?}", best.0).to_lowercase();
    learn(best.0, None)
}
