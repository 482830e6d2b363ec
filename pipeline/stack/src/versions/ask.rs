//! Whether a component is well: its URL is really asked, and waited for no longer than was said.

use futures::future::join_all;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Whether it is well: a status below 400.
    pub healthy: bool,
    /// The status; none where nothing answered.
    pub status: Option<u16>,
    /// What was answered, or why nothing was, in words.
    pub what: String,
    /// How long it took.
    pub took: Duration,
}

/// [`ask`]s all of them at once; nothing where there is nothing to ask.
pub async fn ask_all(urls: &[Option<&str>], most: Duration) -> Vec<Option<Answered>> {
    let asked = urls.iter().map(|url| async move {
        match url {
            Some(url) => Some(ask(url, most).await),
            None => None,
        }
    });
    join_all(asked).await
}

/// Asks `http://HOST[:PORT]/PATH` with GET, for at most so long.
async fn ask(url: &str, most: Duration) -> Answered {
    let began = Instant::now();
    let answer = tokio::time::timeout(most, status(url)).await;
    let (status, what) = match answer {
        Ok(Ok(status)) => (Some(status), format!("answered {status}")),
        Ok(Err(why)) => (None, why),
        Err(_) => (None, format!("nothing within {} ms", most.as_millis())),
    };
    Answered { healthy: status.is_some_and(|status| status < 400), status, what, took: began.elapsed() }
}

async fn status(url: &str) -> Result<u16, String> {
    let uri: Uri = url.parse().map_err(|error| format!("{url} is no URL: {error}"))?;
    let host = uri.host().unwrap_or_default();
    let address = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await.map_err(|error| format!("no connection: {error}"))?;
    let asked = |error: hyper::Error| format!("no answer: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(asked)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, uri.authority().map(ToString::to_string).unwrap_or_default())
        .header(CONNECTION, "close")
        .header(USER_AGENT, "pipeline")
        .body(String::new())
        .map_err(|error| format!("{url} cannot be asked: {error}"))?;
    // The status is all that is wanted: with the set, the connection is dropped and the rest of the answer with it.
    let mut background = JoinSet::new();
    background.spawn(connection);
    Ok(sender.send_request(request).await.map_err(asked)?.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    /// A server that answers one request with this, or never.
    fn server(answer: Option<&'static str>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/healthz?deep=1", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            let length = stream.read(&mut asked).unwrap();
            assert!(asked[..length].starts_with(b"GET /healthz?deep=1 HTTP/1.1\r\n"));
            match answer {
                Some(answer) => stream.write_all(answer.as_bytes()).unwrap(),
                None => std::thread::sleep(Duration::from_secs(2)),
            }
        });
        url
    }

    fn asked(url: &str) -> Answered {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ask(url, Duration::from_millis(400)))
    }

    #[test]
    fn a_status_is_an_answer_and_silence_is_bounded() {
        let well = asked(&server(Some("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")));
        assert!(well.healthy && well.status == Some(200), "{well:?}");
        let ill = asked(&server(Some("HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n")));
        assert!(!ill.healthy && ill.what == "answered 503", "{ill:?}");
        let silent = asked(&server(None));
        assert!(!silent.healthy && silent.what.contains("within 400 ms") && silent.took < Duration::from_secs(2));
        let gone = asked("http://127.0.0.1:1/");
        assert!(!gone.healthy && gone.status.is_none() && gone.what.starts_with("no connection"), "{gone:?}");
    }
}
