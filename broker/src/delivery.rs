//! The way down: takes what the coordinator sends and puts it into the sessions' queues, without ever waiting for one.

use std::sync::Arc;

use shared::SessionId;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use crate::bus::{CloseReason, Down};
use crate::ending::Ending;
use crate::gate::Shared;
use crate::metrics;
use crate::penalty::{Sentence, Sentences};
use crate::session::Session;

/// Messages that are taken from the channel at once.
const BATCH: usize = 256;

/// Distributes until the coordinator has gone or the gate stops; then lets every session write what it has and end.
pub(crate) async fn distribute(mut down: UnboundedReceiver<Down>, gate: Arc<Shared>) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let count = tokio::select! {
            // What was sent before the stop is still delivered.
            biased;
            count = down.recv_many(&mut batch, BATCH) => count,
            () = gate.stopping() => 0,
        };
        if count == 0 {
            break;
        }
        for message in batch.drain(..) {
            carry_out(message, &gate);
        }
    }
    gate.directory.finish_all();
}

/// Counts a result against its worker and its address, and ends the sessions of whoever is shut out for it.
fn penalize(session: SessionId, gate: &Shared) {
    let Some(offender) = gate.directory.offender(session) else { return };
    let Sentences { worker, address } = gate.penalties().record(offender, Instant::now());
    metrics::penalized(worker.max(address));
    let ending = |sentence| match sentence {
        Sentence::Counted => None,
        Sentence::Suspended => Some(Ending::Closed(CloseReason::Penalty)),
        Sentence::Banned => Some(Ending::Closed(CloseReason::Banned)),
    };
    if let Some(ending) = ending(worker) {
        tracing::info!(worker.id = %offender.worker, penalty = worker.as_str(), "a worker is shut out for its results");
        let is_meant = |session: &Session| session.identity.worker() == Some(offender.worker);
        gate.directory.end_where(ending, is_meant);
    }
    if let Some(ending) = ending(address) {
        tracing::info!(penalty = address.as_str(), "the workers of an address are shut out for its results");
        let is_meant = |session: &Session| session.offender().is_some_and(|o| o.address == offender.address);
        gate.directory.end_where(ending, is_meant);
    }
}

fn carry_out(message: Down, gate: &Shared) {
    match message {
        Down::Message { session, topic, payload } => {
            let delivered = gate
                .directory
                .find(session)
                .is_some_and(|session| session.deliver_addressed(topic, &payload));
            if delivered {
                gate.router.mirror(topic, &payload);
            }
        }
        Down::Publish { topic, payload } => gate.router.publish(topic, payload),
        Down::Close { session, reason } => {
            if let Some(session) = gate.directory.find(session) {
                session.outbound.end(Ending::Closed(reason));
            }
        }
        Down::Revoke { subject } => {
            // First the answers, so that nobody comes in with one of them after the sessions have been looked through.
            gate.logins.revoke();
            let is_meant = |session: &Session| subject.covers(&session.identity, session.origin.remote);
            gate.directory.end_where(Ending::Closed(CloseReason::Banned), is_meant);
        }
        Down::Penalize { session } => penalize(session, gate),
    }
}
