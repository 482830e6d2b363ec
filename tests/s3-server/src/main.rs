//! A real S3 server on loopback for the end-to-end tests: `s3-server FOLDER PORT`.
//!
//! The folders below FOLDER are its buckets. PORT 0 takes any free port; the port is the only line on stdout.
//! `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` are the credentials it asks for, checked by signature. It ends when
//! its standard input does, so that a test that dies leaves no server behind.
//!
//! The S3 protocol and the files are those of `s3s` and `s3s-fs`. What is added is one lock: `s3s-fs` looks whether an
//! object is there and writes it later, so of two `If-None-Match: *` at once both would succeed, which no real store
//! allows. Whatever changes something goes through one after the other; whatever reads waits for it.

use hyper::Method;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{HttpError, HttpResponse};
use std::error::Error;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::RwLock;

type Failed = Box<dyn Error + Send + Sync>;

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
    let changes = Arc::new(RwLock::new(()));
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?; // else an answer in two packets waits 40 ms for the other side
        let (service, changes) = (service.clone(), changes.clone());
        tokio::spawn(async move {
            let answers = service_fn(move |request| answer(service.clone(), changes.clone(), request));
            // A client that goes away in the middle is what some tests are about.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), answers).await;
        });
    }
}

/// One request. What changes something has the store for itself, its body included.
async fn answer(
    service: S3Service,
    changes: Arc<RwLock<()>>,
    request: hyper::Request<Incoming>,
) -> Result<HttpResponse, HttpError> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        let _shared = changes.read().await;
        service.call(request.map(Into::into)).await
    } else {
        let _alone = changes.write().await;
        service.call(request.map(Into::into)).await
    }
}
