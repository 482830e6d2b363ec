//! Which repository, branch and commit a folder holds, and what was changed since that commit.
//!
//! The first three are read from git's own files (gitrepository-layout(5)): a process would cost each command some
//! milliseconds before it starts. What changed needs git itself, which knows ignored files and sparse checkouts: it runs
//! beside the command. Nothing that the repository's configuration names is run.

mod alone;

use alone::Alone;
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

/// What a folder is a checkout of. Absent: not known.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Checkout {
    /// `owner/name` of the remote, else the folder's name.
    pub(crate) repo: Option<String>,
    /// Absent on a detached HEAD.
    pub(crate) branch: Option<String>,
    pub(crate) commit: Option<String>,
    /// The top of the working tree.
    pub(crate) top: Option<PathBuf>,
}

/// What `folder` holds now. Outside a checkout only the folder's name is left.
pub(crate) fn detect(folder: &Path) -> Checkout {
    let name = |folder: &Path| folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let elsewhere = ["GIT_DIR", "GIT_WORK_TREE"].iter().any(|name| std::env::var_os(name).is_some());
    let read = if elsewhere { None } else { by_files(folder) };
    let mut found = read.or_else(|| by_git(folder)).unwrap_or_default();
    found.repo = found.repo.or_else(|| name(found.top.as_deref().unwrap_or(folder)));
    found
}

/// None: no checkout, or one that is stored in another way (reftable).
fn by_files(folder: &Path) -> Option<Checkout> {
    let place = Place::of(folder.ancestors().find(|dir| dir.join(".git").exists())?)?;
    let (branch, commit) = place.head()?;
    let config = fs::read_to_string(place.common.join("config")).unwrap_or_default();
    Some(Checkout { repo: remote(&config).and_then(|url| repo_of(&url)), branch, commit, top: Some(place.top) })
}

/// Where a checkout keeps what.
struct Place {
    /// The top of the working tree.
    top: PathBuf,
    /// HEAD and the index.
    git: PathBuf,
    /// What all working trees of the repository share.
    common: PathBuf,
}

impl Place {
    /// None: no checkout, or one that is stored in another way.
    fn of(top: &Path) -> Option<Self> {
        let git = top.join(".git");
        // A worktree or submodule has a file that says where its folder is.
        let git = match fs::read_to_string(&git) {
            Ok(text) => top.join(text.trim().strip_prefix("gitdir: ")?),
            Err(_) => git,
        };
        let common = match fs::read_to_string(git.join("commondir")) {
            Ok(text) => git.join(text.trim()),
            Err(_) => git.clone(),
        };
        let config = fs::read_to_string(common.join("config")).unwrap_or_default();
        if config.contains("refstorage") || config.contains("refStorage") {
            return None;
        }
        Some(Self { top: top.to_owned(), git, common })
    }

    /// The branch and the commit.
    fn head(&self) -> Option<(Option<String>, Option<String>)> {
        let head = fs::read_to_string(self.git.join("HEAD")).ok()?;
        let (branch, commit) = match head.trim().strip_prefix("ref: ") {
            None => (None, Some(head.trim().to_owned())),
            Some(name) => {
                let loose =
                    [&self.git, &self.common].into_iter().find_map(|dir| fs::read_to_string(dir.join(name)).ok());
                let commit = loose.map(|text| text.trim().to_owned()).or_else(|| packed(&self.common, name));
                (name.strip_prefix("refs/heads/").map(str::to_owned), commit)
            }
        };
        let commit = commit.filter(|sha| matches!(sha.len(), 40 | 64) && sha.chars().all(|c| c.is_ascii_hexdigit()));
        Some((branch, commit))
    }
}

fn packed(common: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(common.join("packed-refs")).ok()?;
    text.lines().find_map(|line| line.split_once(' ').filter(|(_, of)| *of == name).map(|(sha, _)| sha.to_owned()))
}

