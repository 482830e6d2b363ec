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
    let nightly = [
        "ingest",
        "materialize",
        "check",
        "verify",
        "train",
        "predict",
        "shadow",
        "anomalies",
        "backtest",
        "plan",
        "report",
        "compact",
        "vacuum",
    ];
    assert_eq!(steps, nightly);
    assert!(place.path("plan.json").exists());
    assert!(place.read("report.html").contains("<!doctype html>"));
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

fn one_event(place: &Place) {
    place.write(
        "one.ndjson",
        r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","developer":"zoequux","payload":{"note":"n"}}"#,
    );
}

#[test]
fn a_job_changes_nothing_and_writes_nowhere_else_unless_a_person_says_so() {
    let place = Place::new();
    one_event(&place);
    for step in [
        r#"["approve", "plan.json"]"#,
        r#"["apply", "plan.json"]"#,
        r#"["rollback", "plan.json"]"#,
        r#"["privacy", "erase", "--developer", "zoequux", "--yes"]"#,
        r#"["sql", "select 1", "-o", "../nonexistent/out.csv"]"#,
        r#"["sql", "select 1", "-o/nonexistent/out.csv"]"#,
        r#"["sql", "select 1", "--output=folder/../../nonexistent/out.csv"]"#,
        r#"["sql", "select 1", "-o", "${NOT_SET:-/nonexistent/out.csv}"]"#,
        r#"["trace", "export", "--to", "/proc/traces"]"#,
        r#"["plan", "-o", "/nonexistent/plan.json"]"#,
        r#"["plan", "--target", "exec:touch harmed"]"#,
        r#"["report", "-o", "/nonexistent/report.html"]"#,
    ] {
        let first = "[[step]]\nname = \"take\"\nrun = [\"ingest\", \"one.ndjson\"]\n";
        place.write("job.toml", format!("{first}[[step]]\nname = \"harm\"\nrun = {step}\n"));
        let ended = place.run(&["run", "job.toml"]);
        assert_eq!(ended.code, 4, "{step}: {}", ended.err);
        assert!(ended.err.contains("--allow-changes"), "{}", ended.err);
        assert!(!place.path("lake").exists(), "{step}: the first step ran");
        assert_ne!(place.run(&["run", "job.toml", "--allow-changes"]).code, 4, "{step}: a person said so");
        std::fs::remove_dir_all(place.path("lake")).unwrap();
    }
    place.write("job.toml", "[[step]]\nname = \"ask\"\nrun = [\"sql\", \"select 1\", \"-o\", \"${OUT:-x.csv}\"]\n");
    one_event(&place);
    place.ingest(&["one.ndjson"]);
    let out = place.path("elsewhere.csv");
    let mut command = place.command(&["run", "job.toml"]);
    assert_eq!(
        end({
            command.env("OUT", &out);
            command
        })
        .code,
        0,
        "a person's variable says where"
    );
    assert!(out.exists());
}

#[test]
fn copies_stay_below_the_folder_that_the_job_made() {
    let place = Place::new();
    one_event(&place);
    place.write("bashrc", "mine");
    place.write("project/file", "mine");
    std::fs::create_dir(place.path("outside")).unwrap();
    std::os::unix::fs::symlink(place.path("outside"), place.path("linked")).unwrap();
    let job = |folder: &str, to: &str| {
        let copy = format!("[[copy]]\nfrom = \"one.ndjson\"\nto = \"{to}\"\n");
        let step = "[[step]]\nname = \"take\"\nrun = [\"ingest\", \"one.ndjson\"]\n";
        place.write("job.toml", format!("{folder}\n{copy}{step}"));
        place.run(&["run", "job.toml"])
    };
    let absolute = place.path("bashrc").display().to_string();
    for (folder, to, code) in [
        ("", "own/copy", 2),
        ("folder = \"own\"", "bashrc", 4),
        ("folder = \"own\"", "own/../bashrc", 4),
        ("folder = \"own\"", absolute.as_str(), 4),
        ("folder = \"own\"", "own", 4),
        ("folder = \".\"", "bashrc", 4),
        ("folder = \"..\"", "../bashrc", 4),
        ("folder = \"project\"", "project/file", 4),
        ("folder = \"linked\"", "linked/copy", 4),
    ] {
        let ended = job(folder, to);
        assert_eq!(ended.code, code, "{folder} {to}: {}", ended.err);
        assert!(!place.path("lake").exists(), "{folder} {to}: a step ran");
    }
    assert_eq!((place.read("bashrc"), place.read("project/file")), ("mine".into(), "mine".into()));
    assert_eq!(std::fs::read_dir(place.path("outside")).unwrap().count(), 0);
    for _ in 0..2 {
        assert_eq!(job("folder = \"own\"", "own/in/copy").code, 0);
    }
    assert!(place.read("own/in/copy").contains("zoequux"));
    std::os::unix::fs::symlink(place.path("bashrc"), place.path("own/in/link")).unwrap();
    std::os::unix::fs::symlink(place.path("outside"), place.path("own/away")).unwrap();
    assert_eq!(job("folder = \"own\"", "own/in/link").code, 0, "the link is replaced");
    assert_eq!(job("folder = \"own\"", "own/away/copy").code, 4);
    assert_eq!(place.read("bashrc"), "mine");
}

#[test]
fn a_run_record_does_not_name_who_was_erased() {
    let place = Place::new();
    one_event(&place);
    for erase in [r#""--developer", "zoequux""#, r#""--developer=zoequux""#, r#""--developer", " zoequux ""#] {
        let take = "[[step]]\nname = \"take\"\nrun = [\"ingest\", \"one.ndjson\"]\nallow_exit = [1]\n";
        let step = format!("[[step]]\nname = \"erase\"\nrun = [\"privacy\", \"erase\", {erase}, \"--yes\"]\n");
        place.write("job.toml", format!("{take}{step}"));
        let ended = place.run(&["--json", "run", "job.toml", "--allow-changes"]);
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert!(!ended.out.contains("zoequux"), "{}", ended.out);
        for (path, bytes) in place.lake_files() {
            assert!(!String::from_utf8_lossy(&bytes).contains("zoequux"), "{}", path.display());
        }
    }
}
