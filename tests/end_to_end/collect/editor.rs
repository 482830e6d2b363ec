//! `collect editor` over HTTP as WakaTime's plugins speak it, and from an exported dump.

use super::{Collector, all_are_taken, collected, dump, of};
use crate::program::Place;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const TOKEN: &str = "0b8a2a3e-1111-4222-8333-444455556666";
/// Its base64, as it stands in the header.
const BASIC: &str = "MGI4YTJhM2UtMTExMS00MjIyLTgzMzMtNDQ0NDU1NTU2NjY2";

fn place() -> Place {
    Place::with(vec![("PIPELINE_EDITOR_TOKEN".to_owned(), TOKEN.to_owned())])
}

/// A listening collector and its address.
fn listening(place: &Place, more: &[&str]) -> (Collector, String) {
    let mut arguments = vec!["editor", "--listen", "127.0.0.1:0"];
    arguments.extend(more);
    let mut collector = Collector::start(place, &arguments);
    let said = collector.says("listening");
    let address = said.split("http://").nth(1).unwrap().trim_end_matches("/api/v1").to_owned();
    (collector, address)
}

/// Sends bytes as they are; the status and the body of the answer.
fn raw(address: &str, bytes: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The other side may have answered and closed before everything was sent.
    let _ = stream.write_all(bytes);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, body.to_owned())
}

