//! The history of a repository as `commit`, `push` and `pr` events.
//!
//! The same history gives the same events, whenever it is read: everything in them comes from the commits. With a state
//! file only what is new since the last collection is read, whatever was rewritten in between.

mod graph;
mod log;
mod merge;

pub(crate) use log::file_type;

use crate::collect::{Outlet, event};
use crate::{AgentError, checkout};
use domain::Timestamp;
use graph::{Graph, Sha, sha};
use log::{Churn, Log, ask};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What to read.
#[derive(Clone, Debug)]
pub struct GitSpec {
    /// A folder of the repository; a bare one will do.
    pub repo: PathBuf,
    /// Commits older than this are left out, unless a state says what is new.
    pub since: Option<Timestamp>,
    /// Where the last collection ended, and this one's end is to be kept.
    pub state: Option<PathBuf>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct GitRead {
    /// `commit` events.
    pub commits: u64,
    /// `push` events.
    pub pushes: u64,
    /// `pr` events.
    pub merged: u64,
    state: Option<(PathBuf, State)>,
}

/// Where a collection ended: what it read is behind these commits.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    version: u32,
    tips: Vec<String>,
    /// The commit at which each branch was seen.
    pushed: BTreeMap<String, String>,
}

const STATE_VERSION: u32 = 1;

impl GitRead {
    /// Remembers where this collection ended. To be called when its events are safe: a crash before this line makes the
    /// next collection read them again, and the lake knows them.
    ///
    /// # Errors
    /// The state cannot be written.
    pub fn keep(&self) -> Result<(), AgentError> {
        let Some((path, state)) = &self.state else { return Ok(()) };
        let failed = AgentError::file("write", path);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(&failed)?;
        }
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}", std::process::id()));
        let text = serde_json::to_string(state).map_err(std::io::Error::other).map_err(&failed)?;
        std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, path)).map_err(&failed)
    }
}

/// A branch and its tip.
struct Branch {
    name: String,
    commit: String,
    at: Timestamp,
    /// Others can see it: it is on a remote, or this is where others push to.
    shared: bool,
}

/// Reads the history and hands its events on. Blocks: to be called on a thread of its own.
///
/// # Errors
/// There is no repository, git is missing or fails, or the state cannot be read.
pub fn collect(spec: &GitSpec, outlet: &Outlet) -> Result<GitRead, AgentError> {
    let doing = format!("read the repository {}", spec.repo.display());
    ask(&spec.repo, &doing, &["rev-parse", "--git-dir"])?;
    let repo = checkout::detect(&spec.repo).repo.map(|name| name.trim_end_matches(".git").to_owned());
    let branches = branches(&spec.repo)?;
    let default = default_branch(&spec.repo, &branches);
    let before = match &spec.state {
        Some(path) => State::read(path)?,
        None => None,
    };
    let mut tips: Vec<String> = branches.iter().map(|branch| branch.commit.clone()).collect();
    tips.extend(
        ask(&spec.repo, &doing, &["rev-parse", "--verify", "--quiet", "HEAD"]).map(|head| head.trim().to_owned()),
    );
    tips.sort();
    tips.dedup();
    if tips.is_empty() {
        return Ok(GitRead::default()); // nothing was ever committed; git would call that fatal
    }
    let mut revisions = String::new();
    for tip in &tips {
        let _ = writeln!(revisions, "{tip}");
    }
    for tip in before.iter().flat_map(|state| &state.tips) {
        let _ = writeln!(revisions, "^{tip}");
    }
    let since = spec.since.filter(|_| before.is_none()).map(|since| format!("--since={since}"));

    let graph = shape(&spec.repo, &revisions, since.as_deref(), outlet)?;
    let tip = |branch: &Branch| Some((branch.name.clone(), sha(&branch.commit)?));
    let default_tip = branches.iter().find(|branch| Some(&branch.name) == default.as_ref()).and_then(tip);
    let others: Vec<(String, Sha)> =
        branches.iter().filter(|branch| Some(&branch.name) != default.as_ref()).filter_map(tip).collect();
    let places = graph.places(default_tip.as_ref().map(|(name, tip)| (name.as_str(), *tip)), &others);

    let mut read = GitRead::default();
    let reader = Reader { repo: repo.as_deref(), graph: &graph, places: &places, outlet };
    reader.commits(&spec.repo, &revisions, since.as_deref(), &mut read)?;
    let mut pushed = BTreeMap::new();
    for branch in branches.iter().filter(|branch| branch.shared) {
        pushed.insert(branch.name.clone(), branch.commit.clone());
        let known = before.as_ref().and_then(|state| state.pushed.get(&branch.name));
        let old = before.is_none() && spec.since.is_some_and(|since| branch.at < since);
        if known == Some(&branch.commit) || old {
            continue;
        }
        let payload = Map::from_iter([("sha".to_owned(), json!(branch.commit))]);
        outlet.event_blocking(event(
            branch.at,
            "push",
            &[("repo", reader.repo), ("branch", Some(&branch.name))],
            payload,
        ));
        read.pushes += 1;
    }
    // Stopped half-way: what was not read is still new.
    if !outlet.is_stopped() {
        read.state = spec.state.clone().map(|path| (path, State { version: STATE_VERSION, tips, pushed }));
    }
    Ok(read)
}

