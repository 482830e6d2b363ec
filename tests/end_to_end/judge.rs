//! `judge`: two queries, one verdict, its exit code, and what it says of columns that are none.

use crate::program::{Ended, Place};
use serde_json::{Value, json};

/// A lake with one event: queries need no more.
fn place() -> Place {
    let place = Place::new();
    place.write(
        "one.ndjson",
        json!({"ts": "2026-10-01T00:00:00Z", "type": "annotation", "payload": {"note": "x"}}).to_string(),
    );
    place.json(&["ingest", "one.ndjson"]);
    place
}

/// Twenty values that differ by up to a tenth, each times `ratio`, one a minute.
fn runs(ratio: f64) -> String {
    format!(
        "select {ratio} * (100.0 + (value * 7919) % 11) as value, value as n, \
         to_timestamp_seconds(1790812800 + 60 * value) as ts from generate_series(1, 20)"
    )
}

fn judged(place: &Place, control: &str, candidate: &str, more: &[&str]) -> (i32, Value) {
    let arguments = ["--json", "judge", "--control", control, "--candidate", candidate];
    let ended = place.run(&[&arguments[..], more].concat());
    assert_eq!(ended.out.lines().count(), 1, "{} {}", ended.out, ended.err);
    (ended.code, serde_json::from_str(&ended.out).unwrap())
}

#[test]
fn the_exit_code_is_the_verdict() {
    let place = place();
    for more in [&["--horizon", "20"][..], &[]] {
        let (code, pass) = judged(&place, &runs(1.0), &runs(0.99), more);
        assert_eq!((code, pass["verdict"].as_str()), (0, Some("pass")), "{pass}");
        let (code, fail) = judged(&place, &runs(1.0), &runs(1.3), more);
        assert_eq!((code, fail["verdict"].as_str()), (3, Some("fail")), "{fail}");
        assert!((fail["effect"]["change"].as_f64().unwrap() - 0.3).abs() < 0.02);
        assert!(fail["effect"]["lower"].as_f64().unwrap() > 0.0);
        let few = format!("{} limit 3", runs(1.3));
        let (code, early) = judged(&place, &runs(1.0), &few, more);
        assert_eq!((code, early["verdict"].as_str()), (5, Some("inconclusive")), "{early}");
        assert_eq!((early["candidate"]["observations"].as_u64(), early["used"].as_u64()), (Some(3), Some(3)));
        // Higher is better: the same figures, turned round.
        let turned = [more, &["--higher-better"]].concat();
        assert_eq!(judged(&place, &runs(1.0), &runs(1.3), &turned).0, 0);
        assert_eq!(judged(&place, &runs(1.3), &runs(1.0), &turned).0, 3);
    }
    let (_, open) = judged(&place, &runs(1.0), &runs(1.3), &[]);
    let (_, known) = judged(&place, &runs(1.0), &runs(1.3), &["--horizon", "20"]);
    assert_eq!((open["design"].as_str(), known["design"].as_str()), (Some("e"), Some("gst")));
    assert!(known["alpha_spent"].as_f64().unwrap() < 0.05);
}

#[test]
fn people_read_few_lines_and_none_is_wide() {
    let place = place();
    let (control, candidate) = (runs(1.0), runs(1.0).replace("7919", "3"));
    let asked = ["judge", "--control", &control, "--candidate", &candidate, "--horizon", "20", "--margin", "1%"];
    let ended = place.run(&asked);
    assert_eq!(ended.code, 5, "{} {}", ended.out, ended.err);
    assert!(ended.out.starts_with("inconclusive: neither harm is shown"), "{}", ended.out);
    assert!(ended.out.contains("needed: about"), "{}", ended.out);
    assert!((4..=12).contains(&ended.out.lines().count()), "{}", ended.out);
    assert!(ended.out.lines().all(|line| line.chars().count() <= 80), "{}", ended.out);
    assert_eq!(place.run(&asked).out, ended.out, "asking again changes nothing");
}

