//! Questions with parameters, about earlier times, and with mistakes in them.

use crate::program::{Ended, Place, checkout};

fn place() -> Place {
    let place = Place::new();
    place.ingest(&[&checkout().join("tests/sql/marts/runs/given").display().to_string()]);
    place.json(&["materialize"]);
    place
}

const REPORT: &str = "-- One row per number.
-- Parameter least: integer, default 2
-- Parameter word: text, default null
-- Parameter since: duration, default 30d
-- Parameter until: timestamp, default null
-- Parameter share: number, default 0.5
select value, $word as word, $share as share, $until as until
from generate_series(1, 5)
where value >= $least
    and ($word is null or $word <> 'none')
    and (select now from session.clock) - $since < (select now from session.clock)
order by value
limit $top;
";

#[test]
fn parameters_are_typed_and_bound_and_never_part_of_the_text() {
    let place = place();
    place.write("numbers.sql", REPORT);
    let run = |more: &[&str]| place.run(&[&["sql", "-f", "numbers.sql", "--format", "csv"], more].concat());
    let rows = run(&["--param", "top=2"]);
    assert_eq!(rows.out, "value,word,share,until\n2,,0.5,\n3,,0.5,\n", "{}", rows.err);
    let rows = run(&["--param", "top=1", "--param", "least=4", "--param", "until=2026-10-01", "--param", "since=1h"]);
    assert_eq!(rows.out, "value,word,share,until\n4,,0.5,2026-10-01T00:00:00Z\n", "{}", rows.err);
    // A value is a value, whatever it says.
    let evil = "x'; drop table marts.runs; --";
    let rows = run(&["--param", "top=1", "--param", &format!("word={evil}")]);
    assert_eq!(rows.out, format!("value,word,share,until\n2,{evil},0.5,\n"), "{}", rows.err);
    assert_eq!(run(&["--param", "top=1", "--param", "word=none"]).out, "value,word,share,until\n");
    let usage = |ended: Ended, says: &str, hint: &str| {
        assert_eq!(ended.code, 2, "{}", ended.err);
        assert!(ended.err.contains(says) && ended.err.contains(hint), "{}", ended.err);
        assert_eq!(ended.out, "");
    };
    usage(run(&[]), "parameter top has no value", "--param top=VALUE");
    usage(run(&["--param", "top=1", "--param", "tpo=1"]), "no parameter tpo", "least, share, since, top, until, word");
    usage(run(&["--param", "top=many"]), "many is no whole number", "20");
    usage(run(&["--param", "top=1", "--param", "least=1 or 1=1"]), "is no whole number", "20");
    usage(run(&["--param", "top=1", "--param", "since=30 days"]), "is no duration", "30d");
    usage(run(&["--param", "top=1", "--param", "until=yesterday"]), "is no time", "2026-10-01");
    usage(run(&["--param", "top=1", "--param", "share=inf"]), "is no number", "0.5");
    usage(run(&["--param", "top=1", "--param", "top=2"]), "given twice", "");
    usage(run(&["--param", "top"]), "name=value", "");
    place.write("bad.sql", "-- Parameter x: colour\nselect 1");
    usage(place.run(&["sql", "-f", "bad.sql"]), "Parameter x: colour", "default VALUE");
    // Without a declaration, the type follows from the place.
    let query = "select count(*) as n from marts.runs where duration_ms > $d and started_at > $t and repo <> $r";
    let asked = ["sql", query, "--param", "d=0", "--param", "t=2020-01-01", "--param", "r=x"];
    assert!(place.json(&asked)["rows"][0]["n"].as_u64().unwrap() > 0);
    usage(
        place.run(&["sql", query, "--param", "d=long", "--param", "t=2020-01-01", "--param", "r=x"]),
        "no whole number",
        "",
    );
}

