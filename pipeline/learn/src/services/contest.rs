//! Who competes to say what a run will need: four naive predictors, the pooled rates themselves, and two that learn how
//! much each rate tells (logistic regression and boosted trees).

use super::data::{ALL, Data};
use super::look::{ANY, FACTS, Look, Strengths, nearest};
use super::past::{Past, ranked};
use crate::kept::finite;
use crate::odds::{Calibration, Kind, Lesson, Line, Trees};
use crate::trees::Bins;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// A thing and how probable it is that the run needs it, the most probable first.
pub(super) type List = Vec<(u32, f64)>;

/// Things in a list at most: beyond, nobody looks.
pub(super) const LISTED: usize = 20;

/// A predictor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Choice {
    /// What most runs needed, of all repositories.
    Popularity,
    /// What most of the repository's runs needed.
    PopularityInRepository,
    /// What the job's last run that needed anything needed.
    LastOfJob,
    /// What the ten past runs most like it by tools and paths needed.
    Nearest,
    /// The pooled rate.
    Pooled,
    /// Logistic regression on the rates and facts.
    Logistic,
    /// Boosted trees on the same.
    Boosted,
}

impl Choice {
    pub(super) const NAIVE: [Self; 4] =
        [Self::Popularity, Self::PopularityInRepository, Self::LastOfJob, Self::Nearest];
    pub(super) const ALL: [Self; 7] = [
        Self::Popularity,
        Self::PopularityInRepository,
        Self::LastOfJob,
        Self::Nearest,
        Self::Pooled,
        Self::Logistic,
        Self::Boosted,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Popularity => "popularity",
            Self::PopularityInRepository => "popularity_in_repository",
            Self::LastOfJob => "last_of_job",
            Self::Nearest => "nearest_runs",
            Self::Pooled => "pooled_rates",
            Self::Logistic => "logistic_regression",
            Self::Boosted => "boosted_trees",
        }
    }
}

/// What was learnt: how strongly rates are drawn together, and how much each tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ranker {
    pub(super) choice: Choice,
    pub(super) strengths: Strengths,
    /// That the run needs anything.
    any: Option<Line>,
    line: Option<Line>,
    trees: Option<Trees>,
    /// Of a naive one that serves: how often what it says is so.
    calibration: Option<Calibration>,
}

/// Lessons for [`Ranker`], gathered run by run.
#[derive(Default)]
pub(super) struct Pupil {
    strengths: Strengths,
    any: Vec<Vec<f32>>,
    any_label: Vec<f32>,
    columns: Vec<Vec<f32>>,
    label: Vec<f32>,
    weight: Vec<f32>,
    taught: usize,
}

/// One run in so many is learnt from a second time as if its repository were new.
const AS_NEW: usize = 2;
const TREES: usize = 120;

impl Pupil {
    pub(super) fn new(strengths: Strengths) -> Self {
        Self { strengths, columns: vec![Vec::new(); FACTS.len()], ..Self::default() }
    }

    /// A run whose needs are known, with what was known before it.
    pub(super) fn hear(&mut self, data: &Data, past: &Past, row: u32) {
        let needs = &data.runs[row as usize].needs;
        let look = Look::at(data, past, row, self.strengths, false);
        let any = look.any();
        self.any.resize(any.len(), Vec::new());
        self.any.iter_mut().zip(any).for_each(|(column, value)| column.push(value));
        self.any_label.push(f32::from(u8::from(!needs.is_empty())));
        if needs.is_empty() {
            return;
        }
        self.taught += 1;
        self.lesson(&look, needs);
        if look.own.is_some() && self.taught.is_multiple_of(AS_NEW) {
            self.lesson(&Look::at(data, past, row, self.strengths, true), needs);
        }
    }

    fn lesson(&mut self, look: &Look, needs: &[u32]) {
        let candidates = look.candidates();
        let mut facts = Vec::with_capacity(FACTS.len());
        for thing in &candidates {
            facts.clear();
            look.facts(*thing, &mut facts);
            self.columns.iter_mut().zip(&facts).for_each(|(column, fact)| column.push(*fact));
            self.label.push(f32::from(u8::from(needs.binary_search(thing).is_ok())));
            // A run counts the same whether it has ten candidates or two hundred.
            self.weight.push(50.0 / candidates.len() as f32);
        }
    }

