//! Files that change, as `edit` events: when, which, of what type. Their content is never read.

mod edits;
mod ignored;

use crate::collect::Outlet;
use crate::{AgentError, checkout};
use domain::Timestamp;
use edits::{AT_ONCE, Change, Edits, Place};
use ignored::Ignored;
use notify::event::{EventKind, ModifyKind};
use notify::{Config, RecommendedWatcher, RecursiveMode, Watcher};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// What to watch.
#[derive(Clone, Debug)]
pub struct FilesSpec {
    /// A folder.
    pub watch: PathBuf,
    /// The present.
    pub clock: fn() -> Timestamp,
}

/// Changes are looked at together when nothing more came for so long.
const QUIET: Duration = Duration::from_millis(300);
/// Notices of the system that may wait; if there are more, the folder is searched instead.
const WAITING: usize = 1 << 16;
/// A file's own time further away than this comes from an archive or another machine: our clock counts.
const TRUSTED: i64 = 10 * domain::time::SECOND;

/// Watches until it is stopped. Blocks: to be called on a thread of its own.
///
/// # Errors
/// The folder cannot be watched: it is missing, or the system allows no more watches.
pub fn watch(spec: &FilesSpec, outlet: &Outlet) -> Result<(), AgentError> {
    let mut folder = Folder::open(&spec.watch)?;
    let (send, notices) = sync_channel(WAITING);
    let missed = Arc::new(AtomicBool::new(false));
    let lost = Arc::clone(&missed);
    let handler = move |notice: notify::Result<notify::Event>| match notice {
        Ok(notice) if notice.need_rescan() => lost.store(true, Ordering::SeqCst),
        Ok(notice) => {
            if send.try_send(notice).is_err() {
                lost.store(true, Ordering::SeqCst);
            }
        }
        Err(_) => lost.store(true, Ordering::SeqCst),
    };
    let mut watcher =
        RecommendedWatcher::new(handler, Config::default()).map_err(|error| unwatchable(&spec.watch, &error))?;
    let mut watched = BTreeSet::new();
    let root = folder.root.clone();
    folder.watch_below(&root, &mut watcher, &mut watched, &mut Vec::new())?;
    outlet.note_blocking(format!("watching {} folders below {}", watched.len(), spec.watch.display()));
    let mut edits = Edits::default();
    let mut searched = (spec.clock)();
    while !outlet.is_stopped() {
        let (mut touched, mut created) = gather(&notices, outlet);
        if missed.swap(false, Ordering::SeqCst) {
            outlet.note_blocking("more changed than the system could tell: the folder is searched");
            let mut files = Vec::new();
            folder.watch_below(&root, &mut watcher, &mut watched, &mut files)?;
            touched.extend(files.into_iter().filter(|file| modified(file).is_some_and(|at| at >= searched)));
        }
        if touched.iter().any(|path| path.file_name().is_some_and(|name| name == ".gitignore")) {
            folder.ignored.forget();
            folder.watch_below(&root, &mut watcher, &mut watched, &mut Vec::new())?;
        }
        for path in touched.iter().filter(|path| path.is_dir()).cloned().collect::<Vec<_>>() {
            touched.remove(&path);
            let mut files = Vec::new();
            folder.watch_below(&path, &mut watcher, &mut watched, &mut files)?;
            // What was put into a new folder before it was watched.
            created.extend(files.iter().cloned());
            touched.extend(files);
        }
        // A folder that is gone is no file that was deleted; its files are told of one by one.
        watched.retain(|path| !touched.remove(path));
        let now = (spec.clock)();
        let changes = folder.changes(&touched, &created, now);
        let over = if changes.is_empty() { edits.over(now) } else { edits.take(&folder.place(), changes) };
        if !send_all(outlet, over) {
            return Ok(());
        }
        searched = now;
    }
    send_all(outlet, edits.all());
    Ok(())
}

/// Every file that was modified since a moment, as one edit each at the time of its last change. The same files give the
/// same events. Blocks.
///
/// # Errors
/// The folder cannot be read.
pub fn scan(spec: &FilesSpec, since: Timestamp, outlet: &Outlet) -> Result<(), AgentError> {
    let mut folder = Folder::open(&spec.watch)?;
    let mut files = Vec::new();
    let root = folder.root.clone();
    folder.walk(&root, &mut |_| Ok(()), &mut files)?;
    let now = (spec.clock)();
    let found = files.iter().filter_map(|path| Some((modified(path)?, path)));
    let mut found: Vec<(Timestamp, &PathBuf)> = found.filter(|(at, _)| (since..=now).contains(at)).collect();
    found.sort();
    let (mut edits, place) = (Edits::default(), folder.place());
    while !found.is_empty() {
        let first = found[0].0;
        let together = found.partition_point(|(at, _)| *at < first.plus(AT_ONCE));
        let changes = found
            .drain(..together)
            .filter_map(|(at, path)| Some(Change { file: folder.named(path)?, at, deleted: false }));
        let over = edits.take(&place, changes.collect());
        if !send_all(outlet, over) || outlet.is_stopped() {
            return Ok(());
        }
    }
    send_all(outlet, edits.all());
    Ok(())
}

