//! `anomalies` of a lake: what was planted in three weeks of usage is found, kept and told; a calm month is calm.

use crate::program::{Place, checkout};
use serde_json::Value;

const NOW: &str = "2026-11-01T00:00:00Z";

fn planted() -> Place {
    let place = Place::new();
    place.ingest(&[&checkout().join("tests/sql/predictions/anomalies/given").display().to_string()]);
    place.json(&["materialize"]);
    place
}

/// Kind, subject and severity of each finding, by subject.
fn found(told: &Value) -> Vec<(String, String, String)> {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let rows = told["found"].as_array().unwrap().iter();
    let mut found: Vec<_> =
        rows.map(|row| (text(row, "subject"), text(row, "anomaly"), text(row, "severity"))).collect();
    found.sort();
    found
}

#[test]
fn what_was_planted_is_found_kept_and_told() {
    let place = planted();
    let told = place.json(&["--now", NOW, "anomalies", "--since", "7d"]);
    let names: Vec<(String, String)> = found(&told).into_iter().map(|(subject, kind, _)| (subject, kind)).collect();
    let want = [("dev/api", "level_shift"), ("dev/cache", "silence"), ("dev/db", "spike")];
    assert_eq!(names, want.map(|(subject, kind)| (subject.to_owned(), kind.to_owned())), "{told}");
    assert_eq!(told["budget"], 0.1);
    let kept = place.sql("select subject, anomaly from predictions.anomalies order by subject");
    assert_eq!(kept.len(), 3, "{kept:?}");
    // Sixty hours before the end.
    let shift = &told["found"].as_array().unwrap().iter().find(|row| row["anomaly"] == "level_shift").unwrap();
    assert!(shift["started_at"].as_str().unwrap().starts_with("2026-10-29T1"), "{shift}");
    assert!(shift["ended_at"].is_null());

    let text = place.run(&["--now", NOW, "anomalies"]);
    assert_eq!(text.code, 0);
    assert!(
        text.out.contains("3 anomalies since 7d, of 3 resources") && text.out.contains("critical  silence"),
        "{}",
        text.out
    );
    assert!(text.out.lines().all(|line| line.chars().count() <= 80), "{}", text.out);
    let csv = place.run(&["--now", NOW, "anomalies", "--format", "csv"]);
    assert_eq!((csv.code, csv.out.lines().count()), (0, 4), "{}", csv.out);
    assert_eq!(place.run(&["--now", NOW, "anomalies", "--detailed-exitcode"]).code, 3);
    // Before anything happened nothing is found, by the same rows.
    let earlier = place.json(&["--now", "2026-10-29T00:00:00Z", "anomalies", "--since", "7d"]);
    assert_eq!(earlier["found"].as_array().unwrap().len(), 0, "{earlier}");
    let page = place.run(&["--now", NOW, "report", "--format", "markdown", "-o", "-"]);
    assert!(page.out.contains("What is wrong"), "{}", page.out);
}

#[test]
fn a_calm_month_is_calm_and_nothing_is_inconclusive() {
    let place = Place::new();
    place.ingest(&[&checkout().join("data-samples/team").display().to_string()]);
    place.json(&["materialize"]);
    let told = place.json(&["--now", "2026-11-21T00:00:00Z", "anomalies", "--since", "7d"]);
    // Five resources, a KPI and its jobs for a week: the budget allows half a finding.
    assert!(found(&told).len() <= 1, "{told}");
    assert_eq!(told["subjects"]["resource"], 5);
    let none = place.run(&["--now", "2020-01-01T00:00:00Z", "anomalies"]);
    assert_eq!(none.code, 5, "{}", none.err);
    for wrong in
        [&["anomalies", "--budget", "0"][..], &["anomalies", "-o", "x.parquet"], &["anomalies", "--since", "-"]]
    {
        assert_eq!(place.run(wrong).code, 2, "{wrong:?}");
    }
}
