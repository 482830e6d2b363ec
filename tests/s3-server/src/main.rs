//! A real S3 server on loopback for the end-to-end tests: `s3-server FOLDER PORT`.
//!
//! The folders below FOLDER are its buckets. PORT 0 takes any free port; the port is the only line on stdout.
//! `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` are the credentials it asks for, checked by signature. It ends when
//! its standard input does, so that a test that dies leaves no server behind.
//!
//! The S3 protocol and the files are those of `s3s` and `s3s-fs`. What is added is one lock: `s3s-fs` looks whether an
//! object is there and writes it later, so of two `If-None-Match: *` at once both would succeed, which no real store
//! allows. Whatever changes something goes through one after the other; whatever reads waits for it.
//!
//! And it fails when it is told to: see `faults`.

mod faults;

use faults::{Fault, Faults};
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpResponse};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::RwLock;

type Failed = Box<dyn Error + Send + Sync>;

/// What every request needs.
#[derive(Clone)]
struct Served {
    service: S3Service,
    changes: Arc<RwLock<()>>,
    faults: Arc<Faults>,
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let (folder, port) = match (arguments.next(), arguments.next()) {
        (Some(folder), Some(port)) => (folder, port.parse::<u16>()?),
        _ => return Err("s3-server FOLDER PORT".into()),
    };
    let credentials = (std::env::var("AWS_ACCESS_KEY_ID")?, std::env::var("AWS_SECRET_ACCESS_KEY")?);
    let files = s3s_fs::FileSystem::new(&folder).map_err(|error| format!("cannot serve {folder}: {error:?}"))?;
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(credentials.0, credentials.1));
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("{}", listener.local_addr()?.port());
    tokio::select! {
        ended = serve(listener, service.build()) => ended,
        () = end_of_input() => Ok(()),
    }
}

async fn end_of_input() {
    let mut input = tokio::io::stdin();
    while !matches!(input.read(&mut [0; 64]).await, Ok(0) | Err(_)) {}
}

async fn serve(listener: TcpListener, service: S3Service) -> Result<(), Failed> {
    let served = Served { service, changes: Arc::default(), faults: Arc::default() };
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?; // else an answer in two packets waits 40 ms for the other side
        let served = served.clone();
        tokio::spawn(async move {
            let answers = service_fn(move |request| served.clone().answer(request));
            // A client that goes away in the middle is what some tests are about.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), answers).await;
        });
    }
}

impl Served {
    /// One request, and what goes wrong with it.
    async fn answer(self, request: hyper::Request<Incoming>) -> Result<HttpResponse, Failed> {
        if let Some(command) = request.uri().path().strip_prefix(faults::COMMANDS) {
            return Ok(faults::plain(200, self.faults.command(command)?));
        }
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return self.carry_out(request).await;
        }
        match self.faults.next(request.headers().contains_key(hyper::header::IF_NONE_MATCH)) {
            None => self.carry_out(request).await,
            Some(Fault::Refused) => Ok(faults::plain(403, "<Error><Code>AccessDenied</Code></Error>".into())),
            Some(Fault::Lost) => {
                self.carry_out(request).await?;
                Ok(faults::plain(500, "<Error><Code>InternalError</Code></Error>".into()))
            }
            Some(Fault::Closed) => {
                self.carry_out(request).await?;
                Err("the connection is closed instead of an answer".into())
            }
            Some(Fault::Hangs) => std::future::pending().await,
            Some(Fault::Late(by)) => {
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                // On its own: the client goes away before.
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(by)).await;
                    self.carry_out(hyper::Request::from_parts(head, body)).await
                })
                .await?
            }
        }
    }

    /// What changes something has the store for itself, its body included.
    async fn carry_out<B: Into<Body>>(&self, request: hyper::Request<B>) -> Result<HttpResponse, Failed> {
        let request = request.map(Into::into);
        let answer = if matches!(*request.method(), Method::GET | Method::HEAD) {
            let _shared = self.changes.read().await;
            self.service.call(request).await
        } else {
            let _alone = self.changes.write().await;
            self.service.call(request).await
        };
        answer.map_err(|error| format!("{error:?}").into())
    }
}
