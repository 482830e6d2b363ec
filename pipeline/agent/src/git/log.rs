//! `git` itself, asked twice: for the shape of the history, then for what each commit changed.
//!
//! The program, not a library: it reads every kind of repository there is (alternates, grafts, partial clones, SHA-256),
//! refuses those of other owners, and diffs faster than the libraries. Nothing of a repository's configuration is run:
//! no pager, no signature check, no external diff, no text conversion, no fetching of missing objects.

use crate::{AgentError, checkout};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

/// Files of one commit that are named; the counts are of all.
const FILES_MOST: usize = 300;
/// File types of one commit that are named.
const TYPES_MOST: usize = 32;

/// Of what git complains about, this much is kept.
const WORDS_BYTES: u64 = 16 << 10;

/// `git` in a repository, with standard input, or none.
pub(super) fn git(repo: &Path, args: &[&str]) -> Command {
    let mut command = checkout::program(repo);
    command
        .args(["-c", "core.quotePath=false", "-c", "log.showRoot=true"])
        .args(args)
        .env("LC_ALL", "C")
        .stderr(Stdio::piped());
    command
}

/// What a short question is answered, or git's last words.
pub(super) fn ask(repo: &Path, doing: &str, args: &[&str]) -> Result<String, AgentError> {
    let failed = |said: String| AgentError::Git { doing: doing.to_owned(), said };
    let output = git(repo, args).output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(last_words(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    text.lines().find(|line| line.starts_with("fatal:")).or(text.lines().next()).unwrap_or("it failed").to_owned()
}

/// A running `git log` over chosen commits.
pub(super) struct Log {
    child: Child,
    out: BufReader<ChildStdout>,
    /// Read beside the answer: git would wait for ever for somebody to take its warnings.
    err: JoinHandle<Vec<u8>>,
    token: Vec<u8>,
}

impl Log {
    /// `revisions`: one a line, those to leave out with `^`.
    pub(super) fn start(repo: &Path, revisions: &str, args: &[&str]) -> Result<Self, AgentError> {
        let failed = |error: std::io::Error| AgentError::Git { doing: "run git".into(), said: error.to_string() };
        let mut all = vec!["log", "-z", "--no-color", "--no-ext-diff", "--no-textconv", "--ignore-missing", "--stdin"];
        all.extend(args);
        let mut child = git(repo, &all).stdin(Stdio::piped()).spawn().map_err(failed)?;
        // git reads all revisions before it writes anything.
        let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(revisions.as_bytes()));
        // If it died at once, it says why at the end.
        drop(written);
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let out = out.map(|out| BufReader::with_capacity(1 << 16, out));
        let out = out.ok_or_else(|| AgentError::Git { doing: "run git".into(), said: "no output".into() })?;
        let err = std::thread::spawn(move || {
            let mut words = Vec::new();
            if let Some(mut err) = err {
                let _ = (&mut err).take(WORDS_BYTES).read_to_end(&mut words);
                let _ = std::io::copy(&mut err, &mut std::io::sink());
            }
            words
        });
        Ok(Self { child, out, err, token: Vec::new() })
    }

    /// The next piece of its answer, without the NUL behind it.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, AgentError> {
        self.token.clear();
        let read = self.out.read_until(0, &mut self.token);
        let read = read.map_err(|e| AgentError::Git { doing: "read the history".into(), said: e.to_string() })?;
        if self.token.last() == Some(&0) {
            self.token.pop();
        }
        Ok((read > 0).then_some(&self.token))
    }

    /// To be called at the end: a history that was cut off is an error.
    pub(super) fn finish(mut self) -> Result<(), AgentError> {
        drop(self.out);
        let words = self.err.join().unwrap_or_default();
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            _ => Err(AgentError::Git { doing: "read the history".into(), said: last_words(&words) }),
        }
    }

    /// Ends it early.
    pub(super) fn stop(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a commit changed.
#[derive(Default)]
pub(super) struct Churn {
    files: Vec<Value>,
    types: BTreeMap<String, [u64; 3]>,
    total: [u64; 3],
}

impl Churn {
    /// Takes one line of `--numstat`, of which the path may still be missing; `-` stands for a binary file.
    pub(super) fn counts(entry: &str) -> Option<(Option<u64>, Option<u64>, &str)> {
        let mut parts = entry.splitn(3, '\t');
        let (added, removed, path) = (parts.next()?, parts.next()?, parts.next()?);
        let number = |text: &str| if text == "-" { Some(None) } else { text.parse().ok().map(Some) };
        Some((number(added)?, number(removed)?, path))
    }

    pub(super) fn add(&mut self, added: Option<u64>, removed: Option<u64>, path: &str) {
        let by = [1, added.unwrap_or(0), removed.unwrap_or(0)];
        let kind = self.types.entry(file_type(path)).or_default();
        for i in 0..3 {
            kind[i] += by[i];
            self.total[i] += by[i];
        }
        if self.files.len() < FILES_MOST {
            self.files.push(match added {
                Some(_) => json!({"path": path, "insertions": by[1], "deletions": by[2]}),
                None => json!({"path": path, "binary": true}),
            });
        }
    }

    pub(super) fn write(self, payload: &mut Map<String, Value>) {
        for (name, value) in ["files_changed", "insertions", "deletions"].iter().zip(self.total) {
            payload.insert((*name).into(), value.into());
        }
        let cut = self.total[0] as usize > self.files.len();
        payload.insert("files".into(), self.files.into());
        if cut {
            payload.insert("files_cut".into(), true.into());
        }
        let mut types: Vec<(String, [u64; 3])> = self.types.into_iter().collect();
        types.sort_by(|(a, x), (b, y)| (y[1] + y[2], a).cmp(&(x[1] + x[2], b)));
        types.truncate(TYPES_MOST);
        let types: Map<String, Value> = types
            .into_iter()
            .map(|(name, [files, insertions, deletions])| {
                (name, json!({"files": files, "insertions": insertions, "deletions": deletions}))
            })
            .collect();
        payload.insert("file_types".into(), types.into());
    }
}

/// What a file is, by its ending in small letters; `Makefile` and `.gitignore` are their own type.
pub(crate) fn file_type(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.trim_start_matches('.').rsplit_once('.') {
        Some((_, ending)) if !ending.is_empty() && ending.len() <= 16 => ending.to_lowercase(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_type_is_its_ending_or_its_name() {
        for (path, want) in [
            ("src/main.rs", "rs"),
            ("a.b/README", "README"),
            ("x.tar.GZ", "gz"),
            (".gitignore", ".gitignore"),
            ("deep/.config.toml", "toml"),
            ("odd.", "odd."),
            ("core.averyveryverylongending", "core.averyveryverylongending"),
        ] {
            assert_eq!(file_type(path), want, "{path}");
        }
    }

    #[test]
    fn counts_of_text_and_binary_files_are_read() {
        assert_eq!(Churn::counts("3\t4\tsrc/a\tb.rs"), Some((Some(3), Some(4), "src/a\tb.rs")));
        assert_eq!(Churn::counts("-\t-\ta.png"), Some((None, None, "a.png")));
        assert_eq!(Churn::counts("0\t0\t"), Some((Some(0), Some(0), "")));
        assert_eq!(Churn::counts("words"), None);
    }
}
