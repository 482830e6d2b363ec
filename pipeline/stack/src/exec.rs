//! Whatever has a command: `exec:CMD` is called with a verb, told what to do as JSON on its standard input, and believed by
//! its exit code and by what it reads back.
//!
//! - `CMD read` prints `{"resources": {"env/service": {"cpu_cores": 2, "memory_bytes": 1073741824}}, "replicas": {…},
//!   "notes": […]}`; what is not limited is left out.
//!   A command that migrates prints `"versions": {"env/schema": "3.1.0"}` instead, or besides (`null`: nothing is there).
//! - `CMD do` and `CMD undo` are given `{"item_id", "resource", "before", "after"}`; they set `after`, and `before` again: limits,
//!   or `{"version": "3.1.0"}`.
//! - `CMD healthy` is given the same, and may wait: 0 when the resource is well.
//!
//! Each is ended when its time is over, with everything that it started. A step counts as done only when `read` says so,
//! so that a killed run is resumed and a command that lies is found out.

use crate::bounded;
use crate::journal::Step;
use crate::target::{Change, Figure, Live, Onward, Refusal, Session, Stand, Target, differs, digest, in_words, same};
use crate::{StackError, holder};
use domain::ledger::sha256_hex;
use domain::plan::{Note, State, TargetRef};
use domain::task::Release;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

/// `read`, `do` and `undo` are given so long.
const MOST: Duration = Duration::from_secs(60);
/// Migrations are given so long.
const MOST_MIGRATING: Duration = Duration::from_secs(3600);

/// A command as a target.
#[derive(Clone, Debug)]
pub struct ExecCommand {
    command: String,
    most: Duration,
}

/// What `read` prints.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[serde(default)]
    resources: BTreeMap<String, State>,
    #[serde(default)]
    versions: BTreeMap<String, Option<String>>,
    #[serde(default)]
    replicas: BTreeMap<String, u32>,
    #[serde(default)]
    notes: Vec<String>,
}

impl ExecCommand {
    /// Names a command of the shell, words and all.
    pub fn new(command: impl Into<String>) -> Self {
        Self { command: command.into(), most: MOST }
    }

    fn asked(&self, doing: &str, what: String) -> StackError {
        StackError::Asked { doing: format!("{doing} with `{}`", self.command), source: what.into() }
    }

    /// Calls a verb; what it printed, where it ended with 0 in time.
    fn call(&self, verb: &str, input: &Value, most: Duration) -> Result<String, StackError> {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{} \"$@\"", self.command), "sh", verb]);
        let said = bounded::run(command, input.to_string(), most).map_err(|why| self.asked(verb, why))?;
        String::from_utf8(said).map_err(|_| self.asked(verb, "it printed what is not UTF-8".to_owned()))
    }

    fn answer(&self) -> Result<Answer, StackError> {
        let said = self.call("read", &json!({}), self.most)?;
        serde_json::from_str(&said)
            .map_err(|error| self.asked("read", format!("its answer is not understood: {error}")))
    }
}

impl Target for ExecCommand {
    fn reference(&self) -> TargetRef {
        TargetRef { kind: "exec".to_owned(), location: self.command.clone() }
    }

    fn identity(&self) -> Result<String, StackError> {
        Ok(self.command.clone())
    }

    fn read(&self) -> Result<Live, StackError> {
        let answer = self.answer()?;
        let digest = digest_of(&answer);
        let Answer { mut resources, versions, replicas, notes } = answer;
        for name in versions.into_keys() {
            resources.entry(name).or_default();
        }
        let notes = notes.into_iter().map(|what| Note { resource: None, what }).collect();
        Ok(Live { digest, resources, replicas, notes, ..Live::default() })
    }

    /// What it would refuse only it knows; of resources it does not have, we do.
    fn refusals(&self, changes: &[Change]) -> Result<Vec<Refusal>, StackError> {
        let known = self.answer()?.resources;
        let unknown = changes.iter().filter(|change| !known.contains_key(&change.resource));
        let refusals = unknown.flat_map(|change| {
            change.figures().map(move |figure: Figure| Refusal {
                item_id: change.item_id.clone(),
                figure,
                error: StackError::NoResource { target: self.command.clone(), resource: change.resource.clone() },
            })
        });
        Ok(refusals.collect())
    }

