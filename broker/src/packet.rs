//! Cuts a byte stream into MQTT packets and reads what a client may send, whatever its version.
//!
//! Always: a packet's type, flags and size are checked before its body is buffered or decoded.

use bytes::{BufMut, Bytes, BytesMut};
use rumqttd::protocol::Error as CodecError;
use rumqttd::protocol::v4::check;
use shared::protocol::Topic;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Read from a connection at once, in bytes; what an idle connection keeps reserved.
const READ_SIZE: usize = 1024;

/// What a client may send after its CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClientPacket {
    /// A message.
    Publish(ClientPublish),
    /// Filters to subscribe to, as they were written.
    Subscribe { packet_id: u16, filters: Vec<String> },
    /// Filters to unsubscribe from, as they were written.
    Unsubscribe { packet_id: u16, filters: Vec<String> },
    /// Acknowledges something that this gate never sends; ignored.
    PublishAck,
    /// A sign of life that wants one back.
    Ping,
    /// A polite end.
    Disconnect,
}

/// A message from a client. Whether it was to be retained is not kept: nothing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientPublish {
    /// The packet id to acknowledge, at `QoS` 1.
    pub(crate) packet_id: Option<u16>,
    /// Its topic; `None` if there is no such topic in this protocol.
    pub(crate) topic: Option<Topic>,
    /// Its payload, in memory of its own, so that it does not hold the read buffer.
    pub(crate) payload: Bytes,
}

/// Why a packet ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum PacketError {
    /// It is not what the MQTT standard says.
    #[error("the packet is malformed")]
    Malformed,
    /// Its length is beyond the limit of this connection.
    #[error("the packet is too large")]
    TooLarge,
    /// It breaks a rule of MQTT 5 although it can be read.
    #[error("the packet breaks a rule of MQTT")]
    Protocol,
    /// Only `QoS` 0 and 1 are served.
    #[error("QoS 2 is not served")]
    QosNotServed,
    /// It has a topic alias; none is served.
    #[error("topic aliases are not served")]
    TopicAlias,
    /// It has a subscription identifier; none is served.
    #[error("subscription identifiers are not served")]
    SubscriptionId,
    /// It has more user properties than are read.
    #[error("the packet has too many user properties")]
    Properties,
    /// The connection broke.
    #[error("the connection broke")]
    Lost,
}

/// Types of packets that a client may send, by the upper half of their first byte (MQTT 3.1.1 section 2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PacketKind {
    Connect,
    Publish,
    PublishAck,
    Subscribe,
    Unsubscribe,
    Ping,
    Disconnect,
}

impl PacketKind {
    /// Reads type and flags. Types that only servers send, or that belong to `QoS` 2, are as wrong as unknown ones.
    pub(crate) fn of_first_byte(byte: u8) -> Result<Self, PacketError> {
        match (byte >> 4, byte & 0x0F) {
            (1, 0) => Ok(Self::Connect),
            (3, flags) => match (flags >> 1) & 0b11 {
                0 | 1 => Ok(Self::Publish),
                2 => Err(PacketError::QosNotServed),
                _ => Err(PacketError::Malformed),
            },
            (4, 0) => Ok(Self::PublishAck),
            (5 | 7, 0) | (6, 2) => Err(PacketError::QosNotServed),
            (8, 2) => Ok(Self::Subscribe),
            (10, 2) => Ok(Self::Unsubscribe),
            (12, 0) => Ok(Self::Ping),
            (14, 0) => Ok(Self::Disconnect),
            _ => Err(PacketError::Malformed),
        }
    }
}

/// One whole packet, header included.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: PacketKind,
    pub(crate) bytes: BytesMut,
}

/// The reading end of a connection.
#[derive(Debug)]
pub(crate) struct PacketReader<R> {
    stream: R,
    buffer: BytesMut,
    size_max: usize,
    bytes_read: u64,
}

impl<R: AsyncRead + Unpin> PacketReader<R> {
    /// Reads packets of at most `size_max` bytes after their fixed header.
    pub(crate) fn new(stream: R, size_max: usize) -> Self {
        Self { stream, buffer: BytesMut::new(), size_max, bytes_read: 0 }
    }

    /// Changes the limit for the packets that follow.
    pub(crate) fn limit(&mut self, size_max: usize) {
        self.size_max = size_max;
    }

    /// Bytes read since this was last asked.
    pub(crate) fn take_bytes_read(&mut self) -> u64 {
        std::mem::take(&mut self.bytes_read)
    }

