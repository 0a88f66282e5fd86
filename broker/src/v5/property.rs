//! Properties (section 2.2.2): which may stand where, each at most once, and how much of them.

use crate::packet::{PacketError, split_binary, split_text, split_u16};

/// User properties of one packet.
const USER_PROPERTIES_MAX: usize = 8;
/// Bytes of all names and values of the user properties of one packet.
const USER_PROPERTIES_SIZE_MAX: usize = 1024;

/// In which packet properties stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    Connect,
    Publish,
    Subscribe,
    Unsubscribe,
    Disconnect,
}

/// What of the properties matters to this gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Properties {
    /// The largest packet that the client takes, in bytes.
    pub(super) packet_max: Option<u32>,
    /// Whether there is a method of authentication.
    pub(super) has_method: bool,
}

/// Identifiers of properties, in the order of table 2-4.
mod id {
    pub(super) const PAYLOAD_FORMAT: u8 = 0x01;
    pub(super) const MESSAGE_EXPIRY: u8 = 0x02;
    pub(super) const CONTENT_TYPE: u8 = 0x03;
    pub(super) const RESPONSE_TOPIC: u8 = 0x08;
    pub(super) const CORRELATION_DATA: u8 = 0x09;
    pub(super) const SUBSCRIPTION_ID: u8 = 0x0B;
    pub(super) const SESSION_EXPIRY: u8 = 0x11;
    pub(super) const AUTHENTICATION_METHOD: u8 = 0x15;
    pub(super) const AUTHENTICATION_DATA: u8 = 0x16;
    pub(super) const REQUEST_PROBLEM: u8 = 0x17;
    pub(super) const REQUEST_RESPONSE: u8 = 0x19;
    pub(super) const REASON: u8 = 0x1F;
    pub(super) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(super) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(super) const TOPIC_ALIAS: u8 = 0x23;
    pub(super) const USER: u8 = 0x26;
    pub(super) const PACKET_MAXIMUM: u8 = 0x27;
}

impl Context {
    /// Whether the property may stand here.
    const fn allows(self, id: u8) -> bool {
        match self {
            Self::Connect => matches!(
                id,
                id::SESSION_EXPIRY
                    | id::AUTHENTICATION_METHOD
                    | id::AUTHENTICATION_DATA
                    | id::REQUEST_PROBLEM
                    | id::REQUEST_RESPONSE
                    | id::RECEIVE_MAXIMUM
                    | id::TOPIC_ALIAS_MAXIMUM
                    | id::USER
                    | id::PACKET_MAXIMUM
            ),
            Self::Publish => matches!(
                id,
                id::PAYLOAD_FORMAT
                    | id::MESSAGE_EXPIRY
                    | id::CONTENT_TYPE
                    | id::RESPONSE_TOPIC
                    | id::CORRELATION_DATA
                    | id::TOPIC_ALIAS
                    | id::USER
            ),
            Self::Subscribe => matches!(id, id::SUBSCRIPTION_ID | id::USER),
            Self::Unsubscribe => id == id::USER,
            Self::Disconnect => matches!(id, id::SESSION_EXPIRY | id::REASON | id::USER),
        }
    }
}

/// Splits the properties off, and checks them all.
///
/// # Errors
/// [`PacketError::Malformed`] for bytes that are none; [`PacketError::Protocol`] for one that stands twice, has a value it must
/// not have, or does not belong here; and the others for what is not served.
pub(super) fn split_properties(body: &[u8], context: Context) -> Result<(Properties, &[u8]), PacketError> {
    let (length, rest) = split_length(body)?;
    let (mut rest, after) = rest.split_at_checked(length).ok_or(PacketError::Malformed)?;
    let mut properties = Properties::default();
    let (mut seen, mut user_count, mut user_size) = (0_u64, 0, 0);
    while let Some((&id, value)) = rest.split_first() {
        if !context.allows(id) {
            return Err(PacketError::Protocol);
        }
        let size = properties.read(id, value)?;
        if id == id::USER {
            (user_count, user_size) = (user_count + 1, user_size + size);
            if user_count > USER_PROPERTIES_MAX || user_size > USER_PROPERTIES_SIZE_MAX {
                return Err(PacketError::Properties);
            }
        } else {
            // All allowed identifiers are below 64.
            if seen & 1 << id != 0 {
                return Err(PacketError::Protocol);
            }
            seen |= 1 << id;
        }
        rest = value.get(size..).ok_or(PacketError::Malformed)?;
    }
    Ok((properties, after))
}

