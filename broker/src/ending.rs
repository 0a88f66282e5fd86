//! Why connections are refused and sessions end.

use crate::bus::CloseReason;
use crate::packet::PacketError;

/// Why a session has ended. Ordered by nothing; the first reason that is given wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The client said DISCONNECT.
    Disconnected,
    /// The connection broke, or was closed without a DISCONNECT.
    Lost,
    /// The client sent what MQTT does not allow.
    Malformed,
    /// The client sent what can be read and is against the rules of MQTT 5.
    Protocol,
    /// The client sent a packet beyond the limit.
    TooLarge,
    /// The client sent `QoS` 2.
    QosNotServed,
    /// The client used a topic alias.
    TopicAlias,
    /// The client used a subscription identifier.
    SubscriptionId,
    /// The client sent too many user properties.
    Properties,
    /// The client sent more at `QoS` 1, without waiting for acknowledgements, than it was told it may.
    ReceiveMaximum,
    /// The client published where it has no right to.
    PublishDenied,
    /// The client was silent for one and a half times its keep-alive.
    KeepAlive,
    /// A write made no progress.
    WriteStall,
    /// The client reads too slowly, and must not miss anything.
    Overflow,
    /// The same login has connected again.
    TakenOver,
    /// The coordinator has ended it.
    Closed(CloseReason),
    /// The gate has stopped and everything that was queued is written.
    Flushed,
    /// The coordinator no longer receives.
    CoordinatorGone,
    /// A defect of this program.
    Fault,
}

impl Ending {
    /// All of them, for metrics.
    pub(crate) const ALL: [Self; 21] = [
        Self::Disconnected,
        Self::Lost,
        Self::Malformed,
        Self::Protocol,
        Self::TooLarge,
        Self::QosNotServed,
        Self::TopicAlias,
        Self::SubscriptionId,
        Self::Properties,
        Self::ReceiveMaximum,
        Self::PublishDenied,
        Self::KeepAlive,
        Self::WriteStall,
        Self::Overflow,
        Self::TakenOver,
        Self::Closed(CloseReason::Banned),
        Self::Closed(CloseReason::Penalty),
        Self::Closed(CloseReason::ShuttingDown),
        Self::Flushed,
        Self::CoordinatorGone,
        Self::Fault,
    ];

    /// As it is written in logs and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Lost => "lost",
            Self::Malformed => "malformed",
            Self::Protocol => "protocol",
            Self::TooLarge => "too_large",
            Self::QosNotServed => "qos_not_served",
            Self::TopicAlias => "topic_alias",
            Self::SubscriptionId => "subscription_id",
            Self::Properties => "properties",
            Self::ReceiveMaximum => "receive_maximum",
            Self::PublishDenied => "publish_denied",
            Self::KeepAlive => "keep_alive",
            Self::WriteStall => "write_stall",
            Self::Overflow => "overflow",
            Self::TakenOver => "taken_over",
            Self::Closed(CloseReason::Banned) => "banned",
            Self::Closed(CloseReason::Penalty) => "penalty",
            Self::Closed(CloseReason::ShuttingDown) => "shutting_down",
            Self::Flushed => "flushed",
            Self::CoordinatorGone => "coordinator_gone",
            Self::Fault => "fault",
        }
    }
}

impl From<PacketError> for Ending {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::Malformed => Self::Malformed,
            PacketError::Protocol => Self::Protocol,
            PacketError::TooLarge => Self::TooLarge,
            PacketError::QosNotServed => Self::QosNotServed,
            PacketError::TopicAlias => Self::TopicAlias,
            PacketError::SubscriptionId => Self::SubscriptionId,
            PacketError::Properties => Self::Properties,
            PacketError::Lost => Self::Lost,
        }
    }
}

