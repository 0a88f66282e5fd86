//! MQTT 3.1.1 on the wire: what the codec of rumqttd reads and writes, behind our own types.

use bytes::{BufMut, Bytes, BytesMut};
use rumqttd::protocol::v4::V4;
use rumqttd::protocol::{Packet, Protocol};

use crate::packet::{ClientPacket, Frame, PacketError, PacketKind, nonzero, read_publish, split_text};

/// A CONNECT, before anybody has looked whether it is true.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Connect {
    pub(crate) client_id: String,
    pub(crate) user: Option<String>,
    pub(crate) password: String,
    /// In seconds; 0 for none.
    pub(crate) keep_alive: u16,
    pub(crate) clean_session: bool,
    pub(crate) has_will: bool,
}

/// What a first packet is.
pub(crate) enum Greeting {
    /// A CONNECT of this version.
    Connect(Connect),
    /// A CONNECT of MQTT 5, not decoded.
    V5,
    /// A CONNECT of another version.
    OtherVersion,
}

/// Answers to a CONNECT (MQTT 3.1.1 section 3.2.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ConnectAnswer {
    Accepted = 0,
    VersionRefused = 1,
    ClientIdRefused = 2,
    Unavailable = 3,
    BadCredentials = 4,
    NotAuthorized = 5,
}

/// Return code of a filter in a SUBACK (MQTT 3.1.1 section 3.9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum SubscribeAnswer {
    GrantedQos0 = 0,
    Refused = 0x80,
}

/// The CONNACK with which a client of MQTT 5 learns that its version is not served: reason 0x84, no properties.
pub(crate) const VERSION_REFUSED_V5: [u8; 5] = [0x20, 3, 0, 0x84, 0];
/// PINGRESP.
pub(crate) const PING_ANSWER: [u8; 2] = [0xD0, 0];

/// Bits of the connect flags (MQTT 3.1.1 section 3.1.2.3).
const FLAG_RESERVED: u8 = 0b0000_0001;
const FLAG_PASSWORD: u8 = 0b0100_0000;
const FLAG_USER: u8 = 0b1000_0000;

/// Reads the first packet of a connection.
pub(crate) fn read_greeting(frame: Frame) -> Result<Greeting, PacketError> {
    if frame.kind != PacketKind::Connect {
        return Err(PacketError::Malformed);
    }
    let header = rumqttd::protocol::v4::check(frame.bytes.iter(), frame.bytes.len())
        .map_err(|_| PacketError::Malformed)?;
    let (name, rest) = split_text(&frame.bytes[header.fixed_header_len..])?;
    let [level, flags, ..] = *rest else { return Err(PacketError::Malformed) };
    match (name, level) {
        ("MQTT", 4) => {}
        ("MQTT", 5) => return Ok(Greeting::V5),
        ("MQTT" | "MQIsdp", _) => return Ok(Greeting::OtherVersion),
        _ => return Err(PacketError::Malformed),
    }
    // The codec looks at neither: the reserved bit is zero, and a password never comes without a user.
    if flags & FLAG_RESERVED != 0 || flags & (FLAG_USER | FLAG_PASSWORD) == FLAG_PASSWORD {
        return Err(PacketError::Malformed);
    }
    match decode(frame.bytes)? {
        Packet::Connect(connect, _, will, _, login) => {
            let (user, password) = login.map(|login| (login.username, login.password)).unzip();
            Ok(Greeting::Connect(Connect {
                client_id: connect.client_id,
                user,
                password: password.unwrap_or_default(),
                keep_alive: connect.keep_alive,
                clean_session: connect.clean_session,
                has_will: will.is_some(),
            }))
        }
        _ => Err(PacketError::Malformed),
    }
}