#[test]
fn the_reports_are_listed_with_what_they_take_and_each_runs() {
    let place = place();
    let listed = place.json(&["sql", "--list-reports"]);
    let text = place.run(&["sql", "--list-reports"]).out;
    let reports = listed["reports"].as_array().unwrap();
    assert!(reports.len() >= 2);
    for report in reports {
        let name = report["name"].as_str().unwrap();
        assert!(text.contains(name) && !report["about"].as_str().unwrap().is_empty());
        let mut asked = vec!["sql".to_owned(), "-f".to_owned(), name.to_owned()];
        for parameter in report["parameters"].as_array().unwrap().iter().filter(|p| p["required"] == true) {
            asked.extend(["--param".to_owned(), format!("{}=1", parameter["name"].as_str().unwrap())]);
        }
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        place.json(&asked);
    }
    let ended = place.run(&["sql", "-f", "slowest-job"]);
    assert!(ended.code == 1 && ended.err.contains("slowest-jobs"), "{}", ended.err);
}

#[test]
fn the_lake_is_read_as_it_was_until_a_vacuum() {
    let place = Place::new();
    let event = |n: u8| {
        format!(r#"{{"ts":"2026-10-01T0{n}:00:00Z","type":"annotation","repo":"a/b","payload":{{"note":"{n}"}}}}"#)
    };
    let pause = || std::thread::sleep(std::time::Duration::from_millis(30));
    place.ingest(&[&place.write("1.ndjson", event(1))]);
    pause();
    let between = present();
    pause();
    place.json(&["materialize"]);
    place.ingest(&[&place.write("2.ndjson", event(2))]);
    pause();
    let count = |at: &str, table: &str| {
        let ended = place.run(&["--json", "sql", "--at", at, &format!("select count(*) as n from {table}")]);
        let answer: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        answer["rows"][0]["n"].as_i64().ok_or(ended.err)
    };
    assert_eq!(place.sql("select count(*) as n from staging.events")[0]["n"], 2);
    for (at, events) in [("0", 1), ("1", 2), ("staging.events@0", 1), (between.as_str(), 1), (present().as_str(), 2)] {
        assert_eq!(count(at, "staging.events"), Ok(events), "{at}");
    }
    let none = count(&between, "marts.daily").unwrap_err();
    assert!(none.contains("there was no table marts.daily at"), "{none}");
    assert_eq!(count("marts.daily@0", "staging.events"), Ok(1), "the others as of that commit");
    let ended = |at: &str| place.run(&["sql", "--at", at, "select note from staging.events"]);
    for (at, code, says) in [
        ("9", 1, "staging.events has no version 9: it has 0 to 1"),
        ("marts.nothing@0", 1, "no table marts.nothing"),
        ("2020-01-01T00:00:00Z", 1, "had no tables"),
        ("2150-01-01T00:00:00Z", 2, "in the future"),
        ("yesterday", 2, "write a time as"),
    ] {
        let ended = ended(at);
        assert_eq!(ended.code, code, "{at}: {}", ended.err);
        assert!(ended.err.contains(says), "{at}: {}", ended.err);
    }
    // What compact replaced, vacuum deletes; then that moment is gone, and said to be.
    place.json(&["lake", "compact"]);
    place.json(&["lake", "vacuum", "--keep", "0s"]);
    let gone = ended("0");
    assert_eq!(gone.code, 1, "{}", gone.out);
    assert!(gone.err.contains("deleted") && gone.err.contains("vacuum"), "{}", gone.err);
    assert_eq!(place.sql("select count(*) as n from staging.events")[0]["n"], 2);
}

/// The present, as people write it.
fn present() -> String {
    let now = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%NZ"]).output().unwrap();
    String::from_utf8(now.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_mistake_is_shown_where_it_is_with_the_nearest_name() {
    let place = place();
    for (query, says) in [
        ("selec 1", &["expected an SQL statement, found selec", "line 1, column 1", "^^^^^"][..]),
        (
            "select 1\n  from marts.run",
            &["no table marts.run", "line 2, column 8", "^^^^^^^^^", "did you mean marts.runs?"],
        ),
        ("select 1 from reject", &["no table marts.reject", "did you mean staging.rejects?"]),
        (
            "select 1,\n\tduraton_ms from marts.runs",
            &["no column duraton_ms", "line 2, column 2", "did you mean marts.runs.duration_ms?"],
        ),
        ("select r.job_kye from marts.runs r", &["no column job_kye in r", "did you mean r.job_key?"]),
        (
            "select date_trunk('day', started_at) from marts.runs",
            &["no function date_trunk", "column 8", "did you mean date_trunc?"],
        ),
        ("select sum(repo) from marts.runs", &["the function sum cannot work on (text)", "^^^"]),
        (
            "select date_trunc('day')",
            &["the function date_trunc cannot work on (text)", "it is date_trunc(string, timestamp)", "^^^"],
        ),
        ("select repo + 1 from marts.runs", &["text + bigint", "column 8"]),
        ("select (1 from marts.runs", &["expected ), found from", "column 11"]),
        ("select 'abc", &["nterminated string", "column 8"]),
        ("select repo, count(*) from marts.runs", &["column marts.runs.repo must stand in group by", "column 8"]),
        ("select run_id from marts.runs a join marts.runs b on true", &["more than one table", "column 8"]),
        ("select 1 / 0", &["division by zero"]),
        ("select cast('x' as bigint)", &["'x'"]),
        ("select 1 as a, 2 as a", &["column a comes twice"]),
    ] {
        let ended = place.run(&["sql", query]);
        assert_eq!(ended.code, 1, "{query}");
        for text in says {
            assert!(ended.err.contains(text), "{query}: {text}: {}", ended.err);
        }
        for engine in ["Utf8", "Int64", "SchemaError", "ParserError", "DataFusion", "Error during", "Some("] {
            assert!(!ended.err.contains(engine), "{query}: {}", ended.err);
        }
        assert_eq!(ended.err.matches("caused by").count(), 1, "{query}: {}", ended.err);
    }
    place.write("mine.sql", "-- A question.\nselect 1;\n\nselect repo,\n    durations\nfrom marts.runs");
    let ended = place.run(&["sql", "-f", "mine.sql", "--format", "csv"]);
    assert!(ended.err.contains("mine.sql:5:5"), "{}", ended.err);
    assert!(ended.err.contains("5 |     durations\n    |     ^^^^^^^^^"), "{}", ended.err);
    let json = place.run(&["--json", "sql", "select nope"]);
    let answer: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(answer["exit"], 1);
    for (arguments, says) in [(&["sql", ""][..], "empty"), (&["sql", " -- nothing\n;"], "empty")] {
        let ended = place.run(arguments);
        assert!(ended.code == 2 && ended.err.contains(says), "{}", ended.err);
    }
}

#[test]
fn payloads_are_read_only_of_the_types_that_are_asked_for() {
    let place = Place::new();
    let event = |n: i64, kind: &str, payload: serde_json::Value| {
        let ts = domain::Timestamp((1_700_000_000 + n) * 1_000_000).to_string();
        serde_json::json!({"ts": ts, "type": kind, "env": "dev", "payload": payload}).to_string()
    };
    let mut lines: Vec<String> = (0..3000)
        .map(|n| event(n, "usage", serde_json::json!({"interval_s": 60, "cpu_cores": 0.5, "throttled_ratio": 0.1})))
        .collect();
    lines.push(event(1500, "annotation", serde_json::json!({"note": "the one"})));
    let dump = place.write("samples.ndjson", lines.join("\n"));
    place.ingest(&[&dump]);
    // Tried by the reader, before it has a payload: nothing is left for a filter above it.
    let plan = |query: &str| place.run(&["sql", &format!("explain {query}"), "--format", "csv"]).out;
    let few = plan("select payload from staging.events where type in ('annotation', 'deployment')");
    assert!(few.contains("annotation") && !few.contains("FilterExec"), "{few}");
    let narrow = plan("select ts from staging.events where type = 'usage'");
    assert!(narrow.contains("FilterExec"), "{narrow}");
    let rows = place.sql("select json_get_str(payload, 'note') as note from staging.events where type = 'annotation'");
    assert_eq!(rows, [serde_json::json!({"note": "the one"})]);
    let likely =
        "select count(*) as n from (select payload from staging.events where type = 'usage' and payload like '%0.5%')";
    assert_eq!(place.sql(likely), [serde_json::json!({"n": 3000})]);
    let changes = place.sql("select change, text from features.application_changes");
    assert_eq!(changes, [serde_json::json!({"change": "annotation", "text": "the one"})]);
}
