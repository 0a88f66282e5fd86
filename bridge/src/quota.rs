//! What a service is told of how fast it may ask, with each answer.
//!
//! # Source
//! draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy` says what the policy is, `RateLimit` what is left of it; both are lists
//! of structured fields (RFC 9651).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use crate::edge::Edge;
use crate::source::{Asker, Quota, Source};

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Where a handler leaves word of who asked, once it knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Visitor(Arc<OnceLock<Asker>>);

impl Visitor {
    /// Notes who asked, on a request that came through [`tell`].
    pub(crate) fn note(extensions: &Extensions, asker: Asker) {
        if let Some(visitor) = extensions.get::<Self>() {
            // A request is of one asker.
            let _ = visitor.0.set(asker);
        }
    }
}

/// Adds to each answer what is left to whoever asked.
pub(crate) async fn tell<S: Source>(
    State(edge): State<Edge<S>>,
    mut request: Request,
    next: Next,
) -> Response {
    let visitor = Visitor::default();
    request.extensions_mut().insert(visitor.clone());
    let mut response = next.run(request).await;
    let quota = visitor.0.get().and_then(|asker| edge.source().quota(*asker));
    if let Some(quota) = quota {
        let is_refused = response.status() == StatusCode::TOO_MANY_REQUESTS;
        quota.write(response.headers_mut(), is_refused);
    }
    response
}

impl Quota {
    fn write(&self, headers: &mut HeaderMap, is_refused: bool) {
        let policy = format!("\"requests\";q={};w={}", self.burst, seconds(self.window));
        let state = format!("\"requests\";r={};t={}", self.left, seconds(self.full_in));
        for (name, value) in [(RATELIMIT_POLICY, policy), (RATELIMIT, state)] {
            // Digits and our own words: there is no other value.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        if is_refused && let Some(wait) = self.wait {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds(wait).max(1)));
        }
    }
}

/// Whole seconds, rounded up: whoever comes earlier comes in vain.
const fn seconds(time: Duration) -> u64 {
    time.as_secs() + if time.subsec_nanos() > 0 { 1 } else { 0 }
}
