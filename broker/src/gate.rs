//! The gate: its start, what its parts share, and its end.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

use crate::admission::Admission;
use crate::bus::{CloseReason, InProcessBus, Up};
use crate::direct::DirectStream;
use crate::directory::Directory;
use crate::ending::{Ending, Refused};
use crate::identity::Authenticator;
use crate::limits::Limits;
use crate::login::Logins;
use crate::metrics::{self, Metrics};
use crate::monitor::GateMonitor;
use crate::penalty::Penalties;
use crate::router::{Router, RouterError};
use crate::settings::GateSettings;
use crate::websocket::WebSocketIo;
use crate::{connection, delivery, listener, websocket};

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
    websocket_addr: Option<SocketAddr>,
    shared: Arc<Shared>,
    monitor: GateMonitor,
    stage: watch::Sender<Stage>,
    /// Receives nothing; ends when the last connection has.
    connections: mpsc::Receiver<()>,
    /// The readers of watched topics end with this.
    _readers: JoinSet<()>,
}

/// The way into a gate for connections that others have accepted. When the gate has gone, they are closed.
#[derive(Clone)]
pub struct Entrance {
    shared: Weak<Shared>,
}

/// What the parts of a gate share.
pub(crate) struct Shared {
    pub(crate) limits: Arc<Limits>,
    pub(crate) operator_loopback_only: bool,
    pub(crate) logins: Logins,
    pub(crate) admission: Arc<Admission>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) router: Arc<Router>,
    pub(crate) metrics: Metrics,
    pub(crate) up: mpsc::Sender<Up>,
    penalties: Mutex<Penalties>,
    stage: watch::Receiver<Stage>,
    /// Each connection holds a clone.
    connection_token: mpsc::WeakSender<()>,
}

/// Who is at the other end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) remote: SocketAddr,
    /// Whether it may stand before others: a `WebSocket` mostly comes through a proxy, which is on this machine.
    pub(crate) is_proxy: bool,
}

impl Peer {
    /// Whether it is known to be on this machine.
    pub(crate) fn is_here(&self) -> bool {
        !self.is_proxy && self.remote.ip().to_canonical().is_loopback()
    }
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
        let (listener, local_addr) = bind(settings.listen).await?;
        let websocket = match settings.listen_websocket {
            Some(address) => Some(bind(address).await?),
            None => None,
        };

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
            logins: Logins::new(authenticator, Arc::clone(&limits), metrics.login.clone()),
            limits,
            operator_loopback_only: settings.operator_loopback_only,
            directory: Arc::default(),
            router,
            metrics,
            up,
            penalties: Mutex::default(),
            stage: stage_receiver,
            connection_token: connection_token.downgrade(),
        });
        let websocket_addr = websocket.as_ref().map(|(_, address)| *address);
        if let Some((listener, address)) = websocket {
            let token = connection_token.clone();
            let listen = listener::listen(listener, Arc::clone(&shared), token, websocket::take);
            tokio::spawn(monitor.clone().supervise(listen));
            tracing::info!(listen.address = %address, "listening for MQTT over WebSocket");
        }
        let listen = listener::listen(listener, Arc::clone(&shared), connection_token, take);
        tokio::spawn(monitor.clone().supervise(listen));
        let distribute = delivery::distribute(down_receiver, Arc::clone(&shared));
        tokio::spawn(monitor.clone().supervise(distribute));
        tracing::info!(listen.address = %local_addr, "listening for MQTT");
        let gate =
            Self { local_addr, websocket_addr, shared, monitor, stage, connections, _readers: readers };
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

    /// Where the gate listens for MQTT over `WebSocket`, if it does.
    pub fn websocket_addr(&self) -> Option<SocketAddr> {
        self.websocket_addr
    }

    /// A handle by which others hand connections over.
    pub fn entrance(&self) -> Entrance {
        Entrance { shared: Arc::downgrade(&self.shared) }
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

impl Entrance {
    /// Serves MQTT over a stream that somebody else has accepted, with the limits of any other connection. Returns at once; a
    /// stream that is refused is closed.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn serve<S>(&self, stream: S, remote: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        self.serve_after(std::future::ready(Ok(stream)), remote);
    }

    /// The same for a stream that has to be made first, such as one of TLS. The handshake runs in the connection's own task for
    /// at most [`Limits::handshake_timeout`], so one that stalls holds up nobody else.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn serve_after<S>(
        &self,
        handshake: impl Future<Output = io::Result<S>> + Send + 'static,
        remote: SocketAddr,
    ) where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        self.accept(handshake, Peer { remote, is_proxy: false });
    }

    /// Serves MQTT over a WebSocket that somebody else's HTTP server has agreed to with [`websocket::agree`]: `upgraded` is the
    /// stream below it.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn serve_websocket<S>(
        &self,
        upgraded: impl Future<Output = io::Result<S>> + Send + 'static,
        remote: SocketAddr,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = async { Ok(WebSocketIo::after_upgrade(upgraded.await?).await) };
        self.accept(handshake, Peer { remote, is_proxy: true });
    }

    fn accept<S>(&self, handshake: impl Future<Output = io::Result<S>> + Send + 'static, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let Some(shared) = self.shared.upgrade() else { return };
        if let Some(token) = shared.connection_token.upgrade() {
            let limit = shared.limits.handshake_timeout;
            accept(&shared, token, timeout(limit, handshake), None, peer);
        }
    }
}

impl Shared {
    /// Waits until the gate stops.
    pub(crate) async fn stopping(&self) {
        // An error means that the gate has been dropped, which stops it too.
        let _ = self.stage.clone().wait_for(|stage| *stage == Stage::Stopping).await;
    }

    /// Who is shut out.
    pub(crate) fn penalties(&self) -> MutexGuard<'_, Penalties> {
        self.penalties.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets a connection in, if it may, and serves it in a task of its own, in which its handshake runs as well. With `direct`, the
/// same connection as the stream, messages are written without that task where they can be.
pub(crate) fn accept<S>(
    shared: &Arc<Shared>,
    token: mpsc::Sender<()>,
    handshake: impl Future<Output = Result<io::Result<S>, Elapsed>> + Send + 'static,
    direct: Option<DirectStream>,
    peer: Peer,
) where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let admitted = match shared.admission.admit(peer.remote.ip(), Instant::now()) {
        Ok(admitted) => admitted,
        Err(reason) => return refuse(reason),
    };
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let stream = tokio::select! {
            stream = handshake => match stream {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(_)) => Err(Refused::HandshakeFailed),
                Err(_) => Err(Refused::HandshakeTimeout),
            },
            () = shared.stopping() => Err(Refused::ShuttingDown),
        };
        match stream {
            Ok(stream) => connection::serve(shared, stream, direct, peer, admitted).await,
            Err(reason) => refuse(reason),
        }
        drop(token);
    });
}

/// Serves a TCP connection as it is.
fn take(shared: &Arc<Shared>, token: mpsc::Sender<()>, stream: TcpStream, remote: SocketAddr) {
    let stream = DirectStream::new(stream);
    let handshake = std::future::ready(Ok(Ok(stream.clone())));
    accept(shared, token, handshake, Some(stream), Peer { remote, is_proxy: false });
}

fn refuse(reason: Refused) {
    metrics::refused(reason);
    tracing::debug!(refusal.reason = reason.as_str(), "connection refused");
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), GateError> {
    let listen_error = |source| GateError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen_error)?;
    let local_addr = listener.local_addr().map_err(listen_error)?;
    Ok((listener, local_addr))
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
