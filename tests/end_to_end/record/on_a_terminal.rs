//! A recorded command on a terminal: it stays one, with its size, its colours and its keys.

use super::{PROGRAM, last, shell};
use crate::program::Place;
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Duration;

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
        // The kernel may still do so on a busy machine: asked again then. Twice it must never be told.
        let answered = (0..3).any(|_| {
            let text = on_a_terminal(&place, &line, &[("ready", "\u{3}")]);
            assert!(text.matches("got").count() <= 1 && text.contains("code 6"), "{options}: {text}");
            text.contains("got")
        });
        assert!(answered, "{options}");
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
