//! What the event of a recorded command says: memory and CPU of all its processes, samples, services, the checkout, the counts
//! of its tests, its packages, an OOM kill.

use super::{events, last, shell};
use crate::program::{Place, end, say};
use serde_json::Value;
use std::time::Duration;

#[test]
fn memory_is_that_of_the_whole_tree_and_cpu_that_of_all() {
    let place = Place::new();
    let hold = "(head -c 80000000 /dev/zero; sleep 1) | tail -c 80000000 > /dev/null";
    end(shell(&place, "", &format!("$REC sh -c '{hold} & {hold}; wait'")));
    let peak = last(&place)["memory_peak_bytes"].as_u64().unwrap();
    assert!((150_000_000..260_000_000).contains(&peak), "{peak}");
    end(shell(&place, "", "$REC sh -c 'sh -c \"i=0; while [ \\$i -lt 400000 ]; do i=\\$((i+1)); done\"; true'"));
    let cpu = last(&place)["cpu_ms"].as_u64().unwrap();
    assert!((40..20_000).contains(&cpu), "{cpu}");
    end(shell(&place, "", "$REC dd if=/dev/zero of=big bs=1M count=8 conv=fsync 2>/dev/null"));
    let written = last(&place)["io_write_bytes"].as_u64().unwrap();
    assert!(written == 0 || written >= 8 << 20, "{written} (0 on a tmpfs)");
}

#[test]
fn usage_is_told_while_it_runs() {
    let place = Place::new();
    let line = "$REC timeout 3.5 sh -c 'while :; do :; done'";
    end(shell(&place, "--samples 1s --tag resource=dev/web", line));
    let events = events(&place);
    let usage: Vec<&Value> = events.iter().filter(|event| event["type"] == "usage").collect();
    assert!((2..=3).contains(&usage.len()), "{usage:?}");
    for event in &usage {
        let payload = &event["payload"];
        assert!((0.9..2.0).contains(&payload["interval_s"].as_f64().unwrap()), "{payload}");
        // How much of a core it got, the machine decides.
        assert!((0.001..1.5).contains(&payload["cpu_cores"].as_f64().unwrap()), "{payload}");
        assert!(payload["memory_bytes"].as_u64().unwrap() > 100_000);
        assert_eq!(
            (event["resource"].as_str(), &payload["record_id"]),
            (Some("dev/web"), &events.last().unwrap()["payload"]["record_id"])
        );
    }
    let count = events.len() as u64;
    assert_eq!(place.ingest(&["e.ndjson"]), [count, count, 0, 0]);
}

#[test]
fn services_that_were_connected_to_are_events_of_their_own() {
    let place = Place::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let line = format!("$REC bash -c 'exec 3<>/dev/tcp/127.0.0.1/{}; sleep 0.6'", address.port());
    end(shell(&place, "--tag env=dev", &line));
    let events = events(&place);
    let calls: Vec<&Value> = events.iter().filter(|event| event["type"] == "api_call").collect();
    assert_eq!(calls.len(), 1, "{events:?}");
    assert_eq!((&calls[0]["payload"]["endpoint"], &calls[0]["env"]), (&address.to_string().into(), &"dev".into()));
    assert_eq!(calls[0]["payload"]["service"], format!("tcp/{}", address.port()));
    assert_eq!(place.ingest(&["e.ndjson"]), [2, 2, 0, 0]);
}

fn repository(place: &Place) {
    place.write("src/a.rs", "1\n2\n");
    let line = "git init -q -b main . && git remote add origin git@host.test:acme/api.git && git add src && \
        git -c user.name=a -c user.email=a@b.test commit -q -m first";
    assert_eq!(end(shell(place, "", line)).code, 0);
}

