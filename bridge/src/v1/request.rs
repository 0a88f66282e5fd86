//! Reading a request for work: the same fields in the body of `POST /v1/work`, in each entry of a batch and in a frame of the
//! WebSocket.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, IntoDeserializer, value};
use serde_json::value::RawValue;
use shared::network::BlockKind;
use shared::pow::{Multiplier, Root, Threshold};
use shared::protocol::WorkKind;
use shared::{Account, Network, RequestId};
use thiserror::Error;

use crate::block::{Block, Completeness};
use crate::fields::Fields;
use crate::limits::REST_TIMEOUT;
use crate::source::{TIMEOUT_MAX, WorkRequest};

/// Every field that a request may have, wherever it stands.
pub(crate) const FIELDS: [&str; 9] =
    ["root", "block", "threshold", "multiplier", "subtype", "account", "timeout_ms", "request_id", "class"];

/// What a node's RPC, or somebody in a hurry, calls some of them.
const OTHER_NAMES: [(&str, &str); 5] = [
    ("hash", "root"),
    ("difficulty", "threshold"),
    ("timeout", "timeout_ms"),
    ("id", "request_id"),
    ("kind", "class"),
];

/// The header that names a request, as the field `request_id` does.
///
/// # Source
/// draft-ietf-httpapi-idempotency-key-header: a quoted text. One without quotes is taken as well.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest unknown name that an answer repeats, in bytes: every secret of ours is longer.
const UNKNOWN_BYTES_MAX: usize = 32;

