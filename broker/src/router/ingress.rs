//! The way into the router: one bounded channel to one thread that owns the link.

use std::thread;

use bytes::Bytes;
use metrics::Counter;
use rumqttd::local::LinkTx;
use tokio::sync::mpsc;

use super::InnerTopic;
use crate::monitor::{GateDeath, GateMonitor};

/// Messages that wait for the router, at most.
const QUEUE_MESSAGES_MAX: usize = 1024;

/// Publishes into the router.
pub(crate) struct Ingress {
    queue: mpsc::Sender<(InnerTopic, Bytes)>,
    dropped: Counter,
}

impl Ingress {
    /// Starts the thread. Sending on a link blocks while the router's own queue is full, so no task may do it.
    ///
    /// # Errors
    /// The system's, if there cannot be another thread.
    pub(super) fn start(link: LinkTx, monitor: GateMonitor, dropped: Counter) -> std::io::Result<Self> {
        let (queue, messages) = mpsc::channel(QUEUE_MESSAGES_MAX);
        thread::Builder::new()
            .name("mqtt-ingress".into())
            .spawn(move || forward(messages, link, &monitor))?;
        Ok(Self { queue, dropped })
    }

    /// Publishes a message, or drops and counts it if the way is full.
    pub(super) fn publish(&self, topic: InnerTopic, payload: Bytes) {
        if self.queue.try_send((topic, payload)).is_err() {
            self.dropped.increment(1);
        }
    }
}

/// Forwards until the router or the [`Ingress`] is gone.
fn forward(mut messages: mpsc::Receiver<(InnerTopic, Bytes)>, mut link: LinkTx, monitor: &GateMonitor) {
    while let Some((topic, payload)) = messages.blocking_recv() {
        if link.publish(topic.as_str(), payload).is_err() {
            monitor.report(GateDeath::RouterGone);
            return;
        }
    }
}
