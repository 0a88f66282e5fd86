//! Accepts TCP connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::gate::{Shared, accept};

/// Pause after the system could not accept, most often for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts until the gate stops. Each connection gets a clone of the token.
pub(crate) async fn listen(listener: TcpListener, shared: Arc<Shared>, token: mpsc::Sender<()>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stopping() => return,
        };
        match accepted {
            Ok((stream, remote)) => {
                // Messages are small and each counts in milliseconds. It fails only for a connection that is already gone.
                let _ = stream.set_nodelay(true);
                accept(&shared, token.clone(), stream, remote);
            }
            Err(error) => {
                shared.metrics.accept_failures.increment(1);
                tracing::warn!(error = %error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
