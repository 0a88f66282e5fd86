//! Connections: how many, for how long, and how they end.

mod guest;
mod listener;
mod stall;

use std::io;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, TRANSFER_ENCODING};
use axum::response::Response;
use futures_util::TryFutureExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tower::ServiceExt;
use tracing::{Instrument, debug, error, info, warn};

use crate::Settings;
use crate::limits::{
    ACCEPT_PAUSE, BUFFER_BYTES_MAX, HEADER_LINES_MAX, HEADER_READ_TIMEOUT, LEAVE_TAKING, WRITE_STALL_TIMEOUT,
};
use crate::metrics::OpenConnection;
use crate::problem::CLOSE;
use crate::trace::{self, Trace};
pub(crate) use guest::Guest;
pub use listener::{Listener, Screened};
use stall::StallGuard;

/// Serves a router on a listener, HTTP/1.1 with keep-alive and upgrades, until `shutdown` completes; then, for at most
/// [`LEAVE_TAKING`], each connection is closed with its next answer; then those that are not in use are closed, and the others may
/// finish for [`Settings::shutdown_grace`].
///
/// A request is a part of its connection's task: when the client hangs up, or half-closes, the handler is dropped where it
/// waits. That is not noticed while a further, pipelined request lies in the buffer; the request's own deadline holds then.
///
/// Each request carries [`ConnectInfo`] with the address it came from, over TCP a `SocketAddr`, and a guest (`serve::guest`). An upgraded connection gives back
/// its place; whoever upgrades it bounds the number, and keeps the guest to be told of the stop and waited for.
pub async fn serve<L: Listener>(
    listener: L,
    router: Router,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(settings.connections_max));
    let (stop, stage) = watch::channel(Stage::Serving);
    let (stays, mut guests) = mpsc::channel(1);
    let guest = Guest::new(stage, stays);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => report_panic(ended),
            (stream, peer, place) = accept(&listener, &places) => {
                connections.spawn(serve_connection::<L>(stream, peer, place, router.clone(), guest.clone()));
            }
        }
    }
    stop.send_replace(Stage::Leaving);
    let mut leave_taking = pin!(tokio::time::sleep(LEAVE_TAKING));
    while !connections.is_empty() {
        tokio::select! {
            () = &mut leave_taking => break,
            Some(ended) = connections.join_next() => report_panic(ended),
            (stream, peer, place) = accept(&listener, &places) => {
                connections.spawn(serve_connection::<L>(stream, peer, place, router.clone(), guest.clone()));
            }
        }
    }
    drop((listener, guest));
    stop.send_replace(Stage::Closing);
    let finished = tokio::time::timeout(settings.shutdown_grace, async {
        while let Some(ended) = connections.join_next().await {
            report_panic(ended);
        }
        // Nothing comes; it ends with the last of them.
        guests.recv().await;
    });
    if finished.await.is_err() {
        info!(http.connections = connections.len(), "connections were cut because the server stops");
        connections.shutdown().await;
    }
}

/// What the server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    /// Each answer is the last one of its connection.
    Leaving,
    /// Connections that are not in use are closed.
    Closing,
}

/// The next connection, once there is a place for it. Until then it waits in the listener's backlog: an answer that says "no
/// place" would cost a place itself, and a node cannot read it.
async fn accept<L: Listener>(
    listener: &L,
    places: &Arc<Semaphore>,
) -> (L::Stream, L::Peer, OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            // The client gave up while it waited; the listener is well.
            Err(error) if is_of_the_client(&error) => {
                debug!(%error, "a connection was gone before it was accepted");
            }
            Err(error) => {
                warn!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn report_panic(ended: Result<(), JoinError>) {
    if let Err(panic) = ended {
        error!(%panic, "a connection's task panicked");
    }
}

/// An answer that says whether it is the last one of its connection; one that upgrades the connection has said what it becomes.
fn with_farewell(mut response: Response, is_last: bool) -> Response {
    if is_last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, CLOSE);
    }
    response
}

async fn serve_connection<L: Listener>(
    stream: L::Stream,
    peer: L::Peer,
    place: OwnedSemaphorePermit,
    router: Router,
    guest: Guest,
) {
    let counted = OpenConnection::new();
    let io = TokioIo::new(StallGuard::new(stream, WRITE_STALL_TIMEOUT));
    let mut stage = guest.stage();
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer.clone()));
        request.extensions_mut().insert(guest.clone());
        let (trace, stage) = (Trace::of(request.headers()), guest.stage());
        // Its length may have been given in another way as well, by which a proxy in front may have gone: then what comes next is
        // what that takes for the rest of the body (RFC 9112 section 6.3).
        let is_chunked = request.headers().contains_key(TRANSFER_ENCODING);
        let answer = router.clone().oneshot(request).instrument(trace.span);
        answer.map_ok(move |mut response| {
            trace::add(response.headers_mut(), trace.answer);
            let is_last = is_chunked || *stage.borrow() != Stage::Serving;
            with_farewell(response, is_last)
        })
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_headers(HEADER_LINES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        // Answers are short: one piece costs the system less than two.
        .writev(false)
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let closing = async {
        // Also when the sender is gone: then the server is.
        let _ = stage.wait_for(|stage| *stage == Stage::Closing).await;
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
    drop((counted, place));
}