/// The paths of one wave of notices: all, and those that are new. Returns empty-handed now and then.
fn gather(notices: &Receiver<notify::Event>, outlet: &Outlet) -> (BTreeSet<PathBuf>, BTreeSet<PathBuf>) {
    let (mut touched, mut created) = (BTreeSet::new(), BTreeSet::new());
    let wave = Duration::from_micros(AT_ONCE as u64);
    let mut began: Option<Instant> = None;
    while began.is_none_or(|began| began.elapsed() < wave) && !outlet.is_stopped() {
        match notices.recv_timeout(QUIET) {
            Ok(notice) => {
                let is_new = matches!(notice.kind, EventKind::Create(_));
                // Reading a file, or changing its owner, is no edit.
                let counts = match notice.kind {
                    EventKind::Modify(ModifyKind::Metadata(_)) | EventKind::Access(_) => false,
                    EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => true,
                    EventKind::Any | EventKind::Other => false,
                };
                if counts {
                    began.get_or_insert_with(Instant::now);
                    created.extend(notice.paths.iter().filter(|_| is_new).cloned());
                    touched.extend(notice.paths);
                }
            }
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(QUIET);
                break;
            }
        }
    }
    (touched, created)
}

/// A watched folder and the checkout it is in.
struct Folder {
    root: PathBuf,
    /// The top of the checkout; files are named from here, as commits name them.
    base: PathBuf,
    ignored: Ignored,
}

impl Folder {
    fn open(root: &Path) -> Result<Self, AgentError> {
        let root = root.canonicalize().map_err(AgentError::file("watch", root))?;
        if !root.is_dir() {
            let source = std::io::Error::from(std::io::ErrorKind::NotADirectory);
            return Err(AgentError::File { doing: "watch", path: root, source });
        }
        let top = Command::new("git").arg("-C").arg(&root).args(["rev-parse", "--show-toplevel"]).output().ok();
        let top = top.filter(|output| output.status.success()).and_then(|output| String::from_utf8(output.stdout).ok());
        let base = top.map(|top| PathBuf::from(top.trim_end_matches('\n'))).filter(|top| root.starts_with(top));
        let base = base.unwrap_or_else(|| root.clone());
        Ok(Self { ignored: Ignored::new(&base), root, base })
    }

    fn place(&self) -> Place {
        let found = checkout::detect(&self.base);
        Place { repo: found.repo, branch: found.branch }
    }

    fn named(&self, path: &Path) -> Option<String> {
        Some(path.strip_prefix(&self.base).ok()?.to_string_lossy().into_owned()).filter(|name| !name.is_empty())
    }

    /// Every folder below one, itself included, to `each`; every file to `files`. What is ignored is passed over.
    fn walk(
        &mut self,
        from: &Path,
        each: &mut dyn FnMut(&Path) -> Result<(), AgentError>,
        files: &mut Vec<PathBuf>,
    ) -> Result<(), AgentError> {
        let mut waiting = vec![from.to_owned()];
        while let Some(folder) = waiting.pop() {
            if folder != self.root && self.ignored.is_ignored(&folder, true) {
                continue;
            }
            // First the watch, then the look: nothing falls between.
            each(&folder)?;
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                // Gone meanwhile, or not for us to read.
                Err(_) if folder != self.root => continue,
                Err(error) => return Err(AgentError::file("read", &folder)(error)),
            };
            for entry in entries.filter_map(Result::ok) {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => waiting.push(entry.path()),
                    Ok(kind) if kind.is_file() && !self.ignored.is_ignored(&entry.path(), false) => {
                        files.push(entry.path());
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn watch_below(
        &mut self,
        from: &Path,
        watcher: &mut RecommendedWatcher,
        watched: &mut BTreeSet<PathBuf>,
        files: &mut Vec<PathBuf>,
    ) -> Result<(), AgentError> {
        let root = self.root.clone();
        let mut each = |folder: &Path| {
            if watched.contains(folder) {
                return Ok(());
            }
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    watched.insert(folder.to_owned());
                    Ok(())
                }
                Err(error) if folder != root && !matches!(error.kind, notify::ErrorKind::MaxFilesWatch) => Ok(()),
                Err(error) => Err(unwatchable(folder, &error)),
            }
        };
        self.walk(from, &mut each, files)
    }

    /// What of the touched paths is an edit: no folder, not ignored, not made and removed within one wave.
    fn changes(&mut self, touched: &BTreeSet<PathBuf>, created: &BTreeSet<PathBuf>, now: Timestamp) -> Vec<Change> {
        let mut changes = BTreeMap::new();
        for path in touched {
            if self.ignored.is_ignored(path, false) {
                continue;
            }
            let deleted = match std::fs::symlink_metadata(path) {
                Ok(meta) if meta.is_file() => false,
                Ok(_) => continue,
                Err(_) if created.contains(path) => continue,
                Err(_) => true,
            };
            let own = modified(path).filter(|at| (at.0 - now.0).abs() <= TRUSTED);
            if let Some(file) = self.named(path) {
                changes.insert(file.clone(), Change { file, at: own.unwrap_or(now), deleted });
            }
        }
        changes.into_values().collect()
    }
}

fn modified(path: &Path) -> Option<Timestamp> {
    let modified = std::fs::symlink_metadata(path).ok()?.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp(i64::try_from(since.as_micros()).ok()?)).filter(|at| at.is_usable())
}

fn send_all(outlet: &Outlet, events: Vec<Value>) -> bool {
    events.into_iter().all(|event| outlet.event_blocking(event))
}

fn unwatchable(folder: &Path, error: &notify::Error) -> AgentError {
    let why = match &error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            "the system allows no more watches; raise fs.inotify.max_user_watches, or ignore generated folders"
                .to_owned()
        }
        notify::ErrorKind::Io(error) => error.to_string(),
        other => format!("{other:?}"),
    };
    AgentError::Input(format!("cannot watch {}: {why}", folder.display()))
}
