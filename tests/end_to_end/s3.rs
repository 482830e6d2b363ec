//! A lake on object storage is a lake like any other: the same answers, and clear errors when the store fails.

use crate::dumps::busy;
use crate::files::below;
use crate::program::{Ended, Place, checkout, end};
use crate::s3_server::{Bucket, SECRET};
use serde_json::Value;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// One clear error, exit 1, and nothing that lets a reader of the log into the store.
fn failed_clearly(ended: &Ended) {
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    let said = format!("{}{}", ended.out, ended.err);
    assert_eq!(said.lines().filter(|line| line.starts_with("error:")).count(), 1, "{said}");
    assert!(said.contains("hint:") && !said.contains("panicked"), "{said}");
    let secret_in_a_url: String = SECRET.replace('+', "%2B").replace('/', "%2F");
    for secret in [SECRET, &secret_in_a_url, "Signature=", "AWS4-HMAC", "authorization"] {
        assert!(!said.to_lowercase().contains(&secret.to_lowercase()), "{secret} is in {said}");
    }
}

#[test]
fn a_lake_on_s3_gives_the_answers_of_a_lake_on_a_folder() {
    let bucket = Bucket::start();
    let (folder, s3) = (Place::new(), Place::with(bucket.environment()));
    let dumps = checkout().join("data-samples/team").display().to_string();
    let answers = |place: &Place| {
        let first = place.ingest(&[&dumps]);
        assert!(first[1] > 1000, "{first:?}");
        assert_eq!(place.ingest(&[&dumps]), [first[0], 0, first[0] - first[3], first[3]], "sent again");
        place.json(&["materialize"]);
        let check = place.json(&["--now", "2026-11-22T00:00:00Z", "check"]);
        let tables = ["traces.traces", "traces.events", "marts.runs", "marts.usage", "marts.pr_metrics", "marts.daily"];
        let mut rows: Vec<Value> = Vec::new();
        for table in tables {
            let hash = format!("select count(*) as n, '{table}' as name from {table}");
            rows.extend(place.sql(&hash));
        }
        rows.extend(place.sql("select * from traces.traces order by trace_id"));
        rows.extend(place.sql("select * from marts.runs order by run_id, resource, event_id limit 500"));
        (first, check, rows, place.run(&["trace", "acme/data#116"]).out, place.staging())
    };
    let (on_folder, on_s3) = (answers(&folder), answers(&s3));
    assert!(on_folder.3.contains("timeline"), "a trace: {}", on_folder.3);
    assert!(on_folder == on_s3, "not the same answers");
    assert!(!s3.path("lake").exists() && below(&bucket.objects()).len() > 10, "it really is in the bucket");
}

#[test]
fn a_store_that_dies_in_the_middle_costs_nothing() {
    let mut bucket = Bucket::start();
    let (folder, s3) = (Place::new(), Place::with(bucket.environment()));
    let dump = s3.write("busy.ndjson", busy(5_000, 3));
    let mut child = s3.command(&["ingest", &dump]);
    let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let events = bucket.objects().join("some/lake/staging/events");
    let began = Instant::now();
    while below(&events).len() < 3 && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    bucket.stop();
    assert!(!events.join("_delta_log").exists(), "killed too late to show anything");
    let output = child.wait_with_output().unwrap();
    failed_clearly(&Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    });
    bucket.restart();
    assert_eq!(s3.ingest(&[&dump]), [5_050, 5_000, 0, 50]);
    assert_eq!(s3.ingest(&[&dump]), [5_050, 0, 5_000, 50]);
    folder.ingest(&[&dump]);
    assert!(folder.staging() == s3.staging(), "not the lake of an uninterrupted ingest");
}

#[test]
fn a_store_that_cannot_be_used_is_a_clear_error_without_secrets() {
    let mut bucket = Bucket::start();
    let place = Place::with(bucket.environment());
    let dump = place.write("one.ndjson", busy(10, 1));
    place.ingest(&[&dump]);

    for arguments in [&["ingest", &dump][..], &["-v", "ingest", &dump], &["check"], &["materialize"]] {
        let mut wrong = place.command(arguments);
        wrong.env("AWS_SECRET_ACCESS_KEY", SECRET.replace("nobody", "anybody"));
        let ended = end(wrong);
        failed_clearly(&ended);
        assert!(!ended.err.contains("anybody"), "the wrong secret is one too: {}", ended.err);
    }

    let moved = bucket.objects().with_file_name("moved");
    std::fs::rename(bucket.objects(), &moved).unwrap();
    failed_clearly(&place.run(&["ingest", &dump]));
    failed_clearly(&place.run(&["check"]));
    assert!(!bucket.objects().exists(), "a bucket is not ours to make");
    std::fs::rename(&moved, bucket.objects()).unwrap();

    bucket.stop();
    failed_clearly(&place.run(&["ingest", &dump]));
    bucket.restart();
    assert_eq!(place.ingest(&[&dump]), [10, 0, 10, 0], "what was committed is intact");
}

