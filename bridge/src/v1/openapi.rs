//! `GET /openapi.json`: everything under `/v1`, described from the code that answers it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use shared::Refusal;
use utoipa::openapi::link::Link;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::{batch, own, precache, register, socket, status, work};
use crate::problem::{Document, Trouble};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "DPoW",
        description = "Work for Nano blocks. Amounts are millicredits: 1000 are what a send costs.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    paths(
        work::work,
        batch::batch,
        status::status,
        status::events,
        status::withdraw,
        socket::open,
        precache::watch,
        precache::forget,
        precache::prefetch,
        precache::usage,
        register::register,
        own::balance,
        own::quota,
        own::keys,
        own::issue,
        own::rotate,
        own::revoke,
    ),
    components(schemas(Document)),
    security(("key" = [])),
    modifiers(&Problems, &Links)
)]
struct Api;

/// What every operation may be answered with instead.
const ALWAYS: [Refusal; 6] = [
    Refusal::Malformed,
    Refusal::Unauthenticated,
    Refusal::Suspended,
    Refusal::RateLimited,
    Refusal::Fault,
    Refusal::StoreUnavailable,
];

/// What a request for work may be answered with besides.
const WORK: [Refusal; 9] = [
    Refusal::TooLarge,
    Refusal::ThresholdOutOfRange,
    Refusal::Conflict,
    Refusal::Draining,
    Refusal::Overloaded,
    Refusal::InsufficientCredit,
    Refusal::Cancelled,
    Refusal::NoWorkers,
    Refusal::Expired,
];

/// What an operation may be answered with besides [`ALWAYS`].
fn troubles(path: &str) -> Vec<Trouble> {
    let refused = |refusals: &[Refusal]| refusals.iter().map(|refusal| Trouble::Refused(*refusal)).collect();
    let mut troubles: Vec<Trouble> = match path {
        "/v1/work" => refused(&WORK),
        "/v1/work/batch" => refused(&[Refusal::TooLarge]),
        "/v1/ws" => vec![Trouble::NoWebSocket, Trouble::Refused(Refusal::Overloaded)],
        "/v1/accounts" => vec![
            Trouble::PrecacheOff,
            Trouble::NotHere,
            Trouble::AccountsLimit,
            Trouble::AccountsFull,
            Trouble::Refused(Refusal::TooLarge),
            Trouble::Refused(Refusal::Draining),
        ],
        "/v1/prefetch" => vec![
            Trouble::PrecacheOff,
            Trouble::NotHere,
            Trouble::Refused(Refusal::TooLarge),
            Trouble::Refused(Refusal::ThresholdOutOfRange),
            Trouble::Refused(Refusal::Draining),
        ],
        "/v1/usage" => vec![Trouble::PrecacheOff, Trouble::NotHere, Trouble::Refused(Refusal::Draining)],
        "/v1/balance" => vec![Trouble::NotHere, Trouble::Refused(Refusal::Draining)],
        "/v1/quota" => vec![Trouble::Refused(Refusal::Draining)],
        path if path.starts_with("/v1/keys") => vec![
            Trouble::NotHere,
            Trouble::UnknownKey,
            Trouble::KeyEnded,
            Trouble::LastKey,
            Trouble::KeysLimit,
            Trouble::LimitedKey,
            Trouble::Refused(Refusal::TooLarge),
            Trouble::Refused(Refusal::Draining),
        ],
        "/v1/register" => vec![
            Trouble::RegistrationOff,
            Trouble::NameTaken,
            Trouble::RegistrationsFull,
            Trouble::Refused(Refusal::TooLarge),
        ],
        _ => vec![Trouble::UnknownRequest],
    };
    troubles.extend(ALWAYS.map(Trouble::Refused));
    troubles.push(Trouble::ForeignPage);
    troubles
}

/// Adds to each operation the problems that it may be answered with, and says what a key is.
struct Problems;

impl Modify for Problems {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        if let Some(components) = &mut api.components {
            let key = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
            components.security_schemes.insert("key".into(), key.into());
        }
        for (path, item) in &mut api.paths.paths {
            let mut codes: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
            for trouble in troubles(path) {
                codes.entry(trouble.status().as_u16()).or_default().push(trouble.code());
            }
            for operation in operations(item) {
                for (status, codes) in &codes {
                    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
                    let response = ResponseBuilder::new()
                        .description(format!("`{}`", codes.join("`, `")))
                        .content("application/problem+json", problem)
                        .build();
                    operation.responses.responses.insert(status.to_string(), response.into());
                }
            }
        }
    }
}

/// What can be done with what an answer names: the path and the status of the answer, the operation, and the field of the answer that
/// is its parameter of the same name.
const LINKS: [(&str, &str, &str, &str); 8] = [
    ("/v1/work", "202", "status", "request_id"),
    ("/v1/work", "202", "events", "request_id"),
    ("/v1/work", "202", "withdraw", "request_id"),
    ("/v1/work/{request_id}", "200", "status", "request_id"),
    ("/v1/work/{request_id}", "200", "withdraw", "request_id"),
    ("/v1/keys", "201", "rotate", "key"),
    ("/v1/keys", "201", "revoke", "key"),
    ("/v1/keys/{key}/rotate", "201", "revoke", "key"),
];

/// Adds to answers what can be done next, for programs that follow it.
struct Links;

impl Modify for Links {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        for (path, status, operation_id, field) in LINKS {
            let link = Link::builder()
                .operation_id(operation_id)
                .parameter(field, format!("$response.body#/{field}"))
                .build();
            let answers = api.paths.paths.get_mut(path).into_iter().flat_map(operations);
            for answer in answers.filter_map(|operation| operation.responses.responses.get_mut(status)) {
                if let RefOr::T(answer) = answer {
                    answer.links.insert(operation_id.into(), link.clone().into());
                }
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten()
}

/// The document, as it is served.
static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| Api::openapi().to_pretty_json().unwrap_or_else(|_| "{}".into()) + "\n");

/// Answers `GET /openapi.json`.
pub(crate) async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}