impl State {
    fn read(path: &Path) -> Result<Option<Self>, AgentError> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(AgentError::file("read", path))?,
        };
        let bad = || {
            AgentError::Input(format!("{} is no state of `collect git`; remove it to read all anew", path.display()))
        };
        let state: Self = serde_json::from_str(&text).map_err(|_| bad())?;
        let hashes = || state.tips.iter().chain(state.pushed.values());
        let sound = state.version == STATE_VERSION && hashes().all(|hash| hash.bytes().all(|b| b.is_ascii_hexdigit()));
        if sound { Ok(Some(state)) } else { Err(bad()) }
    }
}

/// Every branch, here and on remotes; the same branch at the same commit once.
fn branches(repo: &Path) -> Result<Vec<Branch>, AgentError> {
    let format = "--format=%(refname)%00%(objectname)%00%(committerdate:unix)%00%(symref)";
    let text = ask(repo, "list the branches", &["for-each-ref", format, "refs/heads", "refs/remotes"])?;
    let bare = ask(repo, "read the repository", &["rev-parse", "--is-bare-repository"])?.trim() == "true";
    let mut found: BTreeMap<(String, String), Branch> = BTreeMap::new();
    for line in text.lines() {
        let mut parts = line.split('\0');
        let (Some(name), Some(commit), Some(at), Some("")) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue; // `origin/HEAD` is another name of a branch
        };
        let (name, shared) = match name.strip_prefix("refs/heads/") {
            Some(name) => (name, bare),
            None => (name.splitn(4, '/').nth(3).unwrap_or_default(), true),
        };
        let at = at.parse::<i64>().map_or(Timestamp(0), |seconds| Timestamp(seconds.saturating_mul(1_000_000)));
        if name.is_empty() || !at.is_usable() {
            continue;
        }
        let branch = Branch { name: name.to_owned(), commit: commit.to_owned(), at, shared };
        found.entry((branch.name.clone(), branch.commit.clone())).or_insert(branch).shared |= shared;
    }
    Ok(found.into_values().collect())
}

/// The branch that others are merged into.
fn default_branch(repo: &Path, branches: &[Branch]) -> Option<String> {
    let symbolic = |name: &str| ask(repo, "find the default branch", &["symbolic-ref", "--quiet", name]).ok();
    let known = |name: &str| branches.iter().any(|branch| branch.name == name);
    let origin =
        symbolic("refs/remotes/origin/HEAD").and_then(|name| name.trim().splitn(4, '/').nth(3).map(str::to_owned));
    origin
        .filter(|name| known(name))
        .or_else(|| ["main", "master", "trunk", "develop"].into_iter().find(|name| known(name)).map(str::to_owned))
        .or_else(|| Some(symbolic("HEAD")?.trim().strip_prefix("refs/heads/")?.to_owned()).filter(|name| known(name)))
}

/// First reading: who is whose parent, and which merge says what.
fn shape(repo: &Path, revisions: &str, since: Option<&str>, outlet: &Outlet) -> Result<Graph, AgentError> {
    let mut args = vec!["--no-patch", "--format=%H%n%P%n%B"];
    args.extend(since);
    let mut log = Log::start(repo, revisions, &args)?;
    let mut graph = Graph::default();
    while let Some(commit) = log.next()? {
        let text = String::from_utf8_lossy(commit);
        let mut lines = text.splitn(3, '\n');
        let (Some(hash), Some(parents)) = (lines.next().and_then(sha), lines.next()) else { continue };
        graph.add(hash, parents.split(' ').filter_map(sha).collect(), lines.next().unwrap_or_default());
        if graph.len() % 4096 == 0 && outlet.is_stopped() {
            log.stop();
            return Ok(graph);
        }
    }
    log.finish()?;
    Ok(graph)
}

struct Reader<'a> {
    repo: Option<&'a str>,
    graph: &'a Graph,
    places: &'a graph::Places,
    outlet: &'a Outlet,
}