    /// Learns all that can be learnt from what was heard.
    pub(super) fn learn(&self, choice: Choice, seed: u64) -> Ranker {
        let both = |label: &[f32]| label.contains(&0.0) && label.contains(&1.0);
        let rows: Vec<u32> = (0..self.label.len() as u32).collect();
        let learnable = both(&self.label);
        let line = || {
            let columns: Vec<&[f32]> = self.columns.iter().map(Vec::as_slice).collect();
            Line::fit(&columns, &rows, &self.label, &self.weight)
        };
        let trees = || {
            let bins: Vec<Bins> = self.columns.iter().map(|column| Bins::of(column, &rows)).collect();
            let bins: Vec<&Bins> = bins.iter().collect();
            let lesson = Lesson { bins: &bins, rows: &rows, label: &self.label, weight: &self.weight, seed };
            Trees::boosted(&lesson, TREES)
        };
        let any = || {
            let columns: Vec<&[f32]> = self.any.iter().map(Vec::as_slice).collect();
            let rows: Vec<u32> = (0..self.any_label.len() as u32).collect();
            Line::fit(&columns, &rows, &self.any_label, &vec![1.0; rows.len()])
        };
        Ranker {
            choice,
            strengths: self.strengths,
            any: both(&self.any_label).then(any),
            line: (learnable && choice == Choice::Logistic).then(line),
            trees: (learnable && choice == Choice::Boosted).then(trees),
            calibration: None,
        }
    }
}

impl Ranker {
    /// One that needs no learning.
    pub(super) fn naive(choice: Choice) -> Self {
        Self { choice, strengths: Strengths::default(), any: None, line: None, trees: None, calibration: None }
    }

    /// The same with probabilities that come true, from what it said of past runs and whether each was needed.
    pub(super) fn calibrated(choice: Choice, said: &[f64], needed: &[f64]) -> Self {
        let calibration = Calibration::fit(Kind::Platt, said, needed, &vec![1.0; said.len()]);
        Self { calibration: Some(calibration).filter(|_| !said.is_empty()), ..Self::naive(choice) }
    }

    /// Says what is wrong with it.
    pub(super) fn check(&self) -> Result<(), String> {
        let Strengths { others, own, job } = self.strengths;
        finite("a strength", [others, own, job].into_iter())?;
        let facts = FACTS.len();
        self.line.iter().try_for_each(|line| line.check(facts))?;
        self.trees.iter().try_for_each(|trees| trees.check(facts))?;
        self.calibration.iter().try_for_each(Calibration::check)?;
        self.any.iter().try_for_each(|line| line.check(ANY))
    }

    /// The things a run may need. `as_new`: nothing of its repository's own past is used.
    pub(super) fn list(&self, data: &Data, past: &Past, row: u32, as_new: bool) -> List {
        let mut list = match self.choice {
            Choice::Popularity => popularity(past),
            Choice::PopularityInRepository => in_repository(data, past, row, as_new),
            Choice::LastOfJob => last_of_job(data, past, row, as_new),
            Choice::Nearest => nearest_runs(data, past, row, as_new),
            Choice::Pooled | Choice::Logistic | Choice::Boosted => return self.learnt(data, past, row, as_new),
        };
        list.truncate(LISTED);
        // Every map keeps the order.
        if let Some(calibration) = &self.calibration {
            list.iter_mut().for_each(|(_, p)| *p = calibration.apply(*p));
        }
        list
    }

    fn learnt(&self, data: &Data, past: &Past, row: u32, as_new: bool) -> List {
        let look = Look::at(data, past, row, self.strengths, as_new);
        let any = look.any();
        let any = self.any.as_ref().map_or(1.0, |line| line.probability(|column| any[column]));
        let mut facts = Vec::with_capacity(FACTS.len());
        let mut say = |thing: u32| {
            facts.clear();
            match (&self.trees, &self.line) {
                (None, None) => look.pooled(thing),
                (Some(trees), _) => {
                    look.facts(thing, &mut facts);
                    trees.probability(|column| facts[column])
                }
                (None, Some(line)) => {
                    look.facts(thing, &mut facts);
                    line.probability(|column| facts[column])
                }
            }
        };
        let mut list: List = look.candidates().into_iter().map(|thing| (thing, any * say(thing))).collect();
        // Equals in the order of the pooled rate, then by number.
        list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        list.truncate(LISTED);
        list
    }
}

/// How strongly levels are drawn together: the strengths under which what came was most probable when it was said run by
/// run. That is the marginal likelihood of the Beta-binomial (empirical Bayes), one strength after the other.
pub(super) struct Drawing {
    tried: Vec<(Strengths, f64)>,
}

