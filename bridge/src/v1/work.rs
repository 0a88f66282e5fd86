//! `POST /v1/work`: one request for work, waited for or not.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::answer::{self, Done, Given, respond};
use super::described::{Naming, WorkBody};
use super::request;
use super::status::{self, Status};
use crate::edge::Edge;
use crate::limits::REST_BODY_BYTES_MAX;
use crate::metrics::Route;
use crate::problem::Problem;
use crate::source::{Asker, Source, WorkRequest};

/// What is answered: the work, or where it will be found.
#[derive(Serialize)]
#[serde(untagged)]
enum Answered {
    Now(Given),
    Later(Status),
}

/// A request, and how it is to be answered.
struct Asked {
    asker: Asker,
    request: WorkRequest,
    /// Whether the answer is fetched later.
    is_detached: bool,
}

/// Asks for work.
///
/// Waits for it, at most `timeout_ms`; hanging up withdraws the request. With `async`, or the header `Prefer: respond-async`, it is
/// answered at once, and the work is fetched from the status under `Location`. Asking again under the same name joins the request.
#[utoipa::path(
    post,
    path = "/v1/work",
    tag = "work",
    request_body = WorkBody,
    params(Naming),
    responses(
        (status = 200, description = "The work, and what it cost", body = Given),
        (status = 202, description = "The request goes on by itself", body = Status,
            headers(("Location" = String, description = "Where its status is"))),
    )
)]
pub(crate) async fn work<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    respond(Route::Work, answer(&edge, request)).await.into_response()
}

async fn answer<S: Source>(edge: &Edge<S>, request: Request) -> Result<Done<Answered>, Problem> {
    let Asked { asker, request, is_detached } = read(edge, request).await?;
    if is_detached {
        let request = edge.detached().begin(edge, asker, request)?;
        let status = edge.detached().status(asker.service, request).ok_or_else(status::unknown)?;
        return Ok(status::accepted(request, Answered::Later(status)));
    }
    let given = answer::ask(edge, asker, request).await?;
    Ok(Done::ok(Answered::Now(given)).about(given.request_id))
}

async fn read<S: Source>(edge: &Edge<S>, request: Request) -> Result<Asked, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = answer::read(&parts, body, REST_BODY_BYTES_MAX).await?;
    let read = || {
        let fields = request::members(&bytes, &["async"])?;
        let request = request::parse(&fields, edge.source().network())?;
        let request = request::named(request, request::idempotency_key(&parts.headers)?)?;
        Ok((request, request::says_yes(&fields, "async")? || prefers_async(&parts.headers)))
    };
    let (request, is_detached) =
        read().map_err(|malformed: request::Malformed| Problem::malformed(&malformed))?;
    let asker = answer::authenticate(edge, &parts).map_err(|problem| problem.about(request.request))?;
    Ok(Asked { asker, request, is_detached })
}

/// Whether the client prefers not to wait (RFC 7240 section 4.1).
pub(crate) fn prefers_async(headers: &HeaderMap) -> bool {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    preferences
        .flat_map(|value| value.split([',', ';']))
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}