/// Why a connection never became a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many connections as there may be.
    Connections,
    /// As many strangers as there may be.
    Unauthenticated,
    /// As many connections as one address may have.
    AddressConnections,
    /// One address connects too often.
    AddressRate,
    /// No handshake of TLS or WebSocket in time.
    HandshakeTimeout,
    /// A handshake of TLS or WebSocket that went wrong.
    HandshakeFailed,
    /// No whole CONNECT in time.
    ConnectTimeout,
    /// The connection broke before its CONNECT was whole.
    Lost,
    /// What came was no CONNECT.
    Malformed,
    /// A CONNECT that can be read and is against the rules of MQTT 5.
    Protocol,
    /// The CONNECT is too large.
    TooLarge,
    /// Another version of MQTT.
    Version,
    /// It has a will, which is not served.
    Will,
    /// A client without an id that wants its session kept.
    ClientId,
    /// It wants to log in by a dialogue, which is not served.
    Method,
    /// It has too many user properties.
    Properties,
    /// No login.
    NoLogin,
    /// A wrong login.
    BadCredentials,
    /// Banned, or not from this address.
    NotAllowed,
    /// Too many wrong logins with this user name.
    AccountRate,
    /// Shut out for a while, since results of it or of its address have counted against it.
    Penalized,
    /// The authenticator did not answer, or cannot.
    Unavailable,
    /// Somebody was banned or has lost a right while this login was being decided.
    Revoked,
    /// Taken over, or the gate stopped, while it waited for its turn.
    EndedEarly,
    /// The gate is stopping, or the coordinator has gone.
    ShuttingDown,
}

impl Refused {
    /// All of them, for metrics.
    pub(crate) const ALL: [Self; 25] = [
        Self::Connections,
        Self::Unauthenticated,
        Self::AddressConnections,
        Self::AddressRate,
        Self::HandshakeTimeout,
        Self::HandshakeFailed,
        Self::ConnectTimeout,
        Self::Lost,
        Self::Malformed,
        Self::Protocol,
        Self::TooLarge,
        Self::Version,
        Self::Will,
        Self::ClientId,
        Self::Method,
        Self::Properties,
        Self::NoLogin,
        Self::BadCredentials,
        Self::NotAllowed,
        Self::AccountRate,
        Self::Penalized,
        Self::Unavailable,
        Self::Revoked,
        Self::EndedEarly,
        Self::ShuttingDown,
    ];

    /// As it is written in logs and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Unauthenticated => "unauthenticated",
            Self::AddressConnections => "address_connections",
            Self::AddressRate => "address_rate",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HandshakeFailed => "handshake_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::Lost => "lost",
            Self::Malformed => "malformed",
            Self::Protocol => "protocol",
            Self::TooLarge => "too_large",
            Self::Version => "version",
            Self::Will => "will",
            Self::ClientId => "client_id",
            Self::Method => "method",
            Self::Properties => "properties",
            Self::NoLogin => "no_login",
            Self::BadCredentials => "bad_credentials",
            Self::NotAllowed => "not_allowed",
            Self::AccountRate => "account_rate",
            Self::Penalized => "penalized",
            Self::Unavailable => "unavailable",
            Self::Revoked => "revoked",
            Self::EndedEarly => "ended_early",
            Self::ShuttingDown => "shutting_down",
        }
    }
}

impl Refused {
    /// Whether the answer comes after a delay, since it is of use to somebody who guesses.
    pub(crate) const fn is_delayed(self) -> bool {
        matches!(self, Self::BadCredentials | Self::NotAllowed | Self::AccountRate | Self::Penalized)
    }
}

impl From<PacketError> for Refused {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::Malformed
            | PacketError::QosNotServed
            | PacketError::TopicAlias
            | PacketError::SubscriptionId => Self::Malformed,
            PacketError::Protocol => Self::Protocol,
            PacketError::Properties => Self::Properties,
            PacketError::TooLarge => Self::TooLarge,
            PacketError::Lost => Self::Lost,
        }
    }
}
