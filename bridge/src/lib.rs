//! The HTTP edge: requests of services in, work or a problem out.
//!
//! Each dialect (`/v1`, Nano RPC) is a thin mapping between HTTP and one [`WorkRequest`](source::WorkRequest), which is put to a
//! [`Source`]: the coordinator in its own process, or a network far away. Nothing here knows of credits, jobs or workers.
//!
//! Always: a body is read within a bounded time and size, every field of it is checked before a key is looked at, and a
//! request whose client has gone is dropped, which withdraws it.

mod block;
mod body;
mod credential;
mod edge;
mod fields;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod health;
pub mod limits;
mod metrics;
mod node_rpc;
mod own_page;
mod problem;
mod quota;
mod serve;
pub mod source;
mod texts;
mod trace;
mod v1;

use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use shared::ServiceId;
use shared::link::AddressPrefix;

use edge::Edge;
use node_rpc::peer;
pub use serve::{Listener, Screened, serve};
pub use source::Source;

/// What an operator may set of the HTTP edge; every other bound is a constant of [`limits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Most connections at once, at least 1. Further ones wait in the listener's backlog until one ends.
    pub connections_max: usize,
    /// How long connections have to finish once the server stops; what is open then is cut.
    pub shutdown_grace: Duration,
    /// Whether `GET /metrics` is answered. Off where the port is public and metrics have a listener of their own.
    pub metrics: bool,
    /// On whose account everybody asks, without a key. Without one, a request is on that of the service whose key it gives.
    pub payer: Option<ServiceId>,
    /// Where proxies are whose `X-Forwarded-For` is believed; of everybody else the connection's own address counts.
    pub proxies: Vec<AddressPrefix>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS_MAX,
            shutdown_grace: limits::SHUTDOWN_GRACE,
            metrics: true,
            payer: None,
            proxies: Vec::new(),
        }
    }
}

/// The routes for services and operators: everything under `/v1`, `POST /` (Nano RPC), `GET /livez`, `/readyz` and `/metrics`.
///
/// `GET /` is answered as a node answers it, by the method fallback of its route; a page may be merged in its place.
/// Unknown paths outside `/v1` are left to whoever merges this router. Call it once a metrics recorder is installed, so that
/// all counters begin at zero.
pub fn router<S: Source>(source: S, settings: &Settings) -> Router {
    metrics::describe();
    metrics::set_connections_max(settings.connections_max);
    let rpc = post(node_rpc::call::<S>).options(node_rpc::preflight).fallback(node_rpc::wrong_method);
    let edge = Edge::new(source, settings.payer, &settings.proxies);
    let mut routes = v1::routes();
    if settings.payer.is_some() {
        routes = routes.route_layer(from_fn(own_page::own_pages_only));
    }
    let mut router =
        routes.route("/", rpc).route("/livez", get(health::livez)).route("/readyz", get(health::readyz::<S>));
    if settings.metrics {
        router = router.route("/metrics", get(health::metrics::<S>));
    }
    router.layer(from_fn_with_state(edge.clone(), quota::tell::<S>)).with_state(edge)
}

/// What nodes are answered that have this listener among their `work_peers`: everything on this service's account. Who may connect
/// is the listener's to say ([`Screened`]).
pub fn node_peer<S: Source>(source: S, service: ServiceId) -> Router {
    Router::new().fallback(peer::call::<S>).with_state(Edge::new(source, Some(service), &[]))
}
