//! Why a model said what it said of a run: from what was known then, in words and as JSON.

use crate::predict::lake;
use crate::program::Place;
use serde_json::Value;

const NOW: &str = "2026-10-25T12:00:00Z";

fn explain(place: &Place, run: &str) -> Value {
    place.json(&["--now", NOW, "explain", run])
}

#[test]
fn a_run_is_explained_from_what_was_known_when_it_was_created() {
    let place = lake();
    place.json(&["--now", "2026-10-20T00:00:00Z", "train"]);
    place.json(&["--now", "2026-10-25T00:00:00Z", "predict"]);
    let one = explain(&place, "acme/api#288");
    assert_eq!(explain(&place, "288/test"), one, "with its job, and without its repository");
    assert_eq!(one["run"]["run_id"], "288/test");
    let said: Vec<&str> = one["models"].as_array().unwrap().iter().map(|m| m["of"].as_str().unwrap()).collect();
    assert_eq!(said, ["duration", "CPU time", "peak memory"]);
    for part in one["models"].as_array().unwrap() {
        let explained = &part["explained"];
        let level = |name: &str| explained[name].as_f64().unwrap();
        assert_eq!(explained["learnt_from_it"], false);
        assert!(level("p50") > 0.0 && level("p50") <= level("p90") && level("p90") <= level("p99"), "{explained}");
        let moved = explained["moves"].as_array().unwrap().iter().take(3).map(|m| m["feature"].as_str().unwrap());
        let by_churn = ["src_churn", "churn", "churn_vs_last", "similar", "similar_success"];
        assert!(moved.into_iter().any(|name| by_churn.contains(&name)), "the churn decides: {explained}");
        let similar = explained["similar"].as_array().unwrap();
        let heavy = |run: &str| run.trim_end_matches("/test").parse::<u64>().unwrap() * 7919 % 1000 > 500;
        assert_eq!(similar.len(), 5);
        let alike = similar.iter().filter(|s| heavy(s["run_id"].as_str().unwrap()) == heavy("288/test")).count();
        assert!(alike >= 3, "{similar:?}");
        assert!(similar.iter().all(|s| s["started_at"].as_str() < one["run"]["started_at"].as_str()));
    }
    assert!(one["contention"]["explained"]["probability"].is_f64(), "{}", one["contention"]);
    assert!(one["said"]["p50_duration_ms"].is_u64(), "what was predicted the day before: {}", one["said"]);
    assert_eq!(explain(&place, "5")["models"][0]["explained"]["learnt_from_it"], true);

    let text = place.run(&["--now", NOW, "explain", "acme/api#288"]);
    assert_eq!(text.code, 0, "{}", text.err);
    assert!(text.out.lines().all(|line| line.chars().count() <= 80), "{}", text.out);
    for wanted in ["predicted 2026-10-25 00:00", "what moved it most", "the most similar runs before it", "contended"] {
        assert!(text.out.contains(wanted), "{wanted}: {}", text.out);
    }

    // A row of predictions.runs, as it was known then.
    let row = place.sql("select * from predictions.runs where pr_id = 'acme/api#7'").remove(0);
    let id = row["prediction_id"].as_str().unwrap();
    let expected = explain(&place, id);
    assert_eq!(expected["expected"], true);
    let p50 = expected["models"][0]["explained"]["p50"].as_f64().unwrap() * 1000.0;
    assert!((p50 - row["p50_duration_ms"].as_f64().unwrap()).abs() <= 0.5, "{p50} of {row}");

    // What comes later moves nothing.
    let later = r#"{"ts":"2026-10-25T06:00:00Z","type":"ci_run","repo":"acme/api","branch":"main","payload":{"run_id":"x","job":"test","workflow":"ci","duration_ms":9000000,"result":"failure"}}"#;
    place.json(&["ingest", &place.write("later.ndjson", later)]);
    place.json(&["materialize"]);
    assert_eq!(explain(&place, "acme/api#288")["models"], one["models"]);
    assert_eq!(explain(&place, id)["models"], expected["models"]);
}

#[test]
fn an_item_of_a_plan_is_told_from_its_evidence_to_its_outcome() {
    const LATER: &str = "2026-11-29T00:00:00Z";
    let place = crate::plan::place();
    let plan = crate::plan::plan(&place);
    let at = crate::plan::NOW;
    let starved = plan["items"].as_array().unwrap().iter().find(|item| item["resource"] == "acme-dev/worker").unwrap();
    let item = starved["id"].as_str().unwrap();
    let page = |now: &str| {
        let text = place.run(&["--now", now, "explain", item]);
        assert_eq!(text.code, 0, "{}", text.err);
        assert!(text.out.lines().all(|line| line.chars().count() <= 80), "{}", text.out);
        assert!(text.out.lines().count() <= 60, "a page: {}", text.out);
        assert_eq!(place.run(&["--now", now, "-q", "explain", item]).out, text.out, "an answer is not silenced");
        text.out
    };
    let planned = page(at);
    for part in
        ["predicted from data up to", "planned", "OOM kills", "approved  by nobody", "not verified yet", "verdicts"]
    {
        assert!(planned.contains(part), "{part}: {planned}");
    }
    place.json(&["--now", at, "approve", "plan.json"]);
    place.json(&["--now", at, "apply", "plan.json"]);
    let next = crate::program::checkout().join("data-samples/team-next").display().to_string();
    place.json(&["ingest", &next]);
    place.json(&["--now", LATER, "materialize"]);
    place.json(&["--now", LATER, "verify", "plan.json"]);
    place.json(&["--now", LATER, "feedback", item, "helpful", "--note", "no kill since"]);
    place.json(&["--now", LATER, "materialize"]);
    let whole = page(LATER);
    for part in [
        "approved  2026-11-22",
        "applied   2026-11-22",
        "done",
        "outcome   better",
        "projected",
        "helpful by",
        ": no kill",
    ] {
        assert!(whole.contains(part), "{part}: {whole}");
    }
    let answer = place.json(&["--now", LATER, "explain", item]);
    assert_eq!((answer["item"]["id"].as_str(), answer["outcomes"][0]["result"].as_str()), (Some(item), Some("better")));
    assert_eq!(answer["verdicts"][0]["verdict"], "helpful");
    // What came later was not known before.
    assert!(page(at).contains("not verified yet"), "{}", page(at));
    // A plan of another program is known by its events alone.
    place.json(&[
        "ingest",
        &crate::program::checkout().join("data-samples/team/activity.ndjson.gz").display().to_string(),
    ]);
    place.json(&["--now", LATER, "materialize"]);
    let other = place.run(&["--now", LATER, "explain", "3f9c2a10-1"]);
    assert!(other.code == 0 && other.out.contains("only its events are known"), "{} {}", other.err, other.out);
    assert!(other.out.contains("slowed-down by"), "{}", other.out);
}

