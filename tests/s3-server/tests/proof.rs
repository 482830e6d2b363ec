//! The server itself, before anything is tested against it: conditional creates are atomic, signatures are checked.
//!
//! Speaks HTTP and AWS Signature Version 4 on its own, so that nothing here comes from the program or its libraries.
//! https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;

const KEY: &str = "a-key";
const SECRET: &str = "a-secret";
const AT: &str = "bucket/some/key";

struct Server {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bucket")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_s3-server"))
            .arg(folder.path())
            .arg("0")
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut port).unwrap();
        Self { child, port: port.trim().parse().unwrap(), folder }
    }

    /// Sends the head of a request; the body follows with [`finish`].
    fn begin(&self, method: &str, path: &str, body: &[u8], secret: &str, more: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let host = format!("127.0.0.1:{}", self.port);
        let head = signed(method, path, &host, body, secret);
        write!(stream, "{head}Content-Length: {}\r\nConnection: close\r\n{more}\r\n", body.len()).unwrap();
        stream
    }

    fn send(&self, method: &str, path: &str, body: &[u8], secret: &str, more: &str) -> (u16, String) {
        finish(self.begin(method, path, body, secret, more), body)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn finish(mut stream: TcpStream, body: &[u8]) -> (u16, String) {
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no HTTP: {answer}")), answer)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Now, as `YYYYMMDDTHHMMSSZ`. The server refuses other times.
fn now() -> String {
    let date = Command::new("date").args(["-u", "+%Y%m%dT%H%M%SZ"]).output().unwrap();
    String::from_utf8(date.stdout).unwrap().trim().to_owned()
}

/// The head of a request with its signature.
fn signed(method: &str, path: &str, host: &str, body: &[u8], secret: &str) -> String {
    let (time, digest) = (now(), hex(&Sha256::digest(body)));
    let day = &time[..8];
    let names = "host;x-amz-content-sha256;x-amz-date";
    let headers = format!("host:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{time}\n");
    let canonical = format!("{method}\n/{path}\n\n{headers}\n{names}\n{digest}");
    let scope = format!("{day}/us-east-1/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let key = [day, "us-east-1", "s3", "aws4_request"]
        .iter()
        .fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part));
    let signature = hex(&hmac(&key, &text));
    format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nx-amz-date: {time}\r\nx-amz-content-sha256: {digest}\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential={KEY}/{scope},SignedHeaders={names},Signature={signature}\r\n"
    )
}

#[test]
fn of_fifty_conditional_creates_at_once_exactly_one_succeeds() {
    let server = Server::start();
    for round in 0..10 {
        let path = format!("{AT}{round}");
        let together = Barrier::new(50);
        let answers: Vec<u16> = std::thread::scope(|scope| {
            let creates: Vec<_> = (0..50)
                .map(|writer| {
                    let (server, path, together) = (&server, &path, &together);
                    scope.spawn(move || {
                        let body = format!("{writer:02}").repeat(10_000);
                        let body = body.as_bytes();
                        let stream = server.begin("PUT", path, body, SECRET, "If-None-Match: *\r\n");
                        together.wait();
                        finish(stream, body).0
                    })
                })
                .collect();
            creates.into_iter().map(|create| create.join().unwrap()).collect()
        });
        let winners: Vec<usize> = (0..50).filter(|writer| answers[*writer] == 200).collect();
        let refused = answers.iter().filter(|status| **status == 412).count();
        assert_eq!((winners.len(), refused), (1, 49), "round {round}: {answers:?}");
        let kept = std::fs::read_to_string(server.folder.path().join(&path)).unwrap();
        assert_eq!(kept, format!("{:02}", winners[0]).repeat(10_000), "what is kept is the winner's, whole");
    }
}

#[test]
fn what_is_not_signed_right_is_refused() {
    let server = Server::start();
    assert_eq!(server.send("PUT", AT, b"mine", SECRET, "").0, 200);
    assert_eq!(server.send("PUT", AT, b"theirs", "another-secret", "").0, 403);
    let (status, answer) = server.send("GET", AT, b"", "another-secret", "");
    assert!(status == 403 && !answer.contains(SECRET), "{answer}");
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    write!(stream, "GET /{AT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(finish(stream, b"").0, 403, "no signature at all");
    assert!(server.send("GET", AT, b"", SECRET, "").1.ends_with("mine"));
}

#[test]
fn it_fails_when_and_how_it_is_told_to() {
    let server = Server::start();
    let tell = |command: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        write!(stream, "GET /_faults/{command}/writes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        let (status, answer) = finish(stream, b"");
        assert_eq!(status, 200, "{answer}");
        answer.rsplit("\r\n").next().unwrap().to_owned()
    };
    let kept = || std::fs::read_to_string(server.folder.path().join(AT)).unwrap_or_default();
    let put = |body: &str| server.send("PUT", AT, body.as_bytes(), SECRET, "").0;
    // What comes back of a write to which there may be no answer within 200 ms.
    let answer = |body: &str| {
        let mut stream = server.begin("PUT", AT, body.as_bytes(), SECRET, "");
        stream.write_all(body.as_bytes()).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    tell("2/refused");
    assert_eq!([put("a"), put("b"), put("c")], [200, 403, 200]);
    assert_eq!(tell("1/lost"), "3 0", "writes, the refused one too");
    assert_eq!((put("d"), kept()), (500, "d".to_owned()));
    tell("2/down");
    assert_eq!(([put("e"), put("f"), put("g")], kept()), ([200, 403, 403], "e".to_owned()));
    tell("1/closed");
    assert_eq!((answer("h").unwrap(), kept()), (String::new(), "h".to_owned()));
    tell("1/hangs");
    assert!(answer("i").is_err());
    assert_eq!((put("j"), kept()), (200, "j".to_owned()), "once");
    tell("1/late=300");
    assert!(answer("k").is_err());
    assert_eq!(kept(), "j");
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(kept(), "k");
    assert_eq!(tell("0/lost"), "1 0");
    assert_eq!(put("l"), 200);
}

#[test]
fn it_ends_with_its_standard_input() {
    let mut server = Server::start();
    drop(server.child.stdin.take());
    assert!(server.child.wait().unwrap().success());
}
