//! The first packet of a connection, whatever its version.

use crate::packet::{Frame, PacketError, PacketKind, body, split_text};
use crate::version::Version;
use crate::{v5, v311};

/// A CONNECT, before anybody has looked whether it is true.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Connect {
    pub(crate) version: Version,
    pub(crate) client_id: String,
    pub(crate) user: Option<String>,
    pub(crate) password: String,
    /// In seconds; 0 for none.
    pub(crate) keep_alive: u16,
    /// Whether nothing of an earlier session is wanted.
    pub(crate) clean_session: bool,
    pub(crate) has_will: bool,
    /// Wants to log in by a dialogue (MQTT 5 section 4.12).
    pub(crate) has_method: bool,
    /// The largest packet that the client takes, in bytes, header included.
    pub(crate) packet_max: Option<u32>,
}

/// What a first packet is.
pub(crate) enum Greeting {
    /// A CONNECT of a version that is served.
    Connect(Connect),
    /// A CONNECT of such a version with something wrong in it.
    Broken(Version, PacketError),
    /// A CONNECT of another version.
    OtherVersion,
}

/// Bits of the connect flags (MQTT 3.1.1 section 3.1.2.3, MQTT 5 section 3.1.2.3).
pub(crate) mod flag {
    /// Always zero.
    pub(crate) const RESERVED: u8 = 0b0000_0001;
    /// Clean session, or clean start.
    pub(crate) const CLEAN: u8 = 0b0000_0010;
    /// There is a will.
    pub(crate) const WILL: u8 = 0b0000_0100;
    /// What the will is like.
    pub(crate) const WILL_DETAILS: u8 = 0b0011_1000;
    /// There is a password.
    pub(crate) const PASSWORD: u8 = 0b0100_0000;
    /// There is a user name.
    pub(crate) const USER: u8 = 0b1000_0000;
}

/// Reads the first packet of a connection.
///
/// # Errors
/// [`PacketError`] for what is no CONNECT of any version.
pub(crate) fn read_greeting(frame: Frame) -> Result<Greeting, PacketError> {
    if frame.kind != PacketKind::Connect {
        return Err(PacketError::Malformed);
    }
    let (name, rest) = split_text(body(&frame.bytes)?)?;
    let (version, read) = match (name, rest.first()) {
        ("MQTT", Some(4)) => (Version::V311, v311::read_connect(frame)),
        ("MQTT", Some(5)) => (Version::V5, v5::read_connect(&frame)),
        ("MQTT" | "MQIsdp", Some(_)) => return Ok(Greeting::OtherVersion),
        _ => return Err(PacketError::Malformed),
    };
    Ok(read.map_or_else(|error| Greeting::Broken(version, error), Greeting::Connect))
}
