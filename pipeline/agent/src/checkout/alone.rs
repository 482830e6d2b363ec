//! A checkout seen without its own configuration. Comparing a working tree makes git run what the repository's configuration
//! names: filters, a file system monitor, hooks, the other end of a partial clone. Whoever records in a checkout need not
//! trust it, so git gets a git folder of ours: the commit, the index and the objects of the repository, and of its settings
//! only those that say how files are to be read. The person's own configuration counts as always.

use super::{Place, program};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Settings of a repository that run nothing, with the values that they may have.
const HARMLESS: [(&str, &[&str]); 6] = [
    ("filemode", &["true", "false"]),
    ("ignorecase", &["true", "false"]),
    ("symlinks", &["true", "false"]),
    ("precomposeunicode", &["true", "false"]),
    ("autocrlf", &["true", "false", "input"]),
    ("eol", &["lf", "crlf", "native"]),
];

/// A git folder of ours beside the repository's.
pub(super) struct Alone {
    folder: TempDir,
    place: Place,
}

impl Alone {
    /// None where there is no commit, or the repository is stored in a way that this does not know.
    pub(super) fn of(top: &Path) -> Option<Self> {
        let place = Place::of(top)?;
        let commit = place.head()?.1?;
        let folder = tempfile::Builder::new().prefix("pipeline-git.").tempdir().ok()?;
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).ok();
        let settings = settings(&fs::read_to_string(place.common.join("config")).unwrap_or_default());
        let hashes = if commit.len() == 64 { "\n[extensions]\nobjectFormat = sha256\n" } else { "" };
        let version = u8::from(!hashes.is_empty());
        write("config", &format!("[core]\nrepositoryFormatVersion = {version}\nbare = false\n{settings}{hashes}"))?;
        write("HEAD", &format!("{commit}\n"))?;
        for name in ["refs", "objects", "info"] {
            fs::create_dir(folder.path().join(name)).ok()?;
        }
        // Which files are nobody's matter, and how they are to be read: patterns and names, no programs.
        for name in ["info/exclude", "info/attributes"] {
            if let Ok(text) = fs::read_to_string(place.common.join(name)) {
                write(name, &text)?;
            }
        }
        // The other half of a split index.
        for entry in fs::read_dir(&place.git).ok()?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("sharedindex.") {
                std::os::unix::fs::symlink(entry.path(), folder.path().join(entry.file_name())).ok()?;
            }
        }
        Some(Self { folder, place })
    }

    /// git in the working tree.
    pub(super) fn git(&self, args: &[&str]) -> Command {
        let mut command = program(&self.place.top);
        command
            .args(args)
            .env("GIT_DIR", self.folder.path())
            .env("GIT_WORK_TREE", &self.place.top)
            .env("GIT_OBJECT_DIRECTORY", self.place.common.join("objects"))
            .env("GIT_INDEX_FILE", self.place.git.join("index"))
            .env_remove("GIT_COMMON_DIR")
            .env_remove("GIT_ALTERNATE_OBJECT_DIRECTORIES");
        command
    }
}

/// The lines of `[core]` that are kept.
fn settings(config: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line.eq_ignore_ascii_case("[core]");
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| inside) else { continue };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim().to_ascii_lowercase());
        if HARMLESS.iter().any(|(name, values)| *name == key && values.contains(&value.as_str())) {
            kept.push_str(&format!("{key} = {value}\n"));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_repositorys_settings_only_harmless_ones_are_kept() {
        let config = "[core]\n\tfileMode = false\n\tfsmonitor = /bin/evil\n\tautocrlf = input\n\teol = !evil\n\
                      [filter \"x\"]\n\tclean = evil\n\tfilemode = true\n[include]\n\tpath = more\n";
        assert_eq!(settings(config), "filemode = false\nautocrlf = input\n");
    }
}
