//! MQTT 3.1.1 on the wire: what the codec of rumqttd reads, behind our own types. Section numbers are those of the OASIS
//! standard of 29 October 2014.

use bytes::{BufMut, Bytes, BytesMut};
use rumqttd::protocol::v4::V4;
use rumqttd::protocol::{Packet, Protocol};

use crate::connect::{Connect, flag};
use crate::ending::Refused;
use crate::packet::{
    ClientPacket, ClientPublish, Frame, PacketError, PacketKind, body, nonzero, put_length, put_text,
    split_publish, split_text,
};
use crate::version::{SubscribeAnswer, Version};

/// Return codes of a CONNACK (section 3.2.2.3).
const ACCEPTED: u8 = 0;
const VERSION_REFUSED: u8 = 1;
const CLIENT_ID_REFUSED: u8 = 2;
const UNAVAILABLE: u8 = 3;
const BAD_CREDENTIALS: u8 = 4;
const NOT_AUTHORIZED: u8 = 5;

/// Reads a CONNECT of this version.
pub(crate) fn read_connect(frame: Frame) -> Result<Connect, PacketError> {
    let (_name, rest) = split_text(body(&frame.bytes)?)?;
    let [_level, flags, ..] = *rest else { return Err(PacketError::Malformed) };
    // The codec looks at neither: the reserved bit is zero, and a password never comes without a user.
    if flags & flag::RESERVED != 0 || flags & (flag::USER | flag::PASSWORD) == flag::PASSWORD {
        return Err(PacketError::Malformed);
    }
    match decode(frame.bytes)? {
        Packet::Connect(connect, _, will, _, login) => {
            let (user, password) = login.map(|login| (login.username, login.password)).unzip();
            Ok(Connect {
                version: Version::V311,
                client_id: connect.client_id,
                user,
                password: password.unwrap_or_default(),
                keep_alive: connect.keep_alive,
                clean_session: connect.clean_session,
                has_will: will.is_some(),
                has_method: false,
                packet_max: None,
            })
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

/// Section 3.3.
pub(crate) fn read_publish(frame: &[u8]) -> Result<ClientPublish, PacketError> {
    let (head, payload) = split_publish(frame)?;
    Ok(head.with_payload(payload))
}

/// CONNACK that welcomes.
pub(crate) const fn welcome() -> [u8; 4] {
    connect_ack(ACCEPTED)
}

/// CONNACK that refuses; `None` for clients that are not there any more or do not speak MQTT.
pub(crate) fn refusal(reason: Refused) -> Option<[u8; 4]> {
    let code = match reason {
        Refused::Connections
        | Refused::Unauthenticated
        | Refused::AddressConnections
        | Refused::AddressRate
        | Refused::HandshakeTimeout
        | Refused::HandshakeFailed
        | Refused::ConnectTimeout
        | Refused::Lost
        | Refused::Malformed
        | Refused::Protocol
        | Refused::TooLarge
        | Refused::Method
        | Refused::Properties
        | Refused::EndedEarly => return None,
        Refused::Version => VERSION_REFUSED,
        Refused::ClientId => CLIENT_ID_REFUSED,
        Refused::AccountRate | Refused::Unavailable | Refused::Revoked | Refused::ShuttingDown => UNAVAILABLE,
        Refused::BadCredentials => BAD_CREDENTIALS,
        Refused::Will | Refused::NoLogin | Refused::NotAllowed | Refused::Penalized => NOT_AUTHORIZED,
    };
    Some(connect_ack(code))
}

const fn connect_ack(code: u8) -> [u8; 4] {
    [0x20, 2, 0, code]
}

/// UNSUBACK.
pub(crate) const fn unsubscribe_ack(packet_id: u16) -> [u8; 4] {
    let [high, low] = packet_id.to_be_bytes();
    [0xB0, 2, high, low]
}

/// SUBACK with an answer to each filter (section 3.9.3).
pub(crate) fn subscribe_ack(packet_id: u16, answers: &[SubscribeAnswer]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(5 + answers.len());
    packet.push(0x90);
    put_length(&mut packet, 2 + answers.len());
    packet.put_u16(packet_id);
    packet.extend(answers.iter().map(|answer| match answer {
        SubscribeAnswer::Granted => 0,
        SubscribeAnswer::NotAllowed | SubscribeAnswer::TooMany | SubscribeAnswer::Shared => 0x80,
    }));
    packet
}

/// PUBLISH at `QoS` 0. The topic has at most 128 characters.
pub(crate) fn publish(topic: &str, payload: &[u8]) -> Bytes {
    let mut packet = Vec::with_capacity(7 + topic.len() + payload.len());
    packet.push(0x30);
    put_length(&mut packet, 2 + topic.len() + payload.len());
    put_text(&mut packet, topic);
    packet.extend_from_slice(payload);
    packet.into()
}
