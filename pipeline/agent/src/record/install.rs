//! Puts `pipeline record` where commands are typed: into a shell's start-up file, a git hook, a CI configuration.
//!
//! What is added to a file is one block between two marks, or a file of our own. So taking it out leaves the file as it
//! was, byte for byte, and adding it again changes nothing. Nothing is written before all is known to fit.
//!
//! Shells get functions named like build and test tools, not hooks around every command: only a wrapper sees memory and
//! CPU, and `cargo`, `npm` or `pytest` are what is worth it. They run the tool itself when the program is missing, in
//! scripts, inside another recording, and with `PIPELINE_RECORD=off`.

use crate::AgentError;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

const BEGIN: &str = "# >>> pipeline record >>>";
/// Behind it, in files that were not there before.
const OWN: &str = " (this file is its own)";
const END: &str = "# <<< pipeline record <<<";

/// What is recorded unless the user names commands. `make` and the rest run these, and are left alone within.
pub const TOOLS: [&str; 15] = [
    "cargo", "make", "npm", "yarn", "pnpm", "pytest", "tox", "go", "pip", "mvn", "gradle", "cmake", "ninja", "jest",
    "dotnet",
];

/// Where to put it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `~/.bashrc`
    Bash,
    /// `${ZDOTDIR:-~}/.zshrc`
    Zsh,
    /// `conf.d/pipeline-record.fish` in fish's configuration folder.
    Fish,
    /// The repository's `post-commit` hook: a `commit` event for each commit.
    GitHook,
    /// `.github/pipeline-record.sh`, for `BASH_ENV` of a workflow.
    Github,
    /// `.gitlab/pipeline-record.yml`, to be included.
    Gitlab,
}

/// How to record from there.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program, as the shell is to call it.
    pub program: String,
    /// Where events go: an absolute path, or with CI one in the working folder.
    pub out: PathBuf,
    /// Which commands.
    pub tools: Vec<String>,
}

/// One file that would change.
#[derive(Debug)]
pub struct Change {
    /// The file that is written: behind a link, what the link names.
    pub path: PathBuf,
    before: Option<Vec<u8>>,
    /// None: the file is removed.
    after: Option<Vec<u8>>,
    mode: u32,
    /// What is left to do by hand.
    pub by_hand: Option<String>,
}

/// What it takes to add or remove it.
///
/// # Errors
/// The file cannot be read or is not what the block fits into; the folder is no repository.
pub fn change(place: Place, setup: &Setup, remove: bool) -> Result<Change, AgentError> {
    let (path, mode) = file(place)?;
    // Start-up files are often links into a folder under version control: the link stays one.
    let path = fs::canonicalize(&path).unwrap_or(path);
    let before = match fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(source) => return Err(AgentError::Setup { what: "read", path, source }),
    };
    let whole = matches!(place, Place::Fish | Place::Github | Place::Gitlab);
    let bare = match before.as_deref() {
        None => None,
        Some(bytes) => {
            let (bare, own) = without(bytes).ok_or_else(|| AgentError::Marks(path.clone()))?;
            // A file that we made, and nobody wrote to since, was not there before.
            Some(bare).filter(|bare| !(own && matches!(bare.as_slice(), b"" | b"#!/bin/sh")))
        }
    };
    let after = match bare {
        bare if remove => bare,
        None if place == Place::GitHook => Some(format!("#!/bin/sh\n{}", text(place, setup, OWN)).into_bytes()),
        None => Some(text(place, setup, OWN).into_bytes()),
        Some(_) if whole => return Err(AgentError::Taken(path)),
        Some(bytes) if place == Place::GitHook => {
            Some(after_first_line(&bytes, &text(place, setup, "")).ok_or_else(|| AgentError::NotAShell(path.clone()))?)
        }
        Some(bytes) => Some([&bytes, b"\n".as_slice(), text(place, setup, "").as_bytes()].concat()),
    };
    let by_hand = if remove { undo_by_hand(place) } else { by_hand(place, setup) };
    Ok(Change { path, before, after, mode, by_hand })
}

