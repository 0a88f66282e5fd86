//! The one seam between gates and the coordinator: what comes up, what goes down.
//!
//! Always: for each session, `Joined` comes first and `Left` last, exactly once each, with its messages in the order of
//! arrival between them; at a take-over the old session's `Left` comes before the new one's `Joined`.

use std::net::SocketAddr;

use bytes::Bytes;
use shared::SessionId;
use shared::protocol::Topic;
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
}

/// Why the coordinator ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseReason {
    /// Its identity has been banned or its right revoked.
    Banned,
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
