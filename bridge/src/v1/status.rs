//! `/v1/work/{request_id}`: how a request stands that nobody waits for, the news of it, and its withdrawal.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use shared::RequestId;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::answer::{self, Done, Given, respond};
use super::detached::Ended;
use super::request::request_name;
use crate::edge::Edge;
use crate::limits::{EVENTS_KEEP_ALIVE, WAIT_MAX, WITHDRAWAL_PATIENCE};
use crate::metrics::{Code, Exchange, Route};
use crate::problem::{Document, Problem, Trouble};
use crate::source::Source;

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Standing {
    /// It has no outcome yet.
    Open,
    /// Its work is in `result`.
    Answered,
    /// There is no work; why is in `problem`. What was withdrawn has the code `cancelled`.
    Refused,
}

/// How a request stands.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Status {
    /// Its name.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    request_id: RequestId,
    /// How far it has come.
    #[serde(rename = "state")]
    standing: Standing,
    /// Its work, once it is answered.
    result: Option<Given>,
    /// Why there is none, once it is refused.
    problem: Option<Document>,
}

/// One event.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is described, not written: `next_event` does that")]
struct StatusEvent {
    /// The state.
    event: Standing,
    /// How the request stands, as the text of the JSON.
    data: String,
}

impl Status {
    pub(crate) fn new(request_id: RequestId, ended: Option<&Ended>) -> Self {
        let (standing, result, problem) = match ended {
            None => (Standing::Open, None, None),
            Some(Ok(given)) => (Standing::Answered, Some(*given), None),
            Some(Err(problem)) => (Standing::Refused, None, Some(problem.document())),
        };
        Self { request_id, standing, result, problem }
    }

    const fn event(&self) -> &'static str {
        match self.standing {
            Standing::Open => "open",
            Standing::Answered => "answered",
            Standing::Refused => "refused",
        }
    }
}

/// The answer to a request that goes on by itself.
pub(crate) fn accepted<T>(request: RequestId, body: T) -> Done<T> {
    let mut done = Done { status: StatusCode::ACCEPTED, ..Done::ok(body) }.about(request);
    if let Ok(location) = HeaderValue::try_from(location(request)) {
        done.headers.insert(LOCATION, location);
    }
    done
}

/// Where a request's status is.
pub(crate) fn location(request: RequestId) -> String {
    format!("/v1/work/{request}")
}

/// What is said of a request that is not known here.
pub(crate) fn unknown() -> Problem {
    Problem::unasked(Trouble::UnknownRequest)
}

/// Tells how a request stands that nobody waits for.
///
/// At once, or with `wait_ms` when it has ended, if that is sooner.
#[utoipa::path(
    get,
    path = "/v1/work/{request_id}",
    tag = "work",
    params(
        ("request_id" = String, Path, description = "The name of the request"),
        ("wait_ms" = Option<u32>, Query, maximum = 60000, description = "Milliseconds to wait for its end"),
    ),
    responses((status = 200, description = "How it stands", body = Status))
)]
pub(crate) async fn status<S: Source>(
    State(edge): State<Edge<S>>,
    Path(name): Path<String>,
    uri: Uri,
    parts: Parts,
) -> Response {
    respond(Route::Status, async {
        let wait = wait(&uri)?;
        let (request, mut state) = find(&edge, &parts, &name)?;
        // One that has not ended in time is told as it is.
        let _ = tokio::time::timeout(wait, state.wait_for(Option::is_some)).await;
        let status = Status::new(request, state.borrow().as_ref());
        Ok(unstored(Done::ok(status).about(request)))
    })
    .await
}