#[test]
fn what_is_no_run_is_told_apart() {
    let place = Place::new();
    let usage = r#"{"ts":"2026-10-01T00:00:00Z","type":"usage","resource":"dev/api","payload":{"interval_s":60}}"#;
    let twice = ["api", "web"].map(|repo| format!(r#"{{"ts":"2026-10-01T00:00:00Z","type":"ci_run","repo":"acme/{repo}","payload":{{"run_id":"7","duration_ms":1}}}}"#));
    place.json(&["ingest", &place.write("a.ndjson", format!("{usage}\n{}", twice.join("\n")))]);
    place.json(&["materialize"]);
    for (run, wanted) in [
        ("8", "there is no run 8"),
        ("dev/ap", "there is no run dev/ap"),
        ("7", "name one of them: acme/api#7, acme/web#7"),
    ] {
        let ended = place.run(&["--now", NOW, "explain", run]);
        assert_eq!(ended.code, 1, "{}", ended.err);
        assert!(ended.err.contains(wanted) && ended.err.contains("hint:"), "{}", ended.err);
    }
    assert_eq!(place.run(&["--now", NOW, "explain", "acme/api#7"]).code, 5, "no model was trained yet");
}

/// Two quiet days, a commit, and a day at the limit: throttled to a half of what it asks for.
#[test]
fn a_resource_is_explained_with_what_came_before_and_what_would_have_helped() {
    let place = Place::new();
    let mut lines = Vec::new();
    let sample = |hour: u32, cpu: f64, throttled: f64| {
        let (day, hour) = (20 + hour / 24, hour % 24);
        format!(
            r#"{{"ts":"2026-10-{day}T{hour:02}:30:00Z","type":"usage","repo":"acme/api","env":"dev","resource":"dev/api","payload":{{"interval_s":3600,"cpu_cores":{cpu},"cpu_limit_cores":1,"throttled_ratio":{throttled},"memory_bytes":1000,"top_process":{{"name":"webpack","cpu_cores":{cpu},"memory_bytes":500}}}}}}"#
        )
    };
    (0..48).for_each(|hour| lines.push(sample(hour, 0.3, 0.0)));
    (48..72).for_each(|hour| lines.push(sample(hour, 0.98, 0.5)));
    lines.push(r#"{"ts":"2026-10-21T22:00:00Z","type":"commit","repo":"acme/api","payload":{"sha":"abc123","message":"use the slow bundler"}}"#.into());
    lines.push(r#"{"ts":"2026-10-18T22:00:00Z","type":"commit","repo":"acme/api","payload":{"sha":"old","message":"long before"}}"#.into());
    lines.push(r#"{"ts":"2026-10-21T23:00:00Z","type":"commit","repo":"acme/other","payload":{"sha":"x","message":"elsewhere"}}"#.into());
    place.ingest(&[&place.write("a.ndjson", lines.join("\n"))]);
    place.json(&["materialize"]);
    let told = explain(&place, "dev/api");
    assert_eq!(told["bottleneck"], "cpu", "{told}");
    assert_eq!(told["bottlenecks"][0]["minutes"], 1440.0);
    assert!(told["began"].as_str().unwrap().starts_with("2026-10-22T00:30"), "{told}");
    let before: Vec<&str> = told["before"].as_array().unwrap().iter().map(|e| e["sha"].as_str().unwrap()).collect();
    assert_eq!(before, ["abc123"], "two days before, of this repository");
    assert_eq!(told["processes"][0]["name"], "webpack");
    assert_eq!(told["evidence"].as_array().unwrap().len(), 5);
    let instead = &told["counterfactual"];
    assert_eq!((instead["instead"].as_f64(), instead["removed"].as_f64()), (Some(2.0), Some(1.0)), "{instead}");
    let text = place.run(&["--now", NOW, "explain", "dev/api"]);
    assert!(text.out.contains("2.00 cores instead of 1.00 cores would have removed 100 % of the"), "{}", text.out);
    assert!(text.out.lines().all(|line| line.chars().count() <= 80), "{}", text.out);
    // Before the commit nothing was wrong, and nothing later is known.
    let earlier = place.json(&["--now", "2026-10-21T12:00:00Z", "explain", "dev/api"]);
    assert_eq!((earlier["bottleneck"].as_str(), earlier["began"].as_str()), (Some("none"), None), "{earlier}");
}
