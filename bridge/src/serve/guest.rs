//! Connections that have become something else: they are nobody's tasks here, but the stop concerns them.

use tokio::sync::{mpsc, watch};

use super::Stage;

/// What a connection keeps that is no longer one of HTTP: it is told when the server stops, and the server waits until it is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    stage: watch::Receiver<Stage>,
    _stays: mpsc::Sender<()>,
}

impl Guest {
    pub(super) const fn new(stage: watch::Receiver<Stage>, stays: mpsc::Sender<()>) -> Self {
        Self { stage, _stays: stays }
    }

    pub(super) fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.clone()
    }

    /// Waits until the server stops.
    pub(crate) async fn leaving(&mut self) {
        // Also when the sender is gone: then the server is.
        let _ = self.stage.wait_for(|stage| *stage != Stage::Serving).await;
    }
}
