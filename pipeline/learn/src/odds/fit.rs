//! A blend of learners on columns, calibrated: how it learns what was found to be best, and what it says.

use super::calibrate::Calibration;
use super::line::Line;
use super::live::{corrected, telling};
use super::rates::Rates;
use super::rows::{HISTORY, Rows};
use super::search::Found;
use super::trees::{Lesson, Trees};
use super::view::{Make, Recipe, make, sides};
use crate::LearnError;
use crate::kept::finite;
use crate::tree::SmallTree;
use crate::trees::Bins;
use domain::probability::Cause;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A learner and its knobs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Learner {
    /// The share of positives, whatever the row.
    BaseRate,
    /// The share after the last outcome of the same key; on that column alone.
    SameAsLast,
    /// Three questions, for people to read.
    SmallTree,
    /// Logistic regression.
    Line,
    /// Extremely randomised trees with leaves of at least so many rows.
    Forest(usize),
    /// Boosted trees.
    Boosted,
}

const FOREST: usize = 100;
const BOOSTED: usize = 300;
/// Rows that went well, whose resources replace a row's own to find its cause of contention.
const WELL: usize = 8;
/// Drawn to the base rate as if it had been seen in so many outcomes more. Emulated on 57 stretches of 300 to 3,000 interference
/// samples, 4 to 12 brought the calibration error into what chance explains in 86 to 88 % of them, none in 77 %, at the same
/// Brier score.
const DRAWN: f64 = 6.0;
/// Rows a small tree is grown on, at most.
const SMALL_ROWS: usize = 4000;

/// A learner that has learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Learnt {
    Rates(Rates),
    Rules(SmallTree),
    Line(Line),
    Trees(Trees),
}

impl Learnt {
    fn probability(&self, value: impl Fn(usize) -> f32) -> f64 {
        match self {
            Self::Rates(rates) => rates.probability(|| value(0)),
            Self::Rules(rules) => rules.probability(value),
            Self::Line(line) => line.probability(value),
            Self::Trees(trees) => trees.probability(value),
        }
    }

    fn check(&self, columns: usize) -> Result<(), String> {
        match self {
            Self::Rates(rates) => rates.check(columns),
            Self::Rules(rules) => rules.check(Some(columns)),
            Self::Line(line) => line.check(columns),
            Self::Trees(trees) => trees.check(columns),
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
    /// What is said is mixed with the base rate, in this share: the fewer outcomes were seen, the more.
    base_share: f64,
    base_rate: f64,
    /// The latest start of the rows learnt from: what came of later ones tells how far the level has moved since; the end of
    /// time where it is not followed.
    learnt_until: i64,
}

/// Columns, as values and as ranges, and the rows that they are made of.
pub(super) struct Ground<'a> {
    pub(super) rows: &'a Rows,
    pub(super) recipes: &'a [Recipe],
    /// Shared with other folds, except history.
    pub(super) columns: Vec<Arc<Vec<f32>>>,
    pub(super) bins: Vec<Arc<Bins>>,
}

pub(super) fn made(recipes: &[Recipe], rows: &Rows, learnt: &[u32]) -> Vec<Arc<Vec<f32>>> {
    make(recipes, rows, learnt).into_iter().map(Arc::new).collect()
}

impl<'a> Ground<'a> {
    pub(super) fn of(rows: &'a Rows, recipes: &'a [Recipe], train: &[u32]) -> Self {
        let columns = made(recipes, rows, train);
        let bins = columns.par_iter().map(|column| Arc::new(Bins::of(column, train))).collect();
        Self { rows, recipes, columns, bins }
    }

    /// The same where only what came of some of the rows is known.
    pub(super) fn knowing(&self, learn: &[u32]) -> Self {
        let (mut columns, mut bins) = (self.columns.clone(), self.bins.clone());
        if self.recipes.iter().any(|recipe| matches!(recipe.make, Make::History(_))) {
            let history = self.rows.history(learn).map(Arc::new);
            for (at, recipe) in self.recipes.iter().enumerate() {
                if let Make::History(which) = recipe.make {
                    columns[at] = Arc::clone(&history[which]);
                    bins[at] = Arc::new(Bins::of(&columns[at], learn));
                }
            }
        }
        Self { columns, bins, ..*self }
    }

    /// Lets one learn from the rows `learn`; a forest grows so many trees of its number as `share` says.
    fn learn(
        &self,
        learn: &[u32],
        learner: Learner,
        used: &[usize],
        share: f64,
        seed: u64,
    ) -> Result<Learnt, LearnError> {
        let Rows { label, weight, .. } = self.rows;
        let columns: Vec<&[f32]> = used.iter().map(|&at| self.columns[at].as_slice()).collect();
        let bins: Vec<&Bins> = used.iter().map(|&at| self.bins[at].as_ref()).collect();
        let lesson = Lesson { bins: &bins, rows: learn, label, weight, seed };
        let trees = |most: usize| ((most as f64 * share).ceil() as usize).max(1);
        Ok(match learner {
            Learner::BaseRate => Learnt::Rates(Rates::learn(None, learn, label, weight)),
            Learner::SameAsLast => Learnt::Rates(Rates::learn(columns.first().copied(), learn, label, weight)),
            Learner::SmallTree => {
                let names = used.iter().map(|&at| self.recipes[at].name()).collect();
                Learnt::Rules(SmallTree::of(names, &columns, learn, label, SMALL_ROWS)?)
            }
            Learner::Line => Learnt::Line(Line::fit(&columns, learn, label, weight)),
            Learner::Forest(leaf) => {
                Learnt::Trees(Trees::forest(&lesson, trees(FOREST), leaf.max(learn.len() / 20_000)))
            }
            // Boosting is not a mean: with fewer trees it is another learner.
            Learner::Boosted => Learnt::Trees(Trees::boosted(&lesson, BOOSTED)),
        })
    }

