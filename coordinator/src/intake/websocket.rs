//! MQTT over WebSocket on the HTTP port: its HTTP part. What follows is the gate's.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use broker::{Entrance, websocket};
use hyper_util::rt::TokioIo;

/// The routes on which an HTTP connection can become one of the gate. `/` belongs to the RPC of the node here.
pub(crate) fn routes(entrance: Entrance) -> Router {
    Router::new().route("/mqtt", get(upgrade)).route("/mqtt/", get(upgrade)).with_state(entrance)
}

async fn upgrade(
    State(entrance): State<Entrance>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    mut request: Request,
) -> Response {
    match websocket::agree(&request) {
        Ok(response) => {
            let upgrade = hyper::upgrade::on(&mut request);
            let upgraded = async { upgrade.await.map(TokioIo::new).map_err(io::Error::other) };
            entrance.serve_websocket(upgraded, remote);
            response.map(|()| Body::empty())
        }
        Err(problem) => {
            let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::BAD_REQUEST);
            (status, problem.to_string()).into_response()
        }
    }
}
