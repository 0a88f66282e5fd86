//! Another work server, which is asked when the network does not answer: a node, `nano-work-server`, or whatever else speaks a node's
//! `work_generate` over HTTP.
//!
//! Always: what it says is hashed here before it is used; when nobody waits for it any more, it is told so with `work_cancel`.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use futures_util::TryFutureExt;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use shared::pow::{Nonce, Root, Threshold, Work};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long it may take to withdraw a request.
const CANCEL_MAX: Duration = Duration::from_secs(5);
/// The longest answer, in bytes: a work with all that servers add to it is under a kilobyte.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// The address of a work server: `http://host:port`, with a path and a query if need be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
    /// As it stands in the header `Host`.
    authority: String,
    path: String,
}

/// A text that is no such address. It is not repeated: there may be a key in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a work server is http://HOST:PORT, with a path if need be; one that is reached with TLS needs a tunnel in front"
)]
pub(crate) struct BadAddress;

/// Why there is no work from there.
#[derive(Debug, Error)]
pub(crate) enum ElsewhereError {
    #[error("it cannot be reached: {0}")]
    Unreachable(std::io::Error),
    #[error("it does not take connections")]
    Slow,
    #[error("it does not speak HTTP as it should: {0}")]
    Http(#[from] hyper::Error),
    #[error("it answers with status {0}")]
    Status(StatusCode),
    #[error("its answer is too long, or was cut off")]
    TooLong,
    #[error("it has no work: {0}")]
    NoWork(String),
    #[error("its answer cannot be read")]
    Unreadable,
    #[error("its work does not meet what was asked for")]
    Wrong,
}

/// What a work server answers; everything else in it is of no interest.
#[derive(Deserialize)]
struct Answer {
    work: Option<String>,
    error: Option<String>,
}

/// See the module. Copies share everything.
#[derive(Debug, Clone)]
pub(crate) struct Elsewhere {
    address: Arc<Address>,
    /// Whether the last answer was none.
    has_failed: Arc<AtomicBool>,
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let uri: hyper::Uri = text.parse().map_err(|_| BadAddress)?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or(BadAddress)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let has_user = authority.as_str().contains('@');
        if host.is_empty() || has_user {
            return Err(BadAddress);
        }
        let path = uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(80),
            authority: authority.as_str().to_owned(),
            path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
        })
    }
}

/// Tells the server that nobody waits any more, unless it has answered.
struct Interest<'a> {
    server: &'a Elsewhere,
    root: Option<Root>,
}

impl Drop for Interest<'_> {
    fn drop(&mut self) {
        if let Some(root) = self.root.take() {
            let server = self.server.clone();
            tokio::spawn(async move {
                let cancel = json!({ "action": "work_cancel", "hash": root });
                // It has nobody to tell, and goes on in vain at worst.
                let _ = timeout(CANCEL_MAX, server.call(cancel.to_string())).await;
            });
        }
    }
}

impl Elsewhere {
    /// Knows where to ask.
    pub(crate) fn new(address: Address) -> Self {
        Self { address: Arc::new(address), has_failed: Arc::default() }
    }

    /// Whether it could not help when it was last asked.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// Asks for work, and checks it. Dropping the future withdraws the request.
    ///
    /// # Errors
    /// [`ElsewhereError`].
    pub(crate) async fn ask(&self, root: Root, threshold: Threshold) -> Result<Work, ElsewhereError> {
        let mut interest = Interest { server: self, root: Some(root) };
        let generate = json!({ "action": "work_generate", "hash": root, "difficulty": threshold });
        let asked = self.call(generate.to_string()).await;
        interest.root = None;
        let found = asked.and_then(|bytes| read(&bytes, root, threshold));
        self.has_failed.store(found.is_err(), Ordering::Relaxed);
        found
    }

    /// One request on a connection of its own, as a node makes them.
    async fn call(&self, body: String) -> Result<Bytes, ElsewhereError> {
        let Address { host, port, authority, path } = &*self.address;
        let connect = TcpStream::connect((host.as_str(), *port)).map_err(ElsewhereError::Unreachable);
        let stream = timeout(CONNECT_MAX, connect).await.map_err(|_| ElsewhereError::Slow)??;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::post(path.as_str())
            .header(HOST, authority.as_str())
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "close")
            .body(Body::from(body));
        // All of it was read from an address, which has none but the characters of one.
        let request = request.map_err(|_| ElsewhereError::Unreadable)?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            if response.status() != StatusCode::OK {
                return Err(ElsewhereError::Status(response.status()));
            }
            let body = to_bytes(Body::new(response.into_body()), ANSWER_BYTES_MAX).await;
            body.map_err(|_| ElsewhereError::TooLong)
        };
        // The connection is driven here, so that it ends with whoever waits for the answer.
        let mut connection = std::pin::pin!(connection);
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            ended = &mut connection => { ended?; exchange.await }
        }
    }
}

