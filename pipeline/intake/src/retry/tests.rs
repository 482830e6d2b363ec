use super::*;
use crate::sink::Memory;
use crate::stage::{IntakeSpec, stage};
use std::io::Write;

/// Takes a dump, and its rejects once more as another format, with the dump at hand: what was left, and what the retry says.
fn taken_twice(dump: &[u8], first: Option<&'static Format>, then: Option<&'static Format>) -> (Memory, Retried) {
    let privacy = Privacy::new(b"a key of the tests");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(dump).unwrap();
    let source = [Source::File(file.path().to_owned())];
    let sink = Memory::default();
    let spec = IntakeSpec { format: first, ..IntakeSpec::default() };
    stage(&source, &privacy, &spec, &sink, &mut |_, _| {}).unwrap();
    let retried = retry_round(&sink, &privacy, &source, then, (0, 1), &mut |_| {}).unwrap();
    (sink, retried)
}

#[test]
fn what_a_format_says_at_the_end_is_taken_to_its_end() {
    let line = |n: u64| {
        let seconds = 1_790_000_000 + 60 * n;
        format!("container_memory_working_set_bytes{{namespace=\"a\",pod=\"p\",container=\"c\"}} {n} {seconds}\n")
    };
    let dump: String = (1..=10_000).map(line).collect();
    let (sink, retried) = taken_twice(dump.as_bytes(), Some(Format::NATIVE), None);
    assert_eq!((retried.read, retried.rejected, retried.unreadable), (10_000, 0, 0));
    assert_eq!((sink.events(), retried.gone.len()), (10_000, 10_000));
}
