//! A run as it looks beforehand: the things it may need, and for each the rates at which runs like it needed it.
//!
//! Rates are pooled from the many to the few: of all runs, of the tool, of the task, of the files touched, then of the
//! repository, of its same job, of its same files. Each level is drawn to the one above by so many runs (`Strengths`):
//! the posterior mean of a Beta-binomial whose prior is the level above (Efron & Morris 1975; Kleinman 1973). Rates are
//! those among runs that needed anything at all; whether one does is a question of its own.

use super::data::{ALL, Data, Run};
use super::past::{Counts, Others, Own, Past};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// By how many runs a level's rate is drawn to the level above.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Strengths {
    /// Of tools, tasks and files in other repositories.
    pub(super) others: f64,
    /// Of a repository to the others.
    pub(super) own: f64,
    /// Of a job or a file in a repository to all of its runs.
    pub(super) job: f64,
}

/// Before anything is known.
impl Default for Strengths {
    fn default() -> Self {
        Self { others: 1.0, own: 1.0, job: 2.0 }
    }
}

/// What is asked of a run, to tell whether it needs anything.
pub(super) const ANY: usize = 13;

/// What is asked of a run and a thing, in order.
pub(super) const FACTS: [&str; 27] = [
    "all",
    "tool",
    "task",
    "files",
    "files_most",
    "repository",
    "job",
    "own_files",
    "pooled",
    "in_last",
    "in_last_of_job",
    "since_needed",
    "ever",
    "own_runs",
    "job_runs",
    "like_it",
    "asked_for",
    "itself",
    "named_in_paths",
    "namesake",
    "is_service",
    "task_size",
    "last_size",
    "job_seen",
    "uncommitted",
    "manifest",
    "lockfile",
];

/// Runs of the repository whose things are candidates.
const OWN_RUNS: usize = 30;
/// Most candidates from the repository's own past.
const OWN_THINGS: usize = 250;

/// One run, looked at before it begins. `own` is none for a run seen as if its repository were new.
pub(super) struct Look<'a> {
    data: &'a Data,
    past: &'a Past,
    run: &'a Run,
    pub(super) own: Option<&'a Own>,
    all: Others<'a>,
    tools: Vec<Others<'a>>,
    tasks: Vec<Others<'a>>,
    files: Vec<Others<'a>>,
    strengths: Strengths,
    like_it: HashMap<u32, f64>,
}

fn draw(of: f64, n: f64, toward: f64, strength: f64) -> f64 {
    (of + strength * toward) / (n + strength)
}

/// Rates as logits, so that a tenth of a percent and a hundredth differ.
fn logit(rate: f64) -> f32 {
    let rate = rate.clamp(1e-4, 1.0 - 1e-4);
    (rate / (1.0 - rate)).ln() as f32
}

fn mean(values: impl Iterator<Item = f64>, otherwise: f64) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
    if n > 0.0 { sum / n } else { otherwise }
}

impl<'a> Look<'a> {
    pub(super) fn at(data: &'a Data, past: &'a Past, row: u32, strengths: Strengths, as_new: bool) -> Self {
        let run = &data.runs[row as usize];
        let own = past.own(run.repo).filter(|_| !as_new);
        let others = |sign: &u32| past.others(*sign, run.repo);
        let mut look = Self {
            data,
            past,
            run,
            own,
            all: others(&ALL),
            tools: run.tools.iter().map(others).collect(),
            tasks: run.tasks.iter().map(others).collect(),
            files: run.files.iter().map(others).collect(),
            strengths,
            like_it: HashMap::new(),
        };
        look.like_it = look.vote();
        look
    }