impl Change {
    /// Whether there is anything to do.
    pub fn is_needed(&self) -> bool {
        self.before != self.after
    }

    /// The difference, as `diff -u` shows it: one block is added or taken out.
    pub fn diff(&self) -> String {
        let lines = |bytes: &Option<Vec<u8>>| -> Vec<String> {
            String::from_utf8_lossy(bytes.as_deref().unwrap_or_default())
                .split_inclusive('\n')
                .map(str::to_owned)
                .collect()
        };
        let (before, after) = (lines(&self.before), lines(&self.after));
        let same = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
        let rest = before.len().min(after.len()) - same;
        let end = before.iter().rev().zip(after.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
        let (old, new) = (&before[same..before.len() - end], &after[same..after.len() - end]);
        let name = |exists: bool| if exists { self.path.display().to_string() } else { "/dev/null".to_owned() };
        let mut text = format!("--- {}\n+++ {}\n", name(self.before.is_some()), name(self.after.is_some()));
        text += &format!("@@ -{},{} +{},{} @@\n", same + 1, old.len(), same + 1, new.len());
        for (sign, lines) in [('-', old), ('+', new)] {
            for line in lines {
                text.push(sign);
                text += line.trim_end_matches('\n');
                text.push('\n');
            }
        }
        text
    }

    /// Does it: the whole file at once, or not at all.
    ///
    /// # Errors
    /// The file or its folder cannot be written, or somebody else wrote to it meanwhile.
    pub fn carry_out(&self) -> Result<(), AgentError> {
        let failed = |what| move |source| AgentError::Setup { what, path: self.path.clone(), source };
        if fs::read(&self.path).ok() != self.before {
            return Err(AgentError::Changed(self.path.clone()));
        }
        let Some(bytes) = &self.after else {
            return fs::remove_file(&self.path).map_err(failed("remove"));
        };
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).map_err(failed("make the folder of"))?;
        let old = self.path.metadata().ok();
        // A file that may not be written is not to be replaced either, though its folder would let us.
        if old.is_some() {
            fs::OpenOptions::new().append(true).open(&self.path).map_err(failed("write"))?;
        }
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let scratch = folder.join(format!(".{name}.pipeline-{}", std::process::id()));
        let write = || {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(self.mode).open(&scratch)?;
            file.write_all(bytes)?;
            if let Some(old) = &old {
                file.set_permissions(fs::Permissions::from_mode(old.permissions().mode()))?;
                if (old.uid(), old.gid()) != (file.metadata()?.uid(), file.metadata()?.gid()) {
                    std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
                }
            }
            file.sync_all()?;
            fs::rename(&scratch, &self.path)
        };
        write().map_err(|source| {
            let _ = fs::remove_file(&scratch);
            failed("write")(source)
        })
    }
}

fn file(place: Place) -> Result<(PathBuf, u32), AgentError> {
    let home =
        || std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute()).ok_or(AgentError::NoHome);
    let folder = |name: &str, below: &str| match std::env::var_os(name).map(PathBuf::from) {
        Some(folder) if folder.is_absolute() => Ok(folder),
        _ => home().map(|home| home.join(below)),
    };
    let here = || std::env::current_dir().unwrap_or_default();
    Ok(match place {
        Place::Bash => (home()?.join(".bashrc"), 0o644),
        Place::Zsh => (folder("ZDOTDIR", "")?.join(".zshrc"), 0o644),
        Place::Fish => (folder("XDG_CONFIG_HOME", ".config")?.join("fish/conf.d/pipeline-record.fish"), 0o644),
        Place::GitHook => (git_hook().ok_or(AgentError::NoRepository)?, 0o755),
        Place::Github => (here().join(".github/pipeline-record.sh"), 0o644),
        Place::Gitlab => (here().join(".gitlab/pipeline-record.yml"), 0o644),
    })
}

