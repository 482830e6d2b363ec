//! As much of an HTTP/1.1 server as an editor's plugin needs, on this machine alone.
//!
//! hyper's own server would be another feature of hyper, below the query engines, and everything above it would be built
//! anew; `httparse`, hyper's parser, is there already. One request a connection, within one deadline, however slowly it
//! comes; no body above a bound, and none of who is not admitted.

use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest head of a request.
const HEAD_BYTES: usize = 16 << 10;
/// The longest body: WakaTime takes 25 heartbeats at once, its own offline queue some hundred.
pub(super) const BODY_BYTES: usize = 2 << 20;
/// For one request, whole.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// For who is refused, to read the answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// A request, as far as anybody here looks at it.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    pub(super) query: String,
    pub(super) authorization: Option<String>,
    pub(super) body: Vec<u8>,
}

/// A status and a JSON answer.
pub(super) struct Answer(pub(super) u16, pub(super) Value);

/// Reads the request, asks for the answer and writes it. Whatever goes wrong ends this connection only. Whether the body is
/// read, `admit` decides by the head; what it gives is held until the answer is written.
pub(super) async fn serve<P>(
    mut stream: TcpStream,
    admit: impl FnOnce(&Request) -> Result<P, Answer>,
    answer: impl AsyncFnOnce(Request) -> Answer,
) {
    let mut place = None;
    let admit = |request: &Request| admit(request).map(|given| place = Some(given));
    let reply = match tokio::time::timeout(DEADLINE, read(&mut stream, admit)).await {
        Ok(Ok(request)) => answer(request).await,
        Ok(Err(Some(refusal))) => refusal,
        Ok(Err(None)) => return, // the connection is gone
        Err(_) => refuse(408, "the request took too long"),
    };
    let farewell = if place.is_some() { DEADLINE } else { FAREWELL };
    let Answer(status, json) = reply;
    let body = json.to_string();
    let reason = match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    };
    let text = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let write = async {
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with something unread would reset the connection before the answer is read.
        let mut rest = [0; 4096];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(farewell, write).await;
}

/// A refusal in the form that WakaTime's API has.
pub(super) fn refuse(status: u16, why: &str) -> Answer {
    Answer(status, serde_json::json!({"error": why, "errors": [why]}))
}

/// The request, or what to say instead; `None` when there is nobody to say it to.
async fn read(
    stream: &mut TcpStream,
    admit: impl FnOnce(&Request) -> Result<(), Answer>,
) -> Result<Request, Option<Answer>> {
    let mut bytes = Vec::with_capacity(4096);
    let (mut request, length, waits, head) = loop {
        if stream.read_buf(&mut bytes).await.map_err(|_| None)? == 0 {
            return Err(None);
        }
        if let Some(found) = parse(&bytes).map_err(Some)? {
            break found;
        }
        if bytes.len() > HEAD_BYTES {
            return Err(Some(refuse(431, "the head of the request is too long")));
        }
    };
    admit(&request).map_err(Some)?;
    if waits {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_| None)?;
    }
    let mut body = bytes.split_off(head);
    while body.len() < length {
        if stream.read_buf(&mut body).await.map_err(|_| None)? == 0 {
            return Err(None);
        }
    }
    body.truncate(length);
    request.body = body;
    Ok(request)
}

/// The head, when it is whole: the request without its body, the body's length, whether the client waits to be told to
/// send it, and where it begins.
fn parse(bytes: &[u8]) -> Result<Option<(Request, usize, bool, usize)>, Answer> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let end = match head.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(refuse(431, "too many header fields")),
        Err(_) => return Err(refuse(400, "this is no HTTP request")),
    };
    let (path, query) = head.path.unwrap_or_default().split_once('?').unwrap_or((head.path.unwrap_or_default(), ""));
    let field = |name: &str| {
        let mut found = head.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        found.next().map(|header| String::from_utf8_lossy(header.value).trim().to_owned())
    };
    let method = head.method.unwrap_or_default().to_owned();
    if field("transfer-encoding").is_some() {
        return Err(refuse(411, "say the length of the body"));
    }
    let length = match field("content-length") {
        None if method == "POST" => return Err(refuse(411, "say the length of the body")),
        None => 0,
        Some(text) => text.parse().map_err(|_| refuse(400, "the length of the body is no number"))?,
    };
    if length > BODY_BYTES {
        return Err(refuse(413, "the body is too large"));
    }
    let waits = field("expect").is_some_and(|expect| expect.eq_ignore_ascii_case("100-continue"));
    let (path, query) = (path.to_owned(), query.to_owned());
    let request = Request { method, path, query, authorization: field("authorization"), body: Vec::new() };
    Ok(Some((request, length, waits, end)))
}
