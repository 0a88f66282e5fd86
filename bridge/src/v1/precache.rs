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

use super::answer::{self, Done, authenticate, respond};
use crate::edge::Edge;
use crate::metrics::Route;
use crate::problem::{Problem, Trouble};
use crate::source::{Asker, PrecacheRefused, Prefetched, Source};

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accounts {
    accounts: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Roots {
    #[serde(deserialize_with = "roots")]
    roots: Vec<Root>,
    threshold: Option<Threshold>,
}

#[derive(Serialize)]
struct Watched {
    accounts: usize,
}

#[derive(Serialize)]
struct Fetched {
    roots: Vec<RootState>,
}

#[derive(Serialize)]
struct RootState {
    root: Root,
    state: Prefetched,
}

/// Texts of 64 digits: what a root is parsed from anywhere else.
fn roots<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Root>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}

/// Answers `POST /v1/accounts`.
pub(crate) async fn watch<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    respond(Route::Accounts, name_accounts(&edge, request, true)).await
}

/// Answers `DELETE /v1/accounts`.
pub(crate) async fn forget<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    respond(Route::Accounts, name_accounts(&edge, request, false)).await
}

/// Answers `POST /v1/prefetch`.
pub(crate) async fn prefetch<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    respond(Route::Prefetch, fetch(&edge, request)).await
}

/// Answers `GET /v1/usage`.
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
    serde_json::from_slice(&bytes).map_err(|error| Problem::malformed(&Malformed::from(error)))
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
