//! Whether the process lives, whether it takes requests, and what it counts.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::edge::Edge;
use crate::source::Source;

/// `GET /livez`: 200 as long as the process answers at all.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 when requests are taken, else 503; with `?verbose` one line for each part.
pub(crate) async fn readyz<S: Source>(
    State(edge): State<Edge<S>>,
    RawQuery(query): RawQuery,
) -> impl IntoResponse {
    let readiness = edge.source().readiness();
    let (status, word) = if readiness.is_ready() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let is_verbose = query
        .is_some_and(|query| query.split('&').any(|pair| pair == "verbose" || pair.starts_with("verbose=")));
    let mut lines = vec![word.to_string()];
    if is_verbose {
        let part_line = |(part, trouble): &(&str, Option<String>)| {
            format!("{part}: {}", trouble.as_deref().unwrap_or("ok"))
        };
        lines.extend(readiness.parts.iter().map(part_line));
    }
    (status, lines.join("\n") + "\n")
}

/// `GET /metrics`: all metrics of the process in Prometheus' text format.
pub(crate) async fn metrics<S: Source>(State(edge): State<Edge<S>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], edge.source().metrics())
}
