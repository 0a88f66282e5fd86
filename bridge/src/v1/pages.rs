//! `GET /docs`: the description of the interface for people, with a form to try each operation. Everything comes from this server.

use axum::extract::Path;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};

use crate::problem::not_found;

/// Nothing from elsewhere is loaded, and the page cannot be framed.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Each file: its name, its type and what is in it.
const FILES: [(&str, &str, &str); 3] = [
    ("index.html", "text/html; charset=utf-8", include_str!("pages/index.html")),
    ("docs.css", "text/css; charset=utf-8", include_str!("pages/docs.css")),
    ("docs.js", "text/javascript; charset=utf-8", include_str!("pages/docs.js")),
];

/// Answers `GET /docs`.
pub(crate) async fn index() -> Response {
    file(Path(FILES[0].0.into())).await
}

/// Answers `GET /docs/{file}`.
pub(crate) async fn file(Path(name): Path<String>) -> Response {
    match FILES.into_iter().find(|(known, ..)| *known == name) {
        Some((_, content_type, content)) => (headers(content_type), content).into_response(),
        None => not_found().await,
    }
}

fn headers(content_type: &'static str) -> [(HeaderName, &'static str); 3] {
    [(CONTENT_TYPE, content_type), (CONTENT_SECURITY_POLICY, POLICY), (X_CONTENT_TYPE_OPTIONS, "nosniff")]
}
