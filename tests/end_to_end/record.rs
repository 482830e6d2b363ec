//! `pipeline record`: the command runs as if the recorder were not there, and the event says what happened.

use crate::program::{Ended, Place, end, say};
use serde_json::Value;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pipeline");

/// A shell line in which `$REC` is a recording of what follows it.
fn shell(place: &Place, options: &str, line: &str) -> Command {
    let mut command = Command::new("bash");
    command
        .args(["-c", line])
        .current_dir(place.path("."))
        .env("REC", format!("{PROGRAM} record --out e.ndjson {options} --"))
        .env("PIPELINE", PROGRAM)
        .stdin(Stdio::null());
    command
}

fn events(place: &Place) -> Vec<Value> {
    place.read("e.ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The payload of the last command or test.
fn last(place: &Place) -> Value {
    events(place).into_iter().rfind(|event| event["type"] == "command" || event["type"] == "test").unwrap()["payload"]
        .take()
}

/// Waits until something holds, for at most half a minute.
fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn wait(child: &mut Child) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    let status = child.wait().unwrap();
    status.code().or_else(|| status.signal().map(|signal| -signal))
}

#[test]
fn input_folder_environment_and_exit_code_pass_through() {
    let place = Place::new();
    let line = "printf 'one\\ntwo' | NAME=x $REC sh -c 'cat; pwd; echo $NAME; exit 42'; echo \" $?\"";
    for options in ["", "--read-output always", "--read-output never"] {
        let ended = end(shell(&place, options, line));
        let folder = place.path(".").canonicalize().unwrap();
        assert_eq!(ended.out, format!("one\ntwo{}\nx\n 42\n", folder.display()), "{options}: {}", ended.err);
    }
    assert_eq!(place.ingest(&["e.ndjson"]), [3, 3, 0, 0]);
}

#[test]
fn both_streams_keep_their_order_and_their_place() {
    let place = Place::new();
    let line = "$REC sh -c 'for i in 1 2 3 4 5 6 7 8 9; do echo o$i; echo e$i >&2; done'";
    let ended = end(shell(&place, "--read-output always", &format!("{line} 2>&1")));
    let want: String = (1..10).map(|i| format!("o{i}\ne{i}\n")).collect();
    assert_eq!(ended.out, want);
    let ended = end(shell(&place, "--read-output always", line));
    assert_eq!((ended.out.lines().count(), ended.err.lines().count()), (9, 9), "{ended:?}");
}

#[test]
fn large_output_comes_through_whole() {
    let place = Place::new();
    let line = "$REC sh -c 'seq 3000000; seq 500000 >&2' 2>err | md5sum; seq 3000000 | md5sum; wc -l < err";
    let ended = end(shell(&place, "--read-output always", line));
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!(lines[0], lines[1]);
    assert_eq!(lines[2], "500000");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_as_it_would() {
    let place = Place::new();
    for options in ["--read-output always", "--read-output never"] {
        let ended = end(shell(&place, options, "$REC yes | head -1; echo ${PIPESTATUS[0]}"));
        assert_eq!(ended.out, "y\n141\n", "{options}: {}", ended.err);
    }
    // Also if it writes only later: it is told at its next write, not at the one after that.
    let line =
        "$REC sh -c 'echo a; sleep 0.5; echo b || true; echo c > still-there' | head -1; sleep 1; ls still-there";
    assert_eq!(end(shell(&place, "--read-output always", line)).out, "a\n");
}

#[test]
fn a_file_stays_a_file_and_only_what_was_added_is_read() {
    let place = Place::new();
    place.write(
        "pytest",
        "#!/bin/sh\nto=$(readlink /proc/$$/fd/1); echo $to >&2\necho '3 passed, 1 failed in 0.10s'\nexit 1\n",
    );
    let line = "chmod +x pytest; echo '9 passed in 1.00s' > log; $REC ./pytest >> log; echo after >> log";
    let ended = end(shell(&place, "", line));
    assert!(ended.err.contains("/log\n"), "{}", ended.err);
    assert_eq!(place.read("log"), "9 passed in 1.00s\n3 passed, 1 failed in 0.10s\nafter\n");
    assert_eq!((last(&place)["passed"].as_u64(), last(&place)["failed"].as_u64()), (Some(3), Some(1)));
    end(shell(&place, "", "$REC ./pytest > /dev/null"));
    assert_eq!(last(&place).get("passed"), None, "what was not seen is not told");
}

#[test]
fn a_job_server_passes_through() {
    let place = Place::new();
    place.write("sub/Makefile", "all: a b\na b:\n\t@sleep 0.2; echo $@\n");
    place.write("Makefile", "all:\n\t+@$(REC) $(MAKE) --no-print-directory -C sub all\n");
    let ended = end(shell(&place, "", "REC=\"$REC\" make -j3"));
    let mut lines: Vec<&str> = ended.out.lines().filter(|line| line.len() == 1).collect();
    lines.sort_unstable();
    assert_eq!((lines, ended.code), (vec!["a", "b"], 0), "{ended:?}");
    assert!(!ended.err.contains("jobserver"), "{}", ended.err);
    assert_eq!(last(&place)["kind"], "build");
}

#[test]
fn what_outlives_the_command_is_not_waited_for_and_keeps_its_output() {
    let place = Place::new();
    let mut child = shell(&place, "--read-output always", "exec $REC sh -c '(sleep 2; echo late) & echo early'")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    assert_eq!(wait(&mut child), Some(0));
    assert!(began.elapsed() < Duration::from_millis(1900), "{:?}", began.elapsed());
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "early\nlate\n");
}

#[test]
fn killing_the_recorder_leaves_the_command_running() {
    let place = Place::new();
    let line = "exec $REC sh -c 'echo $$ > pid; sleep 1; echo still here; echo done > done'";
    let mut child = shell(&place, "--read-output always", line).stdout(Stdio::piped()).spawn().unwrap();
    until("it starts", || std::fs::read_to_string(place.path("pid")).is_ok_and(|text| text.ends_with('\n')));
    child.kill().unwrap();
    wait(&mut child);
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "still here\n");
    assert_eq!(place.read("done"), "done\n");
    // The next recorder finds the file in order, and puts its control groups in order.
    let killed = format!("/sys/fs/cgroup/**/pipeline-record-{}", child.id());
    let ended = end(shell(&place, "", &format!("shopt -s globstar nullglob; $REC sleep 0.3; echo {killed}")));
    assert_eq!((ended.code, ended.out.as_str()), (0, "\n"));
    assert_eq!(place.ingest(&["e.ndjson"]), [1, 1, 0, 0]);
}

