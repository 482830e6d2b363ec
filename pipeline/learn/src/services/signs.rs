//! What can be told of a run before it begins: its tools and tasks, and the kinds, names and folders of the files touched.
//!
//! Tools, tasks and files mean the same in every repository; folders and whole commands only in their own.

use domain::paths::{Role, role};
use std::collections::BTreeSet;

/// What a run shows beforehand, in words. Each set is sorted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Signs {
    /// `cargo`, `npm`.
    pub(super) tools: BTreeSet<String>,
    /// `cargo test`, or workflow and job.
    pub(super) tasks: BTreeSet<String>,
    /// `.rs`, `Cargo.toml`.
    pub(super) files: BTreeSet<String>,
    /// `src/`, `src/net/`.
    pub(super) folders: BTreeSet<String>,
    /// A file that says what is needed changed.
    pub(super) manifest: bool,
    /// A file that says which versions changed.
    pub(super) lockfile: bool,
    /// Packages that the command names, as package URLs.
    pub(super) asked_for: BTreeSet<String>,
    /// Words of the paths, as packages are spelled.
    pub(super) words: BTreeSet<String>,
}

/// Words before the command proper.
const BEFORE: [&str; 8] = ["command", "env", "exec", "nice", "nohup", "sudo", "time", "xvfb-run"];
const SHELLS: [&str; 5] = ["bash", "dash", "sh", "zsh", "fish"];
/// From these words on a command names what it wants to have.
const WANTS: [&str; 6] = ["add", "download", "fetch", "get", "i", "install"];

/// Options whose next word is no package.
const WITH_VALUE: [&str; 10] = [
    "--constraint",
    "--features",
    "--index-url",
    "--loglevel",
    "--prefix",
    "--registry",
    "--requirement",
    "--target",
    "-c",
    "-r",
];

/// A change that touches more kinds of files, or more folders, says little by any of them.
const MANY: usize = 16;

impl Signs {
    /// Of a command, of a CI job where there is no command, and of the files that changed.
    pub(super) fn of(command: Option<&str>, workflow: Option<&str>, job: Option<&str>, paths: &[String]) -> Self {
        let mut signs = Self::default();
        command.into_iter().for_each(|command| signs.command(command));
        let names: Vec<&str> = [workflow, job].into_iter().flatten().collect();
        if !names.is_empty() {
            signs.tasks.insert(format!("ci {}", names.join("/")));
        }
        paths.iter().for_each(|path| signs.path(path));
        if signs.folders.len() > MANY {
            signs.folders.retain(|folder| folder.matches('/').count() == 1);
        }
        for set in [&mut signs.files, &mut signs.folders] {
            while set.len() > MANY {
                set.pop_last();
            }
        }
        signs
    }

    fn command(&mut self, text: &str) {
        for part in text.split(['&', '|', ';', '\n']) {
            let mut words: Vec<&str> = part.split_whitespace().map(|w| w.trim_matches(['"', '\''])).collect();
            loop {
                match words.first() {
                    Some(word) if before(word) => {
                        words.remove(0);
                    }
                    Some(word) if SHELLS.contains(&base(word)) && words.get(1).is_some_and(|w| w.ends_with('c')) => {
                        words.drain(..2);
                    }
                    Some(word) if base(word).starts_with("python") && words.get(1) == Some(&"-m") => {
                        words.drain(..2);
                    }
                    _ => break,
                }
            }
            let Some((program, rest)) = words.split_first() else { continue };
            // `pip3.12` and `python3` do what `pip` and `python` do.
            let tool = base(program).trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').to_owned();
            let task = rest.iter().find(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()));
            self.tasks.insert(task.map_or_else(|| tool.clone(), |task| format!("{tool} {task}")));
            let registry = registry(&tool);
            if let Some(registry) = registry
                && let Some(at) = rest.iter().position(|word| WANTS.contains(word))
            {
                let words = rest[at..].windows(2).filter(|pair| !WITH_VALUE.contains(&pair[0]));
                self.asked_for.extend(words.filter_map(|pair| package(registry, pair[1])));
            }
            self.tools.insert(tool);
        }
    }

    fn path(&mut self, path: &str) {
        let lower = path.to_lowercase();
        let mut parts: Vec<&str> = lower.split('/').collect();
        let Some(name) = parts.pop() else { return };
        let role = role(path);
        self.manifest |= role == Role::Manifest;
        self.lockfile |= role == Role::Lockfile;
        if matches!(role, Role::Manifest | Role::Lockfile) {
            self.files.insert(name.to_owned());
        }
        let (stem, kind) = name.rsplit_once('.').unwrap_or((name, ""));
        if !kind.is_empty() && kind.len() <= 8 {
            self.files.insert(format!(".{kind}"));
        }
        for depth in 1..=parts.len().min(2) {
            self.folders.insert(format!("{}/", parts[..depth].join("/")));
        }
        self.words.extend(parts.into_iter().chain([stem]).map(spelled));
    }

    /// The package that a repository is itself, where its tools tell a registry: `pip install .` names it.
    pub(super) fn itself(&self, repo: &str) -> Option<String> {
        let registry = self.tools.iter().find_map(|tool| registry(tool))?;
        package(registry, base(repo))
    }
}

