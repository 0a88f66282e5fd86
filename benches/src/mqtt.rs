//! A client of MQTT 3.1.1 that does no more than a measurement needs, so that it costs little beside the server.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use shared::WorkerId;
use shared::protocol::Topic;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// Bytes read at once.
const READ_SIZE: usize = 4096;
/// What the system keeps for a narrow connection, in bytes.
const NARROW_BUFFER: usize = 4096;
/// Size of its segments, as outside loopback; with loopback's own the system would keep megabytes for each connection.
const NARROW_SEGMENT: u32 = 1460;

/// Connects with as little room on the way as a system allows, so that the server feels whoever does not read.
///
/// # Errors
/// When nobody listens there.
pub fn connect_narrow(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    socket.set_recv_buffer_size(NARROW_BUFFER)?;
    socket.set_tcp_mss(NARROW_SEGMENT)?;
    // On loopback this does not wait for the server's program.
    socket.connect(&server.into())?;
    socket.set_nonblocking(true)?;
    TcpStream::from_std(socket.into())
}

/// Logs in over a stream.
///
/// # Errors
/// When the server refuses, or the connection breaks.
pub async fn log_in(stream: &mut TcpStream, user: &str, password: &str, client_id: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Version 4, user and password, clean session, no keep-alive: the server's own limit is longer than any stage.
    let mut body = b"\0\x04MQTT\x04\xC2\0\0".to_vec();
    for field in [client_id, user, password] {
        put_text(&mut body, field);
    }
    stream.write_all(&packet(0x10, &body)).await?;
    expect(stream, &[0x20, 2, 0, 0]).await
}

/// Subscribes to a worker's lists and verdicts.
///
/// # Errors
/// When the server refuses, or the connection breaks.
pub async fn subscribe_as_worker(stream: &mut TcpStream, worker: WorkerId) -> io::Result<()> {
    let mut body = vec![0, 1];
    for topic in [Topic::WorkRequest(worker), Topic::WorkVerdict(worker)] {
        put_text(&mut body, &topic.to_string());
        body.push(0);
    }
    stream.write_all(&packet(0x82, &body)).await?;
    expect(stream, &[0x90, 4, 0, 1, 0, 0]).await
}

/// Publishes once and waits for the acknowledgement.
///
/// # Errors
/// When the server answers otherwise, or the connection breaks.
pub async fn publish_acknowledged(stream: &mut TcpStream, topic: &str, payload: &[u8]) -> io::Result<()> {
    stream.write_all(&publish(topic, Some(1), &[payload])).await?;
    expect(stream, &[0x40, 2, 0, 1]).await
}

/// Encodes a PUBLISH at `QoS` 1 if it has a packet id, else at `QoS` 0.
pub fn publish(topic: &str, packet_id: Option<u16>, payload: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::with_capacity(4 + topic.len() + payload.iter().map(|part| part.len()).sum::<usize>());
    put_text(&mut body, topic);
    if let Some(packet_id) = packet_id {
        body.extend(packet_id.to_be_bytes());
    }
    for part in payload {
        body.extend_from_slice(part);
    }
    packet(if packet_id.is_some() { 0x32 } else { 0x30 }, &body)
}

/// A message that has come, at `QoS` 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Where it was published.
    pub topic: &'a [u8],
    /// What.
    pub payload: &'a [u8],
}

/// What arrives on a connection.
#[derive(Debug)]
pub struct Inbox {
    stream: OwnedReadHalf,
    buffer: BytesMut,
    /// Bytes at the front of the buffer that have been handed out.
    taken: usize,
}

impl Inbox {
    /// Of this connection.
    pub fn new(stream: OwnedReadHalf) -> Self {
        Self { stream, buffer: BytesMut::new(), taken: 0 }
    }

    /// Waits for the next message. Acknowledgements are skipped. Whoever stops waiting loses nothing.
    ///
    /// # Errors
    /// When the connection ends, or brings what is no packet.
    pub async fn message(&mut self) -> io::Result<Message<'_>> {
        loop {
            self.buffer.advance(std::mem::take(&mut self.taken));
            if let Some((header, end)) = cut(&self.buffer) {
                self.taken = end;
                if self.buffer[0] >> 4 == 3 {
                    let body = &self.buffer[header..end];
                    let (length, rest) = body.split_first_chunk::<2>().ok_or_else(unexpected)?;
                    let length = usize::from(u16::from_be_bytes(*length));
                    let (topic, payload) = rest.split_at_checked(length).ok_or_else(unexpected)?;
                    return Ok(Message { topic, payload });
                }
            } else {
                self.buffer.reserve(READ_SIZE);
                if self.stream.read_buf(&mut self.buffer).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
}

/// Where the body of the first packet begins and ends, if it is all there.
fn cut(buffer: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (index, byte) in buffer.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let header = index + 2;
            return (buffer.len() >= header + length).then_some((header, header + length));
        }
    }
    None
}

/// Reads as many bytes as these, and wants them to be these.
async fn expect(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut read = vec![0; bytes.len()];
    stream.read_exact(&mut read).await?;
    if read == bytes { Ok(()) } else { Err(unexpected()) }
}

fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server answers otherwise than expected")
}

#[expect(clippy::cast_possible_truncation, reason = "all texts here are short")]
fn put_text(buffer: &mut Vec<u8>, text: &str) {
    buffer.extend((text.len() as u16).to_be_bytes());
    buffer.extend(text.as_bytes());
}

#[expect(clippy::cast_possible_truncation, reason = "masked to seven bits")]
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    while length > 0x7F {
        packet.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    packet.push(length as u8);
    packet.extend_from_slice(body);
    packet
}
