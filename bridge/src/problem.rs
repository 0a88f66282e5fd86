//! Problem documents: how `/v1` says that there is no work (RFC 9457).

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{
    CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::{Refusal, RequestId};
use utoipa::ToSchema;

use crate::limits::retry_after_seconds;
use crate::metrics::{Code, Exchange, Route};

/// The header that names a request, in answers.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Room for the header lines of an answer, with those that are added on its way out.
pub(crate) const HEADERS: usize = 8;

/// What a server that stops says of the connection: the next request on it would meet its end.
pub(crate) const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Everything that can be wrong with an exchange on `/v1`: the refusals of requests, and what is wrong before there is a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Refused(Refusal),
    NotFound,
    MethodNotAllowed,
    PrecacheOff,
    AccountsLimit,
    AccountsFull,
    NotHere,
    UnknownRequest,
    ForeignPage,
    NoWebSocket,
    RegistrationOff,
    NameTaken,
    RegistrationsFull,
    UnknownKey,
    KeyEnded,
    LastKey,
    KeysLimit,
    LimitedKey,
}

impl Trouble {
    /// The stable code.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::PrecacheOff => "precache_off",
            Self::AccountsLimit => "accounts_limit",
            Self::AccountsFull => "accounts_full",
            Self::NotHere => "not_here",
            Self::UnknownRequest => "unknown_request",
            Self::ForeignPage => "foreign_page",
            Self::NoWebSocket => "no_websocket",
            Self::RegistrationOff => "registration_off",
            Self::NameTaken => "name_taken",
            Self::RegistrationsFull => "registrations_full",
            Self::UnknownKey => "unknown_key",
            Self::KeyEnded => "key_ended",
            Self::LastKey => "last_key",
            Self::KeysLimit => "keys_limit",
            Self::LimitedKey => "limited_key",
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Refused(refusal) => {
                StatusCode::from_u16(refusal.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Self::NotFound | Self::NotHere | Self::UnknownRequest | Self::UnknownKey => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::PrecacheOff | Self::ForeignPage | Self::RegistrationOff | Self::LimitedKey => {
                StatusCode::FORBIDDEN
            }
            Self::NoWebSocket => StatusCode::UPGRADE_REQUIRED,
            Self::AccountsLimit | Self::NameTaken | Self::KeyEnded | Self::LastKey | Self::KeysLimit => {
                StatusCode::CONFLICT
            }
            Self::RegistrationsFull => StatusCode::TOO_MANY_REQUESTS,
            Self::AccountsFull => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.sentence(),
            Self::NotFound => {
                "There is nothing at this path; work is asked for with POST /v1/work, and /docs says what else there is."
            }
            Self::NotHere => {
                "A bridge does not do this; ask the network's own server, with the service's key."
            }
            Self::ForeignPage => {
                "No key is asked for here, so pages of other places may not ask; ask the network's own server, with a key."
            }
            Self::NoWebSocket => {
                "This path speaks WebSocket alone; work without one is asked for with POST /v1/work."
            }
            Self::UnknownRequest => {
                "No request of this name goes on by itself, or it has been forgotten; asking for the same root again is free if it was paid for."
            }
            Self::RegistrationOff => {
                "Services do not make themselves known on this network; ask its operator for a key."
            }
            Self::UnknownKey => "The service has no such key; GET /v1/keys lists them.",
            Self::KeyEnded => "The key has ended already; a new one is made with POST /v1/keys.",
            Self::LastKey => {
                "It is the last key that is good for everything; without it the service is shut out. If you mean it, add ?confirm=true."
            }
            Self::KeysLimit => "The service has as many keys as are kept; ask the network's operator.",
            Self::LimitedKey => {
                "A key that has an end, a bound or a place, or is for tests, changes no keys; ask with one that has none of these."
            }
            Self::NameTaken => "Another service has this name; choose another one.",
            Self::RegistrationsFull => {
                "As many services as may have made themselves known today, from your address or from all; come back tomorrow."
            }
            Self::MethodNotAllowed => "This path does not take this method; see the header Allow.",
            Self::PrecacheOff => {
                "This service has not opted in to precaching; the network's operator can do that for it."
            }
            Self::AccountsLimit => {
                "At most 10000 accounts are watched for one service; take some off with DELETE /v1/accounts first."
            }
            Self::AccountsFull => "The network watches as many accounts as it can; nothing was added.",
        }
    }

    const fn retry_can_help(self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.retry_can_help(),
            Self::AccountsFull => true,
            Self::NotFound
            | Self::MethodNotAllowed
            | Self::PrecacheOff
            | Self::AccountsLimit
            | Self::NotHere
            | Self::UnknownRequest
            | Self::ForeignPage
            | Self::NoWebSocket
            | Self::RegistrationOff
            | Self::NameTaken
            | Self::RegistrationsFull
            | Self::UnknownKey
            | Self::KeyEnded
            | Self::LastKey
            | Self::KeysLimit
            | Self::LimitedKey => false,
        }
    }

    /// The code in words, as a heading.
    fn title(self) -> String {
        let mut title = self.code().replace('_', " ");
        title[..1].make_ascii_uppercase();
        title
    }
}

