//! `pipeline record`: the command runs as if the recorder were not there, and the event says what happened.

mod events;
pub mod on_a_terminal;

use crate::program::{Ended, Place, end, say};
use serde_json::Value;
use std::io::Read;
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
fn a_command_that_is_called_install_is_recorded() {
    let place = Place::new();
    let ended = end(shell(&place, "", "$REC install -d made; ls -d made"));
    assert_eq!(ended.out, "made\n", "{}", ended.err);
    assert_eq!(place.run(&["record", "install"]).code, 2);
    assert_eq!(place.run(&["record"]).code, 2);
    assert_eq!(place.run(&["record", "cargo", "build"]).code, 2);
}