    /// What one that learns from some rows says of others.
    pub(super) fn said(
        &self,
        [learn, judge]: [&[u32]; 2],
        learner: Learner,
        used: &[usize],
        share: f64,
        seed: u64,
    ) -> Result<Vec<f64>, LearnError> {
        Ok(say(&self.learn(learn, learner, used, share, seed)?, &self.columns, used, judge))
    }
}

/// So many of some rows, evenly, by a stride that no period of the rows shares.
pub(super) fn thinned(rows: &[u32], most: usize) -> Vec<u32> {
    if rows.len() <= most {
        return rows.to_vec();
    }
    let step = rows.len() as f64 / most as f64;
    (0..most).map(|at| rows[(at as f64 * step) as usize]).collect()
}

fn say(learnt: &Learnt, columns: &[Arc<Vec<f32>>], used: &[usize], rows: &[u32]) -> Vec<f64> {
    rows.par_iter().map(|&row| learnt.probability(|column| columns[used[column]][row as usize])).collect()
}

impl Odds {
    /// Learns what was found, from the rows `train` (ascending, with a label).
    ///
    /// # Errors
    /// The library that grows small trees fails.
    pub(crate) fn learn(found: &Found, rows: &Rows, train: &[u32], seed: u64) -> Result<Self, LearnError> {
        let ground = Ground::of(rows, &found.recipes, train);
        let member = |(share, learner, columns): &(f64, Learner, Vec<usize>)| -> Result<Member, LearnError> {
            let learnt = ground.learn(train, *learner, columns, 1.0, seed)?;
            Ok(Member { share: *share, learner: *learner, columns: columns.clone(), learnt })
        };
        let members = found.blend.par_iter().map(member).collect::<Result<Vec<_>, LearnError>>()?;
        let Rows { label, weight, .. } = rows;
        Ok(Self {
            members,
            calibration: found.calibration.clone(),
            base_share: if found.plain { 0.0 } else { DRAWN / (DRAWN + rows.groups(train) as f64) },
            base_rate: Rates::learn(None, train, label, weight).probability(|| f32::NAN),
            learnt_until: if found.plain {
                i64::MAX
            } else {
                train.iter().map(|&row| rows.starts[row as usize]).max().unwrap_or(i64::MIN)
            },
            recipes: found.recipes.to_vec(),
        })
    }

    /// Says what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.members.is_empty() {
            return Err("it has no members".to_owned());
        }
        let history = |recipe: &&Recipe| matches!(recipe.make, Make::History(at) if at >= HISTORY.len());
        if self.recipes.iter().find(history).is_some() {
            return Err("it asks for a past that is not known".to_owned());
        }
        for member in &self.members {
            if let Some(at) = member.columns.iter().find(|at| **at >= self.recipes.len()) {
                return Err(format!("a member asks for column {at} of {}", self.recipes.len()));
            }
            member.learnt.check(member.columns.len())?;
        }
        finite("a share", self.members.iter().map(|member| member.share).chain([self.base_share, self.base_rate]))?;
        self.calibration.check()
    }

    /// The probability of some rows; `learnt` are those whose outcomes may tell of them.
    pub(crate) fn predict(&self, rows: &Rows, learnt: &[u32], asked: &[u32]) -> Vec<f64> {
        let columns = made(&self.recipes, rows, learnt);
        let mut said = self.before_shift(&columns, asked);
        let telling = telling(rows, self.learnt_until);
        if !telling.is_empty() {
            corrected(rows, &telling, &self.before_shift(&columns, &telling), asked, &mut said);
        }
        said
    }

    /// What the blend says, calibrated, and drawn to the base rate.
    fn before_shift(&self, columns: &[Arc<Vec<f32>>], asked: &[u32]) -> Vec<f64> {
        let mut sums = vec![0.0; asked.len()];
        for member in &self.members {
            let said = say(&member.learnt, columns, &member.columns, asked);
            sums.iter_mut().zip(said).for_each(|(sum, p)| *sum += member.share * p);
        }
        let drawn = |p: f64| (1.0 - self.base_share) * self.calibration.apply(p) + self.base_share * self.base_rate;
        sums.into_iter().map(drawn).collect()
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
                Learnt::Rules(rules) => rules.explain(value, member.share, &mut moved),
                Learnt::Rates(rates) => {
                    moved.iter_mut().take(1).for_each(|moved| *moved += member.share * rates.moved(value(0)));
                }
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
