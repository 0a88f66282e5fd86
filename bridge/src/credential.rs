//! Where an API key is found in a request, and where the request is from.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::header::{AUTHORIZATION, HeaderName};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use shared::link::AddressPrefix;

/// What proxies add: from whom they have a request, to the right of what they were told by whoever stands before them.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The key in `Authorization: Bearer <key>`, if there is one. The name of the scheme may be of any case (RFC 9110 section
/// 11.1); another scheme counts as no key.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}

/// The address that a request is from, as far as it can be believed: of the connection, or, where that is one of our proxies',
/// the last one that it names which is not one of them. `None` where a proxy does not say, and for sockets without addresses.
pub(crate) fn address(parts: &Parts, proxies: &[AddressPrefix]) -> Option<IpAddr> {
    address_of(&parts.extensions, &parts.headers, proxies)
}

fn address_of(extensions: &Extensions, headers: &HeaderMap, proxies: &[AddressPrefix]) -> Option<IpAddr> {
    let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
    let is_proxy = |address: IpAddr| proxies.iter().any(|prefix| prefix.contains(address));
    let peer = peer.ip().to_canonical();
    if !is_proxy(peer) {
        return Some(peer);
    }
    let named: Vec<&str> = headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("?").split(',').map(str::trim))
        .collect();
    // What cannot be read hides whatever stands before it.
    let named = named.iter().rev().map(|name| name.parse::<IpAddr>().ok().map(|name| name.to_canonical()));
    named.into_iter().find(|name| !name.is_some_and(is_proxy)).flatten()
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

    #[test]
    fn only_our_proxies_are_believed() {
        let proxies: Vec<AddressPrefix> =
            ["127.0.0.0/8", "10.0.0.0/8"].map(|text| text.parse().unwrap()).into();
        for (peer, forwarded, from) in [
            ("192.0.2.1", &["203.0.113.9"][..], Some("192.0.2.1")),
            ("127.0.0.1", &["203.0.113.9"], Some("203.0.113.9")),
            ("::ffff:127.0.0.1", &["::ffff:203.0.113.9"], Some("203.0.113.9")),
            ("127.0.0.1", &["198.51.100.7, 203.0.113.9,10.1.1.1"], Some("203.0.113.9")),
            ("127.0.0.1", &["198.51.100.7", "203.0.113.9"], Some("203.0.113.9")),
            ("127.0.0.1", &["203.0.113.9, unknown"], None),
            ("127.0.0.1", &["10.1.1.1"], None),
            ("127.0.0.1", &[], None),
        ] {
            let mut extensions = Extensions::new();
            extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 9)));
            let headers = forwarded.iter().map(|value| (X_FORWARDED_FOR, value.parse().unwrap())).fold(
                HeaderMap::new(),
                |mut headers, (name, value)| {
                    headers.append(name, value);
                    headers
                },
            );
            let expected = from.map(|from| from.parse::<IpAddr>().unwrap());
            assert_eq!(address_of(&extensions, &headers, &proxies), expected, "{peer} {forwarded:?}");
        }
        assert_eq!(address_of(&Extensions::new(), &HeaderMap::new(), &proxies), None);
    }
}