const GRID: [f64; 6] = [0.3, 1.0, 3.0, 10.0, 30.0, 100.0];

impl Drawing {
    fn around(base: Strengths, of: usize) -> Self {
        let one = |by: f64| {
            let mut strengths = base;
            match of {
                0 => strengths.others = by,
                1 => strengths.own = by,
                _ => strengths.job = by,
            }
            (strengths, 0.0)
        };
        Self { tried: GRID.map(one).into() }
    }

    fn hear(&mut self, data: &Data, past: &Past, row: u32) {
        let needs = &data.runs[row as usize].needs;
        let candidates = Look::at(data, past, row, Strengths::default(), false).candidates();
        for (strengths, loss) in &mut self.tried {
            let look = Look::at(data, past, row, *strengths, false);
            let losses = candidates.iter().map(|thing| {
                let p = look.pooled(*thing).clamp(1e-4, 1.0 - 1e-4);
                if needs.binary_search(thing).is_ok() { -p.ln() } else { -(1.0 - p).ln() }
            });
            *loss += losses.sum::<f64>() / candidates.len().max(1) as f64;
        }
    }

    fn best(self) -> Strengths {
        let best = self.tried.into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
        best.map(|(strengths, _)| strengths).unwrap_or_default()
    }
}

/// Chooses the strengths; `go` calls its argument for each row to learn from, with the past as it was.
pub(super) fn strengths(data: &Data, mut go: impl FnMut(&mut dyn FnMut(&Past, u32))) -> Strengths {
    let mut strengths = Strengths::default();
    for of in 0..3 {
        let mut drawing = Drawing::around(strengths, of);
        go(&mut |past, row| {
            if !data.runs[row as usize].needs.is_empty() {
                drawing.hear(data, past, row);
            }
        });
        strengths = drawing.best();
    }
    strengths
}

/// As rates among all runs; what is left of the list is filled from `rest`, less probable than all before.
fn filled(mut list: List, rest: List) -> List {
    let least = list.last().map_or(1.0, |(_, p)| *p);
    for (thing, p) in rest {
        if list.len() >= LISTED {
            break;
        }
        if !list.iter().any(|(other, _)| *other == thing) {
            list.push((thing, p.min(least)));
        }
    }
    list
}

fn popularity(past: &Past) -> List {
    let counts = &past.popular;
    let one = |thing: u32| (thing, counts.of[&thing] / counts.runs.max(1.0));
    ranked(&counts.of).into_iter().take(LISTED).map(one).collect()
}

fn in_repository(data: &Data, past: &Past, row: u32, as_new: bool) -> List {
    let own = past.own(data.runs[row as usize].repo).filter(|_| !as_new);
    let Some(counts) = own.and_then(|own| own.had.get(&ALL)) else { return popularity(past) };
    let list = ranked(&counts.of).into_iter().take(LISTED).map(|thing| (thing, counts.of[&thing] / counts.runs));
    filled(list.collect(), popularity(past))
}

fn last_of_job(data: &Data, past: &Past, row: u32, as_new: bool) -> List {
    let rest = in_repository(data, past, row, as_new);
    let run = &data.runs[row as usize];
    let own = past.own(run.repo).filter(|_| !as_new);
    let last = own.and_then(|own| own.last_needing_of_job.get(&run.job).or(own.needing.last()));
    let Some(last) = last else { return rest };
    let needs = &data.runs[*last as usize].needs;
    let had = own.and_then(|own| own.had.get(&ALL));
    let often = |thing: &u32| had.and_then(|counts| counts.of.get(thing)).copied().unwrap_or_default();
    let order = ranked(&needs.iter().map(|thing| (*thing, often(thing))).collect::<HashMap<_, _>>());
    filled(order.into_iter().map(|thing| (thing, 1.0)).collect(), rest)
}

fn nearest_runs(data: &Data, past: &Past, row: u32, as_new: bool) -> List {
    let run = &data.runs[row as usize];
    let own = past.own(run.repo).filter(|_| !as_new).map_or(&[][..], |own| &own.needing);
    let own = own.iter().rev().take(200).copied();
    let others = past.recent().filter(|other| data.runs[*other as usize].repo != run.repo);
    let votes = nearest(data, run, own.chain(others), 10);
    let list = ranked(&votes).into_iter().map(|thing| (thing, votes[&thing]));
    filled(list.collect(), popularity(past))
}