/// The address of the remote `origin`.
fn remote(config: &str) -> Option<String> {
    let section = config.lines().map(str::trim).skip_while(|line| *line != r#"[remote "origin"]"#).skip(1);
    section.take_while(|line| !line.starts_with('[')).find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "url").then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn by_git(folder: &Path) -> Option<Checkout> {
    let top = git(folder, &["rev-parse", "--show-toplevel"])?;
    Some(Checkout {
        repo: git(folder, &["config", "--get", "remote.origin.url"]).and_then(|url| repo_of(&url)),
        branch: git(folder, &["symbolic-ref", "--short", "--quiet", "HEAD"]),
        commit: git(folder, &["rev-parse", "--verify", "--quiet", "HEAD"]),
        top: Some(top.into()),
    })
}

/// What git answers, if it does.
pub(crate) fn git(folder: &Path, args: &[&str]) -> Option<String> {
    let output = program(folder).args(args).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}

/// git in a folder, which runs nothing that the repository's configuration names: no pager, no hook, no monitor, no
/// signature check, no fetching of missing objects. Who shows a difference leaves out `--ext-diff` and `--textconv` too, and
/// who compares a working tree goes through [`Alone`].
pub(crate) fn program(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .arg("--no-pager")
        // The monitor would also start a daemon.
        .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "log.showSignature=false"])
        .args(["-c", "protocol.allow=never", "-c", "core.sshCommand=false", "-c", "credential.helper="])
        .current_dir(folder)
        // A recorder must never make a real `git` wait for its lock.
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env_remove("GIT_EXTERNAL_DIFF")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// Paths are listed up to here; `files_changed` counts them all.
const MOST_PATHS: usize = 500;
/// New files are read to count their lines up to here.
const MOST_BYTES: u64 = 8 << 20;

/// The working tree against its last commit.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Changes {
    pub(crate) files_changed: u64,
    pub(crate) insertions: u64,
    pub(crate) deletions: u64,
    /// Relative to the top of the working tree.
    pub(crate) paths: Vec<String>,
}

impl Changes {
    pub(crate) fn to_json(&self) -> Value {
        json!({"files_changed": self.files_changed, "insertions": self.insertions, "deletions": self.deletions})
    }
}

/// git, at work.
pub(crate) struct Comparison {
    top: PathBuf,
    /// For as long as git needs it.
    _alone: Alone,
    processes: Vec<Child>,
    texts: Receiver<(usize, Option<Vec<u8>>)>,
}

impl Comparison {
    /// Starts git on both questions: what is different in files it knows, and which files it does not know.
    pub(crate) fn start(top: &Path) -> Option<Self> {
        let questions: [&[&str]; 2] = [
            &[
                "diff",
                "--numstat",
                "-z",
                "--no-renames",
                "--no-ext-diff",
                "--no-textconv",
                "--ignore-submodules=dirty",
                "HEAD",
            ],
            &["ls-files", "-z", "--others", "--exclude-standard"],
        ];
        let alone = Alone::of(top)?;
        let (sender, texts) = channel();
        let mut processes = Vec::new();
        for (n, question) in questions.into_iter().enumerate() {
            let mut process = alone.git(question).stderr(Stdio::null()).spawn().ok()?;
            let mut answer = process.stdout.take()?;
            processes.push(process);
            let sender = sender.clone();
            std::thread::Builder::new()
                .name("git".into())
                .spawn(move || {
                    let mut text = Vec::new();
                    let read = answer.read_to_end(&mut text);
                    let _ = sender.send((n, read.is_ok().then_some(text)));
                })
                .ok()?;
        }
        Some(Self { top: top.to_owned(), _alone: alone, processes, texts })
    }

    /// What was different at `since`, if git says so within `patience`. What was written later, the command wrote.
    pub(crate) fn finish(self, since: SystemTime, patience: Duration) -> Option<Changes> {
        let Self { top, _alone, mut processes, texts } = self;
        let until = Instant::now() + patience;
        let mut answers = [None, None];
        for _ in 0..answers.len() {
            let Ok((n, text)) = texts.recv_timeout(until.saturating_duration_since(Instant::now())) else { break };
            answers[n] = text;
        }
        if answers.iter().any(Option::is_none) {
            processes.iter_mut().for_each(|process| {
                let _ = process.kill();
            });
        }
        let ended: Vec<bool> = processes.iter_mut().map(|p| p.wait().is_ok_and(|status| status.success())).collect();
        let [Some(different), Some(unknown)] = answers else { return None };
        ended.iter().all(|well| *well).then(|| changes(&top, &different, &unknown, since))
    }
}

