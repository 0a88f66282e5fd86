//! MQTT 5 on the wire. Section numbers are those of the OASIS standard of 7 March 2019.
//!
//! Written out here, since the decoder of rumqttd panics on some packets: what clients may send is little, and everything that
//! a packet may carry beside it (wills, topic aliases, subscription identifiers, authentication) is refused where it stands.

mod code;
mod connect;
mod property;

use bytes::{BufMut, Bytes};

use crate::packet::{
    ClientPacket, ClientPublish, Frame, PacketError, PacketKind, body, nonzero, put_length, put_text,
    split_publish, split_text, split_u16,
};
use crate::version::{SubscribeAnswer, UnsubscribeAnswer};

pub(crate) use code::{disconnect, refusal};
pub(crate) use connect::{read_connect, welcome};
use property::{Context, split_properties};

/// Reads a packet that follows the CONNECT.
pub(crate) fn read(frame: &Frame) -> Result<ClientPacket, PacketError> {
    let body = body(&frame.bytes)?;
    match frame.kind {
        PacketKind::Publish => read_publish(&frame.bytes).map(ClientPacket::Publish),
        // It acknowledges something that this gate never sends, so whatever it says is of no interest.
        PacketKind::PublishAck if body.len() >= 2 => Ok(ClientPacket::PublishAck),
        PacketKind::Ping if body.is_empty() => Ok(ClientPacket::Ping),
        PacketKind::Disconnect => read_disconnect(body),
        PacketKind::Subscribe => read_subscribe(body),
        PacketKind::Unsubscribe => read_unsubscribe(body),
        PacketKind::Connect => Err(PacketError::Protocol),
        PacketKind::PublishAck | PacketKind::Ping => Err(PacketError::Malformed),
    }
}

/// Section 3.3. What its properties say is checked and not kept: no message goes from one client to another.
pub(crate) fn read_publish(frame: &[u8]) -> Result<ClientPublish, PacketError> {
    let (head, rest) = split_publish(frame)?;
    let (_, payload) = split_properties(rest, Context::Publish)?;
    if head.topic.is_empty() {
        return Err(PacketError::Protocol);
    }
    Ok(head.with_payload(payload))
}

/// Section 3.8.
fn read_subscribe(body: &[u8]) -> Result<ClientPacket, PacketError> {
    const RETAIN_HANDLING: u8 = 0b0011_0000;
    const RESERVED: u8 = 0b1100_0000;
    let (packet_id, mut rest) = read_filters_head(body, Context::Subscribe)?;
    let mut filters = Vec::new();
    while !rest.is_empty() {
        let (filter, after) = split_text(rest)?;
        let (options, after) = after.split_first().ok_or(PacketError::Malformed)?;
        if options & RESERVED != 0 {
            return Err(PacketError::Malformed);
        }
        if options & 0b11 == 0b11 || options & RETAIN_HANDLING == RETAIN_HANDLING {
            return Err(PacketError::Protocol);
        }
        filters.push(filter.to_owned());
        rest = after;
    }
    if filters.is_empty() {
        return Err(PacketError::Protocol);
    }
    Ok(ClientPacket::Subscribe { packet_id, filters })
}

/// Section 3.10.
fn read_unsubscribe(body: &[u8]) -> Result<ClientPacket, PacketError> {
    let (packet_id, mut rest) = read_filters_head(body, Context::Unsubscribe)?;
    let mut filters = Vec::new();
    while !rest.is_empty() {
        let (filter, after) = split_text(rest)?;
        filters.push(filter.to_owned());
        rest = after;
    }
    if filters.is_empty() {
        return Err(PacketError::Protocol);
    }
    Ok(ClientPacket::Unsubscribe { packet_id, filters })
}

fn read_filters_head(body: &[u8], context: Context) -> Result<(u16, &[u8]), PacketError> {
    let (packet_id, rest) = split_u16(body)?;
    let (_, rest) = split_properties(rest, context)?;
    Ok((nonzero(packet_id)?, rest))
}

/// Section 3.14: nothing; a reason; or a reason and properties. Whatever the reason, the client goes.
fn read_disconnect(body: &[u8]) -> Result<ClientPacket, PacketError> {
    if let Some((_, properties)) = body.split_first()
        && !properties.is_empty()
        && !split_properties(properties, Context::Disconnect)?.1.is_empty()
    {
        return Err(PacketError::Malformed);
    }
    Ok(ClientPacket::Disconnect)
}

/// PUBACK that refuses a message (section 3.4.2.1).
pub(crate) const fn publish_refusal(packet_id: u16) -> [u8; 5] {
    let [high, low] = packet_id.to_be_bytes();
    [0x40, 3, high, low, code::NOT_AUTHORIZED]
}

/// SUBACK (section 3.9).
pub(crate) fn subscribe_ack(packet_id: u16, answers: &[SubscribeAnswer]) -> Vec<u8> {
    let code = |answer: &SubscribeAnswer| match answer {
        SubscribeAnswer::Granted => 0,
        SubscribeAnswer::NotAllowed => code::NOT_AUTHORIZED,
        SubscribeAnswer::TooMany => code::QUOTA_EXCEEDED,
        SubscribeAnswer::Shared => code::SHARED_NOT_SUPPORTED,
    };
    filters_ack(0x90, packet_id, answers.iter().map(code))
}

/// UNSUBACK (section 3.11).
pub(crate) fn unsubscribe_ack(packet_id: u16, answers: &[UnsubscribeAnswer]) -> Vec<u8> {
    let code = |answer: &UnsubscribeAnswer| match answer {
        UnsubscribeAnswer::Removed => 0,
        UnsubscribeAnswer::Unknown => code::NO_SUBSCRIPTION,
    };
    filters_ack(0xB0, packet_id, answers.iter().map(code))
}

fn filters_ack(first: u8, packet_id: u16, codes: impl ExactSizeIterator<Item = u8>) -> Vec<u8> {
    let mut packet = Vec::with_capacity(8 + codes.len());
    packet.push(first);
    put_length(&mut packet, 3 + codes.len());
    packet.put_u16(packet_id);
    packet.push(0);
    packet.extend(codes);
    packet
}

/// PUBLISH at `QoS` 0 without properties. The topic has at most 128 characters.
pub(crate) fn publish(topic: &str, payload: &[u8]) -> Bytes {
    let mut packet = Vec::with_capacity(8 + topic.len() + payload.len());
    packet.push(0x30);
    put_length(&mut packet, 3 + topic.len() + payload.len());
    put_text(&mut packet, topic);
    packet.push(0);
    packet.extend_from_slice(payload);
    packet.into()
}