impl Properties {
    /// Reads the value of a property, and says how many bytes it has.
    fn read(&mut self, id: u8, value: &[u8]) -> Result<usize, PacketError> {
        let rest = match id {
            id::PAYLOAD_FORMAT | id::REQUEST_PROBLEM | id::REQUEST_RESPONSE => {
                let (flag, rest) = value.split_first().ok_or(PacketError::Malformed)?;
                if *flag > 1 {
                    return Err(PacketError::Protocol);
                }
                rest
            }
            id::MESSAGE_EXPIRY | id::SESSION_EXPIRY => split_u32(value)?.1,
            id::PACKET_MAXIMUM => {
                let (size, rest) = split_u32(value)?;
                if size == 0 {
                    return Err(PacketError::Protocol);
                }
                self.packet_max = Some(size);
                rest
            }
            id::RECEIVE_MAXIMUM => {
                // The gate sends nothing that is acknowledged, so any number will do.
                let (count, rest) = split_u16(value)?;
                if count == 0 {
                    return Err(PacketError::Protocol);
                }
                rest
            }
            id::TOPIC_ALIAS_MAXIMUM => split_u16(value)?.1,
            id::CONTENT_TYPE | id::RESPONSE_TOPIC | id::REASON => split_text(value)?.1,
            id::CORRELATION_DATA | id::AUTHENTICATION_DATA => split_binary(value)?.1,
            id::AUTHENTICATION_METHOD => {
                self.has_method = true;
                split_text(value)?.1
            }
            id::USER => split_text(split_text(value)?.1)?.1,
            id::TOPIC_ALIAS => return Err(PacketError::TopicAlias),
            id::SUBSCRIPTION_ID => return Err(PacketError::SubscriptionId),
            _ => return Err(PacketError::Malformed),
        };
        Ok(value.len() - rest.len())
    }
}

fn split_u32(bytes: &[u8]) -> Result<(u32, &[u8]), PacketError> {
    let (number, rest) = bytes.split_first_chunk::<4>().ok_or(PacketError::Malformed)?;
    Ok((u32::from_be_bytes(*number), rest))
}

/// Splits a length of one to four bytes off, seven bits each, least significant first (section 1.5.5).
fn split_length(bytes: &[u8]) -> Result<(usize, &[u8]), PacketError> {
    let mut length = 0;
    for (index, byte) in bytes.iter().enumerate().take(4) {
        length |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((length, &bytes[index + 1..]));
        }
    }
    Err(PacketError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(context: Context, properties: &[u8]) -> Result<Properties, PacketError> {
        let length = u8::try_from(properties.len()).unwrap();
        let body = [&[length], properties, b"rest"].concat();
        split_properties(&body, context).map(|(properties, rest)| {
            assert_eq!(rest, b"rest");
            properties
        })
    }

    #[test]
    fn each_may_stand_where_it_belongs_and_once() {
        let user = [0x26, 0, 1, b'a', 0, 1, b'b'];
        let publish = [&[1, 1, 2, 0, 0, 0, 9, 3, 0, 1, b'x', 8, 0, 1, b'y', 9, 0, 1, 0xFF], user.as_slice()];
        assert_eq!(split(Context::Publish, &publish.concat()), Ok(Properties::default()));
        let connect = [0x27, 0, 0, 16, 0, 0x21, 0, 5, 0x11, 0, 0, 0, 9, 0x22, 0, 9, 0x17, 0, 0x19, 1];
        let expected = Properties { packet_max: Some(4096), has_method: false };
        assert_eq!(split(Context::Connect, &connect), Ok(expected));
        assert_eq!(split(Context::Connect, &[0x15, 0, 1, b'm']).map(|read| read.has_method), Ok(true));
        assert_eq!(split(Context::Disconnect, &[0x1F, 0, 1, b'x']), Ok(Properties::default()));
        for context in [Context::Subscribe, Context::Unsubscribe, Context::Disconnect] {
            assert_eq!(split(context, &user.repeat(8)), Ok(Properties::default()), "{context:?}");
            assert_eq!(split(context, &[1, 1]), Err(PacketError::Protocol), "{context:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let user = [0x26, 0, 1, b'a', 0, 1, b'b'];
        let long = [&[0x26, 0, 1, b'a', 0, 100][..], &[b'b'; 100]].concat();
        for (context, bytes, error) in [
            (Context::Publish, vec![0x23, 0, 1], PacketError::TopicAlias),
            (Context::Publish, vec![0x0B, 1], PacketError::Protocol),
            (Context::Subscribe, vec![0x0B, 1], PacketError::SubscriptionId),
            (Context::Publish, vec![1, 1, 1, 1], PacketError::Protocol),
            (Context::Publish, vec![1, 2], PacketError::Protocol),
            (Context::Publish, vec![1], PacketError::Malformed),
            (Context::Publish, vec![2, 0, 0], PacketError::Malformed),
            (Context::Publish, vec![3, 0, 9, b'x'], PacketError::Malformed),
            (Context::Publish, vec![0xFF], PacketError::Protocol),
            (Context::Publish, user.repeat(9), PacketError::Properties),
            (Context::Connect, vec![0x21, 0, 0], PacketError::Protocol),
            (Context::Connect, vec![0x27, 0, 0, 0, 0], PacketError::Protocol),
        ] {
            assert_eq!(split(context, &bytes), Err(error), "{context:?} {bytes:?}");
        }
        let mut many = vec![0xC2, 0x0A];
        many.extend(long.repeat(13).iter().take(1346));
        assert_eq!(split_properties(&many, Context::Publish), Err(PacketError::Properties));
        assert_eq!(split_properties(&[0x80; 5], Context::Publish), Err(PacketError::Malformed));
        assert_eq!(split_properties(&[2, 1], Context::Publish), Err(PacketError::Malformed));
        assert_eq!(split_properties(&[], Context::Publish), Err(PacketError::Malformed));
    }
}
