//! Jobs of a CI system: the runner that each asks for, and how long it may take. `actions:FOLDER` is a folder of workflows of
//! GitHub Actions, `gitlab:FILE` a pipeline of GitLab, `circleci:FILE` a configuration of CircleCI.
//!
//! Owns the files, and what is written into them; which keys mean what is [`actions`]'s, [`gitlab`]'s and [`circleci`]'s. No
//! service is asked: the files are what is changed, and they count from the next run of their branch on.

mod actions;
mod circleci;
mod gitlab;

use crate::StackError;
use crate::files::{HeldFiles, TextFiles, Texts, digest_of};
use crate::target::{Change, CiJob, Live, Session, Target};
use crate::write::{check_replaceable, identity, read_text};
use crate::yaml::place::Writing;
use crate::yaml::set::{Fault, set};
use crate::yaml::stream::{Read, Step};
use crate::yaml::value::Value;
use domain::plan::{Note, State, TargetRef};
use domain::task::{JobLimits, Task};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A CI system, as far as its files are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// GitHub Actions.
    Actions,
    /// GitLab CI/CD.
    Gitlab,
    /// CircleCI.
    Circleci,
}

/// The files of a CI system.
#[derive(Clone, Debug)]
pub struct CiFiles {
    system: System,
    path: PathBuf,
}

/// A job where it is written.
struct Found {
    /// Its name for people, and in what was recorded.
    name: String,
    /// The workflow's name in what was recorded.
    workflow: Option<String>,
    /// Its mapping, from the root of the file.
    at: Vec<Step>,
    limits: JobLimits,
    /// Why its runner cannot be told.
    unclear: Option<String>,
}

impl CiFiles {
    /// Names a folder of workflows, or a pipeline file; nothing is read yet.
    pub fn new(system: System, path: impl Into<PathBuf>) -> Self {
        Self { system, path: path.into() }
    }

    fn kind(&self) -> &'static str {
        match self.system {
            System::Actions => "actions",
            System::Gitlab => "gitlab",
            System::Circleci => "circleci",
        }
    }

    fn read_all(&self) -> Result<Texts, StackError> {
        let failed = |source| StackError::Read { path: self.path.clone(), source };
        if self.system != System::Actions {
            return Ok(BTreeMap::from([(self.path.clone(), read_text(&self.path)?)]));
        }
        let mut texts = Texts::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let is_yaml = path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml");
            if is_yaml && path.is_file() {
                texts.insert(path.clone(), read_text(&path)?);
            }
        }
        Ok(texts)
    }

    fn found(&self, path: &Path, read: &Read) -> Vec<Found> {
        match self.system {
            System::Actions => actions::jobs(path, read),
            System::Gitlab => gitlab::jobs(read),
            System::Circleci => circleci::jobs(read),
        }
    }

    /// Every job by the name of its resource, `FILE/JOB`, with the file that it is in.
    fn jobs_of(&self, texts: &Texts) -> Result<BTreeMap<String, (PathBuf, Found)>, StackError> {
        let mut all = BTreeMap::new();
        for (path, text) in texts {
            let read = parsed(path, text)?;
            let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            for job in self.found(path, &read) {
                let id = match job.at.last() {
                    Some(Step::Key(key)) => key.clone(),
                    _ => job.name.clone(),
                };
                all.insert(format!("{file}/{id}"), (path.clone(), job));
            }
        }
        Ok(all)
    }

    fn changed(&self, read: Read, change: &Change, before: &JobLimits, after: &JobLimits) -> Result<Read, StackError> {
        let refused = |what: String, hint: &str| StackError::Refused {
            service: change.resource.clone(),
            what,
            hint: hint.to_owned(),
        };
        let find = |read: &Read| {
            let all = self.found(&self.path, read);
            let (_, id) = change.resource.split_once('/')?;
            all.into_iter().find(|job| matches!(job.at.last(), Some(Step::Key(key)) if key == id))
        };
        let parse = |text: &str| Read::new(text).ok();
        let mut read = read;
        for figure in [Setting::Runner, Setting::Timeout] {
            let Some(new) = figure.of(after).filter(|new| figure.of(before).as_ref() != Some(new)) else { continue };
            let job = find(&read).ok_or_else(|| refused("it is gone".to_owned(), "make a new plan"))?;
            if let Some(why) = job.unclear.filter(|_| figure == Setting::Runner) {
                return Err(refused(why, "write the runner out as one name, then make a new plan"));
            }
            let fault = |Fault { what, hint }| refused(what, hint);
            read = match (self.system, figure) {
                (System::Gitlab, Setting::Runner) => gitlab::set_tag(&read, &job.at, &new).map_err(fault)?,
                (System::Gitlab, Setting::Timeout) => {
                    let minutes = after.timeout_minutes.unwrap_or_default();
                    gitlab::set_timeout(&read, &job.at, minutes).map_err(fault)?
                }
                (System::Circleci, Setting::Timeout) => {
                    return Err(refused(
                        "CircleCI has no timeout of a job".to_owned(),
                        "set `no_output_timeout` of a step",
                    ));
                }
                (System::Actions, _) | (System::Circleci, Setting::Runner) => {
                    let key = figure.key(self.system);
                    let written = Scalar(new.clone());
                    let reads = |value: &Value| value.scalar() == Some(&new);
                    set(&read, &job.at, &[key], &written, &reads, &parse).map_err(fault)?
                }
            };
        }
        Ok(read)
    }
}

