//! HAProxy: the shares of version groups in one map file, and the configuration that routes by them.
//!
//! The file is the truth. It is written and on disk before a running router is told by its socket, and what the router has is
//! read back: weights that are set at run time alone are lost with the process, and its state file can bring back a canary that
//! was taken back. A router that does not answer reads the file when it starts; the step says so.
//!
//! A step of several on one map goes back to what was there before the first of them: a rollback is one write, and no user
//! comes by an earlier share of the canary on the way.

mod config;
mod map;
mod socket;

pub use config::render;

use crate::StackError;
use crate::journal::Step;
use crate::target::{Change, Live, Session, Stand, Target, digest};
use crate::text::first_changed_line;
use crate::write::{LockedFile, identity, read_text};
use domain::plan::TargetRef;
use domain::task::{Shares, Task, shares_in_words};
use domain::units::counted;
use serde_json::{Value, json};
use socket::{Deaf, Router};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A map file, and the socket of the router that has it in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaproxyMap {
    map: PathBuf,
    socket: Option<PathBuf>,
}

impl HaproxyMap {
    /// Names a map, and the socket if there is one.
    pub fn new(map: impl Into<PathBuf>, socket: Option<PathBuf>) -> Self {
        Self { map: map.into(), socket }
    }

    /// `FILE` or `FILE#SOCKET`, relative paths below a folder.
    pub fn named(text: &str, folder: &Path) -> Self {
        let (map, socket) = text.split_once('#').map_or((text, None), |(map, socket)| (map, Some(socket)));
        Self::new(folder.join(map), socket.filter(|socket| !socket.is_empty()).map(|socket| folder.join(socket)))
    }

    /// The shares that the file sets.
    ///
    /// # Errors
    /// The file is not there, or is no map of shares.
    pub fn shares(&self) -> Result<Shares, StackError> {
        self.parse(&self.text()?)
    }

    fn text(&self) -> Result<String, StackError> {
        read_text(&self.map).map_err(|error| self.explained(error))
    }

    fn explained(&self, error: StackError) -> StackError {
        match error {
            StackError::Read { source, .. } if source.kind() == ErrorKind::NotFound => StackError::Unclear {
                what: format!("there is no {}", self.map.display()),
                hint: "write a line a group, its name and its share: `blue 100`".to_owned(),
            },
            error => error,
        }
    }

    /// The shares that a text sets.
    ///
    /// # Errors
    /// It is no map of shares.
    pub fn parse(&self, text: &str) -> Result<Shares, StackError> {
        map::parse(text).map_err(|source| StackError::In { path: self.map.clone(), source: Box::new(source) })
    }

    fn router(&self) -> Option<Router> {
        self.socket.clone().map(|socket| Router::new(socket, self.map.clone()))
    }
}

impl Target for HaproxyMap {
    fn reference(&self) -> TargetRef {
        let socket = self.socket.as_ref().map_or_else(String::new, |socket| format!("#{}", socket.display()));
        TargetRef { kind: "haproxy-map".to_owned(), location: format!("{}{socket}", self.map.display()) }
    }

    fn identity(&self) -> Result<String, StackError> {
        Ok(identity(&self.map))
    }

    /// It has shares and no resources with limits.
    fn read(&self) -> Result<Live, StackError> {
        let text = self.text()?;
        self.parse(&text)?;
        Ok(Live { digest: digest(&text), ..Live::default() })
    }

    fn mode(&self) -> u32 {
        crate::write::mode_of(&self.map)
    }

    fn hold(&self) -> Result<Box<dyn Session>, StackError> {
        let file = LockedFile::lock(&self.map).map_err(|error| self.explained(error))?;
        Ok(Box::new(HeldMap { map: self.clone(), file, said: None, is_settled: false }))
    }
}

/// A locked map.
struct HeldMap {
    map: HaproxyMap,
    file: LockedFile,
    said: Option<String>,
    /// Whether no request is under way to a group without users; true until the shares are set again.
    is_settled: bool,
}

/// Between looks at the requests that are under way.
const LOOK: Duration = Duration::from_millis(5);

impl HeldMap {
    /// Puts a text in the place of another, on disk, then in the memory of the router.
    fn set(&mut self, from: &[&str], to: &str) -> Result<(), StackError> {
        let live = self.file.text()?;
        self.is_settled = false;
        // A run that was killed between the file and the router: only the router is still to be told.
        if live != to {
            let from = from.iter().find(|from| **from == live).copied().unwrap_or_default();
            self.file.exchange(from, to)?;
        }
        let shares = self.map.parse(to)?;
        self.said = match self.map.router() {
            None => Some("no socket is named: a router reads the file when it is loaded".to_owned()),
            Some(router) => match router.set(&shares) {
                Ok(()) => None,
                Err(Deaf::Dead(why)) => Some(format!(
                    "no router answers on {} ({why}): the file is written, and read when it starts",
                    router.socket().display()
                )),
                Err(Deaf::Refuses(what)) => {
                    let doing =
                        format!("have the router on {} route {}", router.socket().display(), shares_in_words(&shares));
                    return Err(StackError::Asked { doing, source: what.into() });
                }
            },
        };
        Ok(())
    }

