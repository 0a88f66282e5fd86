//! `POST /v1/work`: the dialect that is our own.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::de::{DeserializeOwned, IntoDeserializer, value};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shared::network::BlockKind;
use shared::pow::{Difficulty, Multiplier, Nonce, Root, Threshold};
use shared::{Account, Answer, Network, Refusal, RequestId, WorkSource};
use thiserror::Error;

use crate::body::{self, Unread};
use crate::credential::bearer;
use crate::edge::{Edge, Refused};
use crate::fields::Fields;
use crate::limits::{REST_BODY_BYTES_MAX, REST_TIMEOUT};
use crate::metrics::{Code, Exchange, Route};
use crate::problem::{Problem, X_REQUEST_ID, request_id_value};
use crate::source::{Source, TIMEOUT_MAX, WorkRequest};

/// Every field that a request may have.
const FIELDS: [&str; 7] =
    ["root", "threshold", "multiplier", "subtype", "account", "timeout_ms", "request_id"];

/// The longest unknown name that an answer repeats, in bytes: every secret of ours is longer.
const UNKNOWN_BYTES_MAX: usize = 32;

/// Why a body is not a request for work. Each names what to change.
#[derive(Debug, Error)]
enum Malformed {
    #[error("The body is not UTF-8.")]
    NotUtf8,
    #[error("The body is not a JSON object: {0}.")]
    NotJson(serde_json::Error),
    #[error("The body is JSON, but not an object.")]
    NotAnObject,
    #[error("`{0}` is not a field of this request.")]
    Unknown(String),
    #[error("The body has a field whose name is longer than that of any field of this request.")]
    UnknownAndLong,
    #[error("`{0}` is given more than once.")]
    Repeated(&'static str),
    #[error("`{0}` is missing.")]
    Missing(&'static str),
    #[error("`{field}` must be {form}.")]
    Form { field: &'static str, form: &'static str },
    #[error("`{field}` is wrong: {reason}.")]
    Value { field: &'static str, reason: String },
    #[error("`{0}` and `{1}` both say how hard the work shall be; give one of them.")]
    Contradiction(&'static str, &'static str),
}

/// The work, and what it cost. Numbers are numbers here; the multiplier is for people, and no client should compute with it.
#[derive(Serialize)]
struct Body {
    request_id: RequestId,
    root: Root,
    work: Nonce,
    difficulty: Difficulty,
    multiplier: f64,
    source: WorkSource,
    elapsed_ms: u32,
    charged_mc: u64,
    balance_mc: Option<u64>,
}

/// Answers `POST /v1/work`.
pub(crate) async fn work<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    let exchange = Exchange::begin(Route::Work);
    match answer(&edge, request).await {
        Ok(body) => {
            exchange.finish(Code::Ok);
            respond(&body)
        }
        Err(problem) => {
            exchange.finish(problem.code());
            problem.into_response()
        }
    }
}

async fn answer<S: Source>(edge: &Edge<S>, request: Request) -> Result<Body, Problem> {
    let network = edge.source().network();
    let (parts, body) = request.into_parts();
    let bytes =
        body::read(&parts.headers, body, REST_BODY_BYTES_MAX).await.map_err(|unread| match unread {
            Unread::TooLarge => Problem::refused(Refusal::TooLarge, None),
            Unread::TooSlow | Unread::Broken => {
                Problem::malformed(&format!("The body could not be read: {unread}."))
            }
        })?;
    let request = parse(&bytes, network).map_err(|malformed| Problem::malformed(&malformed))?;
    let service = edge
        .authenticate(bearer(&parts.headers))
        .map_err(|refusal| Problem::refused(refusal, request.request))?;
    let asked = edge.ask(service, request).await;
    let (id, answer) = asked.map_err(|Refused { request, refusal, is_uncharged }| {
        let problem = Problem::refused(refusal, request);
        if is_uncharged { problem } else { problem.perhaps_charged() }
    })?;
    Ok(body_of(id, &answer, network))
}

fn body_of(request_id: RequestId, answer: &Answer, network: Network) -> Body {
    let work = answer.work;
    let multiplier = Multiplier::of(work.difficulty().as_u64(), network.send_threshold());
    Body {
        request_id,
        root: work.root(),
        work: work.nonce(),
        difficulty: work.difficulty(),
        multiplier: multiplier.map_or(0.0, Multiplier::as_f64),
        source: answer.source,
        elapsed_ms: answer.elapsed_ms,
        charged_mc: answer.charged.as_u64(),
        balance_mc: answer.balance.map(shared::Millicredits::as_u64),
    }
}

fn respond(body: &Body) -> Response {
    let Ok(json) = serde_json::to_vec(body) else {
        return Problem::refused(Refusal::Fault, Some(body.request_id)).into_response();
    };
    let mut response = json.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(value) = request_id_value(body.request_id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

fn parse(bytes: &[u8], network: Network) -> Result<WorkRequest, Malformed> {
    let text = core::str::from_utf8(bytes).map_err(|_| Malformed::NotUtf8)?;
    // Said without the value: what is in the wrong place may be a secret, and answers are logged by clients.
    let not_an_object = |error: serde_json::Error| {
        if error.is_data() { Malformed::NotAnObject } else { Malformed::NotJson(error) }
    };
    let fields = Fields::parse(text).map_err(not_an_object)?;
    if let Some(unknown) = fields.names().find(|name| !FIELDS.contains(name)) {
        let is_long = unknown.len() > UNKNOWN_BYTES_MAX;
        return Err(if is_long { Malformed::UnknownAndLong } else { Malformed::Unknown(unknown.into()) });
    }
    if let Some(field) =
        FIELDS.into_iter().find(|field| fields.names().filter(|name| name == field).count() > 1)
    {
        return Err(Malformed::Repeated(field));
    }
    Ok(WorkRequest {
        root: root(&fields)?,
        threshold: threshold(&fields, network)?,
        account: account(&fields, network)?,
        timeout: timeout(&fields)?,
        request: request_id(&fields)?,
    })
}

fn root(fields: &Fields<'_>) -> Result<Root, Malformed> {
    let raw = fields.get("root").ok_or(Malformed::Missing("root"))?;
    let text: String = typed("root", "a text of 64 hexadecimal digits", raw)?;
    text.parse().map_err(|error| wrong("root", &error))
}

/// What is asked for, said in one of three ways; the base send threshold, which is enough for any block, if in none.
fn threshold(fields: &Fields<'_>, network: Network) -> Result<Threshold, Malformed> {
    let base = network.send_threshold();
    let named = |name| fields.get(name).map(|raw| (name, raw));
    let given: Vec<_> = ["threshold", "multiplier", "subtype"].into_iter().filter_map(named).collect();
    match given[..] {
        [] => Ok(base),
        [(field @ "threshold", raw)] => {
            let text: String = typed(field, "a text of 16 hexadecimal digits", raw)?;
            text.parse().map_err(|error| wrong(field, &error))
        }
        [(field @ "multiplier", raw)] => {
            let form = "a number greater than 0, or the text of one";
            let text = number_text(raw).ok_or(Malformed::Form { field, form })?;
            Multiplier::parse(&text)
                .map(|ratio| ratio.to_threshold(base))
                .map_err(|error| wrong(field, &error))
        }
        [(field, raw)] => {
            let form = "one of send, receive, open, change and epoch";
            // By way of a text, since `{"send":null}` is a spelling of an enum too.
            let text: String = typed(field, form, raw)?;
            let kind = BlockKind::deserialize(text.into_deserializer());
            kind.map(|kind| network.threshold_of(kind))
                .map_err(|_: value::Error| Malformed::Form { field, form })
        }
        [(first, _), (second, _), ..] => Err(Malformed::Contradiction(first, second)),
    }
}

fn account(fields: &Fields<'_>, network: Network) -> Result<Option<Account>, Malformed> {
    let Some(raw) = fields.get("account") else { return Ok(None) };
    let text: String = typed("account", "the text of an address", raw)?;
    network.parse_address(&text).map(Some).map_err(|error| wrong("account", &error))
}

fn timeout(fields: &Fields<'_>) -> Result<Duration, Malformed> {
    let Some(raw) = fields.get("timeout_ms") else { return Ok(REST_TIMEOUT) };
    let form = "a whole number of milliseconds from 1 to 120000";
    let timeout = Duration::from_millis(typed("timeout_ms", form, raw)?);
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        return Err(Malformed::Form { field: "timeout_ms", form });
    }
    Ok(timeout)
}

fn request_id(fields: &Fields<'_>) -> Result<Option<RequestId>, Malformed> {
    let Some(raw) = fields.get("request_id") else { return Ok(None) };
    typed("request_id", "a text of 32 hexadecimal digits", raw).map(Some)
}

/// A value of the type that the field has.
fn typed<T: DeserializeOwned>(
    field: &'static str,
    form: &'static str,
    raw: &RawValue,
) -> Result<T, Malformed> {
    serde_json::from_str(raw.get()).map_err(|_| Malformed::Form { field, form })
}

fn wrong(field: &'static str, reason: &impl ToString) -> Malformed {
    Malformed::Value { field, reason: reason.to_string() }
}

/// The digits of a number, or of a text that holds one; `None` for other types.
fn number_text(raw: &RawValue) -> Option<String> {
    if raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Some(raw.get().into());
    }
    serde_json::from_str(raw.get()).ok()
}
