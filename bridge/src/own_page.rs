//! Where no key is asked for, a page from elsewhere in the browser of whoever runs the bridge could spend credits: it cannot read
//! the answer, but it can ask.

use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::metrics::{Exchange, Route};
use crate::problem::{Problem, Trouble};

/// Lets nothing through that a page of another place asks for.
pub(crate) async fn own_pages_only(request: Request, next: Next) -> Response {
    if is_own_page(request.headers()) {
        return next.run(request).await;
    }
    let problem = Problem::unasked(Trouble::ForeignPage);
    Exchange::begin(Route::Unknown).finish(problem.code());
    problem.into_response()
}

/// Whether no page asks, or one of this very server.
fn is_own_page(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let authority =
        origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok()?.into_parts().authority);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    authority.is_some_and(|authority| Some(authority.as_str()) == host)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn pages_from_elsewhere_are_told_apart() {
        let host = |value: &'static str| (HOST, HeaderValue::from_static(value));
        let origin = |value: &'static str| (ORIGIN, HeaderValue::from_static(value));
        for (headers, is_own) in [
            (vec![host("127.0.0.1:5030")], true),
            (vec![host("127.0.0.1:5030"), origin("http://127.0.0.1:5030")], true),
            (vec![host("127.0.0.1:5030"), origin("http://127.0.0.1:8000")], false),
            (vec![host("127.0.0.1:5030"), origin("https://elsewhere.example")], false),
            (vec![host("127.0.0.1:5030"), origin("null")], false),
            (vec![origin("http://127.0.0.1:5030")], false),
        ] {
            assert_eq!(is_own_page(&headers.iter().cloned().collect()), is_own, "{headers:?}");
        }
    }
}
