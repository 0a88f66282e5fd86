//! A running HTTP server.

use axum::Router;
use bridge::Listener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What serves a router on a listener. It goes on until it is told to stop.
#[derive(Debug)]
pub(crate) struct Served {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Served {
    /// Starts it.
    pub(crate) fn start(listener: impl Listener, router: Router, settings: bridge::Settings) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(async move { bridge::serve(listener, router, settings, stopped).await });
        Self { stop, serving }
    }

    /// Has it stop; the task ends when its connections have.
    pub(crate) fn stop(self) -> JoinHandle<()> {
        // It may have ended by itself; then there is nothing to stop.
        let _ = self.stop.send(());
        self.serving
    }
}
