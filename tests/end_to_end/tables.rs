//! Every SQL table on a small dump: `tests/sql/<schema>/<table>/given/*.ndjson` in, `want.csv` out.
//!
//! `UPDATE=1` writes `want.csv` anew; read the difference before committing it.

use crate::program::{Place, checkout};
use std::path::Path;

const NOW: &str = "2026-11-01T00:00:00Z";

#[test]
fn every_table_is_what_it_should_be() {
    let root = checkout();
    let mut missing = Vec::new();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for schema in ["traces", "marts", "plans", "features", "predictions"] {
        for file in std::fs::read_dir(root.join("sql").join(schema)).unwrap() {
            let table = file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
            let folder = root.join("tests/sql").join(schema).join(&table);
            if !folder.join("given").is_dir() {
                missing.push(format!("{schema}.{table}"));
                continue;
            }
            seen += 1;
            let got = build(schema, &table, &folder);
            let want = folder.join("want.csv");
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&want, &got).unwrap();
            } else if std::fs::read_to_string(&want).unwrap_or_default() != got {
                wrong.push(format!("{schema}.{table}:\n{got}"));
            }
        }
    }
    assert!(missing.is_empty(), "tables without tests/sql/<schema>/<table>/given: {missing:?}");
    assert!(wrong.is_empty(), "not as want.csv says:\n{}", wrong.join("\n"));
    assert!(seen >= 14);
}

fn build(schema: &str, table: &str, folder: &Path) -> String {
    let place = Place::new();
    let given = folder.join("given").display().to_string();
    let run = |arguments: &[&str]| {
        let ended = place.run(&[&["--now", NOW], arguments].concat());
        assert_eq!(ended.code, 0, "{schema}.{table}: {arguments:?}: {}", ended.err);
        ended.out
    };
    run(&["ingest", &given]);
    run(&["materialize"]);
    if schema == "predictions" {
        run(&["shadow", "--horizon", "6h"]);
    }
    run(&["sql", &format!("select * from {schema}.{table}"), "--format", "csv"])
}

#[test]
fn materialize_rebuilds_only_what_changed() {
    let place = Place::new();
    let given = checkout().join("tests/sql/marts/usage/given").display().to_string();
    place.ingest(&[&given]);
    let rebuilt = |arguments: &[&str]| {
        let built = place.json(&[&["materialize"], arguments].concat());
        built["tables"].as_array().unwrap().iter().filter(|t| t["rebuilt"] == true).count()
    };
    let all = rebuilt(&["--explain"]);
    assert!(all >= 8);
    assert_eq!(rebuilt(&[]), all);
    assert_eq!(rebuilt(&[]), 0, "nothing is new");
    place.ingest(&[&place.write("x.ndjson", r#"{"ts":"2026-10-09T00:00:00Z","type":"x"}"#)]);
    assert_eq!(rebuilt(&["--explain"]), all, "all of them read the events");
    assert_eq!(rebuilt(&["--full-refresh"]), all);
}

#[test]
fn other_engines_find_plain_parquet_and_a_delta_log() {
    let place = Place::new();
    let given = checkout().join("tests/sql/marts/usage/given").display().to_string();
    place.ingest(&[&given]);
    let partitions: Vec<_> =
        std::fs::read_dir(place.path("lake/staging/events")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(partitions.iter().any(|name| name == "_delta_log"));
    assert!(partitions.iter().any(|name| name.to_string_lossy().starts_with("event_date=2026-10-")));
}
