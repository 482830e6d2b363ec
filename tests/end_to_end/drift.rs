//! Models that no longer fit: told by their loss on later runs, by what these look like, and by their age.

use crate::program::Place;
use serde_json::Value;
use std::fmt::Write;

/// Runs an hour apart from the `from`th on: of about 100 s, a large change takes twice as long. Odd ones take anything.
fn runs(from: u64, to: u64, odd: bool) -> String {
    let mut lines = String::new();
    for i in from..to {
        let churn = i.wrapping_mul(7919) % 1000 + if odd { 100_000 } else { 0 };
        let usual = (90_000 + i.wrapping_mul(104_729) % 20_000) * if churn > 500 { 2 } else { 1 };
        let duration_ms = if odd { usual << (i.wrapping_mul(2_654_435_761) % 6) } else { usual };
        let ts = format!("2026-10-{:02}T{:02}:00:00Z", 1 + i / 24, i % 24);
        let payload = format!(
            r#"{{"run_id":"{i}","duration_ms":{duration_ms},"workflow":"ci","result":"success","src_churn":{churn}}}"#
        );
        writeln!(lines, r#"{{"ts":"{ts}","type":"ci_run","repo":"acme/api","payload":{payload}}}"#).unwrap();
    }
    lines
}

fn take(place: &Place, lines: String) {
    place.json(&["ingest", &place.write("runs.ndjson", lines)]);
    place.json(&["materialize"]);
}

fn drift(place: &Place, now: &str) -> (Value, String) {
    let ended = place.run(&["--json", "--now", now, "evaluate", "build-time"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    (serde_json::from_str::<Value>(&ended.out).unwrap()["build-time"]["drift"].clone(), ended.err)
}

#[test]
fn a_model_that_no_longer_fits_or_is_old_says_so() {
    let place = Place::new();
    take(&place, runs(0, 240, false));
    place.json(&["--now", "2026-10-11T00:00:00Z", "train", "build-time"]);
    let (fresh, warned) = drift(&place, "2026-10-11T00:00:00Z");
    assert_eq!((fresh["retrain"].as_bool(), fresh["stale"].as_bool()), (Some(false), Some(false)), "{fresh}");
    assert!(fresh["why"][0].as_str().unwrap().contains("too few"), "{fresh}");
    assert!(!warned.contains("older"), "{warned}");

    take(&place, runs(240, 360, false));
    let (same, _) = drift(&place, "2026-10-16T00:00:00Z");
    assert_eq!((same["retrain"].as_bool(), same["rows"].as_u64()), (Some(false), Some(120)), "{same}");

    take(&place, runs(360, 400, true));
    let (odd, _) = drift(&place, "2026-10-17T16:00:00Z");
    assert_eq!((odd["retrain"].as_bool(), odd["stale"].as_bool()), (Some(true), Some(false)), "{odd}");
    assert!(odd["loss_recent"].as_f64() > odd["loss_trained"].as_f64().map(|l| 1.1 * l), "{odd}");
    assert!(odd["moved"][0]["feature"].as_str().unwrap().contains("churn"), "{odd}");
    let text = place.run(&["--now", "2026-10-17T16:00:00Z", "evaluate", "build-time"]).out;
    assert!(
        text.contains("retrain: yes")
            && text.split_whitespace().collect::<Vec<_>>().join(" ").contains("features moved"),
        "{text}"
    );

    // Days later without a training, wherever it is used.
    take(&place, runs(400, 480, false));
    let now = "2026-10-20T12:00:00Z";
    let (old, warned) = drift(&place, now);
    assert_eq!((old["retrain"].as_bool(), old["stale"].as_bool()), (Some(true), Some(true)), "{old}");
    assert!(
        warned.contains("days older than the newest event") && warned.contains("pipeline train build-time"),
        "{warned}"
    );
    let said = place.run(&["--json", "--now", now, "predict"]);
    assert!(said.err.contains("days older") && said.out.contains(r#""stale":true"#), "{} {}", said.out, said.err);
}