/// The signals that this process ignores, a bit each from 1.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap()
}

#[test]
fn signals_are_passed_on_once_and_the_code_is_that_of_a_shell() {
    for (signal, code) in [("TERM", 143), ("HUP", 129), ("QUIT", 131), ("INT", 130), ("USR1", 138), ("KILL", 137)] {
        // What is ignored from the start, as under nohup, stays ignored.
        if (ignored() >> (code - 129)) & 1 == 1 {
            say(&format!("{signal} is ignored here: not tested"));
            continue;
        }
        let place = Place::new();
        let line = "ulimit -c 0; exec $REC sh -c 'echo $$ > pid; exec sleep 30'";
        let mut child = shell(&place, "", line).spawn().unwrap();
        until("it starts", || std::fs::read_to_string(place.path("pid")).is_ok_and(|text| text.ends_with('\n')));
        // Nobody can pass KILL on: it goes to the command.
        let to = if signal == "KILL" { place.read("pid") } else { child.id().to_string() };
        std::thread::sleep(Duration::from_millis(100));
        assert!(Command::new("kill").args(["-s", signal, to.trim()]).status().unwrap().success());
        assert_eq!(wait(&mut child), Some(code), "{signal}");
        assert_eq!(
            (last(&place)["exit_code"].as_i64(), last(&place)["signal"].as_i64()),
            (Some(code.into()), Some(i64::from(code) - 128))
        );
    }
    let place = Place::new();
    let line =
        "exec $REC sh -c 'trap \"echo got\" TERM; echo $$ > pid; for i in 1 2 3 4 5 6 7 8; do sleep 0.2; done; exit 5'";
    let mut child = shell(&place, "", line).stdout(Stdio::piped()).spawn().unwrap();
    until("it starts", || place.path("pid").exists());
    std::thread::sleep(Duration::from_millis(200));
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), wait(&mut child)), ("got\n", Some(5)));
}