#[test]
fn dumps_in_a_bucket_are_taken_one_by_one_or_by_their_prefix() {
    let bucket = Bucket::start();
    let environment = bucket.environment().into_iter().filter(|(name, _)| name != "PIPELINE_LAKE").collect();
    let (folder, s3) = (Place::new(), Place::with(environment));
    let names = ["a.ndjson", "day=1/b c.jsonl.gz", "day=1/c:d%20+ü.json", "notes.md"];
    for (seed, name) in names.iter().enumerate() {
        let text = format!("{}junk of {name}\n", busy(2_000, seed as u64));
        let plain = folder.write(name.trim_end_matches(".gz"), text);
        if name.ends_with(".gz") {
            assert!(std::process::Command::new("gzip").arg(plain).status().unwrap().success());
        }
        let stored = bucket.objects().join("dumps").join(name);
        std::fs::create_dir_all(stored.parent().unwrap()).unwrap();
        std::fs::copy(folder.path(name), stored).unwrap();
    }
    assert_eq!(s3.ingest(&["s3://bucket/dumps/a.ndjson"]), [2_021, 2_000, 0, 21]);
    assert_eq!(s3.ingest(&["s3://bucket/dumps/"]), [6_063, 4_000, 2_000, 63]);
    assert_eq!(folder.ingest(&[&folder.path("").display().to_string()]), [6_063, 6_000, 0, 63]);
    assert!(folder.staging()[0] == s3.staging()[0], "not the same events");
    let sources = s3.sql("select distinct source from staging.rejects order by source");
    let sources: Vec<&str> = sources.iter().map(|row| row["source"].as_str().unwrap()).collect();
    assert_eq!(sources.len(), 3, "{sources:?}");
    assert!(sources.iter().all(|source| source.starts_with("s3://bucket/dumps/")), "{sources:?}");

    // Rejects are read again from where they are.
    let answer = s3.json(&["ingest", "--retry-rejects", "s3://bucket/dumps/"]);
    assert_eq!((answer["rejected"].as_u64(), answer["unreadable"].as_u64()), (Some(23), Some(0)), "{answer}");

    for missing in ["s3://bucket/dumps/nowhere.ndjson", "s3://bucket/nowhere/", "s3://nobucket/a.ndjson"] {
        failed_clearly(&s3.run(&["ingest", missing]));
    }
}

#[test]
fn a_plan_is_read_from_the_lake_in_a_bucket_by_its_address() {
    let bucket = Bucket::start();
    let s3 = Place::with(bucket.environment());
    let samples = checkout().join("data-samples");
    s3.write("compose.yaml", std::fs::read(samples.join("compose/compose.yaml")).unwrap());
    s3.ingest(&[&samples.join("team/usage.ndjson.gz").display().to_string()]);
    s3.json(&["materialize"]);
    let now = ["--now", "2026-11-22T00:00:00Z"];
    let plan = s3.json(&[&now[..], &["plan", "-o", "plan.json", "--target", "compose.yaml"]].concat());
    let before = s3.read("compose.yaml");
    let address = format!("s3://bucket/some/lake/plans/{}/plan.json", plan["plan_id"].as_str().unwrap());
    s3.json(&[&now[..], &["approve", &address]].concat());
    assert_eq!(s3.json(&[&now[..], &["apply", &address]].concat())["result"], "applied");
    assert_ne!(s3.read("compose.yaml"), before);
    assert_eq!(s3.json(&[&now[..], &["rollback", &address]].concat())["result"], "restored");
    assert_eq!(s3.read("compose.yaml"), before);
    for missing in ["s3://bucket/some/lake/plans/none.json", "s3://nobucket/plan.json"] {
        failed_clearly(&s3.run(&["plan", "show", missing]));
    }
}