fn parsed(path: &Path, text: &str) -> Result<Read, StackError> {
    Read::new(text).map_err(|source| StackError::In { path: path.to_owned(), source: Box::new(source) })
}

/// One of the two things that a job is given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Setting {
    Runner,
    Timeout,
}

impl Setting {
    fn of(self, limits: &JobLimits) -> Option<String> {
        match self {
            Self::Runner => limits.runner.clone(),
            Self::Timeout => limits.timeout_minutes.map(|minutes| minutes.to_string()),
        }
    }

    /// As GitHub Actions and CircleCI call it.
    fn key(self, system: System) -> &'static str {
        match self {
            Self::Runner if system == System::Circleci => "resource_class",
            Self::Runner => "runs-on",
            Self::Timeout => "timeout-minutes",
        }
    }
}

/// A word or number as it stands.
struct Scalar(String);

impl Writing for Scalar {
    fn over(&self, _: &str) -> String {
        self.0.clone()
    }

    fn fresh(&self, json: bool) -> String {
        if json && self.0.parse::<u32>().is_err() { format!("\"{}\"", self.0) } else { self.0.clone() }
    }
}

impl TextFiles for CiFiles {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn texts(&self) -> Result<Texts, StackError> {
        self.read_all()
    }

    fn held(&self) -> Result<Vec<PathBuf>, StackError> {
        Ok(self.texts()?.into_keys().collect())
    }

    /// What is changed of a job is no amount: each job is there, with nothing that could be compared.
    fn limits(&self, texts: &Texts) -> Result<BTreeMap<String, State>, StackError> {
        Ok(self.jobs_of(texts)?.into_keys().map(|name| (name, State::default())).collect())
    }

    fn edited(&self, texts: &Texts, changes: &[Change]) -> Result<Texts, StackError> {
        let jobs = self.jobs_of(texts)?;
        let mut edited: Texts = Texts::new();
        for change in changes {
            let Some(Task::Job { before, after }) = &change.task else { continue };
            let Some((path, job)) = jobs.get(&change.resource) else {
                let (target, resource) = (self.name(), change.resource.clone());
                return Err(StackError::NoResource { target, resource });
            };
            if job.limits != *before {
                let differs = vec![format!("{} has {}", change.resource, job.limits.in_words())];
                return Err(StackError::Drifted { target: self.name(), since: "the plan was made", differs });
            }
            check_replaceable(path)?;
            let text = edited.get(path).or_else(|| texts.get(path)).map_or("", String::as_str);
            let new = self.changed(parsed(path, text)?, change, before, after)?;
            edited.insert(path.clone(), new.text);
        }
        Ok(edited)
    }
}

impl Target for CiFiles {
    fn reference(&self) -> TargetRef {
        TargetRef { kind: self.kind().to_owned(), location: self.path.to_string_lossy().into_owned() }
    }

    fn identity(&self) -> Result<String, StackError> {
        Ok(identity(&self.path))
    }

    fn read(&self) -> Result<Live, StackError> {
        let texts = self.read_all()?;
        let jobs = self.jobs_of(&texts)?;
        let note = |(name, (_, job)): (&String, &(PathBuf, Found))| {
            Some(Note { resource: Some(name.clone()), what: job.unclear.clone()? })
        };
        Ok(Live { digest: digest_of(&texts), notes: jobs.iter().filter_map(note).collect(), ..Live::default() })
    }

    fn jobs(&self) -> Result<Vec<CiJob>, StackError> {
        let texts = self.read_all()?;
        let repo = repository(&self.path);
        let job = |(resource, (_, job)): (String, (PathBuf, Found))| CiJob {
            resource,
            repo: repo.clone(),
            workflow: job.workflow,
            name: job.name,
            limits: job.limits,
            has_timeout: self.system != System::Circleci,
        };
        Ok(self.jobs_of(&texts)?.into_iter().map(job).collect())
    }

    fn job_refused(&self, change: &Change) -> Result<Option<String>, StackError> {
        match self.edited(&self.read_all()?, std::slice::from_ref(change)) {
            Ok(_) => Ok(None),
            Err(StackError::Refused { what, .. } | StackError::NotReplaceable { what, .. }) => Ok(Some(what)),
            Err(error) => Err(error),
        }
    }

    fn mode(&self) -> u32 {
        0o666
    }

    fn hold(&self) -> Result<Box<dyn Session>, StackError> {
        Ok(Box::new(HeldFiles::hold(self.clone())?))
    }
}

/// `owner/name` of the repository that a path lies in, by the address of its `origin`; none where it tells none.
fn repository(path: &Path) -> Option<String> {
    let config = path.ancestors().find_map(|folder| fs::read_to_string(folder.join(".git/config")).ok())?;
    let mut origin = config.lines().map(str::trim).skip_while(|line| *line != "[remote \"origin\"]").skip(1);
    let url = origin.by_ref().take_while(|line| !line.starts_with('[')).find_map(|line| line.strip_prefix("url"))?;
    let url = url.trim_start().strip_prefix('=')?.trim().trim_end_matches('/').trim_end_matches(".git");
    let mut parts = url.rsplit(['/', ':']);
    let (name, owner) = (parts.next()?, parts.next()?);
    (!name.is_empty() && !owner.is_empty()).then(|| format!("{owner}/{name}"))
}

#[cfg(test)]
mod tests;