fn read(bytes: &[u8], root: Root, threshold: Threshold) -> Result<Work, ElsewhereError> {
    let answer: Answer = serde_json::from_slice(bytes).map_err(|_| ElsewhereError::Unreadable)?;
    match answer {
        Answer { work: Some(text), .. } => {
            let nonce: Nonce = text.parse().map_err(|_| ElsewhereError::Unreadable)?;
            Work::verify(root, nonce, threshold).ok_or(ElsewhereError::Wrong)
        }
        Answer { error: Some(error), .. } => Err(ElsewhereError::NoWork(error.chars().take(200).collect())),
        Answer { .. } => Err(ElsewhereError::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use shared::Network;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    const ROOT: Root = Root::new([7; 32]);
    const THRESHOLD: Threshold = Network::Dev.receive_threshold();

    /// A server that answers each request with this, and what it was asked; without an answer it waits for the end of the
    /// connection.
    async fn serving(answer: Option<String>) -> (Elsewhere, mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/work?key=k", listener.local_addr().unwrap()).parse().unwrap();
        let (asked, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (asked, answer) = (asked.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut text = String::new();
                    let mut buffer = [0; 1024];
                    while !text.ends_with('}') {
                        let count = stream.read(&mut buffer).await.unwrap();
                        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
                    }
                    asked.send(text).unwrap();
                    match answer {
                        Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                        None => drop(stream.read(&mut buffer).await),
                    }
                });
            }
        });
        (Elsewhere::new(address), heard)
    }

    fn nonces() -> impl Iterator<Item = Nonce> {
        (0..100_000).map(Nonce::new)
    }

    fn reply(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn only_work_that_is_good_is_taken() {
        let good = nonces().find(|nonce| Work::verify(ROOT, *nonce, THRESHOLD).is_some()).unwrap();
        let bad = nonces().find(|nonce| Work::verify(ROOT, *nonce, THRESHOLD).is_none()).unwrap();
        let (server, mut heard) =
            serving(Some(reply("200 OK", &json!({ "work": good, "hash": 1 }).to_string()))).await;
        assert_eq!(server.ask(ROOT, THRESHOLD).await.unwrap().nonce(), good);
        let asked = heard.recv().await.unwrap();
        assert!(asked.starts_with("POST /work?key=k HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(&ROOT.to_string()) && asked.contains(&THRESHOLD.to_string()), "{asked}");
        for (answer, sentence) in [
            (
                reply("200 OK", &json!({ "work": bad }).to_string()),
                "its work does not meet what was asked for",
            ),
            (reply("200 OK", r#"{"error":"Cancelled"}"#), "it has no work: Cancelled"),
            (reply("200 OK", "[]"), "its answer cannot be read"),
            (reply("200 OK", "{}"), "its answer cannot be read"),
            (reply("200 OK", r#"{"work":"xyz"}"#), "its answer cannot be read"),
            (reply("200 OK", &"x".repeat(ANSWER_BYTES_MAX + 1)), "its answer is too long, or was cut off"),
            (reply("400 Bad Request", "{}"), "it answers with status 400 Bad Request"),
        ] {
            let (server, _heard) = serving(Some(answer)).await;
            assert_eq!(server.ask(ROOT, THRESHOLD).await.unwrap_err().to_string(), sentence);
            assert!(server.has_failed());
        }
    }

    #[tokio::test]
    async fn who_leaves_withdraws_its_request() {
        let (server, mut heard) = serving(None).await;
        let asking = tokio::spawn(async move { server.ask(ROOT, THRESHOLD).await });
        assert!(heard.recv().await.unwrap().contains("work_generate"));
        asking.abort();
        let cancel = heard.recv().await.unwrap();
        assert!(cancel.contains("work_cancel") && cancel.contains(&ROOT.to_string()), "{cancel}");
    }

    #[test]
    fn an_address_is_one_of_http() {
        let read = |text: &str| text.parse::<Address>();
        let address = |host: &str, port, authority: &str, path: &str| Address {
            host: host.into(),
            port,
            authority: authority.into(),
            path: path.into(),
        };
        assert_eq!(read("http://[::1]:7076"), Ok(address("::1", 7076, "[::1]:7076", "/")));
        assert_eq!(
            read("http://work.example/api?key=x"),
            Ok(address("work.example", 80, "work.example", "/api?key=x"))
        );
        for bad in [
            "",
            "work.example:80",
            "https://work.example",
            "http://",
            "http://user@work.example",
            "http://a b",
        ] {
            assert_eq!(read(bad), Err(BadAddress), "{bad}");
        }
    }
}
