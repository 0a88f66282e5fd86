//! The two versions of MQTT that are served, behind one face.

use bytes::Bytes;

use crate::ending::{Ending, Refused};
use crate::packet::{ClientPacket, Frame, PacketError};
use crate::{v5, v311};

/// A version of MQTT. Chosen by the client's CONNECT, for the life of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.
    V5,
}

/// What a client is told with its welcome. MQTT 3.1.1 has no room for any of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Welcome {
    /// The client id it is given, if it has brought none.
    pub(crate) client_id: Option<String>,
    /// The keep-alive that holds instead of its own, in seconds.
    pub(crate) keep_alive: Option<u16>,
    /// The largest packet that is read, in bytes, without its fixed header.
    pub(crate) packet_max: usize,
    /// Messages at `QoS` 1 that may wait for their acknowledgement.
    pub(crate) receive_max: u16,
}

/// What becomes of a filter in a SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubscribeAnswer {
    /// Delivered at `QoS` 0, whatever was asked for.
    Granted,
    /// There is no right to it, or no such topic.
    NotAllowed,
    /// One filter too many.
    TooMany,
    /// A shared subscription.
    Shared,
}

/// What becomes of a filter in an UNSUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnsubscribeAnswer {
    /// It was subscribed to, and is no more.
    Removed,
    /// It was not subscribed to.
    Unknown,
}

impl Version {
    /// All of them, by [`Self::index`].
    pub(crate) const ALL: [Self; 2] = [Self::V311, Self::V5];

    /// Its place in [`Self::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// As it is written in logs and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::V311 => "3.1.1",
            Self::V5 => "5",
        }
    }

    /// Reads a packet that follows the CONNECT.
    pub(crate) fn read(self, frame: Frame) -> Result<ClientPacket, PacketError> {
        match self {
            Self::V311 => v311::read(frame),
            Self::V5 => v5::read(&frame),
        }
    }

    /// CONNACK that welcomes, always without a present session: none is kept.
    pub(crate) fn welcome(self, welcome: &Welcome) -> Vec<u8> {
        match self {
            Self::V311 => v311::welcome().to_vec(),
            Self::V5 => v5::welcome(welcome),
        }
    }

    /// CONNACK that refuses; `None` where the client is not worth a word or has none to understand.
    pub(crate) fn refusal(self, reason: Refused) -> Option<Vec<u8>> {
        match self {
            Self::V311 => v311::refusal(reason).map(Vec::from),
            Self::V5 => v5::refusal(reason).map(Vec::from),
        }
    }

    /// DISCONNECT with the reason; `None` where the client is not there any more, or its version has no such packet.
    pub(crate) fn disconnect(self, reason: Ending) -> Option<[u8; 3]> {
        match self {
            Self::V311 => None,
            Self::V5 => v5::disconnect(reason),
        }
    }

    /// PUBACK that refuses a message; `None` if the version cannot.
    pub(crate) fn publish_refusal(self, packet_id: u16) -> Option<[u8; 5]> {
        match self {
            Self::V311 => None,
            Self::V5 => Some(v5::publish_refusal(packet_id)),
        }
    }

    /// SUBACK with an answer to each filter.
    pub(crate) fn subscribe_ack(self, packet_id: u16, answers: &[SubscribeAnswer]) -> Vec<u8> {
        match self {
            Self::V311 => v311::subscribe_ack(packet_id, answers),
            Self::V5 => v5::subscribe_ack(packet_id, answers),
        }
    }

    /// UNSUBACK, with an answer to each filter where the version has them.
    pub(crate) fn unsubscribe_ack(self, packet_id: u16, answers: &[UnsubscribeAnswer]) -> Vec<u8> {
        match self {
            Self::V311 => v311::unsubscribe_ack(packet_id).to_vec(),
            Self::V5 => v5::unsubscribe_ack(packet_id, answers),
        }
    }

    /// PUBLISH at `QoS` 0. The topic has at most 128 characters.
    pub(crate) fn publish(self, topic: &str, payload: &[u8]) -> Bytes {
        match self {
            Self::V311 => v311::publish(topic, payload),
            Self::V5 => v5::publish(topic, payload),
        }
    }
}

/// PUBACK of a message that was taken. The same in both versions.
pub(crate) const fn publish_ack(packet_id: u16) -> [u8; 4] {
    let [high, low] = packet_id.to_be_bytes();
    [0x40, 2, high, low]
}

/// PINGRESP. The same in both versions.
pub(crate) const PING_ANSWER: [u8; 2] = [0xD0, 0];
