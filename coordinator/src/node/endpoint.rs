//! Where a node is.

use std::fmt;

use shared::Network;
use thiserror::Error;

/// A node's door: `http://host:port` or `ws://host:port`, with a path if need be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) scheme: Scheme,
    /// A name or an address; of IPv6 with its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) path: String,
}

/// What is spoken there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// RPC.
    Http,
    /// WebSocket.
    WebSocket,
}

/// A text that is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not {}HOST or {}HOST:PORT; a node that is reached with TLS needs a proxy or a tunnel in front", scheme.prefix(), scheme.prefix())]
pub(crate) struct BadEndpoint {
    text: String,
    scheme: Scheme,
}

impl Scheme {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Http => "http://",
            Self::WebSocket => "ws://",
        }
    }

    /// The port that a node of the network has by default.
    const fn port(self, network: Network) -> u16 {
        let (http, websocket) = match network {
            Network::Live => (7076, 7078),
            Network::Beta => (55_000, 57_000),
            Network::Test => (17_076, 17_078),
            Network::Dev => (45_000, 47_000),
            Network::Banano => (7072, 7074),
        };
        match self {
            Self::Http => http,
            Self::WebSocket => websocket,
        }
    }
}

impl Endpoint {
    /// Reads one or several, with commas between.
    ///
    /// # Errors
    /// The first that is none.
    pub(crate) fn parse_all(text: &str, scheme: Scheme, network: Network) -> Result<Vec<Self>, BadEndpoint> {
        text.split(',').map(|one| Self::parse(one.trim(), scheme, network)).collect()
    }

    fn parse(text: &str, scheme: Scheme, network: Network) -> Result<Self, BadEndpoint> {
        let bad = || BadEndpoint { text: text.to_owned(), scheme };
        let rest = text.strip_prefix(scheme.prefix()).ok_or_else(bad)?;
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let after_host = authority.rfind(']').map_or(0, |end| end + 1);
        let (host, port) = match authority[after_host..].find(':') {
            Some(colon) => {
                let (host, port) = authority.split_at(after_host + colon);
                (host, port[1..].parse().ok().filter(|port| *port > 0).ok_or_else(bad)?)
            }
            None => (authority, scheme.port(network)),
        };
        let is_host = !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte))
            && host.starts_with('[') == host.ends_with(']');
        let is_path = path.bytes().all(|byte| byte.is_ascii_graphic());
        if is_host && is_path {
            Ok(Self { scheme, host: host.into(), port, path: path.into() })
        } else {
            Err(bad())
        }
    }

    /// The WebSocket of the node whose RPC this is, where a node of the network has it by default.
    pub(crate) fn websocket(&self, network: Network) -> Self {
        let scheme = Scheme::WebSocket;
        Self { scheme, host: self.host.clone(), port: scheme.port(network), path: "/".into() }
    }

    /// What to connect to.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path == "/" { "" } else { &self.path };
        write!(f, "{}{}:{}{path}", self.scheme.prefix(), self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_reads_back_and_has_a_nodes_port() {
        for (text, expected) in [
            ("http://127.0.0.1", "http://127.0.0.1:7076"),
            ("http://[::1]", "http://[::1]:7076"),
            ("http://[::1]:80/x", "http://[::1]:80/x"),
            ("http://node.example:8080/", "http://node.example:8080"),
        ] {
            let read = Endpoint::parse_all(text, Scheme::Http, Network::Live).unwrap();
            assert_eq!(read[0].to_string(), expected);
        }
        let two = Endpoint::parse_all("http://a, http://b:1", Scheme::Http, Network::Beta).unwrap();
        assert_eq!(two.iter().map(Endpoint::authority).collect::<Vec<_>>(), ["a:55000", "b:1"]);
        assert_eq!(two[1].websocket(Network::Beta).to_string(), "ws://b:57000");
    }

    #[test]
    fn anything_else_is_named() {
        for bad in [
            "",
            "node",
            "https://node",
            "ws://node",
            "http://",
            "http://a:0",
            "http://a:x",
            "http://a b",
            "http://a,",
        ] {
            let refused = Endpoint::parse_all(bad, Scheme::Http, Network::Live).unwrap_err().to_string();
            assert!(refused.contains("is not http://HOST or http://HOST:PORT"), "{refused}");
        }
    }
}