    fn had(&self, sign: u32) -> Option<&'a Counts> {
        self.own.and_then(|own| own.had.get(&sign))
    }

    /// The things it may need, in order of number.
    pub(super) fn candidates(&self) -> Vec<u32> {
        let run = self.run;
        let signs = run.tools.iter().chain(&run.tasks).chain(&[ALL]);
        let mut things: BTreeSet<u32> = signs.flat_map(|sign| self.past.top(*sign)).copied().collect();
        // What only this repository ever needed is no news from others.
        things.retain(|thing| self.all.of(*thing) > 0.0);
        if let Some(own) = self.own {
            let recent = own.needing.iter().rev().take(OWN_RUNS);
            let needs = recent.flat_map(|row| &self.data.runs[*row as usize].needs);
            let mut taken = BTreeSet::new();
            for thing in needs {
                if taken.len() >= OWN_THINGS {
                    break;
                }
                taken.insert(*thing);
            }
            things.extend(taken);
        }
        things.extend(run.asked_for.iter().chain(&run.itself));
        things.into_iter().collect()
    }

    /// What others needed with the same task, and before that tool, and any: drawn from level to level.
    fn of_others(&self, thing: u32) -> [f64; 3] {
        let by = self.strengths.others;
        let level = |counts: &[Others], toward: f64| {
            mean(counts.iter().map(|c| draw(c.of(thing), c.needing(), toward, by)), toward)
        };
        let all = draw(self.all.of(thing), self.all.needing(), 1e-3, 1.0);
        let tool = level(&self.tools, all);
        [all, tool, level(&self.tasks, tool)]
    }

    fn of_own(&self, thing: u32, sign: u32, toward: f64, strength: f64) -> f64 {
        let Some(counts) = self.had(sign) else { return toward };
        draw(counts.of.get(&thing).copied().unwrap_or_default(), counts.needing, toward, strength)
    }

    /// The rates of the repository, of the job in it, and of the files in it.
    fn of_repository(&self, thing: u32, task: f64) -> [f64; 3] {
        let Strengths { own, job, .. } = self.strengths;
        let repository = self.of_own(thing, ALL, task, own);
        let same_task = self.run.tasks.iter().map(|sign| self.of_own(thing, *sign, repository, job));
        let same_task = mean(same_task, repository);
        let same_job = self.of_own(thing, self.run.job, same_task, job);
        let files = self.run.files.iter().chain(&self.run.folders);
        let files = mean(files.map(|sign| self.of_own(thing, *sign, same_job, job)), same_job);
        [repository, same_job, files]
    }

    /// The rate at the end of the chain.
    pub(super) fn pooled(&self, thing: u32) -> f64 {
        let [_, _, task] = self.of_others(thing);
        let [_, _, files] = self.of_repository(thing, task);
        files
    }

    /// [`FACTS`]; what cannot be known is missing.
    pub(super) fn facts(&self, thing: u32, into: &mut Vec<f32>) {
        let run = self.run;
        let [all, tool, task] = self.of_others(thing);
        let by = self.strengths.others;
        let files: Vec<f64> =
            self.files.iter().map(|counts| draw(counts.of(thing), counts.needing(), task, by)).collect();
        let [repository, job, own_files] = self.of_repository(thing, task);
        let needs = |row: Option<&u32>| {
            row.map_or(f32::NAN, |row| {
                f32::from(u8::from(self.data.runs[*row as usize].needs.binary_search(&thing).is_ok()))
            })
        };
        let size =
            |row: Option<&u32>| row.map_or(f32::NAN, |row| (self.data.runs[*row as usize].needs.len() as f32).ln_1p());
        let own_runs = self.own.map_or(0, |own| own.needing.len());
        let last_needed = self.own.and_then(|own| own.last_needed.get(&thing));
        let (mean_size, known) = self.size_of_task();
        let flag = |yes: bool| f32::from(u8::from(yes));
        into.extend([
            logit(all),
            logit(tool),
            logit(task),
            logit(mean(files.iter().copied(), task)),
            logit(files.iter().copied().fold(task, f64::max)),
            logit(repository),
            logit(job),
            logit(own_files),
            logit(own_files) - logit(task),
            needs(self.own.and_then(|own| own.needing.last())),
            needs(self.own.and_then(|own| own.last_needing_of_job.get(&run.job))),
            last_needed.map_or(f32::NAN, |at| ((own_runs - at) as f32).ln_1p()),
            if own_runs == 0 { f32::NAN } else { flag(last_needed.is_some()) },
            (own_runs as f32).ln_1p(),
            (self.had(run.job).map_or(0.0, |counts| counts.needing) as f32).ln_1p(),
            if own_runs == 0 { f32::NAN } else { self.like_it.get(&thing).map_or(0.0, |vote| *vote as f32) },
            flag(run.asked_for.contains(&thing)),
            flag(run.itself == Some(thing)),
            flag(self.data.is_named(run, thing)),
            flag(self.data.is_namesake(run, thing)),
            flag(!self.data.things.names[thing as usize].starts_with("pkg:")),
            if known { mean_size.ln_1p() as f32 } else { f32::NAN },
            size(self.own.and_then(|own| own.needing.last())),
            size(self.own.and_then(|own| own.last_of_job.get(&run.job))),
            run.uncommitted.ln_1p() as f32,
            flag(run.manifest),
            flag(run.lockfile),
        ]);
    }

    /// How many things others needed with the same task.
    fn size_of_task(&self) -> (f64, bool) {
        let sizes = self.tasks.iter().filter(|c| c.needing() > 0.0).map(|c| c.needed() / c.needing());
        let size = mean(sizes, f64::NAN);
        (size, !size.is_nan())
    }

    /// The repository's ten past runs most like this one vote, each by how like it is (Jaccard 1901, over all signs).
    fn vote(&self) -> HashMap<u32, f64> {
        let Some(own) = self.own else { return HashMap::new() };
        nearest(self.data, self.run, own.needing.iter().rev().take(OWN_RUNS).copied(), 10)
    }

    /// Whether it will need anything: the logits of the rates of others and of its own, and what happened last.
    pub(super) fn any(&self) -> [f32; ANY] {
        let run = self.run;
        let Strengths { others, own, job } = self.strengths;
        let level = |counts: &[Others], toward: f64| {
            mean(counts.iter().map(|c| draw(c.needing(), c.runs(), toward, others)), toward)
        };
        let all = draw(self.all.needing(), self.all.runs(), 0.5, 1.0);
        let task = level(&self.tasks, level(&self.tools, all));
        let mine = |sign: u32, toward: f64, by: f64| {
            self.had(sign).map_or(toward, |counts| draw(counts.needing, counts.runs, toward, by))
        };
        let repository = mine(ALL, task, own);
        let same_job = mine(run.job, repository, job);
        let files = run.files.iter().chain(&run.folders);
        let files = mean(files.map(|sign| mine(*sign, same_job, job)), same_job);
        let needed = |row: Option<u32>| {
            row.map_or(f32::NAN, |row| f32::from(u8::from(!self.data.runs[row as usize].needs.is_empty())))
        };
        let last_of_job = self.own.and_then(|own| own.last_of_job.get(&run.job).copied());
        let hours = last_of_job.map(|row| (run.started.0 - self.data.runs[row as usize].known.0).max(0) as f32 / 3.6e9);
        let flag = |yes: bool| f32::from(u8::from(yes));
        [
            logit(all),
            logit(task),
            logit(repository),
            logit(same_job),
            logit(files),
            needed(last_of_job),
            needed(self.own.and_then(|own| own.last)),
            hours.map_or(f32::NAN, f32::ln_1p),
            (run.paths as f32).ln_1p(),
            run.uncommitted.ln_1p() as f32,
            flag(run.uncommitted > 0.0),
            flag(run.manifest),
            flag(run.lockfile),
        ]
    }
}

