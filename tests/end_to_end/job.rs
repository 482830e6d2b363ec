//! Jobs: the nightly one stops at the plan, and a job goes on from the step that failed.

use crate::program::{Place, checkout, end};

#[test]
fn the_nightly_job_makes_a_plan_and_approves_nothing() {
    let place = Place::new();
    let job = checkout().join("jobs/nightly.toml").display().to_string();
    let mut command = place.command(&["--json", "--now", "2026-11-22T00:00:00Z", "run", &job]);
    command.env("PIPELINE_DUMPS", checkout().join("data-samples/team"));
    let ended = end(command);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let record: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let steps: Vec<&str> = record["steps"].as_array().unwrap().iter().map(|s| s["step"].as_str().unwrap()).collect();
    let nightly =
        ["ingest", "materialize", "check", "train", "predict", "shadow", "backtest", "plan", "compact", "vacuum"];
    assert_eq!(steps, nightly);
    assert!(place.path("plan.json").exists());
    let actions = place.json(&["log"])["entries"].as_array().unwrap().len();
    assert_eq!(actions, 1, "the plan alone");
    let inventory = place.sql(
        "select count(*) as n, count(distinct resource_id) as r, min(confidence_score) as low, max(confidence_score) as high,
            sum(case when lower['cpu_cores'] <= predicted_state['cpu_cores'] and predicted_state['cpu_cores'] <= upper['cpu_cores'] then 0 else 1 end) as crossed,
            count(schedule_event_id) as scheduled
         from predictions.shadow_inventory",
    );
    let row = &inventory[0];
    assert_eq!((row["n"].as_u64(), row["r"].as_u64(), row["crossed"].as_u64()), (Some(120), Some(5), Some(0)));
    assert!(row["low"].as_f64().unwrap() >= 0.0 && row["high"].as_f64().unwrap() <= 1.0);
    assert_eq!(row["scheduled"], 3, "the load test of November 22nd, 9 to 12");
    for model in ["build-time", "contention"] {
        let version = std::fs::read_dir(place.path(&format!("lake/models/{model}"))).unwrap().next().unwrap().unwrap();
        let folder = if version.path().is_dir() {
            version.path()
        } else {
            place.path(&format!("lake/models/{model}/20261122T000000Z"))
        };
        assert!(folder.join("model").exists() && folder.join("card.json").exists());
    }
}

#[test]
fn a_job_goes_on_from_the_step_that_failed() {
    let place = Place::new();
    place.write("one.ndjson", r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{"note":"n"}}"#);
    let job = place.write(
        "job.toml",
        "[[step]]\nname = \"take\"\nrun = [\"ingest\", \"one.ndjson\"]\n
         [[step]]\nname = \"more\"\nrun = [\"ingest\", \"${MORE:-two.ndjson}\"]\n
         [[step]]\nname = \"build\"\nrun = [\"materialize\"]\n",
    );
    let ended = place.run(&["run", &job]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("--from more"), "{}", ended.err);
    let records = || {
        let folder = std::fs::read_dir(place.path("lake/journal/runs")).unwrap();
        let mut names: Vec<_> = folder.map(|e| e.unwrap().path()).collect();
        names.sort();
        names
    };
    let record = std::fs::read_to_string(&records()[0]).unwrap();
    assert!(record.contains("\"failed\": \"more\""), "{record}");
    place.write("two.ndjson", r#"{"ts":"2026-10-02T00:00:00Z","type":"annotation","payload":{"note":"n"}}"#);
    let rest = place.json(&["run", &job, "--from", "more"]);
    assert_eq!(rest["steps"].as_array().unwrap().len(), 2);
    assert_eq!(place.run(&["run", &job, "--from", "nowhere"]).code, 2);
}

#[test]
fn the_same_clock_data_and_seed_give_the_same_models() {
    let train = || {
        let place = Place::new();
        place.json(&["ingest", &checkout().join("data-samples/team").display().to_string()]);
        place.json(&["materialize"]);
        place.json(&["--now", "2026-11-22T00:00:00Z", "train"]);
        ["build-time", "contention"]
            .map(|m| std::fs::read(place.path(&format!("lake/models/{m}/20261122T000000Z/model"))).unwrap())
    };
    assert!(train() == train());
}

#[test]
fn recording_passes_the_command_through_and_gives_an_event() {
    let place = Place::new();
    let ended = place.run(&["record", "--out", "e.ndjson", "--tag", "env=dev", "--", "sh", "-c", "echo hello; exit 7"]);
    assert_eq!((ended.code, ended.out.as_str()), (7, "hello\n"));
    assert_eq!(place.ingest(&["e.ndjson"]), [1, 1, 0, 0]);
    let row = &place.sql("select type, exit_code, env, duration_ms, memory_peak_bytes from staging.events")[0];
    assert_eq!((row["exit_code"].as_i64(), row["env"].as_str()), (Some(7), Some("dev")));
    assert!(row["memory_peak_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn a_reader_that_goes_away_stops_nothing() {
    let place = Place::new();
    place.write("one.ndjson", r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{"note":"n"}}"#);
    let job = "[[step]]\nname = \"take\"\nrun = [\"ingest\", \"one.ndjson\"]\n[[step]]\nname = \"build\"\nrun = [\"materialize\"]\n";
    place.write("job.toml", job);
    let mut child = place.command(&["run", "job.toml"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(place.sql("select count(*) as n from traces.traces")[0]["n"], 0);
}

#[test]
fn a_job_is_read_whole_before_it_begins() {
    let place = Place::new();
    place.write("one.ndjson", r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{"note":"n"}}"#);
    for slip in ["[\"materialise\"]", "[\"--lake\", \"elsewhere\", \"check\"]", "[\"run\", \"job.toml\"]"] {
        let text = format!(
            "[[step]]\nname = \"take\"\nrun = [\"ingest\", \"one.ndjson\"]\n[[step]]\nname = \"slip\"\nrun = {slip}\n"
        );
        place.write("job.toml", text);
        let ended = place.run(&["run", "job.toml"]);
        assert_eq!(ended.code, 2, "{slip}: {}", ended.err);
        assert!(!place.path("lake").exists(), "{slip}: the first step ran");
    }
}