#[test]
fn what_was_ignored_stays_ignored() {
    let place = Place::new();
    let ask = "grep -E '^Sig(Ign|Blk)' /proc/self/status";
    let line = format!("trap '' HUP INT USR1; sh -c \"{ask}\"; echo; $REC sh -c \"{ask}\"");
    let ended = end(shell(&place, "", &line));
    let (plain, recorded) = ended.out.split_once("\n\n").unwrap();
    assert_eq!(plain, recorded.trim_end());
}

#[test]
fn recording_that_cannot_work_does_not_stop_the_command() {
    let place = Place::new();
    let run = |command: &str| end(shell(&place, "", command));
    let check = |ended: Ended, how: &str| {
        assert_eq!((ended.code, ended.out.as_str()), (9, "ran\n"), "{how}: {}", ended.err);
        assert!(ended.err.contains("warning: cannot append an event"), "{how}: {}", ended.err);
    };
    for out in ["/nonexistent/e.ndjson", "/dev/full", "/", "/proc/version"] {
        check(run(&format!("$PIPELINE record --out {out} -- sh -c 'echo ran; exit 9'")), out);
    }
    // A file that may not grow.
    check(
        run("ulimit -f 1; head -c 1024 /dev/zero > full; $PIPELINE record --out full -- sh -c 'echo ran; exit 9'"),
        "ulimit",
    );
    assert_eq!(place.path("full").metadata().unwrap().len(), 1024, "nothing half written");
    place.write("bin/git", "#!/bin/sh\nexit 128\n");
    place.write(".git/HEAD", [0xff, 0x00, 0x01]);
    let ended = run("chmod +x bin/git; PATH=$PWD/bin:$PATH $REC sh -c 'echo ran; exit 9'");
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (9, "ran\n", ""));
    assert_eq!(run("$REC no-such-command").code, 127);
    assert_eq!(run("$REC /").code, 126);
    place.write("no-first-line", "echo ran; exit 9\n");
    let ended = run("chmod +x no-first-line; $REC ./no-first-line");
    assert_eq!((ended.code, ended.out.as_str()), (9, "ran\n"), "{}", ended.err);
    let hidden = "umount -l /proc && exec $REC sh -c 'echo ran; exit 9'";
    let ended = end({
        let mut command = Command::new("unshare");
        let inner = shell(&place, "--samples 1s", hidden);
        command.args(["-m", "bash", "-c", hidden]).current_dir(place.path("."));
        command.envs(inner.get_envs().filter_map(|(k, v)| Some((k, v?))));
        command
    });
    if ended.code == 9 {
        assert_eq!(ended.out, "ran\n");
        assert_eq!(last(&place)["exit_code"], 9);
    } else {
        say(&format!("left out: a machine without /proc, which needs root: {}", ended.err.trim()));
    }
}

#[test]
fn twenty_recorders_share_a_file() {
    let place = Place::new();
    let long = "x".repeat(20_000);
    let line = format!("for i in $(seq 20); do $REC sh -c ': {long}; exit 3' & done; wait");
    end(shell(&place, "", &line));
    let events = events(&place);
    assert_eq!(events.len(), 20);
    assert!(events.iter().all(|event| event["payload"]["exit_code"] == 3));
    assert_eq!(place.ingest(&["e.ndjson"]), [20, 20, 0, 0]);
}

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

/// What `script` prints of a command on a terminal of its own, with keys typed when a text appears.
pub fn on_a_terminal(place: &Place, line: &str, keys: &[(&str, &str)]) -> String {
    let mut child = shell(place, "", "exec script -qfec \"$LINE\" /dev/null")
        .env("LINE", line)
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut text = String::new();
    let mut seen = 0;
    let mut keys = keys.iter();
    let mut next = keys.next();
    let mut block = [0; 4096];
    loop {
        while let Some((sign, key)) = next
            && let Some(at) = text[seen..].find(sign)
        {
            seen += at + sign.len();
            std::thread::sleep(Duration::from_millis(150));
            keyboard.write_all(key.as_bytes()).unwrap();
            next = keys.next();
        }
        match screen.read(&mut block) {
            Ok(0) | Err(_) => break,
            Ok(length) => text.push_str(&String::from_utf8_lossy(&block[..length]).replace('\r', "")),
        }
    }
    child.wait().unwrap();
    text
}

