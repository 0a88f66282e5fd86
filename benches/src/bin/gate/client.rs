//! A client of MQTT 3.1.1 that does no more than a measurement needs, so that it costs little beside the server.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use shared::WorkerId;
use shared::protocol::Topic;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// The user name of all workers here.
pub(crate) const WORKER_USER: &str = "worker";
/// The service that asks, and its user name.
pub(crate) const SERVICE: &str = "bench";
/// As long as a worker's secret.
const PASSWORD: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Bytes read at once.
const READ_SIZE: usize = 4096;

/// Logs in over a stream.
pub(crate) async fn log_in(stream: &mut TcpStream, user: &str, client_id: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Version 4, user and password, clean session, no keep-alive: the server's own limit is longer than any stage.
    let mut body = b"\0\x04MQTT\x04\xC2\0\0".to_vec();
    for field in [client_id, user, PASSWORD] {
        put_text(&mut body, field);
    }
    stream.write_all(&packet(0x10, &body)).await?;
    expect(stream, &[0x20, 2, 0, 0]).await
}

/// Connects and logs in as a worker, and subscribes to all that workers do.
pub(crate) async fn join_as_worker(address: SocketAddr, worker: WorkerId) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    log_in(&mut stream, WORKER_USER, &worker.to_string()).await?;
    subscribe_as_worker(&mut stream, worker).await?;
    Ok(stream)
}

/// Subscribes to a worker's lists and verdicts.
pub(crate) async fn subscribe_as_worker(stream: &mut TcpStream, worker: WorkerId) -> io::Result<()> {
    let mut body = vec![0, 1];
    for topic in [Topic::WorkRequest(worker), Topic::WorkVerdict(worker)] {
        put_text(&mut body, &topic.to_string());
        body.push(0);
    }
    stream.write_all(&packet(0x82, &body)).await?;
    expect(stream, &[0x90, 4, 0, 1, 0, 0]).await
}

/// Publishes once and waits for the acknowledgement.
pub(crate) async fn publish_acknowledged(stream: &mut TcpStream, topic: &str) -> io::Result<()> {
    stream.write_all(&publish(topic, Some(1), &[&[0; 64]])).await?;
    expect(stream, &[0x40, 2, 0, 1]).await
}

/// Encodes a PUBLISH at `QoS` 1 if it has a packet id, else at `QoS` 0.
pub(crate) fn publish(topic: &str, packet_id: Option<u16>, payload: &[&[u8]]) -> Vec<u8> {
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

/// What arrives on a connection.
#[derive(Debug)]
pub(crate) struct Inbox {
    stream: OwnedReadHalf,
    buffer: BytesMut,
    /// Bytes at the front of the buffer that have been handed out.
    taken: usize,
}

impl Inbox {
    pub(crate) fn new(stream: OwnedReadHalf) -> Self {
        Self { stream, buffer: BytesMut::new(), taken: 0 }
    }

    /// Waits for the next message, and gives its payload. Acknowledgements are skipped.
    pub(crate) async fn message(&mut self) -> io::Result<&[u8]> {
        loop {
            self.buffer.advance(std::mem::take(&mut self.taken));
            if let Some((header, end)) = cut(&self.buffer) {
                self.taken = end;
                if self.buffer[0] >> 4 == 3 {
                    let body = &self.buffer[header..end];
                    let (topic_length, _) = body.split_first_chunk::<2>().ok_or_else(unexpected)?;
                    let start = header + 2 + usize::from(u16::from_be_bytes(*topic_length));
                    return self.buffer.get(start..end).ok_or_else(unexpected);
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
