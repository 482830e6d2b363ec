//! What was known of earlier runs when one began. Owns the rule that nothing comes from the future: a run tells of its
//! needs from its end on.
//!
//! What others needed is counted by what their runs showed (tool, task, files), and each repository's k-th run with a sign
//! weighs 1/k there, so that a busy repository is not the measure of all. A repository's own past is counted plainly, and
//! what it gave to the others' counts is left out when it is asked about.

use super::data::{ALL, Data, Run};
use domain::Timestamp;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

/// Runs with one sign.
#[derive(Clone, Default)]
pub(super) struct Counts {
    /// Weight of all of them.
    pub(super) runs: f64,
    /// Of those that needed anything.
    pub(super) needing: f64,
    /// Of the things they needed, one by one.
    needed: f64,
    /// Of those that needed the thing.
    pub(super) of: HashMap<u32, f64>,
    /// The things most often needed, as of `top_at`: candidates, not figures.
    top: Vec<u32>,
    top_at: f64,
}

/// Things kept in [`Counts::top`].
const TOP: usize = 60;
/// Runs that are compared one by one.
const RECENT: usize = 1000;

impl Counts {
    fn add(&mut self, run: &Run, weight: f64) {
        self.runs += weight;
        if !run.needs.is_empty() {
            self.needing += weight;
            self.needed += weight * run.needs.len() as f64;
            run.needs.iter().for_each(|thing| *self.of.entry(*thing).or_default() += weight);
        }
    }

    /// Sorting at every run would cost more than all else: as often as the counts have grown by a twentieth.
    fn sort_top(&mut self) {
        if self.needing <= self.top_at * 1.05 {
            return;
        }
        self.top_at = self.needing;
        self.top = ranked(&self.of);
        self.top.truncate(TOP);
    }
}

/// Things by what they count, the most first; equals by number, that is, by name.
pub(super) fn ranked(of: &HashMap<u32, f64>) -> Vec<u32> {
    let mut things: Vec<(u32, f64)> = of.iter().map(|(thing, count)| (*thing, *count)).collect();
    things.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    things.into_iter().map(|(thing, _)| thing).collect()
}

/// One repository's past.
#[derive(Clone, Default)]
pub(super) struct Own {
    /// By every sign, folders and whole commands too.
    pub(super) had: HashMap<u32, Counts>,
    /// What it gave to the others' counts, and how many runs.
    gave: HashMap<u32, (f64, Counts)>,
    /// Runs that needed something, in order of end.
    pub(super) needing: Vec<u32>,
    /// Of each thing, how many of them there were when it was last needed, that run counted.
    pub(super) last_needed: HashMap<u32, usize>,
    /// Of each job the last run, and the last that needed something.
    pub(super) last_of_job: HashMap<u32, u32>,
    pub(super) last_needing_of_job: HashMap<u32, u32>,
    pub(super) last: Option<u32>,
}

impl Own {
    fn take(&mut self, row: u32, run: &Run) {
        for sign in once(&[&[ALL, run.job], &run.tasks, &run.files, &run.folders]) {
            self.had.entry(sign).or_default().add(run, 1.0);
        }
        self.last = Some(row);
        self.last_of_job.insert(run.job, row);
        if !run.needs.is_empty() {
            self.needing.push(row);
            self.last_needing_of_job.insert(run.job, row);
            self.last_needed.extend(run.needs.iter().map(|thing| (*thing, self.needing.len())));
        }
    }
}

fn once(signs: &[&[u32]]) -> BTreeSet<u32> {
    signs.iter().flat_map(|signs| signs.iter().copied()).collect()
}

/// All repositories' pasts.
#[derive(Clone, Default)]
pub(super) struct Past {
    others: HashMap<u32, Counts>,
    own: HashMap<u32, Own>,
    /// Runs that needed each thing, each run counted once.
    pub(super) popular: Counts,
    /// The last runs that needed something, in order of end.
    pub(super) recent: Vec<u32>,
}

