//! The server's side: HTTP/1.1 over the socket in the data directory and, if it is set, over TCP with the operator's token.
//!
//! `POST /admin/v1` takes an [`Envelope`] and answers with a [`Reply`]; a refusal is a problem document (RFC 9457) with a stable
//! `code`.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request as HttpRequest, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::request::{Change, Envelope, Request};
use super::socket::AdminSocket;
use super::{Administration, Refused, Reply};
use crate::intake::operator_token::OperatorToken;
use crate::intake::throttle::Throttle;

/// The path of all requests.
pub(super) const PATH: &str = "/admin/v1";
/// Largest request, in bytes; the largest there is has a reason of 200 characters.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// From the end of a request's header to the end of its body.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Bounds of either listener. Each request is short; whoever finds no place waits in the backlog.
const LIMITS: bridge::Settings = bridge::Settings {
    connections_max: 64,
    shutdown_grace: Duration::from_secs(2),
    metrics: false,
    payer: None,
    proxies: Vec::new(),
};
/// Wrong tokens from one address that are answered as what they are.
const FAILURES_MAX: u32 = 5;

/// Who may ask over TCP.
#[derive(Debug, Clone)]
struct Authority {
    token: Arc<OperatorToken>,
    throttle: Arc<Throttle>,
}

impl Authority {
    /// Whether these headers, from this address, show the token. An address that has guessed too often is not looked at.
    fn check(&self, headers: &HeaderMap, remote: SocketAddr) -> Result<(), Refused> {
        let now = Instant::now();
        if let Some(left) = self.throttle.held_back(remote.ip(), now) {
            return Err(Refused::Throttled { seconds: left.as_secs() + 1 });
        }
        if bearer(headers).is_some_and(|token| self.token.is(token)) {
            return Ok(());
        }
        self.throttle.failed(remote.ip(), now);
        warn!(client.address = %remote.ip(), "somebody without the operator's token has asked for an operator's command");
        Err(Refused::Unauthenticated)
    }
}

/// The token in `Authorization: Bearer <token>`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Takes requests until it is stopped.
#[derive(Debug)]
pub(crate) struct AdminServer {
    stop: watch::Sender<()>,
    tasks: Vec<JoinHandle<()>>,
    socket: AdminSocket,
}

impl AdminServer {
    /// Starts on the socket in a data directory whose lock this process holds, and on a TCP listener if there is one, for whoever
    /// shows the live server's token.
    ///
    /// # Errors
    /// When there can be no socket.
    pub(crate) fn start(
        directory: &Path,
        tcp: Option<TcpListener>,
        administration: Arc<Administration>,
    ) -> io::Result<Self> {
        let (listener, socket) = AdminSocket::listen(directory)?;
        let stop = watch::Sender::new(());
        let stopped = || {
            let mut stopping = stop.subscribe();
            // Also when the sender is gone: then the server is.
            async move { drop(stopping.changed().await) }
        };
        let here = routes(administration.clone(), Entrance::Socket);
        let mut tasks = vec![tokio::spawn(bridge::serve(listener, here, LIMITS, stopped()))];
        if let Some((tcp, token)) = tcp.zip(administration.operator_token()) {
            let authority = Authority { token, throttle: Arc::new(Throttle::new(FAILURES_MAX, Vec::new())) };
            let guard = middleware::from_fn_with_state(authority, authorize);
            let from_afar = routes(administration, Entrance::Tcp).layer(guard);
            tasks.push(tokio::spawn(bridge::serve(tcp, from_afar, LIMITS, stopped())));
        }
        Ok(Self { stop, tasks, socket })
    }

    /// Takes nothing more, and waits a moment for what is under way.
    pub(crate) async fn stop(self) {
        // Whoever comes now finds no server, and waits for the lock.
        drop(self.socket);
        self.stop.send_replace(());
        for task in self.tasks {
            if let Err(panic) = task.await {
                tracing::error!(%panic, "the server for operators panicked");
            }
        }
    }
}

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entrance {
    Socket,
    Tcp,
}

#[derive(Clone)]
struct Office {
    administration: Arc<Administration>,
    entrance: Entrance,
}

fn routes(administration: Arc<Administration>, entrance: Entrance) -> Router {
    let nothing = || async { Problem(Refused::NotFound) };
    Router::new()
        .route(PATH, post(answer).fallback(nothing))
        .fallback(nothing)
        .with_state(Office { administration, entrance })
}

async fn authorize(
    State(authority): State<Authority>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    request: HttpRequest,
    next: Next,
) -> Response {
    match authority.check(request.headers(), remote) {
        Ok(()) => next.run(request).await,
        Err(refused) => Problem(refused).into_response(),
    }
}

async fn answer(State(office): State<Office>, body: Body) -> Result<Json<Reply>, Problem> {
    let request = office.read(body).await.map_err(Problem)?;
    let Office { administration, .. } = office;
    // A task of its own: what is begun is carried out to its end, also when whoever asked hangs up.
    let carried_out = tokio::spawn(async move {
        let name = request.name();
        let result = administration.carry_out(request).await;
        match &result {
            Ok(_) => info!(admin.operation = name, "an operator's command was carried out"),
            Err(refused) => {
                info!(
                    admin.operation = name,
                    refusal.code = refused.code(),
                    "an operator's command was refused"
                );
            }
        }
        result
    });
    let result = carried_out.await.unwrap_or(Err(Refused::Fault("a command of an operator's panicked")));
    result.map(Json).map_err(Problem)
}

impl Office {
    async fn read(&self, body: Body) -> Result<Request, Refused> {
        let body = timeout(BODY_READ_TIMEOUT, axum::body::to_bytes(body, BODY_BYTES_MAX));
        let body = body.await.map_err(|_| Refused::Malformed("the body did not arrive in time".into()))?;
        let body = body.map_err(|_| Refused::TooLarge)?;
        let envelope: Envelope =
            serde_json::from_slice(&body).map_err(|error| Refused::Malformed(error.to_string()))?;
        let (ours, wanted) = (self.administration.network(), envelope.network);
        if ours != wanted {
            return Err(Refused::OtherNetwork { ours, wanted });
        }
        match envelope.request {
            Request::Change(Change::RotateOperatorToken { .. }) if self.entrance == Entrance::Tcp => {
                Err(Refused::NotOverTcp)
            }
            request => Ok(request),
        }
    }
}

/// A refusal as a problem document.
struct Problem(Refused);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(refused) = self;
        let status = StatusCode::from_u16(refused.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            warn!(error = &refused as &dyn std::error::Error, "a command of an operator's failed");
        }
        let document = json!({
            "type": format!("urn:dpow:problem:{}", refused.code()),
            "title": refused.code().replace('_', " "),
            "status": status.as_u16(),
            "detail": refused.to_string(),
            "code": refused.code(),
        });
        let mut response = (status, document.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, axum::http::HeaderValue::from_static("application/problem+json"));
        if let Refused::Throttled { seconds } = refused {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Refused::Unauthenticated = refused {
            let scheme = axum::http::HeaderValue::from_static("Bearer");
            headers.insert(axum::http::header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
