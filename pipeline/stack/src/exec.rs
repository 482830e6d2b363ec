//! Whatever has a command: `exec:CMD` is called with a verb, told what to do as JSON on its standard input, and believed by
//! its exit code and by what it reads back.
//!
//! - `CMD read` prints `{"resources": {"env/service": {"cpu_cores": 2, "memory_bytes": 1073741824}}, "replicas": {…},
//!   "notes": […]}`; what is not limited is left out.
//! - `CMD do` and `CMD undo` are given `{"item_id", "resource", "before", "after"}`; they set `after`, and `before` again.
//! - `CMD healthy` is given the same, and may wait: 0 when the resource is well.
//!
//! Each is ended when its time is over, with everything that it started. A step counts as done only when `read` says so,
//! so that a killed run is resumed and a command that lies is found out.

use crate::StackError;
use crate::bounded;
use crate::journal::Step;
use crate::target::{Change, Figure, Live, Refusal, Session, Stand, Target, differs, digest, in_words, same};
use domain::ledger::sha256_hex;
use domain::own_memory::Setup;
use domain::plan::{Note, State, TargetRef};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;
use std::time::Duration;

/// `read`, `do` and `undo` are given so long.
const MOST: Duration = Duration::from_secs(60);

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
    resources: BTreeMap<String, State>,
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
        let Answer { resources, replicas, notes } = self.answer()?;
        let notes = notes.into_iter().map(|what| Note { resource: None, what }).collect();
        Ok(Live { digest: digest_of(&resources), resources, requests: BTreeMap::new(), replicas, notes })
    }

    fn setups(&self) -> Result<BTreeMap<String, Setup>, StackError> {
        Ok(BTreeMap::new())
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

    fn mode(&self) -> u32 {
        0o600
    }

    fn hold(&self) -> Result<Box<dyn Session>, StackError> {
        let name = format!("pipeline-exec-{}", &sha256_hex(self.command.as_bytes())[..32]);
        let failed = |error: std::io::Error| self.asked("lock", error.to_string());
        let place = SocketAddr::from_abstract_name(name).map_err(failed)?;
        match UnixListener::bind_addr(&place) {
            Ok(lock) => Ok(Box::new(HeldCommand { target: self.clone(), _lock: lock })),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                Err(StackError::Locked { what: format!("`{}`", self.command), by: None })
            }
            Err(error) => Err(failed(error)),
        }
    }
}

/// A command that no other run of this machine calls.
struct HeldCommand {
    target: ExecCommand,
    _lock: UnixListener,
}

impl HeldCommand {
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
        let live = self.target.answer()?.resources;
        let drift: Vec<String> = changes
            .iter()
            .filter(|change| !live.get(&change.resource).is_some_and(|live| same(*live, change.before)))
            .map(|change| differs(&change.resource, Some(&change.before), live.get(&change.resource)))
            .collect();
        // Other resources may change as they like: each step is compared with its own.
        if !drift.is_empty() && digest_of(&live) != prior_state_digest {
            let target = self.target.command.clone();
            return Err(StackError::Drifted { target, since: "the plan was made", differs: drift });
        }
        let step = |change: &Change| {
            let after = State {
                cpu_cores: change.after.cpu_cores.or(change.before.cpu_cores),
                memory_bytes: change.after.memory_bytes.or(change.before.memory_bytes),
            };
            let what = format!("set {}", in_words(after));
            let items = vec![change.item_id.clone()];
            Step::new(change.resource.clone(), items, what, json!(change.before), json!(after))
        };
        Ok(changes.iter().map(step).collect())
    }

    fn stands(&mut self, step: &Step) -> Result<Stand, StackError> {
        let live = self.target.answer()?.resources;
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
        self.call("do", step, self.target.most)
    }

    fn undo(&mut self, step: &Step) -> Result<(), StackError> {
        self.call("undo", step, self.target.most)
    }

    fn healthy(&mut self, step: &Step, most: Duration) -> Result<(), StackError> {
        self.call("healthy", step, most).map_err(|error| StackError::Unhealthy {
            resource: step.resource.clone(),
            what: std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string),
        })
    }

    fn is_whole(&self) -> bool {
        false
    }
}

fn state_of(value: &Value) -> State {
    serde_json::from_value(value.clone()).unwrap_or_default()
}

fn digest_of(resources: &BTreeMap<String, State>) -> String {
    digest(&serde_json::to_string(resources).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::{How, Work, apply, rollback};
    use crate::files::tests::journal;
    use crate::health::Health;
    use crate::journal::Journal;
    use crate::{Done, Held};
    use domain::Timestamp;
    use domain::plan::PlannedTarget;
    use std::fs;
    use std::path::Path;
    use std::time::Instant;

    /// A command that keeps its limits in a file: each verb is a `case`.
    fn command(folder: &Path, more: &str) -> ExecCommand {
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

    fn applied(target: &ExecCommand) -> (Result<Done, StackError>, Journal, PlannedTarget, How) {
        let live = target.read().unwrap();
        let planned = PlannedTarget {
            id: "exec".into(),
            kind: "exec".into(),
            location: target.command.clone(),
            prior_state_digest: live.digest,
        };
        let change = Change {
            item_id: "i".into(),
            resource: "a/b".into(),
            on: "exec".into(),
            before: live.resources["a/b"],
            after: State { cpu_cores: Some(0.5), memory_bytes: None },
            task: None,
            requests: None,
            text: None,
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
        };
        nobody.after.cpu_cores = Some(1.0);
        assert_eq!(target.refusals(&[nobody]).unwrap().len(), 1);
    }
}
