//! `/v1`: the dialect that is our own.
//!
//! | file | what |
//! |---|---|
//! | `request` | reads a request for work, wherever it stands |
//! | `answer` | what is answered, and how it becomes a response |
//! | `work`, `batch` | `POST /v1/work` and `/v1/work/batch` |
//! | `detached`, `status` | requests that nobody waits for, and what is told of them under `/v1/work/{request_id}` |
//! | `socket` | `/v1/ws`, for many requests over one connection |
//! | `openapi`, `described`, `pages` | `/openapi.json` and `/docs` |
//! | `own` | `/v1/balance`, `/v1/quota`, `/v1/keys` |
//! | `register` | `POST /v1/register` |
//! | `precache` | `/v1/accounts`, `/v1/prefetch`, `/v1/usage` |

mod answer;
mod batch;
mod described;
mod detached;
mod openapi;
mod own;
mod pages;
mod precache;
mod register;
mod request;
pub(crate) mod socket;
mod status;
mod work;

use axum::Router;
use axum::routing::{any, delete, get, post};

use crate::edge::Edge;
use crate::problem::{method_not_allowed, not_found};
use crate::source::Source;
pub(crate) use detached::Detached;

/// Everything under `/v1`.
pub(crate) fn routes<S: Source>() -> Router<Edge<S>> {
    let status = get(status::status::<S>).delete(status::withdraw::<S>);
    Router::new()
        .route("/v1/work", post(work::work::<S>).fallback(method_not_allowed))
        .route("/v1/work/batch", post(batch::batch::<S>).fallback(method_not_allowed))
        .route("/v1/work/{request_id}", status.fallback(method_not_allowed))
        .route("/v1/work/{request_id}/events", get(status::events::<S>).fallback(method_not_allowed))
        .route("/v1/ws", get(socket::open::<S>).fallback(method_not_allowed))
        .route(
            "/v1/accounts",
            post(precache::watch::<S>).delete(precache::forget::<S>).fallback(method_not_allowed),
        )
        .route("/v1/prefetch", post(precache::prefetch::<S>).fallback(method_not_allowed))
        .route("/v1/usage", get(precache::usage::<S>).fallback(method_not_allowed))
        .route("/v1/register", post(register::register::<S>).fallback(method_not_allowed))
        .route("/v1/balance", get(own::balance::<S>).fallback(method_not_allowed))
        .route("/v1/quota", get(own::quota::<S>).fallback(method_not_allowed))
        .route("/v1/keys", get(own::keys::<S>).post(own::issue::<S>).fallback(method_not_allowed))
        .route("/v1/keys/{key}", delete(own::revoke::<S>).fallback(method_not_allowed))
        .route("/v1/keys/{key}/rotate", post(own::rotate::<S>).fallback(method_not_allowed))
        .route("/openapi.json", get(openapi::document))
        .route("/docs", get(pages::index))
        .route("/docs/", get(pages::index))
        .route("/docs/{file}", get(pages::file))
        .route("/v1", any(not_found))
        .route("/v1/", any(not_found))
        .route("/v1/{*path}", any(not_found))
}
