//! CONNECT and CONNACK (sections 3.1 and 3.2).

use bytes::BufMut;

use super::property::{Context, split_properties};
use crate::connect::{Connect, flag};
use crate::packet::{Frame, PacketError, body, put_length, put_text, split_text, split_u16};
use crate::version::{Version, Welcome};

/// Reads a CONNECT of this version. Nothing after the client id is looked at if there is a will: it is refused anyway.
pub(crate) fn read_connect(frame: &Frame) -> Result<Connect, PacketError> {
    let (_name, rest) = split_text(body(&frame.bytes)?)?;
    let [_level, flags, rest @ ..] = rest else { return Err(PacketError::Malformed) };
    let has = |flag| flags & flag != 0;
    if has(flag::RESERVED) || (!has(flag::WILL) && has(flag::WILL_DETAILS)) {
        return Err(PacketError::Malformed);
    }
    let (keep_alive, rest) = split_u16(rest)?;
    let (properties, rest) = split_properties(rest, Context::Connect)?;
    let (client_id, rest) = split_text(rest)?;
    let mut connect = Connect {
        version: Version::V5,
        client_id: client_id.to_owned(),
        user: None,
        password: String::new(),
        keep_alive,
        clean_session: has(flag::CLEAN),
        has_will: has(flag::WILL),
        has_method: properties.has_method,
        packet_max: properties.packet_max,
    };
    if connect.has_will {
        return Ok(connect);
    }
    let mut rest = rest;
    if has(flag::USER) {
        let (user, after) = split_text(rest)?;
        connect.user = Some(user.to_owned());
        rest = after;
    }
    if has(flag::PASSWORD) {
        // Bytes in the standard; all secrets here are text.
        let (password, after) = split_text(rest)?;
        password.clone_into(&mut connect.password);
        rest = after;
    }
    if rest.is_empty() { Ok(connect) } else { Err(PacketError::Malformed) }
}

/// CONNACK that welcomes, and says what is not served.
pub(crate) fn welcome(welcome: &Welcome) -> Vec<u8> {
    let mut properties = vec![0x11, 0, 0, 0, 0, 0x21];
    properties.put_u16(welcome.receive_max);
    // Maximum QoS 1; retain, subscription identifiers and shared subscriptions not available, wildcards available; no aliases.
    properties.extend([0x24, 1, 0x25, 0, 0x28, 1, 0x29, 0, 0x2A, 0, 0x22, 0, 0, 0x27]);
    properties.put_u32(whole_packet_max(welcome.packet_max));
    if let Some(client_id) = &welcome.client_id {
        properties.push(0x12);
        put_text(&mut properties, client_id);
    }
    if let Some(keep_alive) = welcome.keep_alive {
        properties.push(0x13);
        properties.put_u16(keep_alive);
    }
    let mut lengths = Vec::new();
    put_length(&mut lengths, properties.len());
    let mut packet = vec![0x20];
    put_length(&mut packet, 2 + lengths.len() + properties.len());
    packet.extend([0, 0]);
    packet.extend(lengths);
    packet.extend(properties);
    packet
}

/// The size of a whole packet (section 2.1.4) whose remaining length is the largest that is read.
fn whole_packet_max(remaining_max: usize) -> u32 {
    let mut header = vec![0];
    put_length(&mut header, remaining_max);
    u32::try_from(header.len() + remaining_max).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_welcome_says_what_is_not_served() {
        let plain = Welcome { client_id: None, keep_alive: None, packet_max: 2048, receive_max: 100 };
        let always = [
            &[0x11, 0, 0, 0, 0, 0x21, 0, 100, 0x24, 1, 0x25, 0, 0x28, 1, 0x29, 0, 0x2A, 0, 0x22, 0, 0][..],
            &[0x27, 0, 0, 8, 3],
        ]
        .concat();
        assert_eq!(welcome(&plain), [&[0x20, 29, 0, 0, 26][..], &always].concat());
        let more = Welcome { client_id: Some("ab".into()), keep_alive: Some(120), ..plain };
        let extra = [0x12, 0, 2, b'a', b'b', 0x13, 0, 120];
        assert_eq!(welcome(&more), [&[0x20, 37, 0, 0, 34][..], &always, &extra].concat());
    }
}
