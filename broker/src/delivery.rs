//! The way down: takes what the coordinator sends and puts it into the sessions' queues, without ever waiting for one.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::bus::Down;
use crate::ending::Ending;
use crate::gate::Shared;

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
    }
}
