//! Results in every format, to standard output and to files.

use crate::program::{Place, checkout};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

fn place() -> Place {
    let place = Place::new();
    place.ingest(&[&checkout().join("tests/sql/marts/runs/given").display().to_string()]);
    place.json(&["materialize"]);
    place
}

const TYPES: &str = r#"select 9007199254740993 as i, 1.25::decimal(38,2) as d, 'NaN'::double as nan, true as b,
 'é"x,' || chr(10) || 'y' as t, '' as e, null as n, arrow_cast('2026-10-01T02:00:00.5+02:00', 'Timestamp(Microsecond, Some("UTC"))') as ts,
 date '2026-10-01' as da, interval '1 day 2 hours' as iv, [1, null, 3] as l, {x: 1, y: 'z'} as s, x'0aff' as bin,
 json_get('{"a":"v"}', 'a') as u, json_get('{}', 'a') as un, map {'k': 1} as m, '日本' as cjk, arrow_cast('d', 'Dictionary(Int32, Utf8)') as di"#;

#[test]
fn every_type_is_written_in_every_format() {
    let place = place();
    place.write("types.sql", TYPES);
    let run = |format: &str| {
        let ended = place.run(&["sql", "-f", "types.sql", "--format", format]);
        assert_eq!(ended.code, 0, "{format}: {}", ended.err);
        ended.out
    };
    let csv = run("csv");
    let row = "9007199254740993,1.25,NaN,true,\"é\"\"x,\ny\",,,2026-10-01T00:00:00.500Z,2026-10-01,1 days 2 hours,\"[1, null, 3]\",\"{x: 1, y: z}\",0aff,v,,{k: 1},日本,d\n";
    assert_eq!(csv, format!("i,d,nan,b,t,e,n,ts,da,iv,l,s,bin,u,un,m,cjk,di\n{row}"));
    let ndjson = run("ndjson");
    assert_eq!(ndjson.lines().count(), 1);
    let object: serde_json::Value = serde_json::from_str(&ndjson).unwrap();
    assert_eq!(object["i"].as_i64(), Some(9007199254740993));
    assert_eq!(object["t"], "é\"x,\ny");
    assert_eq!(object["l"], serde_json::json!([1, null, 3]));
    assert_eq!(object["s"], serde_json::json!({"x": 1, "y": "z"}));
    assert_eq!(object["ts"], "2026-10-01T00:00:00.500Z");
    assert_eq!((&object["u"], &object["un"]), (&"v".into(), &serde_json::Value::Null));
    assert!(object["n"].is_null() && object.as_object().unwrap().contains_key("n"), "a null is written");
    assert_eq!(run("json").trim(), format!("[{}]", ndjson.trim()));
    let table = run("table");
    assert!(table.contains("é\"x,\\ny") && table.contains("  NULL  2026-10-01T00:00:00.500Z"), "{table}");
    // Parquet says the same when it is read again.
    assert_eq!(place.run(&["sql", "-f", "types.sql", "-o", "types.parquet"]).code, 0);
    let again = place.run(&["sql", "--allow-files", "select * from 'types.parquet'", "--format", "csv"]);
    assert_eq!(again.out, csv, "{}", again.err);
}

#[test]
fn nothing_is_a_result_too() {
    let place = place();
    let run = |format: &str| place.run(&["sql", "select 1 as a, 'x' as b where false", "--format", format]).out;
    assert_eq!(run("csv"), "a,b\n");
    assert_eq!(run("json"), "[]\n");
    assert_eq!(run("ndjson"), "");
    assert!(run("table").ends_with("(0 rows)\n"));
    assert_eq!(place.run(&["sql", "select 1 as a where false", "-o", "none.parquet"]).code, 0);
    assert_eq!(place.json(&["sql", "--allow-files", "select count(a) as n from 'none.parquet'"])["rows"][0]["n"], 0);
}

