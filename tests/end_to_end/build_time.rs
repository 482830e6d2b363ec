//! Models of what a run takes: the figures that scripts rely on, and that one whose coverage is off never serves.

use crate::program::Place;
use serde_json::Value;
use std::fmt::Write;

const NOW: [&str; 2] = ["--now", "2026-11-01T00:00:00Z"];

/// Runs an hour apart of about 100 s, of two repositories; the last fifty all start before one of them ends and take ten
/// times as long, which nobody can know.
fn runs(surprise: bool) -> String {
    let mut lines = String::new();
    for i in 0..250_u64 {
        let surprised = surprise && i >= 200;
        let second = if surprised { 200 * 3600 + i } else { i * 3600 };
        let duration_ms = (90_000 + i.wrapping_mul(7919) % 20_000) * if surprised { 10 } else { 1 };
        let (day, hour, rest) = (1 + second / 86_400, second / 3600 % 24, second % 3600);
        let ts = format!("2026-10-{day:02}T{hour:02}:{:02}:{:02}Z", rest / 60, rest % 60);
        let repo = i % 2;
        let payload = format!(
            r#"{{"run_id":"{i}","duration_ms":{duration_ms},"workflow":"ci","result":"success","cpu_ms":{}}}"#,
            duration_ms / 2
        );
        writeln!(lines, r#"{{"ts":"{ts}","type":"ci_run","repo":"acme/{repo}","payload":{payload}}}"#).unwrap();
    }
    lines
}

fn lake(surprise: bool) -> Place {
    let place = Place::new();
    let dump = place.write("runs.ndjson", runs(surprise));
    place.json(&["ingest", &dump]);
    place.json(&["materialize"]);
    place
}

#[test]
fn a_model_whose_coverage_is_off_is_kept_aside_and_told() {
    let place = lake(true);
    let ended = place.run(&[&NOW[..], &["--json", "train", "build-time"]].concat());
    assert_eq!(ended.code, 3, "{}", ended.err);
    let card: Value = serde_json::from_str::<Value>(&ended.out).unwrap()["models"][0].clone();
    assert_eq!(card["champion"]["is_champion"], false);
    assert!(card["champion"]["why"].as_str().unwrap().contains("p90 covers"), "{}", card["champion"]);
    let version = card["version"].as_str().unwrap();
    assert!(place.path(&format!("lake/models/build-time/{version}/card.json")).exists());
    assert!(!place.path("lake/models/build-time/champion.json").exists());
    let held_out = [&NOW[..], &["evaluate", "build-time", "--holdout", "20%", "--per", "repo"]].concat();
    assert_eq!(place.run(&held_out).code, 0, "told, and no more");
    assert_eq!(place.run(&[&held_out[..], &["--gate"]].concat()).code, 3);
}

#[test]
fn held_out_figures_have_the_names_that_scripts_rely_on() {
    let place = lake(false);
    let json = |arguments: &[&str]| place.json(&[&NOW[..], arguments].concat());
    let said = json(&["evaluate", "build-time", "--holdout", "20%", "--per", "repo", "--gate"]);
    assert_eq!((said["n_train"].as_u64(), said["n_test"].as_u64()), (Some(200), Some(50)));
    let figures = ["mae_s", "within_25pct", "mae_log", "pinball90_s", "pinball90_log", "coverage90"];
    for of in [&said, &said["baselines"]["rolling_median_5"], &said["baselines"]["last_run"]] {
        assert!(figures.iter().all(|figure| of[*figure].is_f64()), "{of}");
    }
    let groups: Vec<&str> = said["coverage"].as_array().unwrap().iter().map(|c| c["of"].as_str().unwrap()).collect();
    assert!(["all", "group", "repository"].iter().all(|of| groups.contains(of)), "{groups:?}");
    let demand = json(&["evaluate", "demand", "--holdout", "20%", "--per", "repo"]);
    assert!(demand["cpu_mae_s"].is_f64() && demand["memory_mae_mib"].is_null(), "{demand}");
    let trained = json(&["train", "build-time", "demand"]);
    let names: Vec<&str> = trained["models"].as_array().unwrap().iter().map(|m| m["model"].as_str().unwrap()).collect();
    assert_eq!(names, ["build-time", "demand"]);
    let card = &trained["models"][0];
    assert_eq!(card["champion"]["is_champion"], true, "{}", card["champion"]);
    let candidates = card["judged"]["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 6);
    assert!(candidates.iter().all(|c| c["folds"].as_array().is_some_and(|folds| folds.len() == 4)), "{candidates:?}");
    assert_eq!(card["champion"]["why"], card["judged"]["serves"][0]["why"], "nothing serves for being the first");
    assert_eq!(place.run(&["evaluate", "contention", "--holdout", "20%", "--per", "repo"]).code, 2);
}

#[test]
fn a_card_or_model_that_is_damaged_or_of_a_later_format_is_refused_with_what_to_do() {
    let place = lake(false);
    let trained = place.json(&[&NOW[..], &["train", "build-time"]].concat());
    let version = trained["models"][0]["version"].as_str().unwrap();
    let evaluate = || place.run(&[&NOW[..], &["evaluate", "build-time"]].concat());
    assert_eq!(evaluate().code, 0);
    let damage = |file: &str, from: &str, to: &str, code: i32, hint: &str| {
        let path = format!("lake/models/build-time/{version}/{file}");
        let sound = place.read(&path);
        assert!(sound.contains(from), "{from}: {sound}");
        place.write(&path, sound.replacen(from, to, 1));
        let ended = evaluate();
        assert_eq!(ended.code, code, "{to}: {}", ended.err);
        assert!(ended.err.contains(hint), "{to}: {}", ended.err);
        place.write(&path, sound);
    };
    damage("card.json", "\"format_version\": 1", "\"format_version\": 2", 4, "a later one");
    damage("card.json", "\"metrics\": {", "\"metrics\": {\"mae_s\": null,", 1, "pipeline train build-time");
    damage("card.json", "\"build-time\"", "\"demand\"", 1, "pipeline train build-time");
    damage("model", "\"format_version\":6", "\"format_version\":7", 4, "a later one");
    damage("model", "\"global\":", "\"global\":null,\"was\":", 1, "pipeline train build-time");
    assert_eq!(evaluate().code, 0);
}