#[test]
fn a_terminal_stays_a_terminal() {
    let place = Place::new();
    let look = "test -t 0 && test -t 1 && test -t 2 && echo all; stty size <&1; stty size <&2; tty <&0; ps -o tpgid= -o pgid= $$";
    for options in ["--read-output always", "--read-output auto"] {
        let line = format!("stty rows 45 cols 123; $PIPELINE record --out e.ndjson {options} -- sh -c '{look}'");
        let text = on_a_terminal(&place, &line, &[]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..3], ["all", "45 123", "45 123"], "{text}");
        assert!(lines[3].starts_with("/dev/pts/"));
        let groups: Vec<&str> = lines[4].split_whitespace().collect();
        assert_eq!(groups[0], groups[1], "the command is in the foreground");
    }
}

#[test]
fn a_terminal_shows_the_same_bytes_and_the_counts_are_read() {
    let place = Place::new();
    place.write("pytest", "#!/bin/sh\nprintf 'a\\tb\\033[31m red\\033[0m\\n%%1\\r%%2\\n'\necho 4 passed in 0.10s\n");
    let plain = on_a_terminal(&place, "chmod +x pytest; ./pytest", &[]);
    let recorded = on_a_terminal(&place, "$REC ./pytest", &[]);
    assert_eq!(plain, recorded);
    assert_eq!(last(&place)["passed"], 4);
}

#[test]
fn the_window_can_change_its_size() {
    let place = Place::new();
    let inner = "trap \"stty size <&1\" WINCH; echo ready; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; done";
    let line = format!(
        "{PROGRAM} record --out e.ndjson --read-output always -- sh -c '{inner}' & sleep 0.6; stty rows 33 cols 77; wait"
    );
    let text = on_a_terminal(&place, &line, &[]);
    assert!(text.lines().last().is_some_and(|size| size == "33 77"), "{text}");
}

#[test]
fn ctrl_c_reaches_the_command_once_and_ctrl_z_stops_it() {
    let place = Place::new();
    for options in ["--read-output always", "--read-output never"] {
        // Long enough for a key that comes late on a busy machine.
        let inner = "trap \"echo got\" INT; echo ready; for i in $(seq 20); do sleep 0.2; done; exit 6";
        // Without `noflsh` a terminal signals first and then throws away what waits to be shown: at times the answer, too.
        let record = format!("$PIPELINE record --out e.ndjson {options} -- sh -c '{inner}'");
        let line = format!("stty noflsh; trap : INT; {record}; echo code $?");
        let text = on_a_terminal(&place, &line, &[("ready", "\u{3}")]);
        assert_eq!(text.matches("got").count(), 1, "{options}: {text}");
        assert!(text.contains("code 6"), "{text}");
        // A loop ends, as it does without the recorder.
        let line = format!(
            "bash -c 'for i in 1 2 3; do $PIPELINE record --out e.ndjson {options} -- sh -c \"echo ready; exec sleep 5\"; done'"
        );
        let text = on_a_terminal(&place, &line, &[("ready", "\u{3}")]);
        assert_eq!(text.matches("ready").count(), 1, "{options}: {text}");
        assert_eq!(last(&place)["exit_code"], 130);
    }
    let keys = [
        ("$ ", "$REC sh -c 'echo up; exec sleep 20'\n"),
        ("up\n", "\u{1a}"),
        ("$ ", "jobs; fg\n"),
        ("Stopped", ""),
        ("echo up", "\u{3}"),
        ("$ ", "echo code=$?; exit\n"),
    ];
    let text = on_a_terminal(&place, "PS1='$ ' bash --norc -i", &keys);
    assert!(text.contains("Stopped") && text.contains("code=130"), "{text}");
}

#[test]
fn a_command_that_is_called_install_is_recorded() {
    let place = Place::new();
    let ended = end(shell(&place, "", "$REC install -d made; ls -d made"));
    assert_eq!(ended.out, "made\n", "{}", ended.err);
    assert_eq!(place.run(&["record", "install"]).code, 2);
    assert_eq!(place.run(&["record"]).code, 2);
    assert_eq!(place.run(&["record", "cargo", "build"]).code, 2);
}
