//! A server that refuses every request in the same words, and does nothing else: no refusal of a coordinator can take less on the
//! same machine. `benches/README.md` says how to run and read it.

use std::io::Write;
use std::net::SocketAddr;

use clap::Parser;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Refuses every HTTP request as a coordinator does that has too much to do, until its input ends.
#[derive(Debug, Parser)]
struct Cli {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// As long as a coordinator's.
const BODY: &str = r#"{"type":"urn:dpow:problem:overloaded","title":"Overloaded","status":503,"detail":"The coordinator has as much work open as it can take; ask again in a moment.","code":"overloaded","charged":false,"charged_mc":0,"retry":true,"request_id":"00000000000000000000000000000000"}"#;
/// Header lines of a request.
const HEADERS_MAX: usize = 64;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind(Cli::parse().listen).await?;
    writeln!(std::io::stdout().lock(), "http://{}", listener.local_addr()?)?;
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
         content-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let answer: &'static [u8] = answer.leak().as_bytes();
    let serve = async {
        loop {
            // Whoever gave up before it was accepted is not missed.
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(refuse(stream, answer));
            }
        }
    };
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let ended = async { while let Ok(Some(_)) = input.next_line().await {} };
    tokio::select! {
        () = serve => {}
        () = ended => {}
    }
    Ok(())
}

/// Refuses what comes on a connection, until it ends.
async fn refuse(mut stream: TcpStream, answer: &[u8]) {
    let mut bytes = Vec::with_capacity(4096);
    if stream.set_nodelay(true).is_err() {
        return;
    }
    while stream.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
        while let Some(length) = request_length(&bytes) {
            bytes.drain(..length);
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

/// How long the first request is, with its body; `None` while it is not whole, or none at all.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes).ok()? else { return None };
    let named = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body = named.map_or(Some(0), |header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok());
    let length = head.checked_add(body?)?;
    (bytes.len() >= length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_with_its_body() {
        let request = b"POST /v1/work HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}";
        for end in 0..request.len() {
            assert_eq!(request_length(&request[..end]), None, "{end}");
        }
        assert_eq!(request_length(&[&request[..], b"POST"].concat()), Some(request.len()));
        assert_eq!(request_length(b"GET / HTTP/1.1\r\n\r\n"), Some(18));
        assert_eq!(request_length(b"no http\r\n\r\n"), None);
    }
}
