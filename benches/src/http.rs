//! A client of HTTP/1.1 that does no more than a measurement needs, so that it costs little beside the server: one connection,
//! one exchange at a time, two system calls for each, bodies by `Content-Length` alone, no pool, no copies of heads. The heads are
//! parsed by the library that whole clients use.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes read at once.
const READ_SIZE: usize = 4096;
/// Header lines of an answer.
const HEADERS_MAX: usize = 32;
/// Largest answer, head included.
const ANSWER_MAX: usize = 16 << 20;

/// Why bytes are not an answer that is read here.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadAnswer {
    /// No HTTP.
    #[error("the answer is no HTTP: {0}")]
    Head(httparse::Error),
    /// Nothing says how long the body is; other framings are not read here.
    #[error("the answer has no Content-Length, or several")]
    Length,
    /// More than anybody here answers.
    #[error("the answer is too large")]
    TooLarge,
    /// Bytes came behind the body that nobody asked for.
    #[error("bytes follow the answer")]
    Trailing,
}

impl From<BadAnswer> for io::Error {
    fn from(bad: BadAnswer) -> Self {
        Self::new(io::ErrorKind::InvalidData, bad)
    }
}

/// The head of an answer, and where its body lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    status: u16,
    body_start: usize,
    body_end: usize,
    is_last: bool,
}

impl Head {
    /// Reads a head that begins the buffer; `None` while its end has not come.
    fn parse(buffer: &[u8]) -> Result<Option<Self>, BadAnswer> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut answer = httparse::Response::new(&mut headers);
        let body_start = match answer.parse(buffer).map_err(BadAnswer::Head)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial if buffer.len() > ANSWER_MAX => return Err(BadAnswer::TooLarge),
            httparse::Status::Partial => return Ok(None),
        };
        let status = answer.code.unwrap_or_default();
        let values = |name: &str| {
            let named = answer.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
            named.map(|header| header.value).collect::<Vec<_>>()
        };
        let [length] = values("content-length")[..] else { return Err(BadAnswer::Length) };
        let length = std::str::from_utf8(length).ok().and_then(|text| text.parse::<usize>().ok());
        let length = length.ok_or(BadAnswer::Length)?;
        if length > ANSWER_MAX {
            return Err(BadAnswer::TooLarge);
        }
        let is_last = values("connection").iter().any(|value| value.eq_ignore_ascii_case(b"close"));
        Ok(Some(Self { status, body_start, body_end: body_start + length, is_last }))
    }
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: &'a [u8],
    /// Whether the server closes the connection behind it.
    pub is_last: bool,
}

/// A connection that is kept.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    /// Bytes at the front of the buffer that have been handed out.
    taken: usize,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn open(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::new(), taken: 0 })
    }

    /// Sends a request and waits for its answer. A connection whose exchange failed, or was not waited for, is of no more use.
    ///
    /// # Errors
    /// When the connection ends, or brings what is no answer.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.buffer.advance(std::mem::take(&mut self.taken));
        if !self.buffer.is_empty() {
            return Err(BadAnswer::Trailing.into());
        }
        self.stream.write_all(request).await?;
        let head = loop {
            self.read().await?;
            if let Some(head) = Head::parse(&self.buffer)? {
                break head;
            }
        };
        while self.buffer.len() < head.body_end {
            self.read().await?;
        }
        self.taken = head.body_end;
        let Head { status, body_start, body_end, is_last } = head;
        Ok(Answer { status, body: &self.buffer[body_start..body_end], is_last })
    }

    async fn read(&mut self) -> io::Result<()> {
        self.buffer.reserve(READ_SIZE);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// Fetches what is at a path, over a connection of its own.
///
/// # Errors
/// When there is nothing, or it is no text.
pub async fn fetch(server: SocketAddr, path: &str) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    let mut connection = Connection::open(server).await?;
    let answer = connection.exchange(request.as_bytes()).await?;
    if answer.status != 200 {
        return Err(io::Error::other(format!("{path} is answered with {}", answer.status)));
    }
    String::from_utf8(answer.body.to_vec()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const HEAD: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: a/b\r\nContent-Length: 5\r\n\r\n";

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        for end in 0..HEAD.len() {
            assert_eq!(Head::parse(&HEAD.as_bytes()[..end]), Ok(None), "{end}");
        }
        let (body_start, body_end) = (HEAD.len(), HEAD.len() + 5);
        let head = Head { status: 503, body_start, body_end, is_last: false };
        assert_eq!(Head::parse(HEAD.as_bytes()), Ok(Some(head)));
        assert_eq!(Head::parse(format!("{HEAD}hello more").as_bytes()), Ok(Some(head)));
        let closing = HEAD.replace("content-type: a/b", "Connection: Close");
        assert!(Head::parse(closing.as_bytes()).unwrap().unwrap().is_last);
    }

    #[test]
    fn only_one_length_in_digits_is_taken() {
        let parse = |line: &str| Head::parse(format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\n").as_bytes());
        assert_eq!(parse("Content-Length: 0").unwrap().unwrap().status, 200);
        for line in [
            "Transfer-Encoding: chunked",
            "Content-Length: -1",
            "Content-Length: 1,1",
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: 99999999999999999999",
        ] {
            assert_eq!(parse(line), Err(BadAnswer::Length), "{line}");
        }
        assert_eq!(parse("Content-Length: 99999999999"), Err(BadAnswer::TooLarge));
        assert!(matches!(Head::parse(b"ICY 200 OK\r\n"), Err(BadAnswer::Head(_))));
    }

    /// The answer comes in pieces, and the next exchange begins where it ended.
    #[tokio::test]
    async fn a_connection_is_kept_from_exchange_to_exchange() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let serve = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            for body in ["hello", "world"] {
                let mut request = [0; 3];
                stream.read_exact(&mut request).await.unwrap();
                assert_eq!(&request, b"ask");
                for byte in format!("{HEAD}{body}").as_bytes() {
                    stream.write_all(&[*byte]).await.unwrap();
                }
            }
            stream.write_all(b"unasked").await.unwrap();
        });
        let mut connection = Connection::open(server).await.unwrap();
        for body in ["hello", "world"] {
            let answer = connection.exchange(b"ask").await.unwrap();
            assert_eq!((answer.status, answer.body, answer.is_last), (503, body.as_bytes(), false));
        }
        serve.await.unwrap();
        assert!(connection.exchange(b"ask").await.is_err(), "nothing more is answered");
    }
}