#[test]
fn a_file_is_there_whole_or_not_at_all() {
    let place = place();
    let old = place.write("out.csv", "what was there\n");
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o640)).unwrap();
    // It fails after rows were written.
    let ended =
        place.run(&["sql", "select 1 / (value - 200000) as x from generate_series(1, 400000)", "-o", "out.csv"]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert_eq!(place.read("out.csv"), "what was there\n");
    let drafts = || {
        let names = std::fs::read_dir(place.path("")).unwrap().map(|f| f.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().contains("draft")).count()
    };
    assert_eq!(drafts(), 0);
    assert_eq!(place.run(&["sql", "select 1 as x", "-o", "out.csv"]).code, 0);
    assert_eq!(place.read("out.csv"), "x\n1\n", "the format follows the ending");
    assert_eq!(std::fs::metadata(&old).unwrap().permissions().mode() & 0o777, 0o640);
    symlink(&old, place.path("link.csv")).unwrap();
    assert_eq!(place.run(&["sql", "select 2 as x", "-o", "link.csv"]).code, 0);
    assert_eq!(place.read("out.csv"), "x\n2\n", "what the link points to");
    assert!(std::fs::symlink_metadata(place.path("link.csv")).unwrap().is_symlink());
    let before = place.lake_files();
    std::fs::create_dir(place.path("folder")).unwrap();
    for (output, says) in [
        ("folder", "it is a folder"),
        ("none/x.csv", "there is no folder"),
        ("lake/x.csv", "inside the lake"),
        ("lake/lake.json", "inside the lake"),
        ("folder/../lake/marts/runs/_delta_log/00000000000000000000.json", "inside the lake"),
    ] {
        let ended = place.run(&["sql", "select 1 as x", "-o", output]);
        assert_eq!(ended.code, 2, "{output}");
        assert!(ended.err.contains(says), "{output}: {}", ended.err);
    }
    assert_eq!(before, place.lake_files());
    assert_eq!(drafts(), 0);
    let both = place.run(&["sql", "select 1; select 2", "-o", "both.csv"]);
    assert_eq!(both.code, 2, "{}", both.err);
    assert!(!place.path("both.csv").exists());
    assert_eq!(place.run(&["sql", "select 1 as x", "-o", "-", "--format", "csv"]).out, "x\n1\n");
    assert_eq!(place.json(&["sql", "select 1 as x", "-o", "two.csv"])["row_count"], 1);
}

#[test]
fn a_large_result_is_not_held_in_memory() {
    let place = place();
    // Two million rows of 100 bytes are 200 MB of text; the limit of data memory leaves room for a few batches.
    let query = "select value, repeat('x', 100) as filler from generate_series(1, 2000000)";
    for format in ["csv", "ndjson", "parquet"] {
        let out = place.path(&format!("out.{format}"));
        let peak = place.path("peak");
        let mut shell = std::process::Command::new("sh");
        // The peak of the program, as the kernel counts it.
        shell.arg("-c").arg("\"$@\" & pid=$!; while kill -0 $pid 2>/dev/null; do grep VmHWM /proc/$pid/status 2>/dev/null; sleep 0.1; done > \"$PEAK\"; wait $pid");
        let command = place.command(&["sql", query, "-o", out.to_str().unwrap()]);
        shell.arg("sh").arg(command.get_program()).args(command.get_args());
        shell.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        shell.env("PEAK", &peak).current_dir(command.get_current_dir().unwrap());
        let ended = crate::program::end(shell);
        assert_eq!(ended.code, 0, "{format}: {}", ended.err);
        let kib = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
        let most = place.read("peak").lines().filter_map(kib).max().unwrap();
        assert!(most < 200 * 1024, "{format}: {most} KiB");
    }
    assert_eq!(
        place.json(&["sql", "--allow-files", "select count(*) as n from 'out.parquet'"])["rows"][0]["n"],
        2_000_000
    );
}

#[test]
fn a_reader_that_goes_away_ends_the_query_in_silence() {
    let place = place();
    for format in ["csv", "ndjson", "table"] {
        let mut command =
            place.command(&["sql", "select value from generate_series(1, 100000000000)", "--format", format]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 10];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    }
}

#[test]
fn statements_from_a_pipe_run_in_order_until_the_first_error() {
    let place = place();
    let pipe = |flags: &[&str], text: &str| {
        let mut command = place.command(&[&["sql"], flags].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let ended = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (ended.status.code().unwrap(), text(&ended.stdout), text(&ended.stderr))
    };
    let csv = ["--format", "csv"];
    let (code, out, _) = pipe(&csv, "select ';' as a; -- two\nselect\n 2 as b;\nselect 3 as c");
    assert_eq!((code, out.as_str()), (0, "a\n;\nb\n2\nc\n3\n"));
    let (code, out, err) = pipe(&csv, "select 1 as a;\n\nselect 2 as b,\n  nope from marts.runs;\nselect 3 as c;");
    assert_eq!((code, out.as_str()), (1, "a\n1\n"));
    assert!(err.contains("standard input:4:3"), "{err}");
    let (code, out, _) = pipe(&["--json"], "select 1 as a; select 2 as b;");
    assert_eq!(code, 0);
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["results"][1]["rows"][0]["b"], 2);
    let (code, out, _) = pipe(&[], "\\d\n\\q\nselect nope;");
    assert!(code == 0 && out.contains("marts.runs"), "{out}");
    let (code, out, err) = pipe(&csv, "\\o next.json\nselect 1 as a;\nselect 2 as a;");
    assert_eq!((code, out.as_str(), place.read("next.json").trim()), (0, "a\n2\n", "[{\"a\":1}]"), "{err}");
    assert_eq!(pipe(&[], "").0, 0);
}

#[test]
fn data_cannot_command_a_terminal_through_an_error_either() {
    let place = place();
    let ended = place.run(&["sql", "select cast('\u{1b}[2J' as bigint)"]);
    assert_eq!(ended.code, 1);
    assert!(!ended.err.contains('\u{1b}') && ended.err.contains("\\x1b[2J"), "{}", ended.err);
}