#[test]
fn any_order_of_arrival_is_judged_alike() {
    let place = place();
    let shuffled = |ratio: f64, by: &str| format!("select value, ts from ({}) order by {by}", runs(ratio));
    let answers: Vec<_> = ["n", "n desc", "(n * 13) % 20"]
        .iter()
        .map(|by| judged(&place, &shuffled(1.0, by), &shuffled(1.1, by), &["--horizon", "20"]))
        .collect();
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
}

#[test]
fn the_metric_the_unit_and_what_is_censored_are_columns() {
    let place = place();
    // Ten requests of each of six users: six observations.
    let users = |ratio: f64, arm: &str| {
        format!(
            "select {ratio} * (10 + u.value + r.value % 3) as latency_ms, concat('{arm}', u.value) as unit, \
             u.value + 6 * r.value as ts from generate_series(1, 6) u cross join generate_series(1, 10) r"
        )
    };
    let (code, few) =
        judged(&place, &users(1.0, "a"), &users(9.0, "b"), &["--metric", "latency_ms", "--horizon", "40"]);
    assert_eq!(code, 5, "six users cannot show it: {few}");
    assert_eq!((few["control"]["rows"].as_u64(), few["control"]["observations"].as_u64()), (Some(60), Some(6)));
    assert_eq!(few["metric"], "latency_ms");
    // Sixty that are taken for independent could.
    let requests = |ratio: f64| format!("select latency_ms, ts from ({})", users(ratio, "a"));
    let asked = ["--metric", "latency_ms", "--horizon", "60"];
    assert_eq!(judged(&place, &requests(1.0), &requests(9.0), &asked).0, 3);
    // Whatever runs into a time-out of 120 s is at least so long.
    let cut = |ratio: f64| {
        format!("select least(value, 120.0) as value, ts, value >= 120.0 as censored from ({})", runs(ratio))
    };
    let (code, cut) = judged(&place, &cut(1.0), &cut(1.19), &["--horizon", "20"]);
    assert_eq!(code, 3, "{cut}");
    assert!(cut["candidate"]["censored"].as_u64().unwrap() >= 10, "{cut}");
}

#[test]
fn kayentas_examples_and_no_data() {
    let place = place();
    let values = |values: &[i64]| {
        let rows: Vec<_> = values.iter().enumerate().map(|(n, value)| format!("({n}, {value})")).collect();
        format!("select column2 as value, column1 as ts from (values {}) v", rows.join(", "))
    };
    let (control, canary) = (values(&[1; 10]), values(&[100, 100, 100, 1, 100, 100, 1, 100, 1, 100]));
    for more in [&[][..], &["--horizon", "10"]] {
        assert_eq!(judged(&place, &control, &canary, more).0, 3);
        let (control, canary) = (values(&[0; 6]), values(&[0, 1, 2, 1, 0, 0]));
        assert_eq!(judged(&place, &control, &canary, more).0, 5);
        let none = "select 1.0 as value, 1 as ts where false";
        let (code, empty) = judged(&place, none, none, more);
        assert_eq!((code, empty["reason"].as_str()), (5, Some("there is no data")));
        let (code, empty) = judged(&place, &control, none, more);
        assert_eq!((code, empty["reason"].as_str()), (5, Some("the candidate has no data")));
    }
    // A control of the days before.
    let before = format!("select value, ts - interval '1 day' as ts from ({})", runs(1.0));
    let (code, other) = judged(&place, &before, &runs(1.5), &["--horizon", "20"]);
    assert_eq!(code, 5);
    assert!(other["reason"].as_str().unwrap().contains("another time"), "{other}");
    assert_eq!(judged(&place, &before, &runs(1.5), &["--horizon", "20", "--control-before"]).0, 3);
}

#[test]
fn a_file_can_be_judged() {
    let place = place();
    for (name, ratio) in [("control", 1.0), ("canary", 1.3)] {
        place.json(&["sql", &runs(ratio), "-o", &format!("{name}.parquet")]);
    }
    let (code, _) =
        judged(&place, "select * from 'control.parquet'", "select * from 'canary.parquet'", &["--horizon", "20"]);
    assert_eq!(code, 3);
}

