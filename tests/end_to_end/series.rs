//! `forecast` and `anomalies`: series of one's own, without a lake, and files that make none.

use crate::program::{Ended, Place};

/// Three series of 600 hours with a daily cycle, steps and times, and columns that are of no use.
const SERIES: &str = "
    select
        concat('s', v % 3) as name,
        v / 3 as step,
        to_timestamp_micros(1760000400000000 + v / 3 * 3600000000) as at_hour,
        50 + 10 * sin(2 * pi() * (v / 3 % 24) / 24.0) + v % 3 + (v * 7919 % 100) / 50.0 as used,
        case when v / 3 = 400 then null else v * 1.0 end as holed,
        case when v / 3 = 400 then 200.0 else (v * 7919 % 100) / 50.0 end as spiked,
        v / 7.0 as fraction,
        case when v / 3 >= 300 then v / 3 + 5 else v / 3 end as late,
        case when v / 3 = 599 then 5 * v else 2 * (v / 3) end as odd,
        'text' as note
    from (select unnest(range(0, 1800)) as v)";

fn place() -> Place {
    let place = Place::new();
    let event = r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{"note":"x"}}"#;
    place.ingest(&[&place.write("one.ndjson", event)]);
    let ended = place.run(&["sql", SERIES, "--format", "parquet", "-o", "s.parquet"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    place
}

/// Arguments on the columns given, into `out.parquet`.
fn arguments<'a>(command: &'a str, key: &'a str, time: &'a str, value: &'a str) -> Vec<&'a str> {
    let mut all =
        vec![command, "--series", "s.parquet", "--key", key, "--time", time, "--value", value, "-o", "out.parquet"];
    if command == "forecast" {
        all.extend(["--period", "24,168", "--horizon", "48"]);
    }
    all
}

/// The only row of a query that reads files.
fn rows(place: &Place, query: &str) -> serde_json::Value {
    let ended = place.run(&["sql", query, "--allow-files", "--format", "ndjson"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    serde_json::from_str(ended.out.trim()).unwrap()
}

#[test]
fn series_are_forecast_without_a_lake() {
    let place = place();
    let lake = place.path("lake");
    std::fs::rename(&lake, place.path("aside")).unwrap();
    let told = place.json(&arguments("forecast", "name", "at_hour", "used"));
    assert_eq!((told["series"].as_u64(), told["rows"].as_u64()), (Some(3), Some(144)));
    assert!(told["mase"].as_f64().unwrap() < told["mase_seasonal_naive"].as_f64().unwrap(), "{told}");
    assert!((0.8..=1.0).contains(&told["coverage"].as_f64().unwrap()), "{told}");
    assert!(!lake.exists());
    std::fs::rename(place.path("aside"), &lake).unwrap();
    let found = rows(
        &place,
        "select count(*) as n, count(distinct key) as keys, count(model) as models,
            min(at) = to_timestamp_micros(1760000400000000 + 600 * 3600000000) as first,
            max(at) = to_timestamp_micros(1760000400000000 + 647 * 3600000000) as last,
            bool_and(lower <= value and value <= upper) as inside,
            -- What the cycle goes on to: 50 + 10 sin + series + 1 on average.
            avg(abs(value - 51 - 10 * sin(2 * pi() * date_part('hour', at - interval '9 hours') / 24.0)
                - cast(substr(key, 2) as int))) as off
         from 'out.parquet'",
    );
    assert_eq!((&found["n"], &found["keys"], &found["models"]), (&144.into(), &3.into(), &144.into()), "{found}");
    assert_eq!(
        (&found["first"], &found["last"], &found["inside"]),
        (&true.into(), &true.into(), &true.into()),
        "{found}"
    );
    assert!(found["off"].as_f64().unwrap() < 1.0, "{found}");
}

#[test]
fn steps_are_continued_as_steps_and_the_same_twice() {
    let place = place();
    let told = place.json(&arguments("forecast", "name", "step", "used"));
    let first = std::fs::read(place.path("out.parquet")).unwrap();
    let found =
        rows(&place, "select min(at) as first, max(at) as last, arrow_typeof(min(at)) as kind from 'out.parquet'");
    assert_eq!((found["first"].as_i64(), found["last"].as_i64()), (Some(600), Some(647)), "{found}");
    assert_eq!(found["kind"], "Int64");
    // Its own file is replaced, by the same.
    assert_eq!(place.json(&arguments("forecast", "name", "step", "used")), told);
    assert_eq!(std::fs::read(place.path("out.parquet")).unwrap(), first);
}

#[test]
fn every_row_is_scored_by_what_was_known_then() {
    let place = place();
    let told = place.json(&arguments("anomalies", "name", "at_hour", "spiked"));
    assert_eq!((told["series"].as_u64(), told["rows"].as_u64()), (Some(3), Some(1800)), "{told}");
    let found = rows(
        &place,
        "select count(*) as n, min(score) >= 0 and max(score) <= 1 as within,
            min(case when value = 200 then score end) as spike,
            max(case when at < to_timestamp_micros(1760000400000000 + 400 * 3600000000) then score end) as before
         from 'out.parquet'",
    );
    assert_eq!((&found["n"], &found["within"]), (&1800.into(), &true.into()), "{found}");
    assert!(found["spike"].as_f64().unwrap() > 0.9 && found["before"].as_f64().unwrap() < 0.7, "{found}");
    // A value that is missing is a row too.
    let told = place.json(&arguments("anomalies", "name", "step", "holed"));
    assert_eq!(told["without_value"].as_u64(), Some(3), "{told}");
    let found = rows(&place, "select count(*) - count(value) as missing, count(score) as scores from 'out.parquet'");
    assert_eq!((found["missing"].as_u64(), found["scores"].as_u64()), (Some(3), Some(1800)), "{found}");
}

fn refused(ended: &Ended, code: i32, says: &str) {
    assert_eq!(ended.code, code, "{says}: {}{}", ended.out, ended.err);
    assert!(ended.err.contains(says), "{says:?} is not in {}", ended.err);
    assert!(ended.err.contains("hint:"), "{}", ended.err);
    assert_eq!(ended.err.lines().filter(|line| line.starts_with("error:")).count(), 1, "{}", ended.err);
}

#[test]
fn what_is_no_series_is_named() {
    let place = place();
    for command in ["forecast", "anomalies"] {
        let run = |key: &str, time: &str, value: &str| place.run(&arguments(command, key, time, value));
        refused(&run("nowhere", "step", "used"), 2, "--key nowhere: no such column");
        refused(&run("name", "nowhere", "used"), 2, "--time nowhere: no such column");
        refused(&run("name", "step", "nowhere"), 2, "--value nowhere: no such column");
        refused(&run("name", "note", "used"), 2, "--time note: the column holds text");
        refused(&run("name", "fraction", "used"), 2, "--time fraction: the column holds fractions");
        refused(&run("name", "step", "note"), 2, "--value note: the column holds text");
        refused(&run("at_hour", "step", "used"), 2, "--key at_hour: the column holds timestamps");
        refused(&run("name", "holed", "used"), 2, "--time holed: the column holds fractions");
        let mut missing = arguments(command, "name", "step", "used");
        missing[2] = "nowhere.parquet";
        let ended = place.run(&missing);
        assert_eq!(ended.code, 1, "{}", ended.err);
        assert!(ended.err.contains("nowhere.parquet"), "{}", ended.err);
        missing[2] = "one.ndjson";
        let ended = place.run(&missing);
        assert!(ended.code == 1 && ended.err.contains("cannot read one.ndjson"), "{}", ended.err);
    }
    let run = |key: &str, time: &str, value: &str| place.run(&arguments("forecast", key, time, value));
    refused(&run("note", "step", "used"), 1, "two values at 0");
    refused(&run("name", "late", "used"), 1, "series s0: 5 steps without a value after 299");
    refused(&run("name", "odd", "used"), 1, "after the value before it");
    refused(&run("name", "step", "holed"), 1, "1 step without a value after 399");
    assert!(!place.path("out.parquet").exists(), "nothing is written when something is wrong");
    // A gap is filled when that is asked for.
    let filled = [&arguments("forecast", "name", "step", "holed")[..], &["--fill-gaps", "1"]].concat();
    assert_eq!(place.json(&filled)["series"].as_u64(), Some(3));
}

#[test]
fn a_series_too_short_to_try_anything_on_is_no_forecast() {
    let place = place();
    let short = "select 'a' as k, v as t, v * 1.0 as x from (select unnest(range(0, 9)) as v)";
    let ended = place.run(&["sql", short, "--format", "parquet", "-o", "short.parquet"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let mut short = arguments("forecast", "k", "t", "x");
    short[2] = "short.parquet";
    refused(&place.run(&short), 5, "series a has 9 values, 10 are needed");
}

#[test]
fn only_a_file_of_its_own_is_replaced() {
    let place = place();
    for command in ["forecast", "anomalies"] {
        place.write("out.parquet", "mine");
        refused(&place.run(&arguments(command, "name", "step", "used")), 2, "out.parquet is there");
        assert_eq!(place.read("out.parquet"), "mine");
        std::fs::copy(place.path("s.parquet"), place.path("out.parquet")).unwrap();
        refused(&place.run(&arguments(command, "name", "step", "used")), 2, "out.parquet is there");
        place.write("out.parquet", "");
        place.json(&arguments(command, "name", "step", "used"));
        std::fs::remove_file(place.path("out.parquet")).unwrap();
        let mut into = arguments(command, "name", "step", "used");
        into[10] = "nowhere/out.parquet";
        let ended = place.run(&into);
        assert!(ended.code == 2 && ended.err.contains("there is no folder"), "{}", ended.err);
        into[10] = "lake/out.parquet";
        refused(&place.run(&into), 2, "inside the lake");
    }
}
