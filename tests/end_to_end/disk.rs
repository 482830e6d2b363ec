//! A disk that is full or cannot be written: a clear error that names it, the old state intact, no debris.

use crate::dumps::busy;
use crate::files;
use crate::program::{Ended, Place, say};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A disk of its own in memory, unmounted whatever happens.
pub struct Disk {
    place: Place,
}

impl Disk {
    /// None, and loudly so, where this may not mount.
    pub fn mount(megabytes: u32) -> Option<Self> {
        let disk = Self { place: Place::new() };
        std::fs::create_dir(disk.path()).unwrap();
        let mounted = disk.run("mount", &["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"]);
        if !mounted {
            say("NOT TESTED: a full and a read-only disk. It takes the right to mount a tmpfs: run this as root.");
        }
        mounted.then_some(disk)
    }

    pub fn path(&self) -> PathBuf {
        self.place.path("disk")
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let ended = Command::new(program).args(arguments).arg(self.path()).stderr(Stdio::null()).status();
        ended.is_ok_and(|status| status.success())
    }

    /// The lake is on the disk; the dumps are not.
    fn place(&self) -> Place {
        let lake = self.path().join("lake").display().to_string();
        Place::with(vec![("PIPELINE_LAKE".to_owned(), lake)])
    }

    /// Takes all but some of what is free.
    pub fn fill(&self, leave: usize) -> PathBuf {
        let path = self.path().join("filler");
        let mut filler = std::fs::File::create(&path).unwrap();
        let block = [1; 4096];
        while filler.write_all(&block).is_ok() {}
        let length = filler.metadata().unwrap().len();
        filler.set_len(length.saturating_sub(leave as u64)).unwrap();
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.run("umount", &[]) || self.run("umount", &["-l"]);
    }
}

fn failed_clearly(ended: &Ended, disk: &Path, why: &str) {
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
    assert_eq!(ended.err.lines().filter(|line| line.starts_with("error:")).count(), 1, "{}", ended.err);
    assert!(ended.err.contains("hint:"), "{}", ended.err);
    assert!(ended.err.contains(why), "{why:?} is not in {}", ended.err);
    assert!(ended.err.contains(&disk.display().to_string()), "it does not name the disk: {}", ended.err);
}

#[test]
fn a_full_disk_costs_nothing() {
    let Some(disk) = Disk::mount(8) else { return };
    let place = disk.place();
    let first = place.write("first.ndjson", busy(300, 1));
    let second = place.write("second.ndjson", busy(9_000, 2));
    assert_eq!(place.ingest(&[&first]), [303, 300, 0, 3]);
    let before = place.staging();

    // From no room for anything to room for all but the last files.
    for leave in [0, 64 << 10, 256 << 10] {
        let filler = disk.fill(leave);
        let ended = place.run(&["ingest", &second]);
        failed_clearly(&ended, &disk.path(), "No space left on device");
        std::fs::remove_file(filler).unwrap();
        assert!(place.staging()[0] == before[0], "the events are not what they were, with {leave} bytes left");
    }

    assert_eq!(place.ingest(&[&second])[1..3], [9_000, 0]);
    let unhindered = Place::new();
    unhindered.ingest(&[&first]);
    unhindered.ingest(&[&second]);
    assert!(place.staging() == unhindered.staging(), "not the lake of an unhindered ingest");
    let lake = disk.path().join("lake");
    assert_eq!(files::unfinished(&lake), Vec::<PathBuf>::new());
    for table in ["events", "rejects"] {
        assert_eq!(files::orphans(&lake.join("staging").join(table)), Vec::<PathBuf>::new(), "debris");
    }
}

#[test]
fn a_disk_without_room_for_a_lake_is_a_clear_error() {
    let Some(disk) = Disk::mount(4) else { return };
    let place = disk.place();
    let dump = place.write("one.ndjson", busy(300, 1));
    let filler = disk.fill(0);
    failed_clearly(&place.run(&["ingest", &dump]), &disk.path(), "No space left on device");
    std::fs::remove_file(filler).unwrap();
    assert_eq!(place.ingest(&[&dump]), [303, 300, 0, 3]);
    assert_eq!(files::unfinished(&disk.path().join("lake")), Vec::<PathBuf>::new());
}

#[test]
fn a_read_only_lake_can_be_read_and_is_not_written() {
    let Some(disk) = Disk::mount(8) else { return };
    let place = disk.place();
    let first = place.write("first.ndjson", busy(300, 1));
    let second = place.write("second.ndjson", busy(300, 2));
    place.ingest(&[&first]);
    let before = (place.staging(), files::below(&disk.path()));
    assert!(disk.run("mount", &["-o", "remount,ro"]));
    failed_clearly(&place.run(&["ingest", &second]), &disk.path(), "Read-only file system");
    assert_eq!(before.0, place.staging(), "reading needs no writing");
    assert_eq!(place.ingest(&[&first]), [303, 0, 300, 3], "nothing new, nothing to write");
    assert!(disk.run("mount", &["-o", "remount,rw"]));
    assert_eq!(files::below(&disk.path()), before.1);
    assert_eq!(place.ingest(&[&second])[1], 300);
}
