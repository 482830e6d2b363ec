//! Real commands, recorded in this process; what needs the whole program is in tests/end_to_end.

use super::*;
use domain::event::read_native;
use domain::privacy::Privacy;

fn recorded(cmd: &[&str]) -> Recorded {
    let cmd: Vec<OsString> = cmd.iter().map(OsString::from).collect();
    let tags = [("env", "acme-dev"), ("resource", "acme-dev/web"), ("pr", "acme/api#7"), ("type", "nonsense")];
    let tags = tags.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let now = || Timestamp::parse("2026-10-01T00:00:00Z").unwrap();
    run(&cmd, &RecordSpec { tags, detect_checkout: true, ..RecordSpec::default() }, now, Box::new(|_| {})).unwrap()
}

#[test]
fn the_exit_code_passes_through() {
    for code in [0, 1, 42, 255] {
        let recorded = recorded(&["sh", "-c", &format!("exit {code}")]);
        assert_eq!(recorded.exit_code, code);
        assert_eq!(recorded.events[0]["payload"]["exit_code"], code);
    }
}

#[test]
fn a_signal_reads_as_128_and_its_number() {
    assert_eq!(recorded(&["sh", "-c", "kill -TERM $$"]).exit_code, 143);
    let killed = recorded(&["sh", "-c", "kill -KILL $$"]);
    assert_eq!((killed.exit_code, &killed.events[0]["payload"]["signal"]), (137, &json!(9)));
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    let run = |cmd: &[OsString]| run(cmd, &RecordSpec::default(), Timestamp::default, Box::new(|_| {}));
    let error = run(&["no-such-program".into()]).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.exit_code()), ("cannot start no-such-program", 127));
    assert!(matches!(run(&[]), Err(AgentError::NoCommand)));
}

#[test]
fn the_event_passes_the_type_rule_with_what_was_used() {
    let spin = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
    let event = recorded(&["sh", "-c", spin]).events.remove(0);
    let read = read_native(event, &Privacy::new(b"a key for tests")).remove(0).unwrap();
    assert_eq!(read.kind, "command");
    assert_eq!(read.ts.to_string(), "2026-10-01T00:00:00Z");
    assert_eq!(read.resource.as_deref(), Some("acme-dev/web"));
    assert_eq!(read.pr_id.as_deref(), Some("acme/api#7"));
    assert!(read.repo.is_some());
    let number = |name: &str| read.payload[name].as_u64().unwrap();
    assert!(number("cpu_ms") > 0 && number("duration_ms") > 0);
    assert!(number("memory_peak_bytes") > 100_000);
}

#[test]
fn a_test_is_a_test_event_and_its_text_can_be_typed_again() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("pytest");
    std::os::unix::fs::symlink("/bin/true", &program).unwrap();
    let event = recorded(&[&program.to_string_lossy(), "-k", "it's a b"]).events.remove(0);
    assert_eq!((&event["type"], &event["payload"]["kind"]), (&json!("test"), &json!("test")));
    assert!(event["payload"]["command"].as_str().unwrap().ends_with(r"pytest -k 'it'\''s a b'"));
    assert!(event["payload"].get("passed").is_none(), "no count is made up");
}
