//! Where an API key is found in a request.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

/// The key in `Authorization: Bearer <key>`, if there is one. The name of the scheme may be of any case (RFC 9110 section
/// 11.1); another scheme counts as no key.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_key_is_a_key() {
        for (value, key) in [
            ("Bearer k1", Some("k1")),
            ("bearer  k1 ", Some("k1")),
            ("Bearer ", None),
            ("Bearer", None),
            ("Basic azE=", None),
            ("k1", None),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(bearer(&headers), key, "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
