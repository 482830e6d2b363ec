//! Processes killed for want of memory in a control group and in all that are nested in it.
//!
//! Version 2 counts them so by itself (`memory.events` of the kernel's cgroup-v2.rst), unless it is mounted with
//! `memory_localevents`. Version 1 counts in each group only what was killed in it (`mm/memcontrol.c`, memcg_memory_event: the way
//! up ends where the hierarchy is not the default one), and forgets it with the group. So the groups below are looked at one
//! by one, and what a group that is gone had counted stays.

use crate::kernel::oom_kills;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Nested groups of one container that are looked at.
const GROUPS_MOST: usize = 1024;

/// What was counted so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Kills {
    /// At the last look, by group.
    counted: HashMap<PathBuf, u64>,
    total: u64,
}

impl Kills {
    /// Looks again: the kills of the group and of all in it since the first of them began. None where it is gone.
    pub(super) fn of_tree(&mut self, group: &Path) -> Option<u64> {
        oom_kills(group)?;
        let mut now = HashMap::new();
        let mut folders = vec![group.to_owned()];
        while let Some(folder) = folders.pop() {
            let Some(kills) = oom_kills(&folder) else { continue };
            let below = fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
            folders.extend(
                below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
            );
            now.insert(folder, kills);
            if now.len() >= GROUPS_MOST {
                break;
            }
        }
        for (folder, kills) in &now {
            // Fewer than before: another group of the same name.
            let before = self.counted.get(folder).copied().filter(|before| before <= kills).unwrap_or(0);
            self.total += kills - before;
        }
        self.counted = now;
        Some(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_groups_count_and_what_one_that_is_gone_had_counted_stays() {
        let dir = tempfile::tempdir().unwrap();
        let set = |below: &str, kills: u64| {
            let folder = dir.path().join(below);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("memory.oom_control"), format!("oom_kill_disable 0\noom_kill {kills}\n")).unwrap();
        };
        let mut seen = Kills::default();
        let mut look = || seen.of_tree(dir.path());
        assert_eq!(look(), None, "no group");
        set("", 1);
        set("build/step", 2);
        assert_eq!(look(), Some(1), "a folder that is no group ends the way down");
        set("build", 0);
        assert_eq!(look(), Some(3));
        assert_eq!(look(), Some(3), "nothing new");
        set("build/step", 5);
        assert_eq!(look(), Some(6));
        fs::remove_dir_all(dir.path().join("build/step")).unwrap();
        assert_eq!(look(), Some(6), "it is gone, and was killed all the same");
        set("build/step", 1);
        assert_eq!(look(), Some(7), "another of the same name");
    }
}
