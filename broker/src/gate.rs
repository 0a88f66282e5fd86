//! The gate: its start, what its parts share, and its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};

use crate::admission::Admission;
use crate::bus::{CloseReason, InProcessBus, Up};
use crate::directory::Directory;
use crate::ending::Ending;
use crate::identity::Authenticator;
use crate::limits::Limits;
use crate::metrics::{self, Metrics};
use crate::monitor::GateMonitor;
use crate::router::{Router, RouterError};
use crate::settings::GateSettings;
use crate::{connection, delivery, listener};

/// Why a gate did not start.
#[derive(Debug, Error)]
pub enum GateError {
    /// The address cannot be listened on; most often another program does already.
    #[error("cannot listen for MQTT on {address}")]
    Listen {
        /// The address of the settings.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The router behind the gate did not start.
    #[error(transparent)]
    Router(#[from] RouterError),
    /// The router's start has failed in an unforeseen way.
    #[error("the start of the MQTT router has failed")]
    RouterStart(#[source] JoinError),
}

/// A running gate. Dropping it stops it like [`Gate::shutdown`], without waiting.
pub struct Gate {
    local_addr: SocketAddr,
    shared: Arc<Shared>,
    monitor: GateMonitor,
    stage: watch::Sender<Stage>,
    /// Receives nothing; ends when the last connection has.
    connections: mpsc::Receiver<()>,
    /// The readers of watched topics end with this.
    _readers: JoinSet<()>,
}

/// What the parts of a gate share.
pub(crate) struct Shared {
    pub(crate) limits: Arc<Limits>,
    pub(crate) operator_loopback_only: bool,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) router: Arc<Router>,
    pub(crate) metrics: Metrics,
    pub(crate) up: mpsc::Sender<Up>,
    stage: watch::Receiver<Stage>,
    /// Each connection holds a clone.
    connection_token: mpsc::WeakSender<()>,
}

/// What a gate does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    Stopping,
}

impl Gate {
    /// Listens, and returns the gate with the coordinator's end of its bus. Must be called in a tokio runtime, after the
    /// recorder of metrics has been installed.
    ///
    /// # Errors
    /// [`GateError::Listen`] when the address is taken; the others when the system gives no threads.
    pub async fn start(
        settings: GateSettings,
        authenticator: Arc<dyn Authenticator>,
    ) -> Result<(Self, InProcessBus), GateError> {
        let address = settings.listen;
        let listen_error = |source| GateError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen_error)?;
        let local_addr = listener.local_addr().map_err(listen_error)?;

        let monitor = GateMonitor::new();
        let metrics = Metrics::new();
        let (router, readers) = start_router(monitor.clone(), metrics.watched_dropped.clone()).await?;

        let limits = Arc::new(settings.limits);
        let (up, up_receiver) = mpsc::channel(limits.up_messages_max.max(1));
        let (down, down_receiver) = mpsc::unbounded_channel();
        let (stage, stage_receiver) = watch::channel(Stage::Serving);
        let (connection_token, connections) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            admission: Arc::new(Admission::new(Arc::clone(&limits))),
            limits,
            operator_loopback_only: settings.operator_loopback_only,
            authenticator,
            directory: Arc::default(),
            router,
            metrics,
            up,
            stage: stage_receiver,
            connection_token: connection_token.downgrade(),
        });
        let listen = listener::listen(listener, Arc::clone(&shared), connection_token);
        tokio::spawn(monitor.clone().supervise(listen));
        let distribute = delivery::distribute(down_receiver, Arc::clone(&shared));
        tokio::spawn(monitor.clone().supervise(distribute));
        tracing::info!(listen.address = %local_addr, "listening for MQTT");
        let gate = Self { local_addr, shared, monitor, stage, connections, _readers: readers };
        Ok((gate, InProcessBus::new(up_receiver, down)))
    }

    /// Where the gate listens, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// A handle that tells whether the gate is alive.
    pub fn monitor(&self) -> GateMonitor {
        self.monitor.clone()
    }

    /// Serves MQTT over a stream that somebody else has accepted, such as TLS or a WebSocket, with the limits of any other
    /// connection. Returns at once; a stream that is refused is closed.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn serve<S>(&self, stream: S, remote: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        if let Some(token) = self.shared.connection_token.upgrade() {
            accept(&self.shared, token, stream, remote);
        }
    }

    /// Stops: nobody is accepted any more; what the coordinator has sent is written for as long as
    /// [`Limits::flush_timeout`] allows; then all connections are closed. The bus ends after the last `Left`, so the
    /// coordinator should go on receiving meanwhile.
    pub async fn shutdown(mut self) {
        self.stage.send_replace(Stage::Stopping);
        let patience = self.shared.limits.flush_timeout;
        if timeout(patience, self.connections.recv()).await.is_err() {
            self.shared.directory.end_all(Ending::Closed(CloseReason::ShuttingDown));
            if timeout(patience, self.connections.recv()).await.is_err() {
                tracing::warn!("some MQTT connections are still open after the stop");
            }
        }
        tracing::info!("the MQTT gate has stopped");
    }
}

impl Shared {
    /// Waits until the gate stops.
    pub(crate) async fn stopping(&self) {
        // An error means that the gate has been dropped, which stops it too.
        let _ = self.stage.clone().wait_for(|stage| *stage == Stage::Stopping).await;
    }
}

/// Lets a connection in, if it may, and serves it in a task of its own.
pub(crate) fn accept<S>(shared: &Arc<Shared>, token: mpsc::Sender<()>, stream: S, remote: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    match shared.admission.admit(remote.ip(), Instant::now()) {
        Ok(admitted) => {
            let serve = connection::serve(Arc::clone(shared), stream, remote, admitted);
            tokio::spawn(async move {
                serve.await;
                drop(token);
            });
        }
        Err(reason) => {
            metrics::refused(reason);
            tracing::debug!(refusal.reason = reason.as_str(), "connection refused");
        }
    }
}

/// Starts the router outside the runtime's own threads, since that blocks.
async fn start_router(
    monitor: GateMonitor,
    dropped: ::metrics::Counter,
) -> Result<(Arc<Router>, JoinSet<()>), GateError> {
    let runtime = tokio::runtime::Handle::current();
    let start = move || {
        let _context = runtime.enter();
        let mut readers = JoinSet::new();
        Router::start(&monitor, dropped, &mut readers).map(|router| (router, readers))
    };
    Ok(tokio::task::spawn_blocking(start).await.map_err(GateError::RouterStart)??)
}