fn changes(top: &Path, different: &[u8], unknown: &[u8], since: SystemTime) -> Changes {
    let mut changes = Changes::default();
    // Of a file that is gone, its folder tells when.
    let written_later = |path: &Path| {
        let meta = path.symlink_metadata().or_else(|_| path.parent().unwrap_or(top).symlink_metadata());
        meta.and_then(|meta| meta.modified()).is_ok_and(|modified| modified > since)
    };
    let mut add = |path: &str, insertions: u64, deletions: u64| {
        changes.files_changed += 1;
        changes.insertions += insertions;
        changes.deletions += deletions;
        if changes.paths.len() < MOST_PATHS {
            changes.paths.push(path.to_owned());
        }
    };
    for line in different.split(|byte| *byte == 0).map(String::from_utf8_lossy) {
        let mut parts = line.splitn(3, '\t');
        let (Some(insertions), Some(deletions), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if !written_later(&top.join(path)) {
            // A binary file has `-` for both.
            add(path, insertions.parse().unwrap_or(0), deletions.parse().unwrap_or(0));
        }
    }
    let mut left_bytes = MOST_BYTES;
    for path in unknown.split(|byte| *byte == 0).map(String::from_utf8_lossy).filter(|path| !path.is_empty()) {
        let full = top.join(&*path);
        if !written_later(&full) {
            add(&path, lines(&full, &mut left_bytes), 0);
        }
    }
    changes.paths.sort();
    changes
}

/// Of a new text file, as `git diff --numstat` would count once it is added.
fn lines(path: &Path, left_bytes: &mut u64) -> u64 {
    let Ok(meta) = path.symlink_metadata() else { return 0 };
    if !meta.is_file() || meta.len() > *left_bytes {
        return 0;
    }
    *left_bytes -= meta.len();
    let bytes = fs::read(path).unwrap_or_default();
    if bytes.iter().take(8000).any(|byte| *byte == 0) {
        return 0; // binary, by git's own rule (buffer_is_binary)
    }
    memchr::memchr_iter(b'\n', &bytes).count() as u64 + u64::from(bytes.last().is_some_and(|byte| *byte != b'\n'))
}

/// `owner/name` of a remote's address, without host and login. Of a local path only the name is taken:
/// the folder above it is often a person's.
fn repo_of(url: &str) -> Option<String> {
    let url = url.trim_end_matches('/').trim_end_matches(".git");
    let (path, local) = match url.split_once("://") {
        Some(("file", rest)) => (rest, true),
        Some((_, rest)) => (rest.split_once('/')?.1, false),
        None => match url.split_once(':') {
            Some((host, path)) if !host.contains('/') => (path, false), // git@host:owner/name
            _ => (url, true),
        },
    };
    let mut parts = path.rsplit('/').filter(|part| !part.is_empty());
    let name = parts.next()?;
    match parts.next() {
        Some(owner) if !local => Some(format!("{owner}/{name}")),
        _ => Some(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_gives_owner_and_name_and_nothing_else() {
        for (url, want) in [
            ("https://github.com/acme/api.git", "acme/api"),
            ("https://user:token@host.test/acme/api", "acme/api"),
            ("git@host.test:acme/api.git", "acme/api"),
            ("ssh://git@host.test:22/group/acme/api.git/", "acme/api"),
            ("/home/someone/api.git", "api"),
            ("file:///home/someone/api", "api"),
            ("../api", "api"),
        ] {
            assert_eq!(repo_of(url).as_deref(), Some(want), "{url}");
        }
    }

    fn run(folder: &Path, args: &[&str]) -> String {
        let mut command = Command::new("git");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@b.test");
        }
        let output = command.args(args).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn repository() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap().join("api");
        fs::create_dir_all(top.join("src")).unwrap();
        run(&top, &["init", "-q", "-b", "main"]);
        run(&top, &["remote", "add", "origin", "git@host.test:acme/api.git"]);
        fs::write(top.join("src/a.rs"), "1\n2\n3\n").unwrap();
        fs::write(top.join("b.txt"), "x\n").unwrap();
        fs::write(top.join(".gitignore"), "*.log\n").unwrap();
        run(&top, &["add", "."]);
        run(&top, &["commit", "-q", "-m", "first"]);
        (dir, top)
    }

    #[test]
    fn what_is_read_is_what_git_says() {
        let (_dir, top) = repository();
        let sha = run(&top, &["rev-parse", "HEAD"]);
        let same = |folder: &Path| {
            let found = detect(folder);
            let mut by_git = by_git(folder).unwrap();
            by_git.repo = by_git.repo.or_else(|| found.repo.clone());
            assert_eq!(found, by_git);
            found
        };
        let found = same(&top.join("src"));
        assert_eq!(found.repo.as_deref(), Some("acme/api"));
        assert_eq!((found.branch.as_deref(), found.commit.as_deref()), (Some("main"), Some(sha.as_str())));
        run(&top, &["checkout", "-q", "-b", "fix/login"]);
        run(&top, &["pack-refs", "--all"]);
        assert_eq!(same(&top).branch.as_deref(), Some("fix/login"));
        run(&top, &["worktree", "add", "-q", "../tree", "-b", "side"]);
        assert_eq!(same(&top.join("../tree").canonicalize().unwrap()).branch.as_deref(), Some("side"));
        run(&top, &["checkout", "-q", "--detach"]);
        assert_eq!(same(&top).branch, None);
    }

    #[test]
    fn changes_are_those_since_the_last_commit_and_before_the_command() {
        let (_dir, top) = repository();
        fs::write(top.join("src/a.rs"), "1\n2\nthree\nfour\n").unwrap();
        fs::remove_file(top.join("b.txt")).unwrap();
        fs::write(top.join("new file.rs"), "a\nb").unwrap();
        fs::write(top.join("noise.log"), "ignored\n").unwrap();
        let started = Comparison::start(&top).unwrap();
        let found = started.finish(SystemTime::now() + Duration::from_secs(1), Duration::from_secs(20)).unwrap();
        assert_eq!(found.paths, ["b.txt", "new file.rs", "src/a.rs"]);
        assert_eq!((found.files_changed, found.insertions, found.deletions), (3, 4, 2));
        let started = Comparison::start(&top).unwrap();
        let before = started.finish(SystemTime::now() - Duration::from_secs(60), Duration::from_secs(20)).unwrap();
        assert_eq!(before.paths, [""; 0], "what was written since then is the command's own");
    }

    /// Everything in a repository's configuration that git would run.
    fn trap(top: &Path) -> PathBuf {
        let (script, mark) = (top.join("../trap.sh"), top.join("../sprung"));
        fs::write(&script, format!("#!/bin/sh\necho \"$0 $*\" >> '{}'\ncat\n", mark.display())).unwrap();
        run(top, &["update-index", "--chmod=+x", "src/a.rs"]);
        let mut executable = fs::metadata(&script).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut executable, 0o755);
        fs::set_permissions(&script, executable).unwrap();
        let script = script.display().to_string();
        for key in [
            "filter.x.clean",
            "filter.x.smudge",
            "filter.x.process",
            "diff.x.command",
            "diff.x.textconv",
            "diff.external",
            "core.fsmonitor",
            "core.pager",
            "pager.diff",
            "pager.show",
            "core.sshCommand",
            "core.editor",
            "core.askPass",
            "gpg.program",
            "gpg.ssh.program",
            "gpg.x509.program",
            "alias.diff",
            "alias.show",
            "credential.helper",
            "remote.origin.uploadpack",
            "interactive.diffFilter",
            "trailer.x.command",
        ] {
            run(top, &["config", key, &script]);
        }
        let hooks = top.join("../hooks");
        fs::create_dir_all(&hooks).unwrap();
        for hook in ["post-index-change", "post-checkout", "fsmonitor-watchman", "pre-auto-gc"] {
            fs::copy(top.join("../trap.sh"), hooks.join(hook)).unwrap();
        }
        run(top, &["config", "core.hooksPath", &hooks.display().to_string()]);
        run(top, &["config", "log.showSignature", "true"]);
        run(top, &["config", "filter.x.required", "true"]);
        let more = top.join("../more");
        fs::write(&more, format!("[filter \"y\"]\n\tclean = {script}\n")).unwrap();
        run(top, &["config", "include.path", &more.display().to_string()]);
        fs::create_dir_all(top.join(".git/info")).unwrap();
        fs::write(top.join(".git/info/attributes"), "*.rs filter=x diff=x\n*.txt filter=y diff=x\n").unwrap();
        mark
    }

    #[test]
    fn nothing_is_run_that_a_repositorys_configuration_names() {
        let (_dir, top) = repository();
        let mark = trap(&top);
        fs::write(top.join("src/a.rs"), "1\n2\nthree\nfour\n").unwrap();
        fs::write(top.join("b.txt"), "y\n").unwrap();
        fs::write(top.join("new.rs"), "a\nb").unwrap();
        let _ = Command::new("git").args(["diff", "HEAD"]).current_dir(&top).output().unwrap();
        assert!(mark.exists(), "the trap works");
        fs::remove_file(&mark).unwrap();
        let sprung = || fs::read_to_string(&mark).unwrap_or_default();
        detect(&top);
        by_git(&top).unwrap();
        assert_eq!(sprung(), "");
        let started = Comparison::start(&top).unwrap();
        let found = started.finish(SystemTime::now() + Duration::from_secs(1), Duration::from_secs(20)).unwrap();
        assert_eq!((found.files_changed, found.insertions, found.deletions), (3, 5, 2), "{found:?}");
        assert_eq!(sprung(), "");
        let spec = crate::record::RecordSpec::default();
        crate::record::commit_of(&top, &spec).unwrap();
        assert_eq!(sprung(), "");
    }

    #[test]
    fn no_commit_and_no_checkout_have_no_changes() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Comparison::start(dir.path()).is_none());
        run(dir.path(), &["init", "-q"]);
        assert!(Comparison::start(dir.path()).is_none());
    }

    #[test]
    fn a_plain_folder_has_its_name_and_no_branch() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("plain");
        fs::create_dir(&folder).unwrap();
        let want = Checkout { repo: Some("plain".into()), ..Checkout::default() };
        assert_eq!(detect(&folder), want);
    }
}
