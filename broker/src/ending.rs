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
    /// The client sent a packet beyond the limit.
    TooLarge,
    /// The client sent `QoS` 2.
    QosNotServed,
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
    pub(crate) const ALL: [Self; 15] = [
        Self::Disconnected,
        Self::Lost,
        Self::Malformed,
        Self::TooLarge,
        Self::QosNotServed,
        Self::PublishDenied,
        Self::KeepAlive,
        Self::WriteStall,
        Self::Overflow,
        Self::TakenOver,
        Self::Closed(CloseReason::Banned),
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
            Self::TooLarge => "too_large",
            Self::QosNotServed => "qos_not_served",
            Self::PublishDenied => "publish_denied",
            Self::KeepAlive => "keep_alive",
            Self::WriteStall => "write_stall",
            Self::Overflow => "overflow",
            Self::TakenOver => "taken_over",
            Self::Closed(CloseReason::Banned) => "banned",
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
            PacketError::TooLarge => Self::TooLarge,
            PacketError::QosNotServed => Self::QosNotServed,
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
    /// No whole CONNECT in time.
    ConnectTimeout,
    /// The connection broke before its CONNECT was whole.
    Lost,
    /// What came was no CONNECT.
    Malformed,
    /// The CONNECT is too large.
    TooLarge,
    /// Another version of MQTT.
    Version,
    /// It has a will, which is not served.
    Will,
    /// A client without an id that wants its session kept.
    ClientId,
    /// No login, or a wrong one.
    BadCredentials,
    /// Banned, or not from this address.
    NotAllowed,
    /// The authenticator did not answer, or cannot.
    Unavailable,
    /// Taken over, or the gate stopped, while it waited for its turn.
    EndedEarly,
    /// The gate is stopping, or the coordinator has gone.
    ShuttingDown,
}

impl Refused {
    /// All of them, for metrics.
    pub(crate) const ALL: [Self; 16] = [
        Self::Connections,
        Self::Unauthenticated,
        Self::AddressConnections,
        Self::AddressRate,
        Self::ConnectTimeout,
        Self::Lost,
        Self::Malformed,
        Self::TooLarge,
        Self::Version,
        Self::Will,
        Self::ClientId,
        Self::BadCredentials,
        Self::NotAllowed,
        Self::Unavailable,
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
            Self::ConnectTimeout => "connect_timeout",
            Self::Lost => "lost",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Version => "version",
            Self::Will => "will",
            Self::ClientId => "client_id",
            Self::BadCredentials => "bad_credentials",
            Self::NotAllowed => "not_allowed",
            Self::Unavailable => "unavailable",
            Self::EndedEarly => "ended_early",
            Self::ShuttingDown => "shutting_down",
        }
    }
}

impl From<PacketError> for Refused {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::Malformed | PacketError::QosNotServed => Self::Malformed,
            PacketError::TooLarge => Self::TooLarge,
            PacketError::Lost => Self::Lost,
        }
    }
}
