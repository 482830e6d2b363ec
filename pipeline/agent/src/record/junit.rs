//! Test counts from JUnit XML files that a command wrote: for runners whose output says less.

use super::output::Counts;
use quick_xml::events::Event;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where runners put them when nobody says otherwise: jest-junit, nextest, surefire, gradle, and common names.
const USUAL: &[&str] = &[
    "junit.xml",
    "report.xml",
    "test-results",
    "reports",
    "target/nextest",
    "target/surefire-reports",
    "build/test-results",
];

/// Folders within folders that are looked into: gradle has `build/test-results/<task>/<file>`.
const DEPTH: usize = 3;
const MOST_FILES: usize = 5000;
const MOST_BYTES: u64 = 256 << 20;

/// The counts of all files below `folder`, or named in the command, that were written since it began.
pub(crate) fn counts(folder: &Path, words: &[String], since: SystemTime) -> Counts {
    let named = words.iter().filter_map(|word| {
        let path = word.rsplit('=').next().unwrap_or(word);
        let path = path.strip_prefix("xml:").unwrap_or(path);
        path.ends_with(".xml").then(|| folder.join(path))
    });
    let mut files = Vec::new();
    named.for_each(|path| collect(&path, since, 0, &mut files));
    if files.is_empty() {
        USUAL.iter().for_each(|name| collect(&folder.join(name), since, DEPTH, &mut files));
    }
    files.sort();
    files.dedup();
    let mut left_bytes = MOST_BYTES;
    let mut counts = Counts::default();
    for path in files {
        let size = path.metadata().map_or(0, |meta| meta.len());
        let Some(left) = left_bytes.checked_sub(size) else { return Counts::default() };
        left_bytes = left;
        if let Some(found) = File::open(&path).ok().and_then(|file| of(BufReader::new(file))) {
            counts = counts.and(found);
        }
    }
    counts
}

fn collect(path: &Path, since: SystemTime, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(meta) = path.metadata() else { return };
    if meta.is_file() {
        let fresh = meta.modified().is_ok_and(|modified| modified >= since);
        if fresh && path.extension().is_some_and(|end| end == "xml") && files.len() < MOST_FILES {
            files.push(path.to_owned());
        }
    } else if meta.is_dir() && depth > 0 {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            collect(&entry.path(), since, depth - 1, files);
        }
    }
}

/// Counts the cases themselves: the totals of suites are written in several ways. None: no JUnit file, or a torn one.
fn of(text: impl std::io::BufRead) -> Option<Counts> {
    let mut reader = quick_xml::Reader::from_reader(text);
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let (mut suites, mut case, mut depth) = (false, None, 0usize);
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let event = reader.read_event_into(&mut buffer).ok()?;
        let (tag, empty) = match &event {
            Event::Start(tag) => (tag, false),
            Event::Empty(tag) => (tag, true),
            Event::End(tag) => {
                depth = depth.checked_sub(1)?;
                if tag.name().as_ref() == b"testcase" {
                    match case.take()? {
                        How::Passed => passed += 1,
                        How::Failed => failed += 1,
                        How::Skipped => skipped += 1,
                    }
                }
                continue;
            }
            Event::Eof => break,
            _ => continue,
        };
        depth += usize::from(!empty);
        match tag.name().as_ref() {
            b"testsuite" | b"testsuites" => suites = true,
            b"testcase" if empty => passed += 1,
            b"testcase" => case = Some(How::Passed),
            b"failure" | b"error" => case = case.map(|_| How::Failed),
            b"skipped" => case = case.map(|how| if matches!(how, How::Failed) { how } else { How::Skipped }),
            _ => {}
        }
    }
    (suites && depth == 0).then_some(Counts { passed: Some(passed), failed: Some(failed), skipped: Some(skipped) })
}

#[derive(Clone, Copy)]
enum How {
    Passed,
    Failed,
    Skipped,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const TEXT: &str = r#"<?xml version="1.0"?><testsuites tests="9"><testsuite name="a" tests="9">
        <testcase name="1"/><testcase name="2"><system-out>x</system-out></testcase>
        <testcase name="3"><failure message="no"><![CDATA[<testcase/>]]></failure></testcase>
        <testcase name="4"><error/></testcase><testcase name="5"><skipped/></testcase></testsuite></testsuites>"#;

    #[test]
    fn cases_are_counted_and_torn_or_other_files_are_not() {
        let want = Counts { passed: Some(2), failed: Some(2), skipped: Some(1) };
        assert_eq!(of(TEXT.as_bytes()), Some(want));
        assert_eq!(of(&TEXT.as_bytes()[..TEXT.len() - 15]), None);
        assert_eq!(of("<project><testcase/></project>".as_bytes()), None);
    }

    #[test]
    fn only_files_of_this_run_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let began = SystemTime::now() - Duration::from_secs(5);
        fs::create_dir_all(dir.path().join("build/test-results/test")).unwrap();
        fs::write(dir.path().join("build/test-results/test/TEST-a.xml"), TEXT).unwrap();
        assert_eq!(counts(dir.path(), &[], began).passed, Some(2));
        assert_eq!(counts(dir.path(), &[], SystemTime::now() + Duration::from_secs(5)), Counts::default());
        fs::write(dir.path().join("mine.xml"), TEXT).unwrap();
        assert_eq!(counts(dir.path(), &["--junitxml=mine.xml".into()], began).passed, Some(2));
    }
}