/// Why a body is not a request for work. Each names what to change.
#[derive(Debug, Error)]
pub(crate) enum Malformed {
    #[error("The body is not UTF-8.")]
    NotUtf8,
    #[error("The body is empty; a request for work is a JSON object with a `root`.")]
    Empty,
    #[error("The body is not a JSON object: {0}.")]
    NotJson(serde_json::Error),
    #[error("The body is JSON, but not an object.")]
    NotAnObject,
    #[error("`{0}` is not a field of this request.")]
    Unknown(String),
    #[error("`{0}` is not a field of this request; it is called `{1}` here.")]
    OtherName(String, &'static str),
    #[error("The body has a field whose name is longer than that of any field of this request.")]
    UnknownAndLong,
    #[error("`{0}` is given more than once.")]
    Repeated(&'static str),
    #[error("`root` is missing; give it, or the `block` that the work is for.")]
    NoRoot,
    #[error("`block` is not a block as a node prints it: a field is missing or not well formed.")]
    Block,
    #[error("`root` is not the root of `block`; leave out one of them.")]
    OtherRoot,
    #[error("`block` says that it is another kind of block than `subtype`; leave out one of them.")]
    OtherSubtype,
    #[error("`block` has work already that is enough; nothing has to be computed.")]
    EnoughWork,
    #[error("`request_id` is missing; on this connection it tells answers apart.")]
    NoName,
    #[error("The header Idempotency-Key must be 32 hexadecimal digits or a UUID.")]
    IdempotencyKey,
    #[error("`request_id` and the header Idempotency-Key name different requests; give one of them.")]
    TwoNames,
    #[error("`{field}` must be {form}.")]
    Form { field: &'static str, form: &'static str },
    #[error("`{field}` is wrong: {reason}.")]
    Value { field: &'static str, reason: String },
    #[error("`{0}` and `{1}` both say how hard the work shall be; give one of them.")]
    Contradiction(&'static str, &'static str),
}

/// Reads a JSON object with fields of [`FIELDS`] and of `also`, each at most once.
///
/// # Errors
/// [`Malformed`].
pub(crate) fn members<'a>(bytes: &'a [u8], also: &[&'static str]) -> Result<Fields<'a>, Malformed> {
    let text = core::str::from_utf8(bytes).map_err(|_| Malformed::NotUtf8)?;
    if text.trim_ascii().is_empty() {
        return Err(Malformed::Empty);
    }
    // Said without the value: what is in the wrong place may be a secret, and answers are logged by clients.
    let not_an_object = |error: serde_json::Error| {
        if error.is_data() { Malformed::NotAnObject } else { Malformed::NotJson(error) }
    };
    let fields = Fields::parse(text).map_err(not_an_object)?;
    let mut known = FIELDS.iter().chain(also).copied();
    if let Some(unknown) = fields.names().find(|name| !known.clone().any(|known| known == *name)) {
        if let Some((_, ours)) = OTHER_NAMES.iter().find(|(theirs, _)| *theirs == unknown) {
            return Err(Malformed::OtherName(unknown.into(), ours));
        }
        let is_long = unknown.len() > UNKNOWN_BYTES_MAX;
        return Err(if is_long { Malformed::UnknownAndLong } else { Malformed::Unknown(unknown.into()) });
    }
    match known.find(|field| fields.names().filter(|name| name == field).count() > 1) {
        Some(field) => Err(Malformed::Repeated(field)),
        None => Ok(fields),
    }
}

/// Reads a body that is one JSON object.
///
/// # Errors
/// As the JSON parser says, also when the text is an array: a structure would be read from that as well, field by field.
pub(crate) fn object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> serde_json::Result<T> {
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(de::Error::custom("it is an array, and an object is expected"));
    }
    serde_json::from_slice(bytes)
}

/// Reads a request for work.
///
/// # Errors
/// [`Malformed`].
pub(crate) fn parse(fields: &Fields<'_>, network: Network) -> Result<WorkRequest, Malformed> {
    let block = block(fields, network)?;
    let root = root(fields, block.as_ref())?;
    let threshold = threshold(fields, block.as_ref(), network)?;
    let account = account(fields, network)?.or(block.as_ref().and_then(|block| block.account));
    let (timeout, request, class) = (timeout(fields)?, request_id(fields)?, class(fields)?);
    if block.and_then(|block| block.difficulty()).is_some_and(|difficulty| difficulty.meets(threshold)) {
        return Err(Malformed::EnoughWork);
    }
    Ok(WorkRequest { request, root, threshold, account, timeout, class })
}

/// The name that the header `Idempotency-Key` gives a request, if it is there.
///
/// # Errors
/// [`Malformed::IdempotencyKey`].
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<RequestId>, Malformed> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Malformed::IdempotencyKey)?.trim();
    let unquoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    request_name(unquoted).map(Some).ok_or(Malformed::IdempotencyKey)
}

/// A request whose name stands in its field, in the header, or in both alike.
///
/// # Errors
/// [`Malformed::TwoNames`].
pub(crate) fn named(request: WorkRequest, by_header: Option<RequestId>) -> Result<WorkRequest, Malformed> {
    match (request.request, by_header) {
        (Some(field), Some(header)) if field != header => Err(Malformed::TwoNames),
        (field, header) => Ok(WorkRequest { request: field.or(header), ..request }),
    }
}

/// A request id: 32 hexadecimal digits, or the same with the hyphens of a UUID.
pub(crate) fn request_name(text: &str) -> Option<RequestId> {
    let hyphens: Vec<_> = text.match_indices('-').map(|(at, _)| at).collect();
    match hyphens[..] {
        [] => text.parse().ok(),
        [8, 13, 18, 23] => text.replace('-', "").parse().ok(),
        _ => None,
    }
}

/// What is asked, where a field says that: yes or no.
///
/// # Errors
/// [`Malformed::Form`].
pub(crate) fn says_yes(fields: &Fields<'_>, field: &'static str) -> Result<bool, Malformed> {
    fields.get(field).map_or(Ok(false), |raw| typed(field, "true or false", raw))
}

/// The block, as an object or as the text of one. Its signature and its work may be missing: it may be neither signed nor worked yet.
fn block(fields: &Fields<'_>, network: Network) -> Result<Option<Block>, Malformed> {
    let Some(raw) = fields.get("block") else { return Ok(None) };
    let text: Option<String> = serde_json::from_str(raw.get()).ok();
    let json = text.as_deref().unwrap_or(raw.get());
    Block::parse(json, network, Completeness::Draft).map(Some).ok_or(Malformed::Block)
}

fn root(fields: &Fields<'_>, block: Option<&Block>) -> Result<Root, Malformed> {
    let of_block = block.map(|block| block.root);
    let Some(raw) = fields.get("root") else { return of_block.ok_or(Malformed::NoRoot) };
    let text: String = typed("root", "a text of 64 hexadecimal digits", raw)?;
    let root = text.parse().map_err(|error| wrong("root", &error))?;
    if of_block.is_some_and(|of_block| of_block != root) { Err(Malformed::OtherRoot) } else { Ok(root) }
}

/// What is asked for, said in one of three ways, else by the block; else the base send threshold, which is enough for any block.
fn threshold(fields: &Fields<'_>, block: Option<&Block>, network: Network) -> Result<Threshold, Malformed> {
    let base = network.send_threshold();
    let named = |name| fields.get(name).map(|raw| (name, raw));
    let given: Vec<_> = ["threshold", "multiplier", "subtype"].into_iter().filter_map(named).collect();
    match given[..] {
        [] => Ok(block.map_or(base, |block| block.threshold(network))),
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
            let kind = kind.map_err(|_: value::Error| Malformed::Form { field, form })?;
            let of_block = block.and_then(Block::kind);
            if of_block.is_some_and(|of_block| of_block != kind) {
                return Err(Malformed::OtherSubtype);
            }
            Ok(network.threshold_of(kind))
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

/// How urgent it is; if nothing is said, on demand.
fn class(fields: &Fields<'_>) -> Result<WorkKind, Malformed> {
    let Some(raw) = fields.get("class") else { return Ok(WorkKind::OnDemand) };
    let form = "ondemand or precache";
    let text: String = typed("class", form, raw)?;
    [WorkKind::OnDemand, WorkKind::Precache]
        .into_iter()
        .find(|class| class.as_str() == text)
        .ok_or(Malformed::Form { field: "class", form })
}

fn request_id(fields: &Fields<'_>) -> Result<Option<RequestId>, Malformed> {
    let Some(raw) = fields.get("request_id") else { return Ok(None) };
    let form = "a text of 32 hexadecimal digits, or a UUID";
    let text: String = typed("request_id", form, raw)?;
    request_name(&text).map(Some).ok_or(Malformed::Form { field: "request_id", form })
}

/// A value of the type that the field has.
pub(crate) fn typed<T: DeserializeOwned>(
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