#[test]
fn the_checkout_and_what_changed_in_it_are_told() {
    let place = Place::new();
    repository(&place);
    place.write("src/a.rs", "1\ntwo\nthree\n");
    place.write("src/new.rs", "a\n");
    std::thread::sleep(Duration::from_millis(20));
    // The command's own changes are not those before it.
    end(shell(
        &place,
        "",
        "cd src; ../$REC true; $PIPELINE record --out ../e.ndjson -- make -f /dev/null -s -q || true; sleep 0.1",
    ));
    end(shell(&place, "", "$REC sh -c 'sleep 0.1; cd src && echo x > made-by-it.rs && make -f /dev/null'"));
    let event = events(&place).pop().unwrap();
    assert_eq!((&event["repo"], &event["branch"]), (&"acme/api".into(), &"main".into()));
    let payload = &event["payload"];
    assert_eq!(payload["commit"].as_str().map(str::len), Some(40));
    let paths: Vec<&str> = payload["paths"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert!(
        paths.contains(&"src/a.rs") && paths.contains(&"src/new.rs") && !paths.contains(&"src/made-by-it.rs"),
        "{paths:?}"
    );
    assert!(payload["churn"]["insertions"].as_u64().unwrap() >= 3 && payload["churn"]["deletions"] == 1, "{payload}");
    assert_eq!(events(&place)[0]["payload"]["folder"], "src");
}

/// A crate without dependencies, so that no network is needed.
fn small_crate(place: &Place) {
    place.write("Cargo.toml", "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n");
    let tests =
        "#[test] fn a() {}\n#[test] fn b() {}\n#[test] #[ignore] fn c() {}\n#[test] fn d() { assert!(false); }\n";
    place.write("src/lib.rs", tests);
}

#[test]
fn cargo_test_is_a_test_with_its_counts() {
    let place = Place::new();
    small_crate(&place);
    let cargo = "CARGO_TARGET_DIR=target $REC cargo test --offline";
    for how in [&format!("{cargo} 2>&1 | cat"), &format!("{cargo} > log 2>&1"), cargo] {
        let ended = end(shell(&place, "", how));
        let event = events(&place).pop().unwrap();
        assert_eq!(event["type"], "test", "{ended:?}");
        let counts = ["passed", "failed", "skipped"].map(|name| event["payload"][name].as_u64());
        assert_eq!(counts, [Some(2), Some(1), Some(1)], "{how}: {ended:?}");
        assert!(event["payload"].get("stdout_sample").is_none(), "not asked for");
    }
    end(shell(&place, "--stdout-sample=64", cargo));
    assert!(last(&place)["stdout_sample"].as_str().unwrap().len() <= 128);
}

#[test]
fn packages_and_junit_files_survive_the_door() {
    let place = Place::new();
    place.write("pip", "#!/bin/sh\necho 'Successfully installed idna-3.7 typing_extensions-4.12.2'\n");
    place.write("npm", "#!/bin/sh\necho 'npm http fetch GET 200 https://r.test/@babel/core/-/core-7.1.0.tgz 12ms'\necho 'added 7 packages in 2s'\n");
    let junit = "<testsuite><testcase name=\"a\"/><testcase name=\"b\"><skipped/></testcase></testsuite>";
    place.write("ctest", format!("#!/bin/sh\nmkdir -p reports; sleep 0.05; echo '{junit}' > reports/TEST-a.xml\n"));
    end(shell(
        &place,
        "",
        "chmod +x pip npm ctest; $REC ./pip install x | cat; $REC ./npm ci | cat; $REC ./ctest | cat",
    ));
    assert_eq!((last(&place)["passed"].as_u64(), last(&place)["skipped"].as_u64()), (Some(1), Some(1)));
    assert_eq!(place.ingest(&["e.ndjson"]), [3, 3, 0, 0]);
    let payloads =
        place.sql("select payload from staging.events order by ts").iter().map(Value::to_string).collect::<String>();
    for name in ["pkg:pypi/idna@3.7", "pkg:pypi/typing-extensions@4.12.2", "pkg:npm/%40babel/core@7.1.0"] {
        assert!(payloads.contains(name), "{name} in {payloads}");
    }
}

#[test]
fn what_recording_took_is_told_when_asked() {
    let place = Place::new();
    let ended = end(shell(&place, "--self-report", "$REC sleep 0.2"));
    assert!(ended.err.starts_with("record: ") && ended.err.contains("MiB at most"), "{}", ended.err);
    assert_eq!(end(shell(&place, "", "$REC sleep 0")).err, "");
}

#[test]
fn an_oom_kill_and_the_limit_are_told() {
    let memory = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = memory.lines().find_map(|line| line.split_once(":memory:"));
    let Some((_, own)) = own else {
        return say("left out: an OOM kill, which needs the memory controller of control groups, version 1");
    };
    let group = format!("/sys/fs/cgroup/memory{own}/pipeline-test-{}", std::process::id());
    if std::fs::create_dir(&group).is_err() {
        return say("left out: an OOM kill, which needs root");
    }
    std::fs::write(format!("{group}/memory.limit_in_bytes"), "64M").unwrap();
    let place = Place::new();
    let line = format!(
        "echo $$ > {group}/cgroup.procs; $REC sh -c '(head -c 200000000 /dev/zero; sleep 1) | tail -c 200000000 > /dev/null; exit 3'"
    );
    let ended = end(shell(&place, "", &line));
    std::fs::remove_dir(&group).unwrap();
    assert_eq!(ended.code, 3, "{}", ended.err);
    let payload = last(&place);
    assert_eq!(
        (&payload["oom_killed"], payload["memory_limit_bytes"].as_u64()),
        (&true.into(), Some(64 << 20)),
        "{payload}"
    );
}