/// Tells how a request stands, as server-sent events.
///
/// One event at once, and one when the request ends, which is the last; each is named after the state, and its data is the status.
#[utoipa::path(
    get,
    path = "/v1/work/{request_id}/events",
    tag = "work",
    params(("request_id" = String, Path, description = "The name of the request")),
    responses((status = 200, description = "The events", body = StatusEvent, content_type = "text/event-stream"))
)]
pub(crate) async fn events<S: Source>(
    State(edge): State<Edge<S>>,
    Path(name): Path<String>,
    parts: Parts,
) -> Response {
    let exchange = Exchange::begin(Route::Events);
    match find(&edge, &parts, &name) {
        Err(problem) => {
            exchange.finish(problem.code());
            problem.into_response()
        }
        Ok((request, state)) => {
            exchange.finish(Code::Ok);
            let events = stream::unfold(Some((state, true)), move |open| next_event(request, open));
            Sse::new(events).keep_alive(KeepAlive::new().interval(EVENTS_KEEP_ALIVE)).into_response()
        }
    }
}

/// The state that a stream of events goes on from; none when the last one was sent.
type Following = Option<(watch::Receiver<Option<Ended>>, bool)>;

async fn next_event(
    request: RequestId,
    following: Following,
) -> Option<(Result<Event, Infallible>, Following)> {
    let (mut state, is_first) = following?;
    if !is_first {
        // Whoever tells it is gone only together with the process.
        state.wait_for(Option::is_some).await.ok()?;
    }
    let status = Status::new(request, state.borrow().as_ref());
    let event = Event::default().event(status.event()).json_data(&status).ok()?;
    let following = (status.standing == Standing::Open).then_some((state, false));
    Some((Ok(event), following))
}

/// Withdraws a request, whoever waits for it.
///
/// Repeated, it says the same. What is being paid for at this moment goes on.
#[utoipa::path(
    delete,
    path = "/v1/work/{request_id}",
    tag = "work",
    params(("request_id" = String, Path, description = "The name of the request")),
    responses(
        (status = 200, description = "How it ended: with the code `cancelled`, unless it had been answered", body = Status),
        (status = 204, description = "None of this name goes on by itself; whatever waited under it is withdrawn"),
    )
)]
pub(crate) async fn withdraw<S: Source>(
    State(edge): State<Edge<S>>,
    Path(name): Path<String>,
    parts: Parts,
) -> Response {
    let exchange = Exchange::begin(Route::Status);
    let withdrawn = async {
        let service = answer::authenticate(&edge, &parts)?.service;
        let request = request_name(&name).ok_or_else(unknown)?;
        edge.source().withdraw(service, request).await;
        let Some(mut state) = edge.detached().watch(service, request) else { return Ok(None) };
        // What is being paid for at this moment goes on, and is answered.
        let _ = tokio::time::timeout(WITHDRAWAL_PATIENCE, state.wait_for(Option::is_some)).await;
        let status = Status::new(request, state.borrow().as_ref());
        Ok(Some(unstored(Done::ok(status).about(request))))
    };
    match withdrawn.await {
        Ok(Some(done)) => answer::finish(exchange, Ok(done)),
        Ok(None) => {
            exchange.finish(Code::Ok);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(problem) => answer::finish::<Status>(exchange, Err(problem)),
    }
}

/// A request that the caller has begun, and what tells how it ends.
fn find<S: Source>(
    edge: &Edge<S>,
    parts: &Parts,
    name: &str,
) -> Result<(RequestId, watch::Receiver<Option<Ended>>), Problem> {
    let service = answer::authenticate(edge, parts)?.service;
    let request = request_name(name).ok_or_else(unknown)?;
    let state = edge.detached().watch(service, request).ok_or_else(unknown)?;
    Ok((request, state))
}

fn wait(uri: &Uri) -> Result<Duration, Problem> {
    let bad = || {
        let max = WAIT_MAX.as_millis();
        Problem::malformed(&format!("`wait_ms` must be a whole number of milliseconds from 0 to {max}."))
    };
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| bad())?;
    let given = pairs.iter().find(|(name, _)| name == "wait_ms");
    let Some((_, text)) = given else { return Ok(Duration::ZERO) };
    let wait = text.parse().map(Duration::from_millis).map_err(|_| bad())?;
    if wait > WAIT_MAX { Err(bad()) } else { Ok(wait) }
}

/// An answer that is another one a moment later.
fn unstored<T>(mut done: Done<T>) -> Done<T> {
    done.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    done
}
