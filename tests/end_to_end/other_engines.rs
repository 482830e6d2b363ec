//! DuckDB, Polars and the deltalake package read the same rows as `pipeline sql`, whatever was done to the lake.

use crate::program::{Place, checkout, end};
use crate::python::python;
use std::process::Command;

#[test]
fn duckdb_polars_and_deltalake_see_the_rows_that_sql_sees() {
    let Some(python) = python("other engines on the lake") else { return };
    let place = Place::new();
    let sample = |below: &str| checkout().join(below).display().to_string();
    let same = |after: &str, plain: bool| {
        let mut command = Command::new(&python);
        command.arg(checkout().join("tests/python/other_engines.py")).args(plain.then_some("--plain"));
        command.arg(env!("CARGO_BIN_EXE_pipeline")).arg(place.path("lake"));
        command.env("PIPELINE_PSEUDONYM_KEY", "the key of the tests");
        let ended = end(command);
        assert_eq!(ended.code, 0, "{after}:\n{}{}", ended.out, ended.err);
        ended.out
    };

    place.ingest(&[&sample("data-samples/team/activity.ndjson.gz"), &sample("data-samples/dirty.ndjson")]);
    place.json(&["materialize"]);
    same("a first ingest", false);

    place.ingest(&[
        &sample("tests/sql/predictions/shadow_inventory/given"),
        &sample("tests/sql/marts/pr_metrics/given"),
    ]);
    place.json(&["materialize"]);
    place.json(&["--now", "2026-11-22T00:00:00Z", "shadow", "--horizon", "6h"]);
    let seen = same("more events, rebuilt tables and a forecast", false);
    assert!(seen.contains("predictions.shadow_inventory: ") && !seen.contains("marts.runs: 0 rows"), "{seen}");

    let events = place.sql(
        "select developer, count(*) as n from staging.events where developer is not null group by 1 order by 2 desc",
    );
    let person = events[0]["developer"].as_str().unwrap();
    place.json(&["privacy", "erase", "--developer", person, "--yes"]);
    same("a person was erased", false);

    place.json(&["lake", "compact"]);
    same("compact", false);
    place.json(&["lake", "vacuum", "--keep", "0s"]);
    same("compact and vacuum", true);
}
