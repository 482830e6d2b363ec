//! The model of services and packages: the figures that scripts rely on, from recorded events to held-out repositories.

use crate::program::Place;
use std::fmt::Write;

const NOW: [&str; 2] = ["--now", "2026-11-01T00:00:00Z"];

/// Six repositories build in turn, an hour apart. Where the lock file was touched packages are fetched over https; where
/// only documents were, nothing is.
fn builds() -> String {
    let mut lines = String::new();
    for i in 0..246_u64 {
        let (day, hour, repo) = (1 + i / 24, i % 24, i % 6);
        let (path, packages) = match (i / 6) % 3 {
            0 => ("README.md", String::new()),
            _ => ("Cargo.lock", format!(r#","packages":["pkg:cargo/libc@0.2.{i}","pkg:cargo/own{repo}@1.0.0"]"#)),
        };
        let outer = format!(r#""ts":"2026-10-{day:02}T{hour:02}:00:00Z","repo":"acme/r{repo}","branch":"main""#);
        writeln!(
            lines,
            r#"{{{outer},"type":"command","payload":{{"command":"cargo build","exit_code":0,"duration_ms":60000,"record_id":"r{i}","paths":["{path}"]{packages}}}}}"#
        )
        .unwrap();
        if !packages.is_empty() {
            let payload = format!(r#"{{"service":"https","record_id":"r{i}"}}"#);
            writeln!(lines, r#"{{{outer},"type":"api_call","payload":{payload}}}"#).unwrap();
        }
    }
    lines
}

#[test]
fn what_builds_need_is_learnt_and_judged_on_repositories_that_had_no_part_in_it() {
    let place = Place::new();
    place.ingest(&[&place.write("builds.ndjson", builds())]);
    place.json(&["materialize"]);
    let json = |arguments: &[&str]| place.json(&[&NOW[..], arguments].concat());
    let card = &json(&["train", "services"])["models"][0];
    assert_eq!((&card["model"], &card["champion"]["is_champion"]), (&"services".into(), &true.into()), "{card}");
    assert!(card["metrics"]["precision3"].as_f64() > Some(0.95), "{}", card["metrics"]);
    let kept = json(&["evaluate", "services"]);
    assert!(kept["services"]["metrics"]["precision3_best"].is_f64(), "{kept}");
    for per in ["repo", "project"] {
        let said = json(&["evaluate", "services", "--holdout", "20%", "--per", per]);
        let figures = ["precision3", "precision3_best", "recall3", "mrr", "miss3", "brier", "ece10", "cold_precision3"];
        assert!(figures.iter().all(|name| said[*name].is_f64()), "{per}: {said}");
        assert!(said["baselines"]["popularity"]["precision3"].is_f64(), "{per}: {said}");
        let held = if per == "project" { 160 } else { 28 };
        assert!(said["n_test"].as_u64().is_some_and(|n| n.abs_diff(held) <= 8), "{per}: {said}");
    }
    // A repository that nobody has seen needs libc and https, as all others.
    let said = json(&["evaluate", "services", "--holdout", "20%", "--per", "project"]);
    assert!(said["cold_precision3"].as_f64() > Some(0.6), "{said}");
    // The last change of each touched the lock file: one like it fetches again.
    let next = json(&["predict"]);
    assert_eq!((next["rows"].as_u64(), next["with_needs"].as_u64()), (Some(6), Some(6)), "{next}");
    for row in place.sql("select repo, likely_needs from predictions.runs") {
        let needs: Vec<String> = serde_json::from_str(row["likely_needs"].as_str().unwrap()).unwrap();
        let own = format!("pkg:cargo/own{}", row["repo"].as_str().unwrap().trim_start_matches("acme/r"));
        for thing in ["https", "pkg:cargo/libc", &own] {
            assert!(needs.iter().any(|need| need == thing), "{thing}: {row}");
        }
        assert_eq!(needs.len(), 3, "{row}");
    }
    let refused = place.run(&["evaluate", "build-time", "--holdout", "20%", "--per", "project"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
}

#[test]
fn runs_at_which_nobody_looked_are_too_little() {
    let place = Place::new();
    let run =
        r#"{"ts":"2026-10-01T00:00:00Z","type":"ci_run","repo":"acme/a","payload":{"run_id":1,"duration_ms":1000}}"#;
    place.ingest(&[&place.write("run.ndjson", run)]);
    place.json(&["materialize"]);
    let ended = place.run(&[&NOW[..], &["train", "services"]].concat());
    assert_eq!(ended.code, 5, "{}", ended.err);
}