    fn release(&self, resource: &str, _: &[&str]) -> Result<Release, StackError> {
        let version = self.answer()?.versions.remove(resource).flatten();
        Ok(Release { version, ..Release::default() })
    }

    fn mode(&self) -> u32 {
        0o600
    }

    fn hold(&self) -> Result<Box<dyn Session>, StackError> {
        let name = format!("pipeline-exec-{}", &sha256_hex(self.command.as_bytes())[..32]);
        let failed = |error: std::io::Error| self.asked("lock", error.to_string());
        match holder::take_name(&name).map_err(failed)? {
            Some(lock) => Ok(Box::new(HeldCommand { target: self.clone(), _lock: lock })),
            None => Err(StackError::Locked { what: format!("`{}`", self.command), by: holder::of_name(&name) }),
        }
    }
}

/// A command that no other run of this machine calls.
struct HeldCommand {
    target: ExecCommand,
    _lock: UnixListener,
}

impl HeldCommand {
    fn most(&self, step: &Step) -> Duration {
        if release_of(&step.after).is_some() { MOST_MIGRATING } else { self.target.most }
    }

    fn call(&self, verb: &str, step: &Step, most: Duration) -> Result<(), StackError> {
        let item = json!({
            "item_id": step.items.first(),
            "resource": step.resource,
            "before": step.before,
            "after": step.after,
        });
        self.target.call(verb, &item, most).map(drop)
    }
}

impl Session for HeldCommand {
    fn prepare(&mut self, prior_state_digest: &str, changes: &[Change]) -> Result<Vec<Step>, StackError> {
        let answer = self.target.answer()?;
        let prior = digest_of(&answer);
        let Answer { resources: live, versions, .. } = answer;
        let (deployments, changes): (Vec<&Change>, Vec<&Change>) =
            changes.iter().partition(|change| change.deployment().is_some());
        let mut migrations = Vec::new();
        for change in deployments {
            let Some(deployment) = change.deployment() else { continue };
            let (before, after) = (&deployment.before, &deployment.after);
            let live = versions.get(&change.resource).and_then(Option::as_ref);
            if live != before.version.as_ref() || after.version.is_none() {
                let differs = vec![version_differs(&change.resource, before, live)];
                let target = self.target.command.clone();
                return Err(StackError::Drifted { target, since: "the plan was made", differs });
            }
            let what = format!("migrate to {}", after.version.as_deref().unwrap_or_default());
            let items = vec![change.item_id.clone()];
            migrations.push(Step::new(change.resource.clone(), items, what, json!(before), json!(after)));
        }
        let drift: Vec<String> = changes
            .iter()
            .filter(|change| !live.get(&change.resource).is_some_and(|live| same(*live, change.before)))
            .map(|change| differs(&change.resource, Some(&change.before), live.get(&change.resource)))
            .collect();
        // Other resources may change as they like: each step is compared with its own.
        if !drift.is_empty() && prior != prior_state_digest {
            let target = self.target.command.clone();
            return Err(StackError::Drifted { target, since: "the plan was made", differs: drift });
        }
        let step = |change: &&Change| {
            let after = State {
                cpu_cores: change.after.cpu_cores.or(change.before.cpu_cores),
                memory_bytes: change.after.memory_bytes.or(change.before.memory_bytes),
            };
            let what = format!("set {}", in_words(after));
            let items = vec![change.item_id.clone()];
            Step::new(change.resource.clone(), items, what, json!(change.before), json!(after))
        };
        Ok(migrations.into_iter().chain(changes.iter().map(step)).collect())
    }

    fn deploys(&self) -> bool {
        true
    }

