//! What the gate knows of a session, shared by its connection and by whoever sends to it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use shared::protocol::{Filter, Topic, WORK_LIST_MAX};
use shared::{ServiceId, SessionId, WorkerId};

use crate::direct::DirectStream;
use crate::ending::Ending;
use crate::handshake::LoggedIn;
use crate::identity::{Identity, Role};
use crate::limits::Limits;
use crate::metrics::{self, RoleMetrics};
use crate::outbound::{Outbound, Overflow, Queued};
use crate::penalty::Offender;
use crate::version::Version;

/// Results that a list asks for, at most.
#[expect(clippy::cast_possible_truncation, reason = "a handful")]
const RESULTS_PER_LIST: u32 = WORK_LIST_MAX as u32;

/// A session that has logged in.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) identity: Identity,
    pub(crate) version: Version,
    pub(crate) origin: Origin,
    pub(crate) key: SessionKey,
    pub(crate) outbound: Outbound,
    pub(crate) metrics: RoleMetrics,
    /// The largest packet that the client takes, in bytes.
    packet_max: Option<u32>,
    filters: Mutex<Vec<Filter>>,
    results_asked: AtomicU32,
}

/// Where a session comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) remote: IpAddr,
    /// What connections from there are counted by; `None` for addresses that are trusted.
    pub(crate) counted: Option<IpAddr>,
}

/// Of which there is one live session at most.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum SessionKey {
    /// A worker id. Its client id is the same.
    Worker(WorkerId),
    /// One of a service's programs, by client id.
    Service(ServiceId, String),
    /// One of the operators' programs, by client id.
    Operator(String),
    /// A client without an id of its own.
    Nameless(SessionId),
}

impl Session {
    pub(crate) fn new(
        login: &LoggedIn,
        origin: Origin,
        limits: &Limits,
        metrics: RoleMetrics,
        direct: Option<DirectStream>,
    ) -> Self {
        let (id, identity, client_id) = (next_id(), login.decided.identity, login.client_id.clone());
        let key = match identity {
            Identity::Worker { worker, .. } => SessionKey::Worker(worker),
            _ if client_id.is_empty() => SessionKey::Nameless(id),
            Identity::Service { service, .. } => SessionKey::Service(service, client_id),
            Identity::Operator => SessionKey::Operator(client_id),
        };
        let overflow = match identity.role() {
            Role::Worker => Overflow::DropOldest,
            Role::Service | Role::Operator => Overflow::Disconnect,
        };
        let outbound = Outbound::new(overflow, limits.queue_bytes_max, limits.queue_messages_max, direct);
        Self {
            id,
            identity,
            version: login.version,
            origin,
            key,
            outbound,
            metrics,
            packet_max: login.packet_max,
            filters: Mutex::default(),
            results_asked: AtomicU32::new(0),
        }
    }

    /// Whom its results count against, if it is a worker's.
    pub(crate) fn offender(&self) -> Option<Offender> {
        self.identity.worker().map(|worker| Offender { worker, address: self.origin.counted })
    }

    /// Counts and logs that it has joined.
    pub(crate) fn record_start(&self) {
        self.metrics.logins.increment(1);
        self.metrics.connections.increment(1.0);
        tracing::debug!(
            session.id = %self.id,
            worker.id = self.identity.worker().map(tracing::field::display),
            service.id = self.identity.service().map(tracing::field::display),
            session.role = self.identity.role().as_str(),
            mqtt.version = self.version.as_str(),
            "session joined"
        );
    }

    /// Counts and logs that it has left.
    pub(crate) fn record_end(&self, ending: Ending) {
        self.metrics.connections.decrement(1.0);
        metrics::ended(ending);
        if ending == Ending::Fault {
            tracing::error!(session.id = %self.id, "a session was ended by a defect of the gate");
        }
        tracing::debug!(session.id = %self.id, session.ending = ending.as_str(), "session left");
    }

    /// Delivers an addressed message if the session has subscribed to its topic; says whether it has.
    pub(crate) fn deliver_addressed(&self, topic: Topic, payload: &[u8]) -> bool {
        if !self.filters().contains(&Filter::Exact(topic)) {
            return false;
        }
        if matches!(topic, Topic::WorkRequest(_)) {
            self.results_asked.fetch_add(RESULTS_PER_LIST, Ordering::Relaxed);
        }
        self.deliver(self.version.publish(&topic.to_string(), payload));
        true
    }

    /// Queues an encoded message. One that the client does not want to be sent for its size is dropped (MQTT 5 section
    /// 3.1.2.11.4).
    pub(crate) fn deliver(&self, message: Bytes) {
        if self.packet_max.is_some_and(|size_max| message.len() as u64 > u64::from(size_max)) {
            self.metrics.queue_overflows.increment(1);
            return;
        }
        let size = message.len() as u64;
        match self.outbound.push(message) {
            Queued::Written => {
                self.metrics.messages_sent.increment(1);
                self.metrics.bytes_sent.increment(size);
            }
            Queued::Waiting => self.metrics.messages_sent.increment(1),
            Queued::Dropped(count) => {
                self.metrics.messages_sent.increment(1);
                self.metrics.queue_overflows.increment(count);
            }
            Queued::Full => {
                self.metrics.queue_overflows.increment(1);
                self.outbound.end(Ending::Overflow);
            }
            Queued::Ended => {}
        }
    }

    /// Results that have been asked for since this was last called.
    pub(crate) fn take_results_asked(&self) -> u32 {
        self.results_asked.swap(0, Ordering::Relaxed)
    }

    /// The filters it has subscribed to, each once.
    pub(crate) fn filters(&self) -> MutexGuard<'_, Vec<Filter>> {
        self.filters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Numbers sessions from 1 on, across all gates of this process.
fn next_id() -> SessionId {
    static LAST: AtomicU64 = AtomicU64::new(0);
    SessionId::new(LAST.fetch_add(1, Ordering::Relaxed) + 1)
}