    /// Reads and forgets until the client closes.
    pub(crate) async fn discard(&mut self) {
        loop {
            self.buffer.clear();
            self.buffer.reserve(READ_SIZE);
            if !matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..)) {
                return;
            }
        }
    }

    /// The next packet; `None` when the client has closed between two packets. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, PacketError> {
        loop {
            if let Some(frame) = split_frame(&mut self.buffer, self.size_max)? {
                return Ok(Some(frame));
            }
            self.buffer.reserve(READ_SIZE);
            let count = self.stream.read_buf(&mut self.buffer).await.map_err(|_| PacketError::Lost)?;
            self.bytes_read += count as u64;
            if count == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(PacketError::Lost) };
            }
        }
    }
}

/// Cuts the first whole packet off the buffer; `None` if more bytes are needed.
pub(crate) fn split_frame(buffer: &mut BytesMut, size_max: usize) -> Result<Option<Frame>, PacketError> {
    let Some(first) = buffer.first() else { return Ok(None) };
    let kind = PacketKind::of_first_byte(*first)?;
    match check(buffer.iter(), size_max) {
        Ok(header) => Ok(Some(Frame { kind, bytes: buffer.split_to(header.frame_length()) })),
        Err(CodecError::InsufficientBytes(_)) => Ok(None),
        Err(CodecError::PayloadSizeLimitExceeded(_)) => Err(PacketError::TooLarge),
        Err(_) => Err(PacketError::Malformed),
    }
}

/// How a PUBLISH begins, in both versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PublishHead<'a> {
    packet_id: Option<u16>,
    pub(crate) topic: &'a str,
}

impl PublishHead<'_> {
    /// The whole message.
    pub(crate) fn with_payload(self, payload: &[u8]) -> ClientPublish {
        let (packet_id, topic) = (self.packet_id, self.topic.parse().ok());
        ClientPublish { packet_id, topic, payload: Bytes::copy_from_slice(payload) }
    }
}

/// Splits topic and packet id off a PUBLISH. The codec keeps `QoS` and packet id to itself, so this is done here.
///
/// # Source
/// MQTT 3.1.1 section 3.3; in MQTT 5, properties follow.
pub(crate) fn split_publish(frame: &[u8]) -> Result<(PublishHead<'_>, &[u8]), PacketError> {
    let first = frame.first().ok_or(PacketError::Malformed)?;
    let (topic, rest) = split_text(body(frame)?)?;
    let (packet_id, rest) = match (first >> 1) & 0b11 {
        0 => (None, rest),
        1 => {
            let (packet_id, rest) = split_u16(rest)?;
            (Some(nonzero(packet_id)?), rest)
        }
        2 => return Err(PacketError::QosNotServed),
        _ => return Err(PacketError::Malformed),
    };
    Ok((PublishHead { packet_id, topic }, rest))
}

/// What follows the fixed header of a packet.
pub(crate) fn body(frame: &[u8]) -> Result<&[u8], PacketError> {
    let header = check(frame.iter(), frame.len()).map_err(|_| PacketError::Malformed)?;
    Ok(&frame[header.fixed_header_len..])
}

/// A packet id, which is never zero (MQTT 3.1.1 section 2.3.1).
pub(crate) fn nonzero(packet_id: u16) -> Result<u16, PacketError> {
    if packet_id == 0 { Err(PacketError::Malformed) } else { Ok(packet_id) }
}

/// Splits two bytes off, most significant first.
pub(crate) fn split_u16(bytes: &[u8]) -> Result<(u16, &[u8]), PacketError> {
    let (number, rest) = bytes.split_first_chunk::<2>().ok_or(PacketError::Malformed)?;
    Ok((u16::from_be_bytes(*number), rest))
}

/// Splits bytes with their length in front off.
pub(crate) fn split_binary(bytes: &[u8]) -> Result<(&[u8], &[u8]), PacketError> {
    let (length, rest) = split_u16(bytes)?;
    rest.split_at_checked(usize::from(length)).ok_or(PacketError::Malformed)
}

/// Splits a text with its length in front off.
pub(crate) fn split_text(bytes: &[u8]) -> Result<(&str, &[u8]), PacketError> {
    let (text, rest) = split_binary(bytes)?;
    Ok((std::str::from_utf8(text).map_err(|_| PacketError::Malformed)?, rest))
}

/// Writes a text of at most 65,535 bytes with its length in front.
#[expect(clippy::cast_possible_truncation, reason = "topics and ids of this gate are short")]
pub(crate) fn put_text(buffer: &mut Vec<u8>, text: &str) {
    buffer.put_u16(text.len() as u16);
    buffer.put_slice(text.as_bytes());
}

