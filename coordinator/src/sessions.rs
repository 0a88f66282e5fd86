//! Who is connected over MQTT, and how each wants to be spoken to.

use std::collections::BTreeMap;

use broker::bus::Down;
use broker::identity::Identity;
use shared::SessionId;
use shared::protocol::{Form, Message, Topic, encode};

/// One connection.
#[derive(Debug, Clone, Copy)]
struct Session {
    identity: Identity,
    /// As in its latest message; binary until it has said anything.
    form: Form,
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Sessions(BTreeMap<SessionId, Session>);

impl Sessions {
    /// Somebody has logged in.
    pub(crate) fn join(&mut self, session: SessionId, identity: Identity) {
        self.0.insert(session, Session { identity, form: Form::Binary });
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

    /// A message for it, in its form; `None` when it has gone.
    pub(crate) fn message<M: Message>(&self, session: SessionId, topic: Topic, message: &M) -> Option<Down> {
        let form = self.0.get(&session)?.form;
        Some(Down::Message { session, topic, payload: encode(message, form).into() })
    }
}
