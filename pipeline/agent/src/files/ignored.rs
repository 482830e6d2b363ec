//! Which paths nobody wants to hear of: what git ignores, git's own folder, and the scratch files of editors.

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The rules that hold below a folder. Read when they are first needed; [`Self::forget`] when one was edited.
pub(super) struct Ignored {
    /// Where the rules begin: the top of the checkout, else the folder that is watched.
    base: PathBuf,
    everywhere: Gitignore,
    exclude: Gitignore,
    folders: HashMap<PathBuf, Rc<Gitignore>>,
}

impl Ignored {
    pub(super) fn new(base: &Path) -> Self {
        let mut exclude = GitignoreBuilder::new(base);
        exclude.add(base.join(".git/info/exclude"));
        Self {
            base: base.to_owned(),
            everywhere: Gitignore::global().0,
            exclude: exclude.build().unwrap_or_else(|_| Gitignore::empty()),
            folders: HashMap::new(),
        }
    }

    pub(super) fn forget(&mut self) {
        self.folders.clear();
    }

    /// Whether a path, or a folder it is in, is ignored. A path outside the base is.
    pub(super) fn is_ignored(&mut self, path: &Path, is_dir: bool) -> bool {
        let Ok(below) = path.strip_prefix(&self.base) else { return true };
        let mut at = self.base.clone();
        let mut parts = below.components().peekable();
        while let Some(part) = parts.next() {
            at.push(part);
            let is_dir = is_dir || parts.peek().is_some();
            if part.as_os_str() == ".git" || (!is_dir && is_scratch(&at)) || self.is_named(&at, is_dir) {
                return true;
            }
        }
        false
    }

    /// Whether a rule names this very path: the nearest file that says anything counts, as in git.
    fn is_named(&mut self, path: &Path, is_dir: bool) -> bool {
        let folders: Vec<PathBuf> =
            path.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.base)).map(Path::to_owned).collect();
        for folder in folders {
            let rules = self.folders.entry(folder).or_insert_with_key(|folder| Rc::new(rules_in(folder)));
            match rules.matched(path, is_dir) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => {}
            }
        }
        let found = self.exclude.matched(path, is_dir).or(self.everywhere.matched(path, is_dir));
        found.is_ignore()
    }
}

fn rules_in(folder: &Path) -> Gitignore {
    let file = folder.join(".gitignore");
    if !file.is_file() {
        return Gitignore::empty();
    }
    let mut rules = GitignoreBuilder::new(folder);
    // A line that is no pattern costs itself only.
    rules.add(file);
    rules.build().unwrap_or_else(|_| Gitignore::empty())
}

/// Files that an editor writes beside the one that is edited: Vim, Emacs, JetBrains, and what is renamed when whole.
fn is_scratch(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with('~')
        || name.ends_with(".tmp")
        || name.ends_with("___jb_tmp___")
        || name.ends_with("___jb_old___")
        || name.starts_with(".#")
        || (name.starts_with('#') && name.ends_with('#'))
        || name == "4913"
        || (name.starts_with('.') && [".swp", ".swo", ".swx"].iter().any(|end| name.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_git_hold() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path();
        for folder in ["src/gen", "target/debug", ".git/info", "logs"] {
            std::fs::create_dir_all(base.join(folder)).unwrap();
        }
        std::fs::write(base.join(".gitignore"), "target/\n*.log\n!keep.log\n/only-top\n").unwrap();
        std::fs::write(base.join("src/.gitignore"), "gen\n!x.log\n").unwrap();
        std::fs::write(base.join(".git/info/exclude"), "private\n").unwrap();
        let mut ignored = Ignored::new(base);
        for (path, want) in [
            ("src/main.rs", false),
            ("target/debug/x", true),
            ("src/gen/a.rs", true),
            ("logs/a.log", true),
            ("keep.log", false),
            ("src/x.log", false),
            ("only-top", true),
            ("src/only-top", false),
            ("private", true),
            (".git/index", true),
            ("src/.main.rs.swp", true),
            ("src/main.rs~", true),
            (".env", false),
        ] {
            assert_eq!(ignored.is_ignored(&base.join(path), false), want, "{path}");
        }
        assert!(ignored.is_ignored(Path::new("/elsewhere"), false));
        std::fs::write(base.join("src/.gitignore"), "").unwrap();
        ignored.forget();
        assert!(!ignored.is_ignored(&base.join("src/gen/a.rs"), false));
    }
}
