//! The one seam between gates and the coordinator: what comes up, what goes down.
//!
//! Always: for each session, `Joined` comes first and `Left` last, exactly once each, with its messages in the order of
//! arrival between them; at a take-over the old session's `Left` comes before the new one's `Joined`.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use shared::link::AddressPrefix;
use shared::protocol::Topic;
use shared::{KeyId, Payee, ServiceId, SessionId, WorkerId};
use tokio::sync::mpsc;

use crate::identity::Identity;

/// What a gate tells the coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Up {
    /// Somebody has logged in.
    Joined {
        /// Its number from now on.
        session: SessionId,
        /// Who it is, by its login.
        identity: Identity,
        /// Where it connects from.
        remote: SocketAddr,
    },
    /// The connection has ended, for whatever reason.
    Left {
        /// Which.
        session: SessionId,
    },
    /// An addressed message. The gate has checked that this session may publish on this topic, and its size.
    Message {
        /// Who sent it.
        session: SessionId,
        /// On which topic.
        topic: Topic,
        /// The payload, not decoded.
        payload: Bytes,
    },
}

/// What the coordinator tells a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Down {
    /// An addressed message for one session, at `QoS` 0. Dropped when the session has gone or has not subscribed to the topic.
    Message {
        /// For whom.
        session: SessionId,
        /// On which topic.
        topic: Topic,
        /// The payload.
        payload: Bytes,
    },
    /// A message on a watched topic (heartbeat, `stats/…`), for everybody who has subscribed; loss allowed.
    Publish {
        /// `heartbeat` or one of `stats/…`.
        topic: Topic,
        /// The payload.
        payload: Bytes,
    },
    /// End a session at once.
    Close {
        /// Which.
        session: SessionId,
        /// What the client is told where its version of MQTT can express it.
        reason: CloseReason,
    },
    /// Somebody has lost the right to be here: all its sessions end at once, and no answer of the authenticator from before
    /// counts any more. Sent after the authenticator has begun to refuse it.
    Revoke {
        /// Who.
        subject: Subject,
    },
    /// A result of this session counts against its worker. The gate decides what that costs the worker and its address; the
    /// session may have ended.
    Penalize {
        /// Which.
        session: SessionId,
    },
}

/// Whose sessions are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// One worker.
    Worker(WorkerId),
    /// All workers that are paid to one account.
    Payee(Payee),
    /// One service.
    Service(ServiceId),
    /// The sessions that logged in with one key of a service.
    Key(KeyId),
    /// All operators: their token has been replaced.
    Operators,
    /// Everybody at these addresses.
    Addresses(AddressPrefix),
}

impl Subject {
    /// Whether a session of this identity, from this address, is meant.
    pub(crate) fn covers(&self, identity: &Identity, remote: IpAddr) -> bool {
        match (self, identity) {
            (Self::Addresses(prefix), _) => prefix.contains(remote),
            (Self::Worker(subject), Identity::Worker { worker, .. }) => subject == worker,
            (Self::Payee(subject), Identity::Worker { payee, .. }) => subject == payee,
            (Self::Service(subject), Identity::Service { service, .. }) => subject == service,
            (Self::Key(subject), Identity::Service { key, .. }) => subject == key,
            (Self::Operators, Identity::Operator) => true,
            (Self::Worker(_) | Self::Payee(_) | Self::Service(_) | Self::Key(_) | Self::Operators, _) => {
                false
            }
        }
    }
}

/// Why the coordinator ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseReason {
    /// Its identity has been banned or its right revoked.
    Banned,
    /// Too many of its results count against it; it may come back after a while.
    Penalty,
    /// The coordinator is stopping.
    ShuttingDown,
}

/// The coordinator's end of the connection to its gates.
pub trait Bus: Send + 'static {
    /// The next message from a gate, in order; `None` when every gate has stopped.
    fn receive(&mut self) -> impl Future<Output = Option<Up>> + Send;

    /// Hands a message to the gate. Never blocks and never fails: a session that reads too slowly has its own overflow rule.
    fn send(&self, down: Down);
}

/// The bus inside one process.
#[derive(Debug)]
pub struct InProcessBus {
    up: mpsc::Receiver<Up>,
    down: mpsc::UnboundedSender<Down>,
}

impl InProcessBus {
    /// Joins the two ends. The way down is drained by a task that only distributes into the sessions' bounded queues.
    pub fn new(up: mpsc::Receiver<Up>, down: mpsc::UnboundedSender<Down>) -> Self {
        Self { up, down }
    }
}

impl Bus for InProcessBus {
    async fn receive(&mut self) -> Option<Up> {
        self.up.recv().await
    }

    fn send(&self, down: Down) {
        // A gate that has stopped has no sessions left to tell anything.
        let _ = self.down.send(down);
    }
}
