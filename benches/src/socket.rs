//! A client of `/v1/ws` that does no more than a measurement needs: one connection, one question at a time. A client has to mask what it
//! sends (RFC 6455 section 5.3); masked with zeros it stays as it is.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest frame, in bytes; longer ones than a question has are not needed.
const FRAME_MAX: usize = 64 * 1024;
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// A connection that is kept.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    buffer: BytesMut,
    /// Bytes at the front of the buffer that have been handed out.
    taken: usize,
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A text as the frame that a client sends it in.
///
/// # Panics
/// Never, for texts of up to 65,535 bytes; longer ones are cut.
pub fn frame(text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    let mut frame = Vec::with_capacity(text.len() + 8);
    frame.extend_from_slice(&[TEXT, 0xfe]);
    frame.put_u16(length);
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&text[..length.into()]);
    frame
}

impl Socket {
    /// Connects, and waits for the server's welcome.
    ///
    /// # Errors
    /// When nobody listens there, or something else than a WebSocket is spoken.
    pub async fn open(server: SocketAddr, key: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let mut socket = Self { stream, buffer: BytesMut::new(), taken: 0 };
        let request = format!(
            "GET /v1/ws HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Authorization: Bearer {key}\r\n\r\n"
        );
        socket.stream.write_all(request.as_bytes()).await?;
        let head = loop {
            if let Some(end) = socket.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break socket.buffer.split_to(end + 4);
            }
            socket.read().await?;
        };
        if !head.starts_with(b"HTTP/1.1 101 ") {
            return Err(bad("no WebSocket"));
        }
        socket.next().await?;
        Ok(socket)
    }

    /// Sends a frame and waits for the next text. A connection whose exchange failed, or was not waited for, is of no more use.
    ///
    /// # Errors
    /// When the connection ends, or brings what is no frame.
    pub async fn exchange(&mut self, frame: &[u8]) -> io::Result<&[u8]> {
        self.stream.write_all(frame).await?;
        self.next().await
    }

    /// The next text; pings before it are answered.
    async fn next(&mut self) -> io::Result<&[u8]> {
        loop {
            self.buffer.advance(std::mem::take(&mut self.taken));
            let (start, end) = loop {
                match bounds(&self.buffer)? {
                    Some(bounds) if self.buffer.len() >= bounds.1 => break bounds,
                    _ => self.read().await?,
                }
            };
            self.taken = end;
            match self.buffer[0] {
                TEXT => return Ok(&self.buffer[start..end]),
                PING => self.stream.write_all(&[PONG, 0x80, 0, 0, 0, 0]).await?,
                CLOSE => return Err(io::ErrorKind::ConnectionAborted.into()),
                _ => {}
            }
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Where the payload of the first frame of a server lies; `None` while its head has not come.
fn bounds(buffer: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let (start, length) = match buffer {
        [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        [_, 127 | 128.., ..] => return Err(bad("a frame that is too long, or masked")),
        [_, 126, ..] | [_] | [] => return Ok(None),
        [_, length, ..] => (2, usize::from(*length)),
    };
    if length > FRAME_MAX { Err(bad("a frame that is too long")) } else { Ok(Some((start, start + length))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_its_length() {
        let text = "x".repeat(300);
        let frame = frame(text.as_bytes());
        assert_eq!(frame[..8], [0x81, 0xfe, 1, 44, 0, 0, 0, 0]);
        assert_eq!(&frame[8..], text.as_bytes());
        assert_eq!(bounds(&[0x81]).unwrap(), None);
        assert_eq!(bounds(&[0x81, 126, 1]).unwrap(), None);
        assert_eq!(bounds(&[0x81, 5, 0]).unwrap(), Some((2, 7)));
        assert_eq!(bounds(&[0x81, 126, 1, 44]).unwrap(), Some((4, 304)));
        assert!(bounds(&[0x81, 0x85, 0]).is_err() && bounds(&[0x81, 127, 0]).is_err());
    }
}
