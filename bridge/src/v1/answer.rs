//! What `/v1` answers: work with what it cost, wherever it stands, and the way an answer or a problem becomes a response.

use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::pow::{Difficulty, Multiplier, Nonce, Root};
use shared::{Answer, Millicredits, Network, Refusal, RequestId, WorkSource};
use utoipa::ToSchema;

use crate::body::{self, Unread};
use crate::credential::bearer;
use crate::edge::{Edge, Refused};
use crate::metrics::{Code, Exchange, Route};
use crate::problem::{HEADERS, Problem, X_REQUEST_ID, request_id_value, response};
use crate::source::{Asker, Source, WorkRequest};

/// The work, and what it cost. Numbers are numbers here; the multiplier is for people, and no client should compute with it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub(crate) struct Given {
    /// The name of the request: as given, or as drawn.
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$", examples("5b012f75bb2bea9081831e527e2bcd3f"))]
    pub(crate) request_id: RequestId,
    /// What the work is for.
    #[schema(value_type = String, pattern = "^[0-9A-F]{64}$")]
    root: Root,
    /// The nonce, as it stands in a block's field `work`.
    #[schema(value_type = String, pattern = "^[0-9a-f]{16}$", examples("2b3d689bbcb21dca"))]
    work: Nonce,
    /// What it attains: at least the threshold that was asked for.
    #[schema(value_type = String, pattern = "^[0-9a-f]{16}$", examples("fffffff93c41ec94"))]
    difficulty: Difficulty,
    /// The same, as a multiple of the network's send threshold.
    multiplier: f64,
    /// How it was come by: computed while the request waited, computed ahead, or known from before.
    #[schema(value_type = String, pattern = "^(ondemand|precache|cache)$", examples("ondemand"))]
    source: WorkSource,
    /// Milliseconds from the request's arrival to the work; zero for what was known.
    elapsed_ms: u32,
    /// What it cost, in millicredits; zero for what the service had paid for before.
    charged_mc: u64,
    /// What the service has left, in millicredits; null where nothing was asked of the ledger.
    balance_mc: Option<u64>,
}

impl Given {
    pub(crate) fn new(request_id: RequestId, answer: &Answer, network: Network) -> Self {
        let work = answer.work;
        let multiplier = Multiplier::of(work.difficulty().as_u64(), network.send_threshold());
        Self {
            request_id,
            root: work.root(),
            work: work.nonce(),
            difficulty: work.difficulty(),
            multiplier: multiplier.map_or(0.0, Multiplier::as_f64),
            source: answer.source,
            elapsed_ms: answer.elapsed_ms,
            charged_mc: answer.charged.as_u64(),
            balance_mc: answer.balance.map(Millicredits::as_u64),
        }
    }

    /// What it cost, in millicredits.
    pub(crate) const fn charged_mc(&self) -> u64 {
        self.charged_mc
    }
}

/// Something that was answered: a status, a document, and headers beside.
#[derive(Debug)]
pub(crate) struct Done<T> {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: T,
}

impl<T> Done<T> {
    /// The usual answer.
    pub(crate) fn ok(body: T) -> Self {
        Self { status: StatusCode::OK, headers: HeaderMap::with_capacity(HEADERS), body }
    }

    /// The same, naming the request it is to.
    pub(crate) fn about(mut self, request: RequestId) -> Self {
        if let Some(value) = request_id_value(request) {
            self.headers.insert(X_REQUEST_ID, value);
        }
        self
    }
}

/// Makes a response of an answer or a problem, and counts it.
pub(crate) async fn respond<T: Serialize>(
    route: Route,
    answer: impl Future<Output = Result<Done<T>, Problem>>,
) -> Response {
    let exchange = Exchange::begin(route);
    finish(exchange, answer.await)
}

/// Ends an exchange that has been begun.
pub(crate) fn finish<T: Serialize>(exchange: Exchange, answer: Result<Done<T>, Problem>) -> Response {
    let answer = answer.and_then(|done| {
        let json = serde_json::to_vec(&done.body);
        let json = json.map_err(|_| Problem::refused(Refusal::Fault, None).perhaps_charged())?;
        Ok(Done { status: done.status, headers: done.headers, body: json })
    });
    match answer {
        Ok(Done { status, mut headers, body }) => {
            exchange.finish(Code::Ok);
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response(status, headers, body)
        }
        Err(problem) => {
            exchange.finish(problem.code());
            problem.into_response()
        }
    }
}

/// Asks for work, in this dialect's words.
///
/// # Errors
/// As the source refuses it.
pub(crate) async fn ask<S: Source>(
    edge: &Edge<S>,
    asker: Asker,
    request: WorkRequest,
) -> Result<Given, Problem> {
    let asked = edge.ask(asker, request).await;
    let (id, answer) = asked.map_err(|Refused { request, refusal, is_uncharged }| {
        let problem = Problem::refused(refusal, request);
        if is_uncharged { problem } else { problem.perhaps_charged() }
    })?;
    Ok(Given::new(id, &answer, edge.source().network()))
}

/// Whose request this is.
///
/// # Errors
/// As [`Edge::authenticate`].
pub(crate) fn authenticate<S: Source>(edge: &Edge<S>, parts: &Parts) -> Result<Asker, Problem> {
    edge.authenticate(parts, bearer(&parts.headers)).map_err(|refusal| Problem::refused(refusal, None))
}

/// The bytes of a body.
///
/// # Errors
/// When it is too large, too slow or broken off.
pub(crate) async fn read(
    parts: &Parts,
    body: axum::body::Body,
    bytes_max: usize,
) -> Result<Vec<u8>, Problem> {
    body::read(&parts.headers, body, bytes_max).await.map_err(|unread| match unread {
        Unread::TooLarge => Problem::refused(Refusal::TooLarge, None),
        Unread::TooSlow | Unread::Broken => {
            Problem::malformed(&format!("The body could not be read: {unread}."))
        }
    })
}
