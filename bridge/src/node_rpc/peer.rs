//! The listener for nodes that have us among their `work_peers`. A node can present nothing: no key, no path and no encryption, so
//! whoever may connect asks on one service's account.
//!
//! Always, beyond what holds of `POST /`: any path and method is answered with status 200. A requester has lost interest when it
//! closes its connection, which drops its request and no other one's for the same root. `work_cancel` is answered, and that is all: a
//! node sends it on a connection of its own, perhaps before the job's or when that has been answered, and it does not say which of
//! several requesters has lost interest; the node closes the job's connection at about the same moment.
//!
//! # Source
//! nanocurrency/nano-node `nano/node/distributed_work.cpp`.

use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;

use super::{respond, wrong_method};
use crate::edge::Edge;
use crate::metrics::Route;
use crate::source::Source;

/// Answers everything.
pub(crate) async fn call<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    if request.method() != Method::POST {
        return wrong_method().await;
    }
    respond(Route::NodePeer, &edge, request).await
}
