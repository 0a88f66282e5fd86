//! The section `node`: whose confirmations say which work will be wanted next.

use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Settings;
use crate::node::{BadEndpoint, Endpoint, NodeSettings, Scheme};

/// The section `node`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The RPC of a Nano node that you trust, or of several, with commas between. Without one nothing is computed ahead when a
    /// block is confirmed. See `docs/node.md`.
    #[schemars(example = "http://127.0.0.1:7076", extend("form" = "`http://host` or `http://host:port`"))]
    pub url: Option<String>,
    /// Where these nodes' confirmations are sent over WebSocket, if not on the port that the network's nodes have by default.
    #[schemars(example = "ws://127.0.0.1:7078", extend("form" = "`ws://host` or `ws://host:port`"))]
    pub websocket: Option<String>,
    /// Where nodes may post their confirmations (`httpcallback`), if anywhere: for blocks of the former kinds, and nodes without a
    /// WebSocket. Whoever can post there can have budgets spent: loopback, or a network that you trust.
    #[schemars(example = "127.0.0.1:5032", extend("form" = "an address with a port"))]
    pub callback_listen: Option<SocketAddr>,
    /// The path that they post to.
    #[schemars(extend("form" = "a path such as /block/"))]
    pub callback_path: String,
    /// How often the last blocks of all watched accounts are read, in case a confirmation was lost.
    #[schemars(range(min = 1, max = 86400), extend("unit" = "seconds"))]
    pub catch_up_s: u64,
}

impl Settings {
    pub(super) fn node_rpc(&self) -> Result<Vec<Endpoint>, BadEndpoint> {
        let url = self.node.url.as_deref();
        url.map_or(Ok(Vec::new()), |url| Endpoint::parse_all(url, Scheme::Http, self.network))
    }

    pub(super) fn node_websocket(&self) -> Result<Vec<Endpoint>, BadEndpoint> {
        match &self.node.websocket {
            Some(url) => Endpoint::parse_all(url, Scheme::WebSocket, self.network),
            None => Ok(self
                .node_rpc()
                .unwrap_or_default()
                .iter()
                .map(|rpc| rpc.websocket(self.network))
                .collect()),
        }
    }

    /// How Nano nodes are listened to. What cannot be read was refused when the settings were.
    pub(crate) fn nodes(&self) -> NodeSettings {
        let path = self.node.callback_path.clone();
        NodeSettings {
            network: self.network,
            rpc: self.node_rpc().unwrap_or_default(),
            websocket: self.node_websocket().unwrap_or_default(),
            callback: self.node.callback_listen.map(|address| (address, path)),
            catch_up: Duration::from_secs(self.node.catch_up_s),
        }
    }
}
