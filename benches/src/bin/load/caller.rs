//! One connection: asks, waits for the answer, checks the work, and asks again when its time has come.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use benches::http::Connection;
use benches::socket::Socket;
use shared::pow::{Root, Threshold};
use tokio::time::{sleep, timeout};

use crate::dialect::{Dialect, Template};
use crate::pace::Pace;
use crate::roots::Roots;
use crate::tally::Tally;

/// Pause after nobody has listened, so that a loop over a server that has gone does not spin.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What a connection needs to know.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) server: SocketAddr,
    pub(crate) dialect: Dialect,
    /// Where the connection itself shows it.
    pub(crate) key: String,
    pub(crate) template: Arc<Template>,
    pub(crate) threshold: Threshold,
    /// How long an answer is waited for.
    pub(crate) patience: Duration,
    pub(crate) roots: Roots,
    pub(crate) pace: Arc<Pace>,
    pub(crate) tally: Arc<Mutex<Tally>>,
}

/// A connection of either kind.
#[derive(Debug)]
enum Link {
    Http(Connection),
    Socket(Socket),
}

impl Caller {
    /// Asks until the pace has no more times.
    pub(crate) async fn run(mut self) {
        let mut connection = None;
        let mut request = Vec::new();
        while let Some(intended) = self.pace.next().await {
            let root = self.roots.next();
            self.template.write(&root, &mut request);
            let outcome = self.ask(&mut connection, &request, root).await;
            let ended = Instant::now();
            if outcome.is_ok() {
                self.roots.answered(root);
            }
            let is_away = outcome.as_ref().is_err_and(|kind| kind.starts_with(AWAY));
            self.tally.lock().unwrap_or_else(PoisonError::into_inner).record(intended, ended, outcome);
            if is_away {
                sleep(AGAIN_AFTER).await;
            }
        }
    }

    async fn open(&self) -> std::io::Result<Link> {
        match self.dialect {
            Dialect::Ws => Socket::open(self.server, &self.key).await.map(Link::Socket),
            _ => Connection::open(self.server).await.map(Link::Http),
        }
    }

    /// One exchange, on the connection that is there or on a new one. One that failed is not used again.
    async fn ask(&self, connection: &mut Option<Link>, request: &[u8], root: Root) -> Result<(), String> {
        let exchange = async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => self.open().await.map_err(|error| format!("{AWAY}: {}", error.kind()))?,
            };
            let cut_off = |error: std::io::Error| format!("cut off: {}", error.kind());
            let (outcome, is_last) = match &mut open {
                Link::Http(open) => {
                    let answer = open.exchange(request).await.map_err(cut_off)?;
                    (self.dialect.read(&answer, root, self.threshold), answer.is_last)
                }
                Link::Socket(open) => {
                    let text = open.exchange(request).await.map_err(cut_off)?;
                    (Dialect::read_frame(text, root, self.threshold), false)
                }
            };
            if !is_last {
                *connection = Some(open);
            }
            outcome
        };
        timeout(self.patience, exchange).await.unwrap_or_else(|_| Err("timeout".into()))
    }
}

/// How a failure begins that means that nobody listens.
const AWAY: &str = "no connection";

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::dialect::Asking;
    use crate::tally::Window;

    /// A server of the old form: every second answer is an error, and every third closes the connection.
    async fn serve(listener: TcpListener) {
        let mut answers = 0;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while stream.read_buf(&mut request).await.is_ok_and(|count| count > 0) {
                let text = String::from_utf8(request.clone()).unwrap();
                let Some((_, rest)) = text.split_once(r#""hash":""#) else { continue };
                if !rest.ends_with('}') {
                    continue;
                }
                request.clear();
                let root: Root = rest[..64].parse().unwrap();
                answers += 1;
                let body = match answers % 2 {
                    0 => r#"{"error":"Invalid credentials"}"#.to_owned(),
                    _ => format!(r#"{{"work":"0000000000000000","hash":"{root}"}}"#),
                };
                let closing = if answers % 3 == 0 { "Connection: close\r\n" } else { "" };
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{closing}\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
                if !closing.is_empty() {
                    break;
                }
            }
        }
    }

    #[tokio::test]
    async fn every_answer_is_counted_and_closed_connections_are_opened_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener));
        let threshold = Threshold::new(0);
        let asking =
            Asking { server, user: "wallet".into(), key: "secret".into(), threshold, timeout_ms: 1000 };
        let tally = Tally::new(Window { begin: Instant::now(), end: None });
        let tally = Arc::new(Mutex::new(tally));
        let caller = Caller {
            server,
            dialect: Dialect::Service,
            key: "secret".into(),
            template: Arc::new(Dialect::Service.template(&asking)),
            threshold,
            patience: Duration::from_secs(30),
            roots: Roots::new(1, 0.0),
            pace: Arc::new(Pace::Closed { left: AtomicU64::new(12), end: None }),
            tally: Arc::clone(&tally),
        };
        caller.run().await;
        serving.abort();
        let (answered, failed) = tally.lock().unwrap().in_all();
        assert_eq!((answered, failed.len(), failed["Invalid credentials"]), (6, 1, 6));
    }
}
