//! `/v1/balance`, `/v1/quota` and `/v1/keys`: what a service has, what it may do, and by what it is known.

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::http::request::Parts;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use shared::{KeyId, ServiceId};
use utoipa::ToSchema;

use super::answer::{self, Done, authenticate, respond};
use super::request;
use crate::edge::Edge;
use crate::limits::{
    BATCH_MAX, DETACHED_OPEN_MAX, KEY_OVERLAP_DEFAULT_S, KEY_OVERLAP_MAX_S, REST_BODY_BYTES_MAX,
    SOCKET_IN_FLIGHT_MAX,
};
use crate::metrics::Route;
use crate::problem::{Problem, Trouble};
use crate::source::{Allowance, Balance, IssuedKey, OwnKey, OwnRefused, Source, TIMEOUT_MAX, WantedKey};

/// What a service has.
#[derive(Serialize, ToSchema)]
pub(crate) struct BalanceAnswer {
    /// Whose.
    #[schema(value_type = String)]
    service: ServiceId,
    /// How much.
    #[serde(flatten)]
    balance: Balance,
}

/// What a service may do, and what of it is left.
#[derive(Serialize, ToSchema)]
pub(crate) struct QuotaAnswer {
    /// Requests that may come at once, if that is bounded.
    burst: Option<u32>,
    /// Requests that may come now.
    left: Option<u32>,
    /// Milliseconds until as many may come at once as ever.
    full_in_ms: Option<u64>,
    /// The hardest work that may be asked for, as a multiple of the network's send threshold, if that is known here.
    multiplier_max: Option<f64>,
    /// What the requests of this key may cost in a day (UTC), in millicredits, if that is bounded.
    spend_per_day_mc: Option<u64>,
    /// What is left of it today, beside the prices of requests that are open.
    spend_left_mc: Option<u64>,
    /// Longest time of a request, in milliseconds.
    timeout_max_ms: u64,
    /// Most requests of one batch.
    batch_max: usize,
    /// Most requests that go on by themselves.
    async_open_max: usize,
    /// Most requests in flight on one WebSocket.
    socket_in_flight_max: usize,
}

/// The keys of a service.
#[derive(Serialize, ToSchema)]
pub(crate) struct Keys {
    /// Oldest first.
    keys: Vec<KeyEntry>,
}

/// A key, and whether it is the one that asks.
#[derive(Serialize, ToSchema)]
struct KeyEntry {
    /// What is kept of it.
    #[serde(flatten)]
    key: OwnKey,
    /// Whether it is the one with which this was asked.
    current: bool,
}

/// How a new key shall be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyBody {
    /// What it is for, up to 64 characters; none: as its predecessor, or nothing.
    #[schema(max_length = 64)]
    label: Option<String>,
    /// After how many seconds it ends; none: when it is revoked.
    #[schema(minimum = 1)]
    expires_s: Option<u32>,
    /// Where a key is replaced: for how many seconds both are good; none: a day.
    #[schema(maximum = 2_592_000)]
    overlap_s: Option<u32>,
}

/// A key that was just made. It is shown here, once.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyShown {
    /// The whole key.
    api_key: String,
    /// What is kept of it.
    #[serde(flatten)]
    key: OwnKey,
}

/// Tells what the service has.
#[utoipa::path(
    get,
    path = "/v1/balance",
    tag = "service",
    responses((status = 200, description = "In millicredits", body = BalanceAnswer))
)]
pub(crate) async fn balance<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    respond(Route::Balance, async {
        let (parts, _) = request.into_parts();
        let service = authenticate(&edge, &parts)?.service;
        let balance = edge.source().balance(service).await.map_err(problem)?;
        Ok(Done::ok(BalanceAnswer { service, balance }))
    })
    .await
}

/// Tells what the service may do, and what of it is left.
#[utoipa::path(
    get,
    path = "/v1/quota",
    tag = "service",
    responses((status = 200, description = "For this service, now", body = QuotaAnswer))
)]
pub(crate) async fn quota<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    respond(Route::Quota, async {
        let (parts, _) = request.into_parts();
        let asker = authenticate(&edge, &parts)?;
        let quota = edge.source().quota(asker);
        let allowance = edge.source().allowance(asker).await;
        let Allowance { multiplier_max, spending } =
            allowance.map_err(|refusal| Problem::refused(refusal, None))?;
        let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Ok(Done::ok(QuotaAnswer {
            burst: quota.map(|quota| quota.burst),
            left: quota.map(|quota| quota.left),
            full_in_ms: quota.map(|quota| millis(quota.full_in)),
            multiplier_max,
            spend_per_day_mc: spending.map(|spending| spending.per_day_mc),
            spend_left_mc: spending.map(|spending| spending.left_mc),
            timeout_max_ms: millis(TIMEOUT_MAX),
            batch_max: BATCH_MAX,
            async_open_max: DETACHED_OPEN_MAX,
            socket_in_flight_max: SOCKET_IN_FLIGHT_MAX,
        }))
    })
    .await
}

