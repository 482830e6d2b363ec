//! The rows of `features.services` in order of start, with what each showed beforehand. Texts are numbers here.

use super::signs::{Signs, bare, spelled};
use crate::LearnError;
use crate::frame::Frame;
use crate::interner::Interner;
use domain::Timestamp;
use domain::columns::services as col;
use std::collections::BTreeSet;
use std::path::Path;

/// The sign that every run has.
pub(super) const ALL: u32 = 0;

/// One run, past or to come.
pub(super) struct Run {
    pub(super) run_id: String,
    pub(super) repo: u32,
    pub(super) started: Timestamp,
    /// Its end: before, nobody knows what it needed.
    pub(super) known: Timestamp,
    /// The same command or CI job.
    pub(super) job: u32,
    pub(super) tools: Vec<u32>,
    pub(super) tasks: Vec<u32>,
    pub(super) files: Vec<u32>,
    pub(super) folders: Vec<u32>,
    pub(super) manifest: bool,
    pub(super) lockfile: bool,
    pub(super) paths: usize,
    pub(super) uncommitted: f64,
    /// Things that its command or its repository names.
    pub(super) asked_for: Vec<u32>,
    pub(super) itself: Option<u32>,
    /// Things whose name is a word of a path.
    pub(super) words: BTreeSet<String>,
    /// In order of number.
    pub(super) needs: Vec<u32>,
    /// Whether somebody looked at what it needed.
    pub(super) seen: bool,
    /// Whether others may learn from it.
    pub(super) tells: bool,
}

/// Runs in order of start.
pub(super) struct Data {
    pub(super) runs: Vec<Run>,
    pub(super) repos: Interner,
    pub(super) things: Interner,
    /// Of each thing, its name as it is compared with words.
    pub(super) bare: Vec<String>,
    signs: Interner,
}

/// A change that nobody has built yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// `owner/name`.
    pub repo: Option<String>,
    /// What will be run, if that is known.
    pub command: Option<String>,
    /// The workflow that will run it.
    pub workflow: Option<String>,
    /// The job of the workflow.
    pub job: Option<String>,
    /// Files that it touches.
    pub paths: Vec<String>,
}

impl Data {
    /// Reads what had ended by `until`.
    pub(super) fn read(path: &Path, until: Timestamp) -> Result<Self, LearnError> {
        let frame = Frame::read(path)?;
        let (run_id, repo) = (frame.texts(col::RUN_ID)?, frame.texts(col::REPO)?);
        let (started, known) = (frame.times(col::STARTED_AT)?, frame.times(col::KNOWN_AT)?);
        let (command, workflow, job) =
            (frame.texts(col::COMMAND)?, frame.texts(col::WORKFLOW)?, frame.texts(col::JOB)?);
        let (paths, needs) = (frame.lists(col::PATHS)?, frame.lists(col::NEEDS)?);
        let (uncommitted, seen) = (frame.numbers(col::UNCOMMITTED)?, frame.numbers(col::SEEN)?);
        let stranger = frame.numbers(col::STRANGER)?;
        let mut order: Vec<usize> = (0..frame.rows())
            .filter(|&i| started[i].is_some() && known[i].is_some_and(|known| known <= until))
            .collect();
        order.sort_by(|&a, &b| (started[a], &run_id[a], &repo[a]).cmp(&(started[b], &run_id[b], &repo[b])));
        let mut data = Self {
            runs: Vec::new(),
            repos: Interner::default(),
            things: Interner::default(),
            bare: Vec::new(),
            signs: Interner::default(),
        };
        data.signs.of("all");
        // By name, so that equals are in an order that others can repeat.
        let things: BTreeSet<&String> = order.iter().flat_map(|&i| &needs[i]).collect();
        data.things.all(things);
        for i in order {
            let signs = Signs::of(command[i].as_deref(), workflow[i].as_deref(), job[i].as_deref(), &paths[i]);
            let mut run = data.run(repo[i].as_deref().unwrap_or_default(), command[i].as_deref(), signs);
            run.run_id = run_id[i].clone().unwrap_or_default();
            run.started = started[i].unwrap_or_default();
            run.known = known[i].unwrap_or_default();
            run.paths = paths[i].len();
            run.uncommitted = uncommitted[i].max(0.0);
            run.needs = data.things.all(&needs[i]);
            run.needs.sort_unstable();
            run.needs.dedup();
            run.seen = seen[i] == 1.0;
            run.tells = run.seen && stranger[i] != 1.0;
            data.runs.push(run);
        }
        data.spell();
        Ok(data)
    }

    /// Appends a change as a run that begins at `now`; gives its row.
    pub(super) fn append(&mut self, change: &Change, now: Timestamp) -> u32 {
        let signs =
            Signs::of(change.command.as_deref(), change.workflow.as_deref(), change.job.as_deref(), &change.paths);
        let mut run = self.run(change.repo.as_deref().unwrap_or_default(), change.command.as_deref(), signs);
        (run.started, run.known) = (now, Timestamp(i64::MAX));
        (run.paths, run.uncommitted) = (change.paths.len(), change.paths.len() as f64);
        self.runs.push(run);
        self.spell();
        self.runs.len() as u32 - 1
    }

    fn run(&mut self, repo: &str, command: Option<&str>, signs: Signs) -> Run {
        let job = command.map_or_else(|| signs.tasks.iter().cloned().collect::<Vec<_>>().join(" "), str::to_owned);
        Run {
            run_id: String::new(),
            repo: self.repos.of(repo),
            started: Timestamp::default(),
            known: Timestamp::default(),
            job: self.signs.of(&format!("$ {job}")),
            tools: self.signs.all(&signs.tools),
            tasks: self.signs.all(&signs.tasks.iter().map(|task| format!("> {task}")).collect::<Vec<_>>()),
            files: self.signs.all(&signs.files.iter().map(|file| format!("* {file}")).collect::<Vec<_>>()),
            folders: self.signs.all(&signs.folders),
            manifest: signs.manifest,
            lockfile: signs.lockfile,
            paths: 0,
            uncommitted: 0.0,
            itself: signs.itself(repo).map(|thing| self.things.of(&thing)),
            asked_for: self.things.all(&signs.asked_for),
            words: signs.words,
            needs: Vec::new(),
            seen: false,
            tells: false,
        }
    }

    fn spell(&mut self) {
        let new: Vec<String> = self.things.names[self.bare.len()..].iter().map(|name| bare(name)).collect();
        self.bare.extend(new);
    }

    /// Rows that somebody looked at, in order of start.
    pub(super) fn seen(&self, from: Timestamp) -> Vec<u32> {
        let has = |row: &usize| self.runs[*row].seen && self.runs[*row].started >= from;
        (0..self.runs.len()).filter(has).map(|row| row as u32).collect()
    }

    pub(super) fn repo_name(&self, row: u32) -> &str {
        &self.repos.names[self.runs[row as usize].repo as usize]
    }

    /// Whether a word of the paths, or the repository's own name, is a thing's name.
    pub(super) fn is_named(&self, run: &Run, thing: u32) -> bool {
        run.words.contains(&self.bare[thing as usize])
    }

    /// Whether a thing is called as the repository.
    pub(super) fn is_namesake(&self, run: &Run, thing: u32) -> bool {
        let repo = &self.repos.names[run.repo as usize];
        self.bare[thing as usize] == spelled(repo.rsplit('/').next().unwrap_or(repo))
    }
}
