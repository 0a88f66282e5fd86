//! What an operator may set: defaults < TOML file < environment `DPOW_SECTION__KEY` < flags.

mod ledger;
mod limits;
mod listeners;
mod market;
mod node;
mod registration;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use config::{Configuration, Invalid, Secret, Telemetry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::Network;
use shared::link::AddressPrefix;

pub use self::ledger::{Ledger, StoreSettings};
pub use self::limits::Limits;
pub use self::listeners::{Admin, Http, Mqtt, NodePeer};
pub use self::market::{Dispatch, DispatchName, PricingName};
pub use self::node::Node;
pub use self::registration::Registration;
use crate::intake::operator_token::{LENGTH_MIN, is_token};
use crate::node::is_path;
use crate::store::redis::Server;

/// All settings of `dpow`. What stands here about a field is what `docs/config.md` and `deploy/dpow.toml` say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Whose thresholds and addresses apply. A data directory is of one network.
    #[schemars(with = "String", extend("form" = "`live`, `beta`, `test`, `dev` or `banano`", "flag" = "--network"))]
    pub network: Network,
    /// Where ledger and secrets are kept, seen from the directory where `dpow` is started. One process at a time.
    #[schemars(extend("form" = "a path", "flag" = "--data-dir"))]
    pub data_dir: PathBuf,
    /// The token with which operators log in. Without one, the token is used that the first start has made in the data
    /// directory.
    pub operator_token: Option<Secret>,
    /// How long requests in flight may go on when the coordinator stops. None lives longer than 120 seconds.
    #[schemars(range(max = 600), extend("unit" = "seconds"))]
    pub shutdown_grace_s: u64,
    /// What works cost.
    pub pricing: PricingName,
    /// The HTTP edge.
    pub http: Http,
    /// Where Nano nodes ask for work that have this server among their `work_peers`.
    pub node_peer: NodePeer,
    /// The MQTT gate.
    pub mqtt: Mqtt,
    /// Commands of operators.
    pub admin: Admin,
    /// Bounds of what is sold.
    pub limits: Limits,
    /// Services that make themselves known, without an operator.
    pub registration: Registration,
    /// Which workers are offered a job.
    pub dispatch: Dispatch,
    /// Where the ledger is kept.
    pub store: StoreSettings,
    /// The ledger.
    pub ledger: Ledger,
    /// Nano nodes, whose confirmations say which work will be wanted next.
    pub node: Node,
    /// What is logged, and how.
    pub log: Telemetry,
}

impl Default for Settings {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            network: Network::Live,
            data_dir: "dpow-data".into(),
            operator_token: None,
            shutdown_grace_s: 30,
            pricing: PricingName::Proportional,
            http: Http { listen: loopback(5030), proxies: Vec::new() },
            node_peer: NodePeer {
                listen: loopback(7000),
                service: None,
                allow: AddressPrefix::LOOPBACK.to_vec(),
            },
            mqtt: Mqtt {
                listen: loopback(1883),
                listen_websocket: None,
                trusted_prefixes: AddressPrefix::LOOPBACK.to_vec(),
            },
            admin: Admin { listen: None },
            limits: Limits::default(),
            registration: Registration::default(),
            dispatch: Dispatch {
                policy: DispatchName::Adaptive,
                k: NonZeroUsize::MIN.saturating_add(7),
                fairness: 0,
            },
            store: StoreSettings::default(),
            ledger: Ledger { audit_interval_s: 3600 },
            node: Node {
                url: None,
                websocket: None,
                callback_listen: None,
                callback_path: "/block/".into(),
                catch_up_s: 60,
            },
            log: Telemetry { filter: "warn".into(), ..Telemetry::default() },
        }
    }
}

impl Configuration for Settings {
    const PROGRAM: &'static str = "dpow";
    const PREFIX: &'static str = "DPOW";
    const OTHER_PREFIXES: &'static [&'static str] = &["DPOW_WORKER", "DPOW_BRIDGE"];

    fn validate(&self) -> Vec<Invalid> {
        let mut invalid = self.colliding_listeners();
        invalid.extend(self.log.validate());
        if self.data_dir.as_os_str().is_empty() {
            invalid.push(Invalid::new(&["data_dir"], "`data_dir` is empty: name a directory"));
        }
        let multiplier_max = self.limits.multiplier_max;
        if !(multiplier_max.is_finite() && multiplier_max > 0.0) {
            let sentence = format!(
                "`limits.multiplier_max` is {multiplier_max}: it must be a finite number greater than 0"
            );
            invalid.push(Invalid::new(&["limits.multiplier_max"], sentence));
        }
        if self.dispatch.fairness > 100 {
            let sentence =
                format!("`dispatch.fairness` is {} percent, but can be at most 100", self.dispatch.fairness);
            invalid.push(Invalid::new(&["dispatch.fairness"], sentence));
        }
        if let Some(Err(bad)) = self.store.url.as_ref().map(|url| url.expose().parse::<Server>()) {
            invalid.push(Invalid::new(&["store.url"], format!("`store.url` is no ledger's server: {bad}")));
        }
        if let Err(bad) = self.node_rpc() {
            invalid.push(Invalid::new(&["node.url"], format!("`node.url` is no Nano node's RPC: {bad}")));
        }
        if let Err(bad) = self.node_websocket() {
            let sentence = format!("`node.websocket` is no Nano node's WebSocket: {bad}");
            invalid.push(Invalid::new(&["node.websocket"], sentence));
        }
        if !is_path(&self.node.callback_path) {
            let sentence = format!(
                "`node.callback_path` is {}: it must begin with / and have only letters, digits and / - _ . ~",
                self.node.callback_path
            );
            invalid.push(Invalid::new(&["node.callback_path"], sentence));
        }
        if self.operator_token.as_ref().is_some_and(|token| !is_token(token.expose())) {
            let sentence = format!(
                "`operator_token` must have at least {LENGTH_MIN} characters from `!` to `~`: `openssl rand -hex 32` \
                 makes a good one"
            );
            invalid.push(Invalid::new(&["operator_token"], sentence));
        }
        invalid
    }
}

impl Settings {
    /// How long requests in flight may go on when the coordinator stops.
    pub const fn shutdown_grace(&self) -> Duration {
        Duration::from_secs(self.shutdown_grace_s)
    }
}