/// The head of a commit in the second reading.
struct Head {
    hash: String,
    at: Timestamp,
    author: String,
    parents: usize,
    message: String,
}

impl Reader<'_> {
    /// Second reading: what each commit changed.
    fn commits(&self, repo: &Path, revisions: &str, since: Option<&str>, read: &mut GitRead) -> Result<(), AgentError> {
        // %aE: the address that the repository's own .mailmap says is the person's.
        // What a user's configuration may say otherwise is said here: the same history gives the same events everywhere.
        let mut args = vec![
            "--numstat",
            "-M",
            "-l1000",
            "--diff-algorithm=myers",
            "-O/dev/null",
            "--format=%x01%H%x1f%ct%x1f%at%x1f%aE%x1f%P%x1f%s",
        ];
        args.extend(since);
        let mut log = Log::start(repo, revisions, &args)?;
        let mut open: Option<(Head, Churn)> = None;
        while let Some(token) = log.next()? {
            if let Some(head) = token.strip_prefix(b"\x01") {
                let head = Head::read(&String::from_utf8_lossy(head));
                if let Some((head, churn)) = open.take() {
                    self.commit(head, churn, read);
                }
                open = head.map(|head| (head, Churn::default()));
                if self.outlet.is_stopped() {
                    log.stop();
                    return Ok(());
                }
                continue;
            }
            let entry = String::from_utf8_lossy(token).trim_start_matches('\n').to_owned();
            let Some((added, removed, path)) = Churn::counts(&entry) else { continue };
            let mut path = path.to_owned();
            if path.is_empty() {
                // Moved: the old name, then the new one.
                log.next()?;
                path = log.next()?.map(|path| String::from_utf8_lossy(path).into_owned()).unwrap_or_default();
            }
            if let Some((_, churn)) = &mut open {
                churn.add(added, removed, &path);
            }
        }
        if let Some((head, churn)) = open.take() {
            self.commit(head, churn, read);
        }
        log.finish()
    }

    fn commit(&self, head: Head, churn: Churn, read: &mut GitRead) {
        let Some(commit) = sha(&head.hash) else { return };
        let (place, merged) = self.graph.place(self.places, commit);
        let mut payload = Map::new();
        payload.insert("sha".into(), head.hash.clone().into());
        payload.insert("message".into(), merge::subject_of(&head.message).into());
        match head.parents {
            // What a merge changed is what its commits changed.
            2.. => drop(payload.insert("merge".into(), true.into())),
            _ => churn.write(&mut payload),
        }
        self.send(head.at, "commit", place.branch.as_deref(), place.pr, &head.author, payload);
        read.commits += 1;
        if let Some((merged, commits)) = merged {
            let mut payload = Map::new();
            payload.insert("action".into(), "merged".into());
            payload.insert("sha".into(), head.hash.into());
            payload.insert("commits".into(), (*commits).into());
            if let Some(title) = &merged.title {
                payload.insert("title".into(), title.clone().into());
            }
            if let (Some(owner), Some((own, _))) = (&merged.owner, self.repo.and_then(|repo| repo.rsplit_once('/'))) {
                payload.insert("from_fork".into(), (!own.eq_ignore_ascii_case(owner)).into());
            }
            self.send(head.at, "pr", merged.branch.as_deref(), Some(merged.number), &head.author, payload);
            read.merged += 1;
        }
    }

    fn send(
        &self,
        at: Timestamp,
        kind: &str,
        branch: Option<&str>,
        pr: Option<u64>,
        author: &str,
        payload: Map<String, Value>,
    ) {
        let author = Some(author).filter(|author| !author.is_empty());
        let outer = [("repo", self.repo), ("branch", branch), ("developer", author)];
        let mut event = event(at, kind, &outer, payload);
        if let (Some(pr), Some(_)) = (pr, self.repo) {
            event["pr"] = pr.into();
        }
        self.outlet.event_blocking(event);
    }
}

impl Head {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, '\x1f');
        let mut next = || parts.next();
        let hash = next()?.to_owned();
        let seconds = |text: &str| text.parse::<i64>().ok().map(|s| Timestamp(s.saturating_mul(1_000_000)));
        let times = [seconds(next()?), seconds(next()?)];
        let (author, parents, message) = (next()?.to_owned(), next()?, next()?.to_owned());
        // When it was put there; a clock that was wrong by a century leaves when it was written.
        let at = times.into_iter().flatten().find(|at| at.is_usable()).unwrap_or_default();
        Some(Self { hash, at, author, parents: parents.split(' ').filter(|p| !p.is_empty()).count(), message })
    }
}