fn send(address: &str, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let text = format!(
        "{method} /api/v1/users/current/{path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Basic {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    raw(address, text.as_bytes())
}

fn beat(time: f64, category: &str) -> Value {
    json!({"entity": "/home/jane/work/api/src/main.rs", "type": "file", "category": category, "time": time, "project": "api",
        "branch": "fix/login", "language": "Rust", "is_write": true, "line_additions": 2, "line_deletions": 1,
        "user_agent": "wakatime/v1.98.1 (linux-6.1.0-x86_64) go1.22.4 vscode/1.90.0 vscode-wakatime/24.6.0"})
}

#[test]
fn heartbeats_of_plugins_become_edits_and_debugging() {
    let place = place();
    let (collector, address) = listening(&place, &[]);
    let (status, body) = send(&address, "POST", "heartbeats", BASIC, &beat(1_790_000_000.5, "coding").to_string());
    assert_eq!((status, body.as_str()), (201, r#"{"data":{}}"#));
    let many = json!([beat(1_790_000_120.0, "coding"), beat(1_790_000_130.0, "debugging"), {"entity": ""}]);
    let (status, body) = send(&address, "POST", "heartbeats.bulk", BASIC, &many.to_string());
    assert_eq!(status, 202);
    let responses: Value = serde_json::from_str(&body).unwrap();
    let codes: Vec<u64> = responses["responses"].as_array().unwrap().iter().map(|it| it[1].as_u64().unwrap()).collect();
    assert_eq!(codes, [201, 201, 400]);
    assert_eq!(send(&address, "GET", "statusbar/today", BASIC, "").0, 200);
    collector.signal("-TERM");
    let (code, events, err) = collector.end();
    assert_eq!(code, 0, "{err}");
    assert_eq!(events.len(), 2, "{events:?}");
    let edit = of(&events, "edit")[0];
    assert_eq!(
        (&edit["repo"], &edit["branch"], &edit["ts"]),
        (&json!("api"), &json!("fix/login"), &json!("2026-09-21T14:13:20.500Z"))
    );
    let payload = &edit["payload"];
    assert_eq!(
        (&payload["file"], &payload["duration_ms"], &payload["lines_added"]),
        (&json!("src/main.rs"), &json!(119_500), &json!(4))
    );
    assert_eq!(of(&events, "debug")[0]["payload"]["file"], "src/main.rs");
    assert!(!dump(&events).contains("jane"));
    all_are_taken(&events);
}

#[test]
fn strangers_garbage_and_slow_clients_change_nothing() {
    let place = place();
    let (mut collector, address) = listening(&place, &[]);
    let good = beat(1_790_000_000.0, "coding").to_string();
    for token in ["", "eA==", "!!", &BASIC[..40]] {
        assert_eq!(send(&address, "POST", "heartbeats", token, &good).0, 401, "{token}");
    }
    assert_eq!(raw(&address, b"POST /heartbeats HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}").0, 401);
    for (bytes, want) in [
        (&b"\x16\x03\x01\x02\x00garbage\r\n\r\n"[..], 400),
        (b"POST /heartbeats HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        (b"POST /heartbeats HTTP/1.1\r\n\r\n", 411),
        (b"POST /heartbeats HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST /heartbeats HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
    ] {
        assert_eq!(raw(&address, bytes).0, want, "{}", String::from_utf8_lossy(bytes));
    }
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(40_000));
    assert_eq!(raw(&address, long.as_bytes()).0, 431);
    for body in ["", "[]x", "7", "{\"entity\":", &"[".repeat(100_000)] {
        assert_eq!(send(&address, "POST", "heartbeats.bulk", BASIC, body).0, 400, "{:.20}", body);
    }
    assert_eq!(send(&address, "GET", "secrets", BASIC, "").0, 404);
    // Clients that never end their request hold up nobody else, and not for ever.
    let began = Instant::now();
    let slow: Vec<TcpStream> = (0..30)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.write_all(b"POST /heartbeats HTTP/1.1\r\nContent-Le").unwrap();
            stream
        })
        .collect();
    assert_eq!(send(&address, "POST", "heartbeats", BASIC, &good).0, 201);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    for mut stream in slow {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    collector.signal("-INT");
    let (code, events, err) = std::mem::replace(&mut collector, Collector { child: None }).end();
    assert_eq!((code, events.len()), (0, 1), "{err}");
}

#[test]
fn nobody_else_can_reach_it_and_its_token_is_kept() {
    let place = Place::new();
    for address in ["0.0.0.0:0", "192.168.1.1:80", "[::]:0", "localhost"] {
        let refused = place.run(&["collect", "editor", "--listen", address]);
        assert_eq!(refused.code, 2, "{address}: {}", refused.err);
    }
    let token = || {
        let mut command = place.command(&["collect", "editor", "--print-token"]);
        command.env("XDG_CONFIG_HOME", place.path("config"));
        let ended = crate::program::end(command);
        assert_eq!(ended.code, 0, "{}", ended.err);
        ended.out.trim().to_owned()
    };
    let made = token();
    assert_eq!((made.len(), made.as_bytes()[14]), (36, b'4'), "{made}");
    assert_eq!(token(), made);
    use std::os::unix::fs::PermissionsExt;
    let mode = place.path("config/pipeline/editor.token").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_exported_dump_gives_the_same_events_every_time() {
    let place = place();
    let export = json!({"user": {"email": "jane@acme.test"}, "days": [
        {"date": "2026-09-21", "heartbeats": [beat(1_790_000_000.0, "coding"), beat(1_790_000_900.0, "coding")]},
        {"date": "2026-09-20", "heartbeats": [beat(1_789_900_000.0, "debugging"), {"entity": "https://x.test", "type": "domain", "category": "browsing", "time": 1_789_900_001.0}]},
    ]});
    let file = place.write("export.json", export.to_string());
    let read = || collected(&place, &["editor", "--file", &file]);
    let events = read();
    assert_eq!((of(&events, "edit").len(), of(&events, "debug").len()), (2, 1));
    assert_eq!(events, read());
    all_are_taken(&events);
    let lines = format!("{}\n{}\n", beat(1_790_000_000.0, "coding"), beat(1_790_000_900.0, "coding"));
    assert_eq!(collected(&place, &["editor", "--file", &place.write("lines.ndjson", lines)]).len(), 2);
    let none = place.run(&["collect", "editor", "--file", &place.write("none.json", "{\"days\":[]}")]);
    assert!(none.code == 1 && none.err.contains("holds no heartbeats"), "{}", none.err);
}

#[test]
fn who_does_not_know_the_token_is_not_read_and_locks_nobody_out() {
    let place = place();
    let (mut collector, address) = listening(&place, &[]);
    let good = beat(1_790_000_000.0, "coding").to_string();
    // The answer comes before one byte of the body is sent.
    let began = Instant::now();
    let head = "POST /api/v1/users/current/heartbeats HTTP/1.1\r\nContent-Length: 2000000\r\n";
    for more in ["", "Expect: 100-continue\r\n", "Authorization: Basic eA==\r\n"] {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(format!("{head}{more}\r\n").as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 401", "{more}");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // Idle connections, and such as have asked for something and do not go, however many.
    let idle: Vec<TcpStream> = (0..300)
        .map(|n| {
            let mut stream = TcpStream::connect(&address).unwrap();
            if n % 2 == 0 {
                stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
            }
            stream
        })
        .collect();
    let began = Instant::now();
    assert_eq!(send(&address, "POST", "heartbeats", BASIC, &good).0, 201);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    drop(idle);
    collector.signal("-INT");
    let (code, events, err) = std::mem::replace(&mut collector, Collector { child: None }).end();
    assert_eq!((code, events.len()), (0, 1), "{err}");
}