/// How alike two runs look beforehand: the share of their signs that both have.
fn likeness(a: &Run, b: &Run) -> f64 {
    let (mut both, mut one) = (0.0, 0.0);
    let same = |x: bool| if x { (1.0, 1.0) } else { (0.0, 2.0) };
    for (yes, all) in [same(a.job == b.job), same(a.repo == b.repo)] {
        both += yes;
        one += all;
    }
    for (a, b) in [(&a.tools, &b.tools), (&a.tasks, &b.tasks), (&a.files, &b.files), (&a.folders, &b.folders)] {
        let common = a.iter().filter(|sign| b.contains(sign)).count();
        both += common as f64;
        one += (a.len() + b.len() - common) as f64;
    }
    both / one
}

/// What the `k` runs most like one needed, each thing by the share of likeness that needed it. The first given win ties.
pub(super) fn nearest(data: &Data, run: &Run, among: impl Iterator<Item = u32>, k: usize) -> HashMap<u32, f64> {
    let mut near: Vec<(f64, u32)> = among.map(|row| (likeness(run, &data.runs[row as usize]), row)).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.truncate(k);
    let total: f64 = near.iter().map(|(like, _)| like).sum();
    let mut votes = HashMap::new();
    for (like, row) in near.into_iter().filter(|(like, _)| *like > 0.0) {
        for thing in &data.runs[row as usize].needs {
            *votes.entry(*thing).or_default() += like / total;
        }
    }
    votes
}