    fn stands(&mut self, step: &Step) -> Result<Stand, StackError> {
        let Answer { resources: live, versions, .. } = self.target.answer()?;
        if let Some(after) = release_of(&step.after) {
            let before = release_of(&step.before).unwrap_or_default();
            let Some(live) = versions.get(&step.resource) else {
                return Ok(Stand::Gone(format!("{} is gone", step.resource)));
            };
            return Ok(match live.as_ref() {
                live if live == after.version.as_ref() => Stand::After,
                live if live == before.version.as_ref() => Stand::Before,
                live => {
                    let wanted = if step.progress.is_done() { after } else { before };
                    Stand::Other(vec![version_differs(&step.resource, &wanted, live)])
                }
            });
        }
        let Some(live) = live.get(&step.resource) else { return Ok(Stand::Gone(format!("{} is gone", step.resource))) };
        let (before, after) = (state_of(&step.before), state_of(&step.after));
        if same(*live, after) {
            return Ok(Stand::After);
        }
        if same(*live, before) {
            return Ok(Stand::Before);
        }
        let either = |a: State, b: State| {
            let one = |cpu_cores, memory_bytes| same(*live, State { cpu_cores, memory_bytes });
            one(a.cpu_cores, b.memory_bytes) || one(b.cpu_cores, a.memory_bytes)
        };
        if either(before, after) {
            return Ok(Stand::Partly(format!("{} has {}", step.resource, in_words(*live))));
        }
        let wanted = if step.progress.is_done() { after } else { before };
        Ok(Stand::Other(vec![differs(&step.resource, Some(&wanted), Some(live))]))
    }

    fn carry_out(&mut self, step: &Step) -> Result<(), StackError> {
        self.call("do", step, self.most(step))
    }

    /// Whether what is in use leaves room for a lower limit only the command knows: it says so by its exit code.
    fn onward(&mut self, step: &Step, wanted: State) -> Result<Onward, StackError> {
        if release_of(&step.after).is_some() {
            return Ok(Onward::default());
        }
        let now = state_of(&step.after);
        let after = State {
            cpu_cores: wanted.cpu_cores.or(now.cpu_cores),
            memory_bytes: wanted.memory_bytes.or(now.memory_bytes),
        };
        let what = format!("{}: set {}", step.resource, in_words(after));
        let next = || Step::new(step.resource.clone(), step.items.clone(), what, json!(now), json!(after));
        Ok(Onward { step: (!same(now, after)).then(next), stays: None })
    }

    fn undo(&mut self, step: &Step) -> Result<(), StackError> {
        self.call("undo", step, self.most(step))
    }

    fn healthy(&mut self, step: &Step, most: Duration) -> Result<(), StackError> {
        self.call("healthy", step, most).map_err(|error| StackError::Unhealthy {
            resource: step.resource.clone(),
            what: std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string),
        })
    }
}

fn state_of(value: &Value) -> State {
    serde_json::from_value(value.clone()).unwrap_or_default()
}

/// What a step that migrates sets; none: it sets limits.
fn release_of(value: &Value) -> Option<Release> {
    value.get("version")?;
    serde_json::from_value(value.clone()).ok()
}

fn version_differs(resource: &str, wanted: &Release, live: Option<&String>) -> String {
    let in_words = |version: Option<&String>| version.map_or("no version".to_owned(), |it| format!("version {it}"));
    format!("{resource} has {}, and not {}", in_words(live), in_words(wanted.version.as_ref()))
}