/// Writes a length: seven bits a byte, least significant first (MQTT 3.1.1 section 2.2.3).
#[expect(clippy::cast_possible_truncation, reason = "masked to seven bits")]
pub(crate) fn put_length(buffer: &mut Vec<u8>, mut length: usize) {
    while length > 0x7F {
        buffer.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    buffer.push(length as u8);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::connect::read_greeting;
    use crate::version::Version;

    const SIZE_MAX: usize = 2048;

    /// All packets of a stream that comes in chunks of these sizes, and how it ends.
    fn read_in_chunks(bytes: &[u8], chunk: usize) -> (Vec<Vec<u8>>, Result<(), PacketError>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut client, gate) = tokio::io::duplex(chunk);
            let mut reader = PacketReader::new(gate, SIZE_MAX);
            let mut packets = Vec::new();
            let write = async {
                // It fails when the reader has already found something wrong.
                let _ = client.write_all(bytes).await;
                drop(client);
            };
            let read = async {
                let end = loop {
                    match reader.next().await {
                        Ok(Some(frame)) => packets.push(frame.bytes.to_vec()),
                        Ok(None) => break Ok(()),
                        Err(error) => break Err(error),
                    }
                };
                drop(reader);
                end
            };
            let ((), end) = tokio::join!(write, read);
            (packets, end)
        })
    }

    /// Something like a packet: a first byte that is often right, and a length that is often true.
    fn packet_like() -> impl Strategy<Value = Vec<u8>> {
        let first = prop_oneof![Just(0x10), Just(0x30), Just(0x32), Just(0x82), Just(0xA2), any::<u8>()];
        (first, vec(any::<u8>(), 0..100), prop::option::weighted(0.1, any::<u8>())).prop_map(
            |(first, body, length)| {
                let true_length = u8::try_from(body.len()).unwrap();
                [vec![first, length.unwrap_or(true_length)], body].concat()
            },
        )
    }

    proptest! {
        #[test]
        fn no_bytes_can_break_the_reader(bytes in vec(packet_like(), 0..4)) {
            let mut buffer = BytesMut::from(bytes.concat().as_slice());
            while let Ok(Some(frame)) = split_frame(&mut buffer, SIZE_MAX) {
                let copy = || Frame { kind: frame.kind, bytes: frame.bytes.clone() };
                let _ = read_greeting(copy());
                for version in Version::ALL {
                    let _ = version.read(copy());
                }
            }
        }

        #[test]
        fn it_does_not_matter_how_the_bytes_arrive(
            bytes in vec(packet_like(), 0..4),
            chunk in 1_usize..50,
        ) {
            let bytes = bytes.concat();
            prop_assert_eq!(read_in_chunks(&bytes, chunk), read_in_chunks(&bytes, bytes.len().max(1)));
        }

        #[test]
        fn messages_are_read_as_they_were_written(payload in vec(any::<u8>(), 0..1000), packet_id in 1_u16..) {
            for version in Version::ALL {
                let written = version.publish("heartbeat", &payload);
                prop_assert_eq!(read_back(version, &written), (None, Some(Topic::Heartbeat), payload.clone()));

                // The same at QoS 1: the packet id stands between the topic and what follows it.
                let mut body = body(&written).unwrap().to_vec();
                body.splice(11..11, packet_id.to_be_bytes());
                let mut frame = vec![0x3A];
                put_length(&mut frame, body.len());
                frame.extend(body);
                let expected = (Some(packet_id), Some(Topic::Heartbeat), payload.clone());
                prop_assert_eq!(read_back(version, &frame), expected);
            }
        }
    }

    fn read_back(version: Version, packet: &[u8]) -> (Option<u16>, Option<Topic>, Vec<u8>) {
        let frame = split_frame(&mut BytesMut::from(packet), SIZE_MAX).unwrap().unwrap();
        match version.read(frame).unwrap() {
            ClientPacket::Publish(publish) => (publish.packet_id, publish.topic, publish.payload.to_vec()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_byte_alone_decides_what_is_read() {
        for byte in 0..=u8::MAX {
            let allowed = matches!(byte, 0x10 | 0x30..=0x33 | 0x38..=0x3B | 0x40 | 0x82 | 0xA2 | 0xC0 | 0xE0);
            assert_eq!(PacketKind::of_first_byte(byte).is_ok(), allowed, "{byte:#x}");
            let split = split_frame(&mut BytesMut::from([byte].as_slice()), SIZE_MAX);
            assert_eq!(split.is_ok(), allowed, "{byte:#x}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_its_body_comes() {
        let split =
            |bytes: &[u8]| split_frame(&mut BytesMut::from(bytes), SIZE_MAX).map(|frame| frame.is_some());
        assert_eq!(split(&[0x30, 0x80, 0x10]), Ok(false), "2048");
        assert_eq!(split(&[0x30, 0x81, 0x10]), Err(PacketError::TooLarge), "2049");
        assert_eq!(split(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]), Err(PacketError::TooLarge));
        assert_eq!(split(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF]), Err(PacketError::Malformed));
        assert_eq!(split(&[0x30, 0xFF, 0xFF, 0xFF]), Ok(false));
    }
}