/// `env`, `A=1`, `-n`, `19`: the command proper comes behind.
fn before(word: &str) -> bool {
    BEFORE.contains(&word) || word.contains('=') || word.starts_with('-') || word.chars().all(|c| c.is_ascii_digit())
}

/// The last part of a path.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn registry(tool: &str) -> Option<&'static str> {
    Some(match tool {
        "cargo" => "cargo",
        "npm" | "npx" | "pnpm" | "yarn" | "bun" => "npm",
        "pip" | "pipx" | "poetry" | "pytest" | "python" | "tox" | "uv" | "nox" | "hatch" => "pypi",
        _ => return None,
    })
}

/// As names are compared: `Typing_Extensions` is `typing-extensions`.
pub(super) fn spelled(name: &str) -> String {
    name.to_lowercase().replace('_', "-")
}

/// The bare name in a package URL, spelled to be compared; a service is its own name.
pub(super) fn bare(thing: &str) -> String {
    spelled(thing.strip_prefix("pkg:").map_or(thing, base))
}

/// `requests>=2` or `left-pad@1.3.0` as a package URL without version; None: an option, a path, no name.
fn package(registry: &str, word: &str) -> Option<String> {
    let (scope, word) = match word.strip_prefix('@') {
        Some(scoped) => scoped.split_once('/').map(|(scope, name)| (format!("%40{scope}/"), name))?,
        None => (String::new(), word),
    };
    let name = word.split(['=', '<', '>', '~', '!', '@', '[', ';']).next()?;
    let sound = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && !name.ends_with(".txt");
    let name = if registry == "pypi" { spelled(name) } else { name.to_owned() };
    sound.then(|| format!("pkg:{registry}/{scope}{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &str, paths: &[&str]) -> Signs {
        let paths: Vec<String> = paths.iter().map(|p| (*p).to_owned()).collect();
        Signs::of(Some(command), None, None, &paths)
    }

    fn texts(set: &BTreeSet<String>) -> Vec<&str> {
        set.iter().map(String::as_str).collect()
    }

    #[test]
    fn the_tool_is_found_behind_what_stands_before_it() {
        for command in ["cargo test", "env A=1 cargo +nightly test", "sh -c 'cargo test'", "/usr/bin/cargo test -p x"] {
            let signs = of(command, &[]);
            assert_eq!((texts(&signs.tools), texts(&signs.tasks)), (vec!["cargo"], vec!["cargo test"]), "{command}");
        }
        assert_eq!(texts(&of("npm ci && npm run build", &[]).tasks), ["npm ci", "npm run"]);
        assert_eq!(texts(&of("python3 -m pip install -r dev.txt x", &[]).tasks), ["pip install"]);
        assert_eq!(texts(&of("make -j4", &[]).tasks), ["make"]);
        assert_eq!(of("", &[]), Signs::default());
    }

    #[test]
    fn packages_that_are_asked_for_by_name_are_known() {
        let signs = of("pip install -q Typing_Extensions>=4 requests[socks]==2 ./local dev.txt", &[]);
        assert_eq!(texts(&signs.asked_for), ["pkg:pypi/requests", "pkg:pypi/typing-extensions"]);
        assert_eq!(
            texts(&of("npm install --loglevel http @babel/core@7 left-pad", &[]).asked_for),
            ["pkg:npm/%40babel/core", "pkg:npm/left-pad"]
        );
        assert_eq!(of("cargo test", &[]).itself("acme/left").as_deref(), Some("pkg:cargo/left"));
    }

    #[test]
    fn files_tell_by_kind_and_name_and_folder() {
        let signs = of("make", &["crates/net/src/lib.rs", "Cargo.lock", "docs/a.md"]);
        assert_eq!(texts(&signs.files), [".lock", ".md", ".rs", "cargo.lock"]);
        assert_eq!(texts(&signs.folders), ["crates/", "crates/net/", "docs/"]);
        assert!(signs.lockfile && !signs.manifest);
        assert!(signs.words.contains("net") && bare("pkg:npm/%40scope/net") == "net");
    }
}