#[test]
fn what_cannot_be_judged_is_said_with_what_to_do() {
    let place = place();
    let good = runs(1.0);
    let run = |candidate: &str, more: &[&str]| {
        place.run(&[&["judge", "--control", &good, "--candidate", candidate], more].concat())
    };
    let usage = |ended: Ended, says: &str, hint: &str| {
        assert_eq!(ended.code, 2, "{} {}", ended.out, ended.err);
        assert!(ended.err.contains(says) && ended.err.contains(hint), "{}", ended.err);
        assert_eq!(ended.out, "");
    };
    let changed = |column: &str| format!("select {column}, n from ({good})");
    usage(run(&changed("value as v, ts"), &[]), "the candidate has no column value", "its columns are v, ts, n");
    usage(run(&good, &["--metric", "latency"]), "the control has no column latency", "--metric");
    usage(run(&changed("cast(value as text) as value, ts"), &[]), "is a text, no number", "cast(x as double)");
    usage(run(&changed("value, 'soon' as ts"), &[]), "ts of the candidate", "a number that grows");
    usage(run(&changed("value, case when n > 1 then ts end as ts"), &[]), "has no ts", "leave the column out");
    usage(run(&changed("value, ts, case when n > 1 then 'u' end as unit"), &[]), "has no unit", "give every row one");
    usage(run(&changed("value, ts, 'yes' as censored"), &[]), "the column censored", "at least this");
    usage(run(&changed("value, ts, n as censored"), &[]), "censored of the candidate holds 2", "true, or 1");
    usage(run("", &[]), "the candidate is no query", "one select");
    usage(run("-- nothing", &[]), "the candidate is no query", "one select");
    usage(run(&format!("{good}; {good}"), &[]), "more than one statement", "one select");
    usage(run(&changed("value"), &[]), "some rows have a time", "both queries have a column ts");
    usage(run(&changed("value / 0.0 as value, ts"), &[]), "not a finite number", "censored");
    usage(run("delete from marts.runs", &[]), "only queries", "");
    usage(run(&good, &["--alpha", "0"]), "alpha 0", "0.05");
    usage(run(&good, &["--margin", "-5%"]), "margin", "such as 20%");
    usage(run(&good, &["--margin", "much"]), "much", "20%");
    usage(run(&good, &["--higher-better", "--margin", "100%"]), "margin of 1", "below 100%");
    usage(run(&good, &["--horizon", "0"]), "horizon of 0", "--horizon");
    usage(run(&good, &["--looks", "0"]), "one look", "--looks");
    usage(run(&good, &["--lower-better", "--higher-better"]), "exclude each other", "");
    // A query that fails is what it is everywhere.
    assert_eq!(run("select value from marts.nothing", &[]).code, 1);
    // What is missing is left out and counted.
    let some = "case when n % 4 = 0 then null else value end as value, ts";
    let some = format!("select {some} from ({})", runs(0.99));
    let (code, answer) = judged(&place, &good, &some, &["--horizon", "15"]);
    assert_eq!((code, answer["candidate"]["without_value"].as_u64()), (0, Some(5)), "{answer}");
    assert!(answer["cautions"].to_string().contains("5 of the candidate"), "{answer}");
}

#[test]
fn quiet_is_about_progress_and_not_about_the_verdict() {
    let place = place();
    let (control, candidate) = (runs(1.0), runs(1.3));
    let judge = ["judge", "--horizon", "20", "--control", &control, "--candidate", &candidate];
    let loud = place.run(&judge);
    assert!(loud.code == 3 && loud.out.starts_with("fail: "), "{} {}", loud.out, loud.err);
    let quiet = place.run(&[&["-q"][..], &judge].concat());
    assert_eq!((quiet.code, quiet.out), (3, loud.out));
}
