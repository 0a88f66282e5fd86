//! The sections `http`, `node_peer`, `mqtt` and `admin`: where is listened, and to whom.

use std::net::{IpAddr, SocketAddr};

use config::Invalid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::ServiceId;
use shared::link::AddressPrefix;

use super::Settings;

/// The section `http`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where services ask. Not encrypted: other than loopback only behind a proxy that speaks TLS.
    #[schemars(extend("form" = "an address with a port, such as 127.0.0.1:5030", "flag" = "--http-listen"))]
    pub listen: SocketAddr,
    /// Where your proxies are. The last address that they name in `X-Forwarded-For` counts as the client's; of everybody else the
    /// connection's own does.
    #[schemars(
        with = "Vec<String>",
        extend("form" = "a list of addresses, each with `/` and its number of bits, such as [\"10.0.0.0/8\"]")
    )]
    pub proxies: Vec<AddressPrefix>,
}

/// The section `node_peer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodePeer {
    /// Where nodes ask. It is open only if `node_peer.service` is set.
    #[schemars(extend("form" = "an address with a port, such as 127.0.0.1:7000"))]
    pub listen: SocketAddr,
    /// The service on whose account all of them ask: a node cannot present a key.
    #[schemars(with = "Option<String>", extend("form" = "the name of a service"), example = "my-node")]
    pub service: Option<ServiceId>,
    /// From where nodes may ask; other connections are closed at once.
    #[schemars(
        with = "Vec<String>",
        extend("form" = "a list of addresses, each with `/` and its number of bits, such as [\"10.0.0.0/8\"]")
    )]
    pub allow: Vec<AddressPrefix>,
}

/// The section `mqtt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mqtt {
    /// Where workers, services and operators connect. Not encrypted: other than loopback only in a network that you trust.
    #[schemars(extend("form" = "an address with a port, such as 127.0.0.1:1883", "flag" = "--mqtt-listen"))]
    pub listen: SocketAddr,
    /// Where they connect over WebSocket, if anywhere, besides `/mqtt` on the HTTP port. Not encrypted either.
    #[schemars(example = "127.0.0.1:8083", extend("form" = "an address with a port"))]
    pub listen_websocket: Option<SocketAddr>,
    /// Addresses to which no limits by address apply, over HTTP either, and which are never shut out: farms, and proxies that limit
    /// by themselves.
    #[schemars(
        with = "Vec<String>",
        extend("form" = "a list of addresses, each with `/` and its number of bits, such as [\"10.0.0.0/8\"]")
    )]
    pub trusted_prefixes: Vec<AddressPrefix>,
}

/// The section `admin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Where operators' commands are taken besides the socket in the data directory, if anywhere. Whoever has the operator's
    /// token may do everything there, and it is not encrypted: loopback, with a tunnel such as `ssh -L` from elsewhere.
    #[schemars(example = "127.0.0.1:5031", extend("form" = "an address with a port"))]
    pub listen: Option<SocketAddr>,
}

/// Whether the second of two listeners could not be opened. Port 0 is one that the system chooses.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = |address: IpAddr| address.is_unspecified();
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || is_any(one.ip()) || is_any(other.ip()))
}

impl Settings {
    /// Listeners that would take each other's port.
    pub(super) fn colliding_listeners(&self) -> Vec<Invalid> {
        let listeners = [
            ("http.listen", Some(self.http.listen)),
            ("node_peer.listen", self.node_peer.service.map(|_| self.node_peer.listen)),
            ("mqtt.listen", Some(self.mqtt.listen)),
            ("mqtt.listen_websocket", self.mqtt.listen_websocket),
            ("admin.listen", self.admin.listen),
            ("node.callback_listen", self.node.callback_listen),
        ];
        let mut invalid = Vec::new();
        for (index, (key, address)) in listeners.into_iter().enumerate() {
            for (other_key, other) in listeners.into_iter().skip(index + 1) {
                if let (Some(address), Some(other)) = (address, other)
                    && collide(address, other)
                {
                    let sentence = format!(
                        "`{key}` is {address} and `{other_key}` is {other}: give each a port of its own"
                    );
                    invalid.push(Invalid::new(&[key, other_key], sentence));
                }
            }
        }
        invalid
    }
}
