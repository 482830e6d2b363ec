//! Bounds: what one query, one pattern, one location may cost or show.

use crate::program::Place;
use std::process::Stdio;
use std::time::{Duration, Instant};

fn place() -> Place {
    let place = Place::new();
    let text = r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","repo":"a/b","pr":1,"payload":{"note":"n"}}"#;
    place.ingest(&[&place.write("one.ndjson", text)]);
    place
}

/// Runs with a watch on memory; the exit code, what it said, the peak in MiB.
fn watched(place: &Place, arguments: &[&str]) -> (i32, String, u64) {
    let mut child = place.command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let (began, mut peak) = (Instant::now(), 0);
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = peak.max(high.and_then(|high| high.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default());
        if began.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let ended = child.wait_with_output().unwrap();
    (ended.status.code().unwrap_or(-1), String::from_utf8_lossy(&ended.stderr).into_owned(), peak >> 10)
}

#[test]
fn a_query_takes_no_more_than_it_may() {
    let place = place();
    let many = |of: &str, times: usize, between: &str| vec![of; times].join(between);
    for query in [
        format!("select {}", many("repeat('x', 60000000)", 40, " || ")),
        format!("select {}", many("length(lpad('x', 60000000, 'ü'))", 40, " + ")),
        "select replace(repeat('a', 100000), 'a', repeat('b', 100000))".to_owned(),
        "select regexp_replace(repeat('a', 100000), 'a', repeat('b', 100000), 'g')".to_owned(),
        "select array_to_string(range(0, 1000000), repeat('x', 10000))".to_owned(),
        "select array_repeat(repeat('x', 1000000), 100000)".to_owned(),
        "select length(repeat('x', 60000000)), value from generate_series(1, 1000000000) order by 1, value".to_owned(),
        "select range(timestamp '1970-01-01', timestamp '2200-01-01', interval '1 second')".to_owned(),
        format!("select {}", many("1", 300_000, "+")),
        format!("select {}1{}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("select 1 where {}", many("1=1", 100_000, " and ")),
        format!("select {}1", "- ".repeat(50_000)),
        format!("select case {} end", many("when 1=2 then 3", 50_000, " ")),
    ] {
        // From a file: the kernel takes no argument of more than 128 KiB.
        let file = place.write("query.sql", &query);
        let (code, err, peak) = watched(&place, &["sql", "--memory", "64MiB", "-f", &file]);
        assert!(peak < 64 + 1024, "{:.80}: peak {peak} MiB", query);
        assert!(code == 0 || code == 1, "{:.80}: {code} {err}", query);
        assert!(code == 0 || err.starts_with("error:"), "{:.80}: {err}", query);
    }
    let (code, err, _) = watched(&place, &["sql", "--memory", "64MiB", "select count(*) from staging.events"]);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn with_little_address_space_it_works_or_says_why() {
    let place = place();
    for kib in [8_000_000, 2_000_000, 1_000_000, 500_000, 250_000] {
        let program = env!("CARGO_BIN_EXE_pipeline");
        let mut command = place.command(&[]);
        let environment: Vec<_> = command.get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))).collect();
        command = std::process::Command::new("sh");
        command
            .args(["-c", &format!("ulimit -v {kib}; exec timeout 60 '{program}' sql 'select 1 as x' --format csv")])
            .current_dir(place.path("."))
            .envs(environment);
        let ended = crate::program::end(command);
        assert_ne!(ended.code, 124, "{kib} KiB: it hangs");
        assert!(ended.code == 0 || !ended.err.is_empty(), "{kib} KiB: {} without a word", ended.code);
        assert!(kib < 2_000_000 || ended.out == "x\n1\n", "{kib} KiB: {} {}", ended.code, ended.err);
    }
}

#[test]
fn no_password_of_a_url_is_shown() {
    let place = place();
    let secret = "hunter2";
    for location in [
        format!("https://user:{secret}@127.0.0.1:1/lake"),
        format!("ftp://user:{secret}@host/lake"),
        format!("https://127.0.0.1:1/lake?X-Amz-Signature={secret}&sig={secret}"),
        format!("nonsense://{secret}:{secret}@/"),
    ] {
        let job =
            place.write("job.toml", format!("lake = \"{location}\"\n[[step]]\nname = \"look\"\nrun = [\"check\"]\n"));
        for arguments in [
            &["--lake", &location, "check"][..],
            &["--lake", &location, "ingest", "one.ndjson"],
            &["ingest", &format!("{location}/a.ndjson")],
            &["run", &job],
        ] {
            for json in [&["--json"][..], &[]] {
                let mut command = place.command(&[json, arguments].concat());
                command.env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b").env("AWS_REGION", "c");
                command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1").env("AWS_ALLOW_HTTP", "true");
                let ended = crate::program::end(command);
                assert_ne!(ended.code, 0, "{arguments:?}");
                let said = ended.out + &ended.err;
                assert!(!said.contains(secret) || location.starts_with("nonsense"), "{arguments:?}: {said}");
                assert!(!said.contains(&format!(":{secret}")), "{arguments:?}: {said}");
            }
        }
    }
    for (path, bytes) in place.lake_files() {
        assert!(!String::from_utf8_lossy(&bytes).contains(secret), "{}", path.display());
    }
}

#[test]
fn no_text_is_a_formula_where_it_is_asked_for() {
    let place = place();
    let query = r#"select * from (values ('=1+1', -1), ('+1', 2), ('-1', 3), ('@a', 4), (e'\t=1', 5), (' =1', 6), ('a=1', 7), (null, 8)) as t("=name", n) order by abs(n)"#;
    let plain = place.run(&["sql", query, "--format", "csv"]);
    assert!(plain.out.starts_with("=name,n\n=1+1,-1\n"), "data stays as it is: {}", plain.out);
    let safe = place.run(&["sql", query, "--format", "csv", "--spreadsheet-safe"]);
    assert_eq!(safe.out, "'=name,n\n'=1+1,-1\n'+1,2\n'-1,3\n'@a,4\n'\t=1,5\n' =1,6\na=1,7\n,8\n", "{}", safe.err);
    place.run(&["sql", query, "-o", "safe.csv", "--spreadsheet-safe"]);
    assert_eq!(place.read("safe.csv"), safe.out);
    assert_eq!(place.run(&["sql", query, "--spreadsheet-safe"]).code, 2);
    assert_eq!(place.run(&["sql", query, "--format", "json", "--spreadsheet-safe"]).code, 2);
}
