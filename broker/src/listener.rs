//! Accepts TCP connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::gate::Shared;

/// Pause after the system could not accept, most often for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often it is measured how late the loop comes back to its listener.
const MEASURE_INTERVAL: Duration = Duration::from_millis(100);

/// What is done with a connection that has been accepted. Must return at once: the loop waits for it.
pub(crate) type Take = fn(&Arc<Shared>, mpsc::Sender<()>, TcpStream, SocketAddr);

/// Accepts until the gate stops. Each connection gets a clone of the token.
pub(crate) async fn listen(listener: TcpListener, shared: Arc<Shared>, token: mpsc::Sender<()>, take: Take) {
    let mut measure = interval(MEASURE_INTERVAL);
    measure.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // A loop that is busy, or a runtime that does not get to it, is late for its clock as well as for its clients.
            due = measure.tick() => {
                shared.metrics.accept_delay.record(Instant::now().saturating_duration_since(due));
                continue;
            }
            () = shared.stopping() => return,
        };
        match accepted {
            Ok((stream, remote)) => {
                // Messages are small and each counts in milliseconds. It fails only for a connection that is already gone.
                let _ = stream.set_nodelay(true);
                take(&shared, token.clone(), stream, remote);
            }
            Err(error) => {
                shared.metrics.accept_failures.increment(1);
                tracing::warn!(error = %error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
