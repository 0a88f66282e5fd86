//! `POST /v1/register`: a service makes itself known, where the operator lets it.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use shared::ServiceId;
use utoipa::ToSchema;

use super::answer::{self, Done, respond};
use super::request;
use crate::edge::Edge;
use crate::limits::REST_BODY_BYTES_MAX;
use crate::metrics::Route;
use crate::problem::{Problem, Trouble};
use crate::source::{RegisterRefused, Registered, Source};

/// What a new service says of itself.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Its name.
    #[schema(value_type = String, pattern = "^[a-z0-9-]{1,32}$")]
    service: ServiceId,
}

/// A service that is known from now on. Its key is shown here, once.
#[derive(Serialize, ToSchema)]
pub(crate) struct Welcome {
    /// Its name.
    #[schema(value_type = String, pattern = "^[a-z0-9-]{1,32}$")]
    service: ServiceId,
    /// Its key.
    api_key: String,
    /// What it was given to begin with, in millicredits.
    granted_mc: u64,
}

/// Makes a new service known.
///
/// Where the operator lets it. Needs no key.
#[utoipa::path(
    post,
    path = "/v1/register",
    tag = "service",
    request_body = Wanted,
    security(()),
    responses((status = 201, description = "It is known from now on; the key is shown here alone", body = Welcome))
)]
pub(crate) async fn register<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    respond(Route::Register, async {
        let (parts, body) = request.into_parts();
        let bytes = answer::read(&parts, body, REST_BODY_BYTES_MAX).await?;
        let Wanted { service } = request::object(&bytes).map_err(|error: serde_json::Error| {
            Problem::malformed(&format!(
                "The body must be {{\"service\": NAME}}, 1 to 32 of a-z, 0-9 and -: {error}."
            ))
        })?;
        let Registered { service, key, granted } =
            edge.source().register(service, edge.address(&parts)).await.map_err(problem)?;
        let welcome = Welcome { service, api_key: key, granted_mc: granted.as_u64() };
        let mut done = Done { status: StatusCode::CREATED, ..Done::ok(welcome) };
        done.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(done)
    })
    .await
}

fn problem(refused: RegisterRefused) -> Problem {
    match refused {
        RegisterRefused::Off => Problem::unasked(Trouble::RegistrationOff),
        RegisterRefused::Taken => Problem::unasked(Trouble::NameTaken),
        RegisterRefused::TooMany => Problem::unasked(Trouble::RegistrationsFull),
        RegisterRefused::Refused(refusal) => Problem::refused(refusal, None),
    }
}