    /// Where a router that answers routes otherwise than a text says.
    fn astray(&self, text: &str) -> Result<Option<String>, StackError> {
        let wanted = some(&self.map.parse(text)?);
        Ok(match self.map.router().map(|router| router.shares()) {
            None | Some(Err(Deaf::Dead(_))) => None,
            Some(Err(Deaf::Refuses(what))) => Some(format!("the router cannot be asked: {what}")),
            Some(Ok(live)) if some(&live) == wanted => None,
            Some(Ok(live)) => {
                Some(format!("the router has {}, the file {}", shares_in_words(&live), shares_in_words(&wanted)))
            }
        })
    }
}

/// The groups that have users.
fn some(shares: &Shares) -> Shares {
    shares.iter().filter(|(_, share)| **share > 0).map(|(group, share)| (group.clone(), *share)).collect()
}

/// What the router has is read back after each step; whether users are well is for the judge to say. It is not whole: a step
/// of several differs from what is there in the end, and is undone with the last.
impl Session for HeldMap {
    fn prepare(&mut self, _: &str, changes: &[Change]) -> Result<Vec<Step>, StackError> {
        let first = self.file.text()?;
        let path = self.file.path().display().to_string();
        let (mut live, mut steps) = (first.clone(), Vec::new());
        for change in changes {
            let Some(Task::Route { before, after }) = &change.task else { continue };
            let found = self.map.parse(&live)?;
            if some(&found) != some(before) {
                let differs =
                    vec![format!("the shares are {}, not {}", shares_in_words(&found), shares_in_words(before))];
                return Err(StackError::Drifted { target: path, since: "the plan was made", differs });
            }
            let text = map::edited(&live, after);
            let (from, to) = (json!({"path": path, "text": first, "from": live}), json!({"path": path, "text": text}));
            let what = format!("route {}", shares_in_words(after));
            let step = Step::new(change.resource.clone(), vec![change.item_id.clone()], what, from, to);
            steps.push(Step { place: path.clone(), ..step });
            live = text;
        }
        // A router that answers and does not have this map would go on as it is.
        if let Some(Err(Deaf::Refuses(what))) = self.map.router().map(|router| router.shares()) {
            let doing = format!("ask the router on {}", self.map.socket.clone().unwrap_or_default().display());
            return Err(StackError::Asked { doing, source: what.into() });
        }
        Ok(steps)
    }

    fn stands(&mut self, step: &Step) -> Result<Stand, StackError> {
        let place = self.file.path().display().to_string();
        if step.place != place {
            return Ok(Stand::Other(vec![format!("it leads to {place} now, and the plan is about {}", step.place)]));
        }
        let live = self.file.text()?;
        let stand = if live == text(&step.after) {
            Stand::After
        } else if live == text(&step.before) || live == from(step) {
            Stand::Before
        } else {
            let wanted = if step.progress.is_done() { text(&step.after) } else { from(step) };
            let line = first_changed_line(wanted, &live).unwrap_or(1);
            return Ok(Stand::Other(vec![format!("{place}: line {line} is the first that differs")]));
        };
        Ok(self.astray(&live)?.map_or(stand, Stand::Partly))
    }

    fn carry_out(&mut self, step: &Step) -> Result<(), StackError> {
        self.set(&[from(step), text(&step.before)], text(&step.after))
    }

    fn undo(&mut self, step: &Step) -> Result<(), StackError> {
        self.set(&[text(&step.after), from(step)], text(&step.before))
    }

    fn remark(&mut self) -> Option<String> {
        self.said.take()
    }

    /// A request that was drawn before the shares were set is still answered by the group of then, layer by layer.
    fn settle(&mut self, most: Duration) -> Result<Option<String>, StackError> {
        let Some(router) = self.map.router().filter(|_| !self.is_settled) else { return Ok(None) };
        let shares = self.map.shares()?;
        let began = Instant::now();
        loop {
            // Drawn a moment ago, it may not be counted yet.
            std::thread::sleep(LOOK);
            let left = match router.under_way(&shares) {
                Ok(0) | Err(Deaf::Dead(_)) => {
                    self.is_settled = true;
                    return Ok(None);
                }
                Ok(count) => format!("{} to groups without users", counted(count, "request")),
                Err(Deaf::Refuses(what)) => format!("the router does not say what it serves: {what}"),
            };
            if began.elapsed() >= most {
                // Told once; the next step does not wait for the same again.
                self.is_settled = true;
                return Ok(Some(left));
            }
        }
    }
}

fn text(value: &Value) -> &str {
    value["text"].as_str().unwrap_or_default()
}

/// What was there right before a step; `before` has what was there before all of them.
fn from(step: &Step) -> &str {
    step.before["from"].as_str().unwrap_or_default()
}

#[cfg(test)]
#[path = "haproxy/tests.rs"]
mod tests;