/// Of limits alone where there are no versions, as it always was.
fn digest_of(answer: &Answer) -> String {
    let limits = serde_json::to_string(&answer.resources).unwrap_or_default();
    match answer.versions.is_empty() {
        true => digest(&limits),
        false => digest(&format!("{limits}{}", serde_json::to_string(&answer.versions).unwrap_or_default())),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::apply::{How, Work, apply, rollback};
    use crate::files::tests::journal;
    use crate::health::Health;
    use crate::journal::{Journal, Phase, Progress};
    use crate::{Done, Held};
    use domain::Timestamp;
    use domain::plan::PlannedTarget;
    use domain::task::{Deployment, Task};
    use std::fs;
    use std::path::Path;
    use std::time::Instant;

    /// A command that keeps its limits in a file: each verb is a `case`.
    pub(crate) fn command(folder: &Path, more: &str) -> ExecCommand {
        let state = folder.join("state.json");
        fs::write(&state, r#"{"resources":{"a/b":{"cpu_cores":2.0,"memory_bytes":1073741824}}}"#).unwrap();
        let script = format!(
            "#!/bin/sh\nstate={}\ncase $1 in {more}\nread) cat $state;;\n\
             do) sed 's/.*\"after\":\\({{[^}}]*}}\\).*/{{\"resources\":{{\"a\\/b\":\\1}}}}/' > $state;;\n\
             undo) sed 's/.*\"before\":\\({{[^}}]*}}\\).*/{{\"resources\":{{\"a\\/b\":\\1}}}}/' > $state;;\n\
             healthy) ;;\nesac\n",
            state.display()
        );
        let path = folder.join("set it.sh");
        fs::write(&path, script).unwrap();
        ExecCommand { command: format!("sh '{}'", path.display()), most: Duration::from_secs(20) }
    }

    /// The target as a plan of this moment has it.
    pub(crate) fn planned(target: &ExecCommand) -> PlannedTarget {
        PlannedTarget {
            id: "exec".into(),
            kind: "exec".into(),
            location: target.command.clone(),
            prior_state_digest: target.read().unwrap().digest,
        }
    }

    fn applied(target: &ExecCommand) -> (Result<Done, StackError>, Journal, PlannedTarget, How) {
        let planned = planned(target);
        let change = Change {
            item_id: "i".into(),
            resource: "a/b".into(),
            on: "exec".into(),
            before: target.read().unwrap().resources["a/b"],
            after: State { cpu_cores: Some(0.5), memory_bytes: None },
            task: None,
            requests: None,
            text: None,
            follows: false,
        };
        let mut journal = journal(&planned);
        let timeout = Duration::from_secs(20);
        let how =
            How { now: Timestamp(0), at_once: 1, health: Health { timeout, ..Health::default() }, work: Work::IGNORED };
        let mut held = vec![Held::new(&planned, target).unwrap()];
        let done = apply(&mut held, &[change], &mut journal, &how, &mut |_| Ok(()));
        (done, journal, planned, how)
    }

    #[test]
    fn a_change_is_done_read_back_and_undone() {
        let folder = tempfile::tempdir().unwrap();
        let target = command(folder.path(), "");
        let before = target.read().unwrap();
        let (done, mut journal, planned, how) = applied(&target);
        assert_eq!(done.unwrap(), Done::Written);
        let after = State { cpu_cores: Some(0.5), ..before.resources["a/b"] };
        assert_eq!(target.read().unwrap().resources["a/b"], after);
        let mut held = vec![Held::new(&planned, &target).unwrap()];
        assert_eq!(rollback(&mut held, &mut journal, &how, &mut |_| Ok(())).unwrap(), Done::Written);
        assert_eq!(target.read().unwrap(), before);
    }

    #[test]
    fn a_command_that_lies_or_is_not_well_is_taken_back() {
        for (more, why) in [("do) ;;", "did not take"), ("healthy) echo sick >&2; exit 3;;", "sick")] {
            let folder = tempfile::tempdir().unwrap();
            let target = command(folder.path(), more);
            let before = target.read().unwrap();
            let (done, ..) = applied(&target);
            let error = done.unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(target.read().unwrap(), before);
        }
    }

    #[test]
    fn time_is_bounded_and_only_one_run_holds_a_command() {
        let folder = tempfile::tempdir().unwrap();
        let slow = ExecCommand { most: Duration::from_millis(300), ..command(folder.path(), "read) sleep 60 | cat;;") };
        let began = Instant::now();
        let error = slow.read().unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(20));
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains("did not end"), "{why}");
        let target = command(folder.path(), "");
        let _held = target.hold().unwrap();
        assert!(matches!(target.hold(), Err(StackError::Locked { .. })));
        let mut nobody = Change {
            item_id: "i".into(),
            resource: "x/y".into(),
            on: "exec".into(),
            before: State::default(),
            after: State::default(),
            task: None,
            requests: None,
            text: None,
            follows: false,
        };
        nobody.after.cpu_cores = Some(1.0);
        assert_eq!(target.refusals(&[nobody]).unwrap().len(), 1);
    }

    /// A schema that a command migrates: it keeps its version in a file, and the migrations that it did in another.
    #[test]
    fn a_schema_is_migrated_there_and_back_and_a_killed_run_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (version, done) = (folder.path().join("version"), folder.path().join("done"));
        fs::write(&version, "null").unwrap();
        let script = folder.path().join("migrate.sh");
        let text = format!(
            "case $1 in read) printf '{{\"versions\":{{\"db/schema\":%s}}}}' \"$(cat {version})\";;\n\
             do) key=after;; undo) key=before;; healthy) exit 0;; esac\n[ \"$key\" ] || exit 0\n\
             to=$(sed 's/.*\"'$key'\":{{\\([^}}]*\\)}}.*/\\1/; s/\"version\"://')\n\
             echo \"$1 ${{to:-null}}\" >> {done}\n[ \"${{to:-null}}\" = '\"9.0.0\"' ] && exit 7\n\
             printf '%s' \"${{to:-null}}\" > {version}\n",
            version = version.display(),
            done = done.display()
        );
        fs::write(&script, text).unwrap();
        let target = ExecCommand { command: format!("sh '{}'", script.display()), most: Duration::from_secs(20) };
        let migrated = |before: Option<&str>, after: &str| {
            let planned = planned(&target);
            let of = |version: Option<&str>| Release { version: version.map(str::to_owned), ..Release::default() };
            let deployment = Deployment { before: of(before), after: of(Some(after)), ..Deployment::default() };
            let change = Change {
                item_id: "i".into(),
                resource: "db/schema".into(),
                on: "exec".into(),
                before: State::default(),
                after: State::default(),
                requests: None,
                task: Some(Task::Deploy(Box::new(deployment))),
                text: None,
                follows: false,
            };
            let timeout = Duration::from_secs(20);
            let how = How {
                now: Timestamp(0),
                at_once: 1,
                health: Health { timeout, ..Health::default() },
                work: Work::IGNORED,
            };
            let mut journal = journal(&planned);
            let mut held = vec![Held::new(&planned, &target).unwrap()];
            let ended = apply(&mut held, &[change], &mut journal, &how, &mut |_| Ok(()));
            (ended, journal, held, how)
        };
        let live = || target.release("db/schema", &[]).unwrap().version;
        assert_eq!((live(), target.read().unwrap().resources.len()), (None, 1), "nothing is there yet");
        let (ended, mut first, mut held, how) = migrated(None, "3.1.0");
        assert_eq!((ended.unwrap(), live().as_deref()), (Done::Written, Some("3.1.0")));
        // Killed after the command had migrated, before anybody wrote that down: it is not called again.
        first.steps[0].progress = Progress::Doing;
        first.state = Phase::Prepared;
        assert_eq!(apply(&mut held, &[], &mut first, &how, &mut |_| Ok(())).unwrap(), Done::Already);
        assert_eq!(fs::read_to_string(&done).unwrap(), "do \"3.1.0\"\n");
        drop(held);
        // A migration that breaks leaves what was there; so does one of another version than was planned from.
        let (broken, ..) = migrated(Some("3.1.0"), "9.0.0");
        assert!(broken.is_err() && live().as_deref() == Some("3.1.0"), "{broken:?}");
        let (drifted, ..) = migrated(Some("3.0.0"), "4.0.0");
        let why = drifted.unwrap_err().to_string();
        assert!(why.contains("db/schema has version 3.1.0, and not version 3.0.0"), "{why}");
        let mut held = vec![Held::new(&first.targets[0].clone(), &target).unwrap()];
        assert_eq!(rollback(&mut held, &mut first, &how, &mut |_| Ok(())).unwrap(), Done::Written);
        assert_eq!(live(), None);
        assert!(fs::read_to_string(&done).unwrap().ends_with("undo null\n"));
    }
}
