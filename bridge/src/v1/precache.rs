//! `/v1/accounts`, `/v1/prefetch` and `/v1/usage`: what a service says about the work that it will want next, and what came of it.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use shared::pow::{Root, Threshold};
use shared::{Account, ServiceId};
use thiserror::Error;
use utoipa::ToSchema;

use super::answer::{self, Done, authenticate, respond};
use super::request;
use crate::edge::Edge;
use crate::metrics::Route;
use crate::problem::{Problem, Trouble};
use crate::source::{Asker, PrecacheRefused, Prefetched, Source, Usage};

/// Most accounts of one call.
const ACCOUNTS_PER_CALL_MAX: usize = 1000;
/// Most roots of one call.
const ROOTS_PER_CALL_MAX: usize = 64;
/// The longest body of a call, in bytes: so many addresses, each with what JSON puts round it.
const BODY_BYTES_MAX: usize = 96 * 1024;

/// Why a body is not what it should be.
#[derive(Debug, Error)]
enum Malformed {
    #[error("The body is not the JSON that is expected here: {0}.")]
    Json(#[from] serde_json::Error),
    #[error("`{field}` is empty, or has more than {max} entries; send several calls.")]
    Count { field: &'static str, max: usize },
    #[error("`accounts` has `{text}`: {reason}.")]
    Account { text: String, reason: String },
}

/// Accounts that are named.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accounts {
    /// Their addresses.
    #[schema(min_items = 1, max_items = 1000)]
    accounts: Vec<String>,
}

/// Roots that will be asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Roots {
    /// 64 hexadecimal digits each.
    #[serde(deserialize_with = "roots")]
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 64)]
    roots: Vec<Root>,
    /// 16 hexadecimal digits; none: a send, which is enough for any block.
    #[schema(value_type = Option<String>, pattern = "^[0-9a-fA-F]{16}$")]
    threshold: Option<Threshold>,
}

/// How many accounts are watched.
#[derive(Serialize, ToSchema)]
pub(crate) struct Watched {
    /// Of this service.
    accounts: usize,
}

/// What becomes of roots that are computed ahead.
#[derive(Serialize, ToSchema)]
pub(crate) struct Fetched {
    /// One entry each, in their order.
    roots: Vec<RootState>,
}

/// What becomes of one root.
#[derive(Serialize, ToSchema)]
struct RootState {
    /// Which.
    #[schema(value_type = String)]
    root: Root,
    /// What becomes of it.
    #[schema(value_type = String, pattern = "^(ready|running|waiting|over_budget|full)$")]
    state: Prefetched,
}

/// Texts of 64 digits: what a root is parsed from anywhere else.
fn roots<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Root>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}

/// Has accounts watched.
///
/// The work for their next blocks is computed ahead, within the service's budget.
#[utoipa::path(
    post,
    path = "/v1/accounts",
    tag = "ahead of demand",
    request_body = Accounts,
    responses((status = 200, description = "How many are watched now", body = Watched))
)]
pub(crate) async fn watch<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    respond(Route::Accounts, name_accounts(&edge, request, true)).await
}

/// Has accounts watched no longer.
#[utoipa::path(
    delete,
    path = "/v1/accounts",
    tag = "ahead of demand",
    request_body = Accounts,
    responses((status = 200, description = "How many are watched now", body = Watched))
)]
pub(crate) async fn forget<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    respond(Route::Accounts, name_accounts(&edge, request, false)).await
}

/// Has works computed ahead, in this order.
#[utoipa::path(
    post,
    path = "/v1/prefetch",
    tag = "ahead of demand",
    request_body = Roots,
    responses((status = 200, description = "What becomes of each", body = Fetched))
)]
pub(crate) async fn prefetch<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    respond(Route::Prefetch, fetch(&edge, request)).await
}

/// Tells what working ahead has come to since the server has started.
#[utoipa::path(
    get,
    path = "/v1/usage",
    tag = "ahead of demand",
    responses((status = 200, description = "For this service", body = Usage))
)]
pub(crate) async fn usage<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let usage = async {
        let service = real(&edge, &parts)?;
        edge.source().usage(service).await.map(Done::ok).map_err(problem)
    };
    respond(Route::Usage, usage).await
}

async fn name_accounts<S: Source>(
    edge: &Edge<S>,
    request: Request,
    is_watched: bool,
) -> Result<Done<Watched>, Problem> {
    let (parts, body) = request.into_parts();
    let Accounts { accounts: texts } = read(&parts, body).await?;
    count("accounts", texts.len(), ACCOUNTS_PER_CALL_MAX)?;
    let network = edge.source().network();
    let account = |text: &String| -> Result<Account, Problem> {
        network.parse_address(text).map_err(|error| {
            // What is no address may be a secret that was pasted in its place.
            let text = text.chars().take(16).collect();
            Problem::malformed(&Malformed::Account { text, reason: error.to_string() })
        })
    };
    let accounts = texts.iter().map(account).collect::<Result<_, _>>()?;
    let service = real(edge, &parts)?;
    let accounts = edge.source().name_accounts(service, accounts, is_watched).await.map_err(problem)?;
    Ok(Done::ok(Watched { accounts }))
}

async fn fetch<S: Source>(edge: &Edge<S>, request: Request) -> Result<Done<Fetched>, Problem> {
    let (parts, body) = request.into_parts();
    let Roots { roots, threshold } = read(&parts, body).await?;
    count("roots", roots.len(), ROOTS_PER_CALL_MAX)?;
    let threshold = threshold.unwrap_or(edge.source().network().send_threshold());
    let service = real(edge, &parts)?;
    let states = edge.source().prefetch(service, roots.clone(), threshold).await.map_err(problem)?;
    let roots = roots.into_iter().zip(states).map(|(root, state)| RootState { root, state });
    Ok(Done::ok(Fetched { roots: roots.collect() }))
}

async fn read<T: DeserializeOwned>(parts: &Parts, body: Body) -> Result<T, Problem> {
    let bytes = answer::read(parts, body, BODY_BYTES_MAX).await?;
    request::object(&bytes).map_err(|error| Problem::malformed(&Malformed::from(error)))
}

fn count(field: &'static str, count: usize, max: usize) -> Result<(), Problem> {
    let is_fine = (1..=max).contains(&count);
    if is_fine { Ok(()) } else { Err(Problem::malformed(&Malformed::Count { field, max })) }
}

/// Whose accounts and credits they are.
///
/// # Errors
/// As [`authenticate`], and for a key for tests: what is computed ahead is real work, for real credits.
fn real<S: Source>(edge: &Edge<S>, parts: &Parts) -> Result<ServiceId, Problem> {
    let Asker { service, is_test, .. } = authenticate(edge, parts)?;
    if is_test { Err(Problem::unasked(Trouble::PrecacheOff)) } else { Ok(service) }
}

fn problem(refused: PrecacheRefused) -> Problem {
    match refused {
        PrecacheRefused::NotHere => Problem::unasked(Trouble::NotHere),
        PrecacheRefused::Off => Problem::unasked(Trouble::PrecacheOff),
        PrecacheRefused::AccountsOfService => Problem::unasked(Trouble::AccountsLimit),
        PrecacheRefused::Accounts => Problem::unasked(Trouble::AccountsFull),
        PrecacheRefused::Refused(refusal) => Problem::refused(refusal, None),
    }
}
