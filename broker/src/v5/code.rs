//! Reason codes (section 2.4), and what of ours each stands for.

use crate::bus::CloseReason;
use crate::ending::{Ending, Refused};

pub(super) const NO_SUBSCRIPTION: u8 = 0x11;
const UNSPECIFIED: u8 = 0x80;
const MALFORMED: u8 = 0x81;
const PROTOCOL_ERROR: u8 = 0x82;
const VERSION_NOT_SUPPORTED: u8 = 0x84;
const CLIENT_ID_NOT_VALID: u8 = 0x85;
const BAD_CREDENTIALS: u8 = 0x86;
pub(super) const NOT_AUTHORIZED: u8 = 0x87;
const SERVER_UNAVAILABLE: u8 = 0x88;
const SERVER_BUSY: u8 = 0x89;
const BANNED: u8 = 0x8A;
const SERVER_SHUTTING_DOWN: u8 = 0x8B;
const BAD_METHOD: u8 = 0x8C;
const KEEP_ALIVE_TIMEOUT: u8 = 0x8D;
const SESSION_TAKEN_OVER: u8 = 0x8E;
const RECEIVE_MAXIMUM_EXCEEDED: u8 = 0x93;
const TOPIC_ALIAS_INVALID: u8 = 0x94;
const PACKET_TOO_LARGE: u8 = 0x95;
pub(super) const QUOTA_EXCEEDED: u8 = 0x97;
const ADMINISTRATIVE_ACTION: u8 = 0x98;
const QOS_NOT_SUPPORTED: u8 = 0x9B;
pub(super) const SHARED_NOT_SUPPORTED: u8 = 0x9E;
const CONNECTION_RATE_EXCEEDED: u8 = 0x9F;
const SUBSCRIPTION_IDS_NOT_SUPPORTED: u8 = 0xA1;

/// CONNACK that refuses (section 3.2), with no properties; `None` for clients that are not there any more or have said nothing.
pub(crate) fn refusal(reason: Refused) -> Option<[u8; 5]> {
    let code = match reason {
        Refused::Connections
        | Refused::Unauthenticated
        | Refused::AddressConnections
        | Refused::AddressRate
        | Refused::HandshakeTimeout
        | Refused::HandshakeFailed
        | Refused::ConnectTimeout
        | Refused::Lost => return None,
        Refused::Malformed => MALFORMED,
        Refused::Protocol => PROTOCOL_ERROR,
        Refused::TooLarge => PACKET_TOO_LARGE,
        Refused::Version => VERSION_NOT_SUPPORTED,
        Refused::ClientId => CLIENT_ID_NOT_VALID,
        Refused::Method => BAD_METHOD,
        Refused::Properties => QUOTA_EXCEEDED,
        Refused::BadCredentials => BAD_CREDENTIALS,
        Refused::Will | Refused::NoLogin | Refused::NotAllowed => NOT_AUTHORIZED,
        Refused::AccountRate => CONNECTION_RATE_EXCEEDED,
        Refused::Penalized => BANNED,
        Refused::Unavailable => SERVER_UNAVAILABLE,
        Refused::Revoked => SERVER_BUSY,
        Refused::EndedEarly => SESSION_TAKEN_OVER,
        Refused::ShuttingDown => SERVER_SHUTTING_DOWN,
    };
    Some([0x20, 3, 0, code, 0])
}

/// DISCONNECT (section 3.14); `None` for clients that are not there any more or do not read.
pub(crate) fn disconnect(reason: Ending) -> Option<[u8; 3]> {
    let code = match reason {
        Ending::Disconnected | Ending::Lost | Ending::WriteStall => return None,
        Ending::Malformed => MALFORMED,
        Ending::Protocol => PROTOCOL_ERROR,
        Ending::TooLarge => PACKET_TOO_LARGE,
        Ending::QosNotServed => QOS_NOT_SUPPORTED,
        Ending::TopicAlias => TOPIC_ALIAS_INVALID,
        Ending::SubscriptionId => SUBSCRIPTION_IDS_NOT_SUPPORTED,
        Ending::ReceiveMaximum => RECEIVE_MAXIMUM_EXCEEDED,
        Ending::Properties | Ending::Overflow => QUOTA_EXCEEDED,
        Ending::PublishDenied => NOT_AUTHORIZED,
        Ending::KeepAlive => KEEP_ALIVE_TIMEOUT,
        Ending::TakenOver => SESSION_TAKEN_OVER,
        Ending::Closed(CloseReason::Banned | CloseReason::Penalty) => ADMINISTRATIVE_ACTION,
        Ending::Closed(CloseReason::ShuttingDown) | Ending::Flushed | Ending::CoordinatorGone => {
            SERVER_SHUTTING_DOWN
        }
        Ending::Fault => UNSPECIFIED,
    };
    Some([0xE0, 1, code])
}
