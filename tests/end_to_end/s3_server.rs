//! A bucket on a real S3 server over HTTP, `tests/s3-server`, which has a proof of its own.

use crate::program::checkout;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// What may never be seen in anything the program says.
pub const SECRET: &str = "a+secret/that-nobody-may-read";

/// A server with one bucket. It is stopped, by its process id, when this goes away.
pub struct Bucket {
    folder: TempDir,
    port: u16,
    server: Option<Child>,
}

/// What a server was asked to write.
pub struct Faults {
    pub writes: u64,
    /// Those that must not replace anything.
    pub creates: u64,
}

/// The server's program, built once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target = Path::new(env!("CARGO_BIN_EXE_pipeline")).parent().unwrap().parent().unwrap();
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--manifest-path"])
            .arg(checkout().join("tests/s3-server/Cargo.toml"))
            .arg("--target-dir")
            .arg(target)
            .status()
            .unwrap();
        assert!(built.success(), "the S3 server of the tests cannot be built");
        target.join("debug/s3-server")
    })
}

impl Bucket {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bucket")).unwrap();
        let mut bucket = Self { folder, port: 0, server: None };
        bucket.restart();
        bucket
    }

    /// Where the server keeps the objects.
    pub fn objects(&self) -> PathBuf {
        self.folder.path().join("bucket")
    }

    /// What the program needs to know to keep its lake in the bucket.
    pub fn environment(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        [
            ("PIPELINE_LAKE", "s3://bucket/some/lake"),
            ("AWS_ACCESS_KEY_ID", "a-key"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("AWS_ALLOW_HTTP", "true"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Lets the server fail the k-th write from now on, or create, in one of the ways of `tests/s3-server/src/faults.rs`;
    /// 0 is none. Gives what was written since the last call.
    pub fn fail(&self, at: u64, way: &str, which: &str) -> Faults {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET /_faults/{at}/{way}/{which} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let counts = answer.rsplit("\r\n").next().and_then(|counts| counts.split_once(' '));
        let counts = counts.and_then(|(writes, creates)| Some((writes.parse().ok()?, creates.parse().ok()?)));
        let (writes, creates) = counts.unwrap_or_else(|| panic!("no counts: {answer}"));
        Faults { writes, creates }
    }

    /// Kills the server, in the middle of whatever it does.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// Starts it again, where it was.
    pub fn restart(&mut self) {
        self.stop();
        let mut server = Command::new(program())
            .arg(self.folder.path())
            .arg(self.port.to_string())
            .env("AWS_ACCESS_KEY_ID", "a-key")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .stdin(Stdio::piped()) // ends the server too, should this process die
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut port).unwrap();
        self.port = port.trim().parse().unwrap();
        self.server = Some(server);
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.stop();
    }
}