/// A problem with one exchange.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    trouble: Trouble,
    detail: Cow<'static, str>,
    request: Option<RequestId>,
    /// Whether it is certain that nothing was charged.
    is_uncharged: bool,
}

impl Problem {
    /// A refusal, in its own words.
    pub(crate) const fn refused(refusal: Refusal, request: Option<RequestId>) -> Self {
        Self::new(Trouble::Refused(refusal), request)
    }

    /// A request that could not be read, and why.
    pub(crate) fn malformed(reason: &impl ToString) -> Self {
        Self {
            trouble: Trouble::Refused(Refusal::Malformed),
            detail: Cow::Owned(reason.to_string()),
            request: None,
            is_uncharged: true,
        }
    }

    /// The same, where work may have been paid for that could not be given. Asking again is free then.
    pub(crate) fn perhaps_charged(self) -> Self {
        Self { is_uncharged: false, ..self }
    }

    /// The same, of a request that has a name.
    pub(crate) fn about(self, request: Option<RequestId>) -> Self {
        Self { request: self.request.or(request), ..self }
    }

    /// What is wrong, where there is no request.
    pub(crate) const fn unasked(trouble: Trouble) -> Self {
        Self::new(trouble, None)
    }

    const fn new(trouble: Trouble, request: Option<RequestId>) -> Self {
        Self { trouble, detail: Cow::Borrowed(trouble.sentence()), request, is_uncharged: true }
    }

    /// What it counts as.
    pub(crate) const fn code(&self) -> Code {
        Code::Trouble(self.trouble)
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(HEADERS);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Trouble::Refused(refusal) = self.trouble {
            if refusal == Refusal::Unauthenticated {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            if refusal == Refusal::Draining {
                headers.insert(CONNECTION, CLOSE);
            }
            if let Some(seconds) = retry_after_seconds(refusal) {
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
        }
        if self.trouble == Trouble::NoWebSocket {
            // RFC 9110 section 15.5.22.
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        if let Some(value) = self.request.and_then(request_id_value) {
            headers.insert(X_REQUEST_ID, value);
        }
        headers
    }
}

/// A request id as the value of a header; it is hexadecimal, so there always is one.
pub(crate) fn request_id_value(request: RequestId) -> Option<HeaderValue> {
    HeaderValue::try_from(request.to_string()).ok()
}

/// A problem, written out (RFC 9457). `type` is a name, not an address: what each code means is the same everywhere and needs no
/// fetching.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Document {
    /// A name for the code that no other interface has.
    #[schema(examples("urn:dpow:problem:expired"))]
    r#type: String,
    /// The code in words.
    #[schema(examples("Expired"))]
    title: String,
    /// The status, once more.
    #[schema(minimum = 400, maximum = 599, examples(504))]
    status: u16,
    /// What is wrong, and what to do.
    detail: Cow<'static, str>,
    /// The stable code.
    #[schema(examples("expired"))]
    code: &'static str,
    /// Whether anything was charged; null where that is not known, and asking again is free then.
    charged: Option<bool>,
    /// What was charged, in millicredits; null where that is not known.
    charged_mc: Option<u64>,
    /// Whether the same request can succeed when it is simply sent again.
    retry: bool,
    /// The name of the request, where it has one.
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{32}$")]
    request_id: Option<RequestId>,
}

impl Problem {
    /// Written out.
    pub(crate) fn document(&self) -> Document {
        Document {
            r#type: format!("urn:dpow:problem:{}", self.trouble.code()),
            title: self.trouble.title(),
            status: self.trouble.status().as_u16(),
            detail: self.detail.clone(),
            code: self.trouble.code(),
            // Both are said because the question is always asked.
            charged: self.is_uncharged.then_some(false),
            charged_mc: self.is_uncharged.then_some(0),
            retry: self.trouble.retry_can_help(),
            request_id: self.request,
        }
    }
}

impl Document {
    /// Its status.
    pub(crate) const fn status(&self) -> u16 {
        self.status
    }

    /// The name of its request.
    pub(crate) const fn request_id(&self) -> Option<RequestId> {
        self.request_id
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.trouble.status();
        match serde_json::to_vec(&self.document()) {
            Ok(body) => response(status, self.headers(), body),
            Err(_) => status.into_response(),
        }
    }
}

/// A response with these header lines and no others: put together from its parts by axum, it would be given some and lose them again.
pub(crate) fn response(status: StatusCode, headers: HeaderMap, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    response
}

/// The answer for paths that are not there.
pub(crate) async fn not_found() -> Response {
    unasked(Route::Unknown, Trouble::NotFound)
}

/// The answer for methods that a path does not take. The router adds `Allow`.
pub(crate) async fn method_not_allowed() -> Response {
    unasked(Route::Work, Trouble::MethodNotAllowed)
}

fn unasked(route: Route, trouble: Trouble) -> Response {
    let exchange = Exchange::begin(route);
    let problem = Problem::new(trouble, None);
    exchange.finish(problem.code());
    problem.into_response()
}
