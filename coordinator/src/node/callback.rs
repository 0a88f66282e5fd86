//! Confirmations over HTTP, which nodes post: one connection for each block, and no second attempt.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use tokio::net::TcpListener;
use tracing::debug;

use super::message::News;
use crate::metrics::{self, Confirmed};

/// The longest body that is read, in bytes. Blocks are about a thousand.
const BODY_MAX: usize = 16 * 1024;

/// Whether a path can be served: it begins with `/`, and has nothing in it that means something to a router or a URL.
pub(crate) fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte))
}

/// Takes callbacks for ever.
pub(super) async fn serve(listener: TcpListener, path: String, news: Arc<News>) {
    let router =
        Router::new().route(&path, post(take)).layer(DefaultBodyLimit::max(BODY_MAX)).with_state(news);
    let settings = bridge::Settings { metrics: false, ..bridge::Settings::default() };
    bridge::serve(listener, router, settings, std::future::pending()).await;
}

/// A node does not look at the answer; a person who tries it does.
async fn take(State(news): State<Arc<News>>, body: Bytes) -> (StatusCode, String) {
    match news.read_callback(&body) {
        Ok(frontier) => {
            news.tell(frontier).await;
            (StatusCode::OK, String::new())
        }
        Err(error) => {
            metrics::confirmed(Confirmed::Malformed);
            debug!(%error, "a callback is not understood");
            (StatusCode::BAD_REQUEST, format!("{error}\n"))
        }
    }
}
