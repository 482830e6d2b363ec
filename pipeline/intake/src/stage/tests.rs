use super::*;
use crate::sink::Memory;

fn lines(text: &str) -> Source {
    Source::Lines { name: "lines".into(), text: text.into() }
}

fn event(day: u32, note: u32) -> String {
    format!(r#"{{"ts":"2026-10-{day:02}T09:00:00Z","type":"annotation","payload":{{"note":"note {note}"}}}}"#)
}

fn take(sink: &Memory, sources: &[Source], spec: &IntakeSpec) -> Result<Tally, IntakeError> {
    stage(sources, &Privacy::new(b"a key of the tests"), spec, sink, &mut |_, _| {})
}

#[test]
fn each_event_and_each_reject_is_left_once_and_rows_come_by_day() {
    let sink = Memory::default();
    let mut text: Vec<String> = (0..600).map(|n| event(1 + n % 3, n % 500)).collect();
    text.insert(7, "no event".into());
    text.push("no event".into());
    let source = lines(&text.join("\n"));
    for _ in 0..2 {
        let tally = take(&sink, &[source.clone(), source.clone()], &IntakeSpec::default()).unwrap();
        assert_eq!((tally.read, tally.rejected), (1204, 4));
        assert_eq!(tally.reasons, BTreeMap::from([("not_json".to_owned(), 4)]));
    }
    assert_eq!((sink.events(), sink.rejects()), (600, 1));
    assert_eq!(sink.days_written.load(Ordering::Relaxed), 3);
}

#[test]
fn of_a_dump_that_breaks_off_nothing_is_left_where_the_others_shall_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.ndjson.zst");
    let packed = zstd::encode_all(event(1, 1).as_bytes(), 1).unwrap();
    std::fs::write(&broken, &packed[..packed.len() - 4]).unwrap();
    let sources = [lines(&event(2, 2)), Source::File(broken), lines(&event(3, 3))];
    let refused = take(&Memory::default(), &sources, &IntakeSpec::default());
    assert!(matches!(refused, Err(IntakeError::Read { .. })));
    let sink = Memory::default();
    let tally = take(&sink, &sources, &IntakeSpec { keep_going: true, ..IntakeSpec::default() }).unwrap();
    assert_eq!((tally.read, tally.broken.len(), sink.events()), (2, 1, 2));
    assert!(tally.broken[0].source.ends_with("broken.ndjson.zst"));
}

#[test]
fn more_rejects_than_the_limit_are_an_error() {
    let source = [lines(&format!("{}\nno event\nnor this", event(1, 1)))];
    let with =
        |limit| take(&Memory::default(), &source, &IntakeSpec { reject_limit: Some(limit), ..IntakeSpec::default() });
    for limit in [RejectLimit::Count(1), RejectLimit::Share(0.5)] {
        assert!(matches!(with(limit), Err(IntakeError::RejectLimit { rejected: 2, read: 3, .. })), "{limit:?}");
    }
    for limit in [RejectLimit::Count(2), RejectLimit::Share(0.7)] {
        assert_eq!(with(limit).unwrap().rejected, 2, "{limit:?}");
    }
}