/// Where git looks for it: `core.hooksPath` and worktrees have their own ideas.
fn git_hook() -> Option<PathBuf> {
    let output = Command::new("git").args(["rev-parse", "--git-path", "hooks/post-commit"]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    let path = path.trim_end_matches('\n');
    (output.status.success() && !path.is_empty()).then(|| std::env::current_dir().unwrap_or_default().join(path))
}

/// The text without our block, and whether the file was ours. None: the marks do not pair up, somebody edited them.
fn without(bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
    let find = |mark: &str, from: usize| memchr::memmem::find(&bytes[from..], mark.as_bytes()).map(|at| at + from);
    let Some(begin) = find(BEGIN, 0) else {
        return find(END, 0).is_none().then(|| (bytes.to_vec(), false));
    };
    let own = bytes[begin + BEGIN.len()..].starts_with(OWN.as_bytes());
    let end = find(END, begin)? + END.len();
    let end = end + usize::from(bytes.get(end) == Some(&b'\n'));
    // The line before the mark was ended by us, and is not to run into what somebody wrote behind the block.
    let from = begin - usize::from(begin > 0 && bytes[begin - 1] == b'\n');
    let joined = from > 0 && bytes[from - 1] != b'\n' && end < bytes.len();
    let (gap, rest): (&[u8], _) = (if joined { b"\n" } else { b"" }, &bytes[end..]);
    find(BEGIN, end).is_none().then(|| ([&bytes[..from], gap, rest].concat(), own))
}

/// Hooks often end in `exit` or `exec`: what shall run stands first. The block brings the end of line before it.
fn after_first_line(bytes: &[u8], text: &str) -> Option<Vec<u8>> {
    let first = bytes.split_inclusive(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(first);
    let shell = line
        .strip_prefix("#!")?
        .split_whitespace()
        .any(|word| matches!(word.rsplit('/').next(), Some("sh" | "bash" | "dash" | "zsh" | "ksh")));
    shell.then(|| [first, b"\n", text.as_bytes(), &bytes[first.len()..]].concat())
}

/// The block with its marks.
fn text(place: Place, setup: &Setup, own: &str) -> String {
    let out = setup.out.to_string_lossy();
    let functions = |indent: &str| {
        let (program, out) = (quoted(&setup.program), out_of(place, &out));
        let mut text = format!(
            "_pipeline_record() {{\n  if [ \"${{PIPELINE_RECORD:-on}}\" = on ] && command -v {program} >/dev/null 2>&1; then\n    \
             PIPELINE_RECORD=inside command {program} record --out {out} -- \"$@\"\n  else\n    command \"$@\"\n  fi\n}}\n"
        );
        for tool in &setup.tools {
            text += &format!(
                "{}{tool}() {{ _pipeline_record {tool} \"$@\"; }}\n",
                if place == Place::Gitlab { "" } else { "function " }
            );
        }
        text.lines().map(|line| format!("{indent}{line}\n")).collect::<String>()
    };
    let body = match place {
        Place::Bash | Place::Zsh => {
            format!(
                "# Builds and tests typed here are recorded. Off: PIPELINE_RECORD=off. Out: pipeline record install --remove\n{}",
                functions("")
            )
        }
        Place::Fish => {
            let (program, out) = (fish_quoted(&setup.program), fish_quoted(&out));
            let mut text = format!(
                "# Builds and tests typed here are recorded. Off: set -x PIPELINE_RECORD off. Out: pipeline record install --remove\n\
                 if status is-interactive\n  function _pipeline_record\n    if begin; not set -q PIPELINE_RECORD; or test \"$PIPELINE_RECORD\" = on; end; and command -q {program}\n      \
                 PIPELINE_RECORD=inside command {program} record --out {out} -- $argv\n    else\n      command $argv\n    end\n  end\n"
            );
            for tool in &setup.tools {
                text += &format!("  function {tool} --wraps {tool}; _pipeline_record {tool} $argv; end\n");
            }
            text + "end\n"
        }
        Place::GitHook => {
            let (program, out) = (quoted(&setup.program), quoted(&out));
            format!(
                "# Each commit becomes an event. A hook never holds a commit up.\n{program} record --commit --out {out} >/dev/null 2>&1 || :\n"
            )
        }
        Place::Github => format!(
            "# For BASH_ENV of a workflow: every `run` step starts with it. Tools it records are functions.\n{}",
            functions("")
        ),
        Place::Gitlab => format!(
            "# Include it, and extend `.pipeline-record` in the jobs that are to be recorded.\n.pipeline-record:\n  before_script:\n    - |\n{}  \
             artifacts:\n    when: always\n    paths:\n      - {}\n",
            functions("      "),
            out
        ),
    };
    format!("{BEGIN}{own}\n{body}{END}\n")
}

/// In CI every step starts in a folder of its own choice; the events belong to the checkout.
fn out_of(place: Place, out: &str) -> String {
    match place {
        Place::Github => format!("\"$GITHUB_WORKSPACE\"/{}", quoted(out)),
        Place::Gitlab => format!("\"$CI_PROJECT_DIR\"/{}", quoted(out)),
        _ => quoted(out),
    }
}

fn by_hand(place: Place, setup: &Setup) -> Option<String> {
    let out = setup.out.display();
    match place {
        Place::Github => Some(format!(
            "Add to the workflow, beside `jobs:`\n\n  env:\n    BASH_ENV: ${{{{ github.workspace }}}}/.github/pipeline-record.sh\n\n\
             and to each job, as its last step\n\n  - if: always()\n    uses: actions/upload-artifact@v4\n    with:\n      name: events-${{{{ github.job }}}}\n      path: {out}\n      if-no-files-found: ignore\n"
        )),
        Place::Gitlab => Some(
            "Add to .gitlab-ci.yml\n\n  include:\n    - local: .gitlab/pipeline-record.yml\n\nand `extends: .pipeline-record` to the jobs.\n".to_owned(),
        ),
        Place::Bash | Place::Zsh | Place::Fish => Some("New shells record; in this one, start a new shell.\n".to_owned()),
        Place::GitHook => None,
    }
}

fn undo_by_hand(place: Place) -> Option<String> {
    match place {
        Place::Github => Some("Take BASH_ENV and the upload step out of the workflow.\n".to_owned()),
        Place::Gitlab => Some("Take the include and `extends: .pipeline-record` out of .gitlab-ci.yml.\n".to_owned()),
        _ => None,
    }
}

fn quoted(text: &str) -> String {
    super::word(text)
}

fn fish_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> Setup {
        Setup {
            program: "pipeline".into(),
            out: "/data/it's.ndjson".into(),
            tools: vec!["cargo".into(), "make".into()],
        }
    }

    #[test]
    fn taking_the_block_out_leaves_the_file_as_it_was() {
        let block = text(Place::Bash, &setup(), "");
        let bare = |bytes: &[u8]| without(bytes).unwrap().0;
        for before in ["", "alias a=b\n", "no newline at the end", "\n\n", "a\r\nb\r\n"] {
            let with = [before.as_bytes(), b"\n", block.as_bytes()].concat();
            assert_eq!(bare(&with), before.as_bytes(), "{before:?}");
        }
        assert_eq!(bare(b"untouched\n"), b"untouched\n");
        let later = [b"a\n\n", block.as_bytes(), b"b\n"].concat();
        assert_eq!(bare(&later), b"a\nb\n");
        let run_in = [b"a\n", block.as_bytes(), b"b\n"].concat();
        assert_eq!(bare(&run_in), b"a\nb\n", "lines do not run together");
        assert!(without(BEGIN.as_bytes()).is_none() && without(END.as_bytes()).is_none());
    }

    #[test]
    fn a_hook_of_another_language_is_refused() {
        let block = text(Place::GitHook, &setup(), "");
        assert!(after_first_line(b"#!/usr/bin/env python3\nprint()\n", &block).is_none());
        for before in ["#!/bin/sh\nexit 0\n", "#!/usr/bin/env bash", "#!/bin/sh -e\n"] {
            let with = after_first_line(before.as_bytes(), &block).unwrap();
            assert!(with.starts_with(before.lines().next().unwrap().as_bytes()));
            assert_eq!(String::from_utf8(without(&with).unwrap().0).unwrap(), before);
        }
    }
}