/// Lists the service's keys; nothing of their secrets.
#[utoipa::path(
    get,
    path = "/v1/keys",
    tag = "service",
    responses((status = 200, description = "Also those that have ended", body = Keys))
)]
pub(crate) async fn keys<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    respond(Route::Keys, async {
        let (parts, _) = request.into_parts();
        let asker = authenticate(&edge, &parts)?;
        let keys = edge.source().keys(asker.service).await.map_err(problem)?.into_iter();
        let entry = |key: OwnKey| KeyEntry { current: asker.key == Some(key.key), key };
        Ok(Done::ok(Keys { keys: keys.map(entry).collect() }))
    })
    .await
}

/// Gives the service a further key.
#[utoipa::path(
    post,
    path = "/v1/keys",
    tag = "service",
    request_body = KeyBody,
    responses((status = 201, description = "The key, which is shown here alone", body = KeyShown))
)]
pub(crate) async fn issue<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    respond(Route::Keys, async {
        let (parts, body) = request.into_parts();
        let KeyBody { label, expires_s, overlap_s } = read(&parts, body).await?;
        if overlap_s.is_some() {
            return Err(Problem::malformed(&"`overlap_s` is for a key that replaces another."));
        }
        let asker = authenticate(&edge, &parts)?;
        let wanted = WantedKey { label, expires_s: expires_s.map(u64::from) };
        edge.source().issue_key(asker, wanted, None).await.map(shown).map_err(problem)
    })
    .await
}

/// Replaces a key of the service.
///
/// The new one is like it; the old one ends after the overlap, so that nothing fails meanwhile.
#[utoipa::path(
    post,
    path = "/v1/keys/{key}/rotate",
    tag = "service",
    params(("key" = String, Path, description = "The public part of the old key")),
    request_body = KeyBody,
    responses((status = 201, description = "The new key, which is shown here alone", body = KeyShown))
)]
pub(crate) async fn rotate<S: Source>(
    State(edge): State<Edge<S>>,
    Path(key): Path<String>,
    request: Request,
) -> Response {
    respond(Route::Keys, async {
        let (parts, body) = request.into_parts();
        let KeyBody { label, expires_s, overlap_s } = read(&parts, body).await?;
        let overlap_s = overlap_s.map_or(KEY_OVERLAP_DEFAULT_S, u64::from);
        if overlap_s > KEY_OVERLAP_MAX_S {
            return Err(Problem::malformed(&format!("`overlap_s` must be 0 to {KEY_OVERLAP_MAX_S}.")));
        }
        let asker = authenticate(&edge, &parts)?;
        let wanted = WantedKey { label, expires_s: expires_s.map(u64::from) };
        let replaces = Some((key_id(&key)?, overlap_s));
        edge.source().issue_key(asker, wanted, replaces).await.map(shown).map_err(problem)
    })
    .await
}

/// Ends a key of the service now.
///
/// Repeated, it says the same. The last one that is good only with `confirm=true`: without it the service is shut out.
#[utoipa::path(
    delete,
    path = "/v1/keys/{key}",
    tag = "service",
    params(
        ("key" = String, Path, description = "The public part of the key"),
        ("confirm" = Option<bool>, Query, description = "Even if it is the last one that is good"),
    ),
    responses((status = 200, description = "What is kept of it", body = OwnKey))
)]
pub(crate) async fn revoke<S: Source>(
    State(edge): State<Edge<S>>,
    Path(key): Path<String>,
    request: Request,
) -> Response {
    respond(Route::Keys, async {
        let (parts, _) = request.into_parts();
        let asker = authenticate(&edge, &parts)?;
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map(|Query(pairs)| pairs);
        let even_last = query.is_ok_and(|pairs| pairs.contains(&("confirm".into(), "true".into())));
        let key = edge.source().revoke_key(asker, key_id(&key)?, even_last).await.map_err(problem)?;
        Ok(Done::ok(key))
    })
    .await
}

fn shown(IssuedKey { text, key }: IssuedKey) -> Done<KeyShown> {
    let mut done = Done { status: StatusCode::CREATED, ..Done::ok(KeyShown { api_key: text, key }) };
    done.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    done
}

/// The body; none is the same as one without fields.
async fn read(parts: &Parts, body: axum::body::Body) -> Result<KeyBody, Problem> {
    let bytes = answer::read(parts, body, REST_BODY_BYTES_MAX).await?;
    let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
    request::object(bytes).map_err(|error| {
        Problem::malformed(&format!("The body is not the JSON that is expected here: {error}."))
    })
}

fn key_id(text: &str) -> Result<KeyId, Problem> {
    text.parse().map_err(|_| problem(OwnRefused::UnknownKey))
}

fn problem(refused: OwnRefused) -> Problem {
    match refused {
        OwnRefused::NotHere => Problem::unasked(Trouble::NotHere),
        OwnRefused::UnknownKey => Problem::unasked(Trouble::UnknownKey),
        OwnRefused::KeyEnded => Problem::unasked(Trouble::KeyEnded),
        OwnRefused::LastKey => Problem::unasked(Trouble::LastKey),
        OwnRefused::TooManyKeys => Problem::unasked(Trouble::KeysLimit),
        OwnRefused::LimitedKey => Problem::unasked(Trouble::LimitedKey),
        OwnRefused::Label => Problem::malformed(&"`label` must be up to 64 printable characters."),
        OwnRefused::Refused(refusal) => Problem::refused(refusal, None),
    }
}