/// Reads a packet that follows the CONNECT.
pub(crate) fn read(frame: Frame) -> Result<ClientPacket, PacketError> {
    match frame.kind {
        PacketKind::Publish => read_publish(&frame.bytes).map(ClientPacket::Publish),
        PacketKind::PublishAck if frame.bytes.len() == 4 => Ok(ClientPacket::PublishAck),
        PacketKind::Ping if frame.bytes.len() == 2 => Ok(ClientPacket::Ping),
        PacketKind::Disconnect if frame.bytes.len() == 2 => Ok(ClientPacket::Disconnect),
        // A second CONNECT is as wrong as a length that the type does not have (MQTT 3.1.1 section 3.1).
        PacketKind::Connect | PacketKind::PublishAck | PacketKind::Ping | PacketKind::Disconnect => {
            Err(PacketError::Malformed)
        }
        PacketKind::Subscribe | PacketKind::Unsubscribe => match decode(frame.bytes)? {
            Packet::Subscribe(subscribe, _) => Ok(ClientPacket::Subscribe {
                packet_id: nonzero(subscribe.pkid)?,
                filters: subscribe.filters.into_iter().map(|filter| filter.path).collect(),
            }),
            Packet::Unsubscribe(unsubscribe, _) if !unsubscribe.filters.is_empty() => {
                let packet_id = nonzero(unsubscribe.pkid)?;
                Ok(ClientPacket::Unsubscribe { packet_id, filters: unsubscribe.filters })
            }
            _ => Err(PacketError::Malformed),
        },
    }
}

fn decode(mut frame: BytesMut) -> Result<Packet, PacketError> {
    let size = frame.len();
    V4.read_mut(&mut frame, size).map_err(|_| PacketError::Malformed)
}

/// CONNACK, always without a present session: none is kept.
pub(crate) const fn connect_ack(answer: ConnectAnswer) -> [u8; 4] {
    [0x20, 2, 0, answer as u8]
}

/// PUBACK.
pub(crate) const fn publish_ack(packet_id: u16) -> [u8; 4] {
    let [high, low] = packet_id.to_be_bytes();
    [0x40, 2, high, low]
}

/// UNSUBACK.
pub(crate) const fn unsubscribe_ack(packet_id: u16) -> [u8; 4] {
    let [high, low] = packet_id.to_be_bytes();
    [0xB0, 2, high, low]
}

/// SUBACK with an answer to each filter.
pub(crate) fn subscribe_ack(packet_id: u16, answers: &[SubscribeAnswer]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(5 + answers.len());
    packet.push(0x90);
    put_length(&mut packet, 2 + answers.len());
    packet.put_u16(packet_id);
    packet.extend(answers.iter().map(|answer| *answer as u8));
    packet
}

/// PUBLISH at `QoS` 0. The topic has at most 128 characters.
pub(crate) fn publish(topic: &str, payload: &[u8]) -> Bytes {
    let mut packet = Vec::with_capacity(7 + topic.len() + payload.len());
    packet.push(0x30);
    put_length(&mut packet, 2 + topic.len() + payload.len());
    put_message(&mut packet, topic, payload);
    packet.into()
}

/// PUBLISH at `QoS` 0 of a message that [`put_message`] has written.
pub(crate) fn publish_message(message: &[u8]) -> Bytes {
    let mut packet = Vec::with_capacity(5 + message.len());
    packet.push(0x30);
    put_length(&mut packet, message.len());
    packet.extend_from_slice(message);
    packet.into()
}

/// Writes topic and payload as they follow each other in a PUBLISH at `QoS` 0: the topic's length, the topic, the payload.
#[expect(clippy::cast_possible_truncation, reason = "topics have at most 128 characters")]
pub(crate) fn put_message(buffer: &mut Vec<u8>, topic: &str, payload: &[u8]) {
    buffer.put_u16(topic.len() as u16);
    buffer.put_slice(topic.as_bytes());
    buffer.put_slice(payload);
}

/// Writes a remaining length: seven bits a byte, least significant first (MQTT 3.1.1 section 2.2.3).
#[expect(clippy::cast_possible_truncation, reason = "masked to seven bits")]
fn put_length(buffer: &mut Vec<u8>, mut length: usize) {
    while length > 0x7F {
        buffer.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    buffer.push(length as u8);
}
