//! `POST /v1/work/batch`: several requests at once, each with an outcome and a charge of its own.

use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shared::RequestId;
use utoipa::ToSchema;

use super::answer::{self, Done, Given, respond};
use super::described::{BatchBody, Naming};
use super::request;
use super::status;
use super::work::prefers_async;
use crate::edge::Edge;
use crate::limits::{BATCH_BODY_BYTES_MAX, BATCH_MAX};
use crate::metrics::Route;
use crate::problem::{Document, Problem};
use crate::source::{Asker, Source, WorkRequest};

/// What is sent. Each request is read on its own, so that a mistake in one does not cost the others.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    requests: Vec<&'a RawValue>,
    #[serde(default)]
    r#async: bool,
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchAnswer {
    /// One for each request, in their order.
    results: Vec<BatchResult>,
    /// What all of them together cost, in millicredits, as far as that is known.
    charged_mc: u64,
}

/// What became of one request of a batch.
#[derive(Debug, Serialize, ToSchema)]
struct BatchResult {
    /// The status that the request would have had alone: 200, 202 if it goes on by itself, or that of its problem.
    status: u16,
    /// Where a request that goes on by itself can be looked at.
    location: Option<String>,
    /// Its work.
    result: Option<Given>,
    /// Why there is none.
    problem: Option<Document>,
}

impl BatchResult {
    fn begun(request: RequestId) -> Self {
        Self { status: 202, location: Some(status::location(request)), result: None, problem: None }
    }
}

impl From<Result<Given, Problem>> for BatchResult {
    fn from(ended: Result<Given, Problem>) -> Self {
        match ended {
            Ok(given) => Self { status: 200, location: None, result: Some(given), problem: None },
            Err(problem) => {
                let problem = problem.document();
                Self { status: problem.status(), location: None, result: None, problem: Some(problem) }
            }
        }
    }
}

/// Asks for several works at once.
///
/// Each request has an outcome and a charge of its own, in their order; one that is wrong or refused does not hold the others up.
/// Hanging up withdraws what is open.
#[utoipa::path(
    post,
    path = "/v1/work/batch",
    tag = "work",
    request_body = BatchBody,
    params(Naming),
    responses((status = 200, description = "What became of each", body = BatchAnswer))
)]
pub(crate) async fn batch<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    respond(Route::Batch, answer(&edge, request)).await
}

async fn answer<S: Source>(edge: &Edge<S>, request: Request) -> Result<Done<BatchAnswer>, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = answer::read(&parts, body, BATCH_BODY_BYTES_MAX).await?;
    let body: Body<'_> = request::object(&bytes).map_err(|error| {
        Problem::malformed(&format!("The body is not the JSON that is expected here: {error}."))
    })?;
    let count = body.requests.len();
    if !(1..=BATCH_MAX).contains(&count) {
        let instead = if count == 0 { "" } else { "; send several batches" };
        let sentence = format!("`requests` must have 1 to {BATCH_MAX} entries, not {count}{instead}.");
        return Err(Problem::malformed(&sentence));
    }
    let name =
        request::idempotency_key(&parts.headers).map_err(|malformed| Problem::malformed(&malformed))?;
    let requests: Vec<_> = read(edge, &body.requests, name);
    let asker = answer::authenticate(edge, &parts)?;
    let results = if body.r#async || prefers_async(&parts.headers) {
        requests.into_iter().map(|request| begin(edge, asker, request)).collect()
    } else {
        let ask = |request: Result<WorkRequest, Problem>| async move {
            BatchResult::from(match request {
                Ok(request) => answer::ask(edge, asker, request).await,
                Err(problem) => Err(problem),
            })
        };
        join_all(requests.into_iter().map(ask)).await
    };
    let charged_mc = results.iter().filter_map(|result| Some(result.result.as_ref()?.charged_mc())).sum();
    Ok(Done::ok(BatchAnswer { results, charged_mc }))
}

/// Reads each request. Where the header names the batch, a request without a name of its own has the batch's, counted on.
fn read<S: Source>(
    edge: &Edge<S>,
    requests: &[&RawValue],
    name: Option<RequestId>,
) -> Vec<Result<WorkRequest, Problem>> {
    let read = |(number, raw): (u128, &&RawValue)| {
        let fields = request::members(raw.get().as_bytes(), &[])?;
        let request = request::parse(&fields, edge.source().network())?;
        let counted = name.map(|name| RequestId::from_u128(name.as_u128().wrapping_add(number)));
        Ok(WorkRequest { request: request.request.or(counted), ..request })
    };
    let read = |entry| read(entry).map_err(|malformed: request::Malformed| Problem::malformed(&malformed));
    (0..).zip(requests).map(read).collect()
}

fn begin<S: Source>(edge: &Edge<S>, asker: Asker, request: Result<WorkRequest, Problem>) -> BatchResult {
    match request.and_then(|request| edge.detached().begin(edge, asker, request)) {
        Ok(request) => BatchResult::begun(request),
        Err(problem) => Err(problem).into(),
    }
}
