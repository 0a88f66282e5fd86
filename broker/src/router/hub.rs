//! The reader of one inner topic: encodes each message once for each version and hands it to everybody who watches.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rumqttd::Notification;
use rumqttd::local::LinkRx;
use shared::SessionId;

use super::InnerTopic;
use crate::monitor::{GateDeath, GateMonitor};
use crate::packet::split_text;
use crate::session::Session;
use crate::version::Version;

/// Who watches one inner topic.
pub(crate) struct Hub {
    topic: InnerTopic,
    watchers: Mutex<HashMap<SessionId, Arc<Session>>>,
    /// Whether there are watchers, to be asked without the lock.
    is_watched: AtomicBool,
}

impl Hub {
    pub(super) fn new(topic: InnerTopic) -> Self {
        Self { topic, watchers: Mutex::default(), is_watched: AtomicBool::new(false) }
    }

    pub(super) fn topic(&self) -> InnerTopic {
        self.topic
    }

    /// Whether anybody watches. May be late by a moment, which loses or wastes a message.
    pub(super) fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Relaxed)
    }

    pub(super) fn join(&self, session: &Arc<Session>) {
        let mut watchers = self.watchers();
        watchers.insert(session.id, Arc::clone(session));
        self.is_watched.store(true, Ordering::Relaxed);
    }

    pub(super) fn leave(&self, session: SessionId) {
        let mut watchers = self.watchers();
        watchers.remove(&session);
        self.is_watched.store(!watchers.is_empty(), Ordering::Relaxed);
    }

    /// Queues a message for every watcher; all of one version share its bytes.
    fn deliver(&self, payload: &[u8]) {
        let watchers = self.watchers();
        if watchers.is_empty() {
            return;
        }
        let (topic, payload) = if self.topic.is_mirror() {
            // The gate has written it, in `Router::mirror`.
            let Ok(message) = split_text(payload) else { return };
            message
        } else {
            (self.topic.as_str(), payload)
        };
        let mut encoded = [const { None::<Bytes> }; Version::ALL.len()];
        for session in watchers.values() {
            let version = session.version;
            let message = encoded[version.index()].get_or_insert_with(|| version.publish(topic, payload));
            session.deliver(message.clone());
        }
    }

    fn watchers(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a link until the router is gone.
pub(super) async fn read(mut link: LinkRx, hub: Arc<Hub>, monitor: GateMonitor) {
    loop {
        match link.next().await {
            Ok(Some(Notification::Forward(_))) if hub.topic == InnerTopic::Canary => {
                monitor.canary_returned();
            }
            Ok(Some(Notification::Forward(forward))) => hub.deliver(&forward.publish.payload),
            // The router has put the link to sleep since it had much to read. Unless woken it stays silent for ever.
            Ok(Some(Notification::Unschedule)) => {
                if link.wake().await.is_err() {
                    break;
                }
            }
            // A wake-up without a message is usual.
            Ok(Some(_) | None) => {}
            Err(_) => break,
        }
    }
    monitor.report(GateDeath::RouterGone);
}