impl Past {
    /// A run has ended.
    pub(super) fn take(&mut self, data: &Data, row: u32) {
        let run = &data.runs[row as usize];
        if !run.tells {
            return;
        }
        let own = self.own.entry(run.repo).or_default();
        own.take(row, run);
        for sign in once(&[&[ALL], &run.tools, &run.tasks, &run.files]) {
            let (times, gave) = own.gave.entry(sign).or_default();
            *times += 1.0;
            gave.add(run, 1.0 / *times);
            let others = self.others.entry(sign).or_default();
            others.add(run, 1.0 / *times);
            others.sort_top();
        }
        self.popular.add(run, 1.0);
        if !run.needs.is_empty() {
            self.recent.push(row);
            if self.recent.len() > 2 * RECENT {
                self.recent.drain(..RECENT);
            }
        }
    }

    /// A run has ended whose repository shall teach nobody but itself.
    pub(super) fn take_for_itself(&mut self, data: &Data, row: u32) {
        let run = &data.runs[row as usize];
        if run.tells {
            self.own.entry(run.repo).or_default().take(row, run);
        }
    }

    /// The repository's own past; None while nothing of it had ended.
    pub(super) fn own(&self, repo: u32) -> Option<&Own> {
        self.own.get(&repo)
    }

    /// Counts of the others' runs with a sign.
    pub(super) fn others(&self, sign: u32, repo: u32) -> Others<'_> {
        let gave = self.own.get(&repo).and_then(|own| own.gave.get(&sign));
        Others { all: self.others.get(&sign), own: gave.map(|(_, counts)| counts) }
    }

    /// Things that the others' runs with a sign need most.
    pub(super) fn top(&self, sign: u32) -> &[u32] {
        self.others.get(&sign).map_or(&[], |counts| &counts.top)
    }

    /// The last runs that needed something, the newest first.
    pub(super) fn recent(&self) -> impl Iterator<Item = u32> + '_ {
        self.recent.iter().rev().take(RECENT).copied()
    }
}

/// What all gave less what one repository gave.
#[derive(Clone, Copy)]
pub(super) struct Others<'a> {
    all: Option<&'a Counts>,
    own: Option<&'a Counts>,
}

impl Others<'_> {
    fn less(&self, of: impl Fn(&Counts) -> f64) -> f64 {
        (self.all.map_or(0.0, &of) - self.own.map_or(0.0, &of)).max(0.0)
    }

    pub(super) fn runs(&self) -> f64 {
        self.less(|counts| counts.runs)
    }

    pub(super) fn needing(&self) -> f64 {
        self.less(|counts| counts.needing)
    }

    pub(super) fn needed(&self) -> f64 {
        self.less(|counts| counts.needed)
    }

    pub(super) fn of(&self, thing: u32) -> f64 {
        // What is left of equal sums is not nothing, but next to.
        Some(self.less(|counts| counts.of.get(&thing).copied().unwrap_or_default()))
            .filter(|of| *of > 1e-9)
            .unwrap_or(0.0)
    }
}

/// Goes through rows in order of start. `at` sees the past as it was when each began; at the end all of them have ended.
pub(super) fn stream(data: &Data, past: &mut Past, rows: &[u32], mut at: impl FnMut(&Past, u32)) {
    walk(data, past, rows, &mut at, Past::take);
}

/// As [`stream`], of rows that teach nobody but their own repository.
pub(super) fn stream_apart(data: &Data, past: &mut Past, rows: &[u32], mut at: impl FnMut(&Past, u32)) {
    walk(data, past, rows, &mut at, Past::take_for_itself);
}

fn walk(data: &Data, past: &mut Past, rows: &[u32], at: &mut dyn FnMut(&Past, u32), take: fn(&mut Past, &Data, u32)) {
    let mut running: BinaryHeap<Reverse<(Timestamp, u32)>> = BinaryHeap::new();
    for &row in rows {
        let run = &data.runs[row as usize];
        while let Some(Reverse((_, ended))) =
            running.peek().copied().filter(|Reverse((known, _))| *known <= run.started)
        {
            running.pop();
            take(past, data, ended);
        }
        at(past, row);
        running.push(Reverse((run.known, row)));
    }
    while let Some(Reverse((_, ended))) = running.pop() {
        take(past, data, ended);
    }
}
