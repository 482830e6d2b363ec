use super::*;
use crate::formats::TEST_NOW;
use crate::sink::Memory;
use crate::stage::{IntakeSpec, stage};
use proptest::prelude::*;
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
    let retried = retry_round(&sink, &privacy, &source, then, (0, 1), TEST_NOW, &mut |_| {}).unwrap();
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

/// A retry with the dump at hand, when nothing has changed: every reject is found and stays.
fn finds_all(dump: &[u8]) -> Result<(), TestCaseError> {
    let (sink, retried) = taken_twice(dump, None, None);
    prop_assert_eq!((retried.read, retried.unreadable, retried.gone.len()), (0, 0, 0));
    prop_assert_eq!(retried.rejected, sink.rejects() as u64);
    Ok(())
}

#[test]
fn a_line_that_is_no_text_is_found_again_whatever_it_ends_in() {
    for end in ["", " ", "\t ", "\r", " \r", "\r\r", "\u{a0}", "\u{feff}"] {
        for start in ["", " ", "\u{feff}"] {
            let odd = [start.as_bytes(), b"{\"a\":\"\xff\xfe\"}", end.as_bytes()].concat();
            let (sink, retried) = taken_twice(&[&odd[..], b"\n{}\n", &odd, b" \n"].concat(), None, None);
            let rejects = sink.rejects() as u64;
            assert!(rejects >= 2, "{end:?}");
            assert_eq!((retried.rejected, retried.unreadable), (rejects, 0), "{start:?} {end:?}");
        }
    }
}

proptest! {
    #[test]
    fn a_retry_finds_every_reject_of_a_dump_that_is_at_hand(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "{}", "{\"a\":1}", "{\"ts\":3,\"type\":\"x\"}", "[1,{\"b\":[]}]", "{\"events\":[{\"ts\":1},2]}",
            "{\"ts\":\"2026-10-01T09:00:00Z\",\"type\":\"annotation\",\"payload\":{\"note\":\"n\"}}",
            "x", "[", "{", "}", "\"", "\n", "\r\n", "\r", " ", "\t", "\u{feff}", "\u{e9}", "\0", "FF", "FE", "\n\n",
        ]), 0..24),
    ) {
        // What stands for bytes that are in no UTF-8.
        let bytes = |part: &&str| match *part {
            "FF" => vec![0xff],
            "FE" => vec![0xfe],
            text => text.as_bytes().to_vec(),
        };
        let dump: Vec<u8> = parts.iter().flat_map(bytes).collect();
        finds_all(&dump)?;
    }
}
