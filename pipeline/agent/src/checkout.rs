//! Which repository, branch and commit a folder holds, as `git` says it.

use std::path::Path;
use std::process::{Command, Stdio};

/// What a folder is a checkout of. Absent: not known.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Checkout {
    /// `owner/name` of the remote, else the folder's name.
    pub(crate) repo: Option<String>,
    /// Absent on a detached HEAD.
    pub(crate) branch: Option<String>,
    pub(crate) commit: Option<String>,
}

/// Asks git about `folder`. Without git, or outside a checkout, only the folder's name is left.
pub(crate) fn detect(folder: &Path) -> Checkout {
    let remote = git(folder, &["config", "--get", "remote.origin.url"]).and_then(|url| repo_of(&url));
    let top = || git(folder, &["rev-parse", "--show-toplevel"]);
    let named = || {
        let top = top().unwrap_or_else(|| folder.to_string_lossy().into_owned());
        Path::new(&top).file_name().map(|name| name.to_string_lossy().into_owned())
    };
    Checkout {
        repo: remote.or_else(named),
        branch: git(folder, &["symbolic-ref", "--short", "--quiet", "HEAD"]),
        commit: git(folder, &["rev-parse", "--verify", "--quiet", "HEAD"]),
    }
}

fn git(folder: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(args)
        .current_dir(folder)
        // A recorder must never make a real `git` wait for its lock.
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
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

    #[test]
    fn a_plain_folder_has_its_name_and_no_branch() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("plain");
        std::fs::create_dir(&folder).unwrap();
        let want = Checkout { repo: Some("plain".into()), ..Checkout::default() };
        assert_eq!(detect(&folder), want);
    }
}
