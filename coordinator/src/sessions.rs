//! Who is connected over MQTT, how each wants to be spoken to, and what became of its results.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use broker::bus::Down;
use broker::identity::Identity;
use serde::{Deserialize, Serialize};
use shared::protocol::{Form, Message, Topic, Verdict, encode};
use shared::{KeyId, SessionId, Timestamp};

/// One connection.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Whose it is.
    pub(crate) identity: Identity,
    /// Where it comes from.
    pub(crate) remote: SocketAddr,
    /// When it logged in.
    pub(crate) since: Timestamp,
    /// What became of its results.
    pub(crate) results: ResultCounts,
    /// As in its latest message; binary until it has said anything.
    form: Form,
}

/// Results of a connection by verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResultCounts {
    /// See [`Verdict::Accepted`]; so for the others.
    pub(crate) accepted: u64,
    /// Valid, but too late.
    pub(crate) late: u64,
    /// Valid, but nobody waited any more.
    pub(crate) cancelled: u64,
    /// Sent before.
    pub(crate) duplicate: u64,
    /// For a job that is not remembered.
    pub(crate) unknown_job: u64,
    /// Below the threshold: counts against the worker.
    pub(crate) below_threshold: u64,
    /// For a root that the worker was never given: counts against it.
    pub(crate) never_given: u64,
}

impl ResultCounts {
    fn count(&mut self, verdict: Verdict) {
        let count = match verdict {
            Verdict::Accepted => &mut self.accepted,
            Verdict::Late { .. } => &mut self.late,
            Verdict::Cancelled => &mut self.cancelled,
            Verdict::Duplicate => &mut self.duplicate,
            Verdict::UnknownJob => &mut self.unknown_job,
            Verdict::BelowThreshold { .. } => &mut self.below_threshold,
            Verdict::NeverGiven => &mut self.never_given,
        };
        *count += 1;
    }
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Sessions(BTreeMap<SessionId, Session>);

impl Sessions {
    /// Somebody has logged in.
    pub(crate) fn join(
        &mut self,
        session: SessionId,
        identity: Identity,
        remote: SocketAddr,
        now: Timestamp,
    ) {
        let results = ResultCounts::default();
        self.0.insert(session, Session { identity, remote, since: now, results, form: Form::Binary });
    }

    /// A connection has ended; says whose it was.
    pub(crate) fn leave(&mut self, session: SessionId) -> Option<Identity> {
        self.0.remove(&session).map(|session| session.identity)
    }

    /// Whose connection this is.
    pub(crate) fn identity(&self, session: SessionId) -> Option<Identity> {
        self.0.get(&session).map(|session| session.identity)
    }

    /// It has spoken in this form.
    pub(crate) fn spoke(&mut self, session: SessionId, form: Form) {
        if let Some(session) = self.0.get_mut(&session) {
            session.form = form;
        }
    }

    /// One of its results has been judged.
    pub(crate) fn judged(&mut self, session: SessionId, verdict: Verdict) {
        if let Some(session) = self.0.get_mut(&session) {
            session.results.count(verdict);
        }
    }

    /// A message for it, in its form; `None` when it has gone.
    pub(crate) fn message<M: Message>(&self, session: SessionId, topic: Topic, message: &M) -> Option<Down> {
        let form = self.0.get(&session)?.form;
        Some(Down::Message { session, topic, payload: encode(message, form).into() })
    }

    /// All of them, those that came first first.
    pub(crate) fn all(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.0.iter().map(|(id, session)| (*id, session))
    }

    /// The keys that connections of services logged in with.
    pub(crate) fn keys(&self) -> impl Iterator<Item = KeyId> {
        self.0.values().filter_map(|session| match session.identity {
            Identity::Service { key, .. } => Some(key),
            Identity::Worker { .. } | Identity::Operator => None,
        })
    }
}
