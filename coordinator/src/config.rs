//! What an operator may set: defaults < TOML file < environment `DPOW_SECTION__KEY` < flags.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use config::{Configuration, Invalid, Secret, Telemetry};
use marketplace::dispatch::DispatchPolicy;
use marketplace::{Policy, Pricing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::link::AddressPrefix;
use shared::pow::{BadMultiplier, Multiplier};
use shared::{Network, ServiceId};

use crate::intake::operator_token::{LENGTH_MIN, is_token};
use crate::node::{BadEndpoint, Endpoint, NodeSettings, Scheme, is_path};
use crate::store::Place;
use crate::store::redis::{Access, Server};

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

/// The section `http`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where services ask. Not encrypted: other than loopback only behind a proxy that speaks TLS.
    #[schemars(extend("form" = "an address with a port, such as 127.0.0.1:5030", "flag" = "--http-listen"))]
    pub listen: SocketAddr,
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
    /// Addresses to which no limits by address apply, and which are never shut out: farms, and proxies that limit by
    /// themselves.
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

/// The section `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The hardest work that is sold.
    #[schemars(extend("unit" = "multiple of the base send threshold"))]
    pub multiplier_max: f64,
}

/// The section `dispatch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dispatch {
    /// By which rule workers are chosen.
    pub policy: DispatchName,
    /// To how many workers `fastest_k` offers a job.
    #[schemars(extend("unit" = "workers"))]
    pub k: NonZeroUsize,
    /// How much fairness between workers counts beside latency for `adaptive`: at 0 whoever is fast and near earns, at 100 everybody
    /// earns in proportion to its rate, and requests cost more messages and hashes. At most 100.
    #[schemars(extend("unit" = "percent"))]
    pub fairness: u8,
}

/// The section `store`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// The Redis server that keeps the ledger. Without one it is a file in the data directory. `redis://host:port/database`,
    /// `redis+unix:///path`, `redis+sentinel://host:port,host:port/master` or `redis+cluster://host:port,host:port`, with
    /// `user:password@` before the host where one is needed. See `docs/redis.md`.
    pub url: Option<Secret>,
    /// Whether a Redis server will do that could lose or drop credits: one that does not log every write, or drops keys when its
    /// memory is full.
    pub allow_unsafe: bool,
}

/// The section `ledger`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// How long after an audit the next one begins. 0: there is none, not even at the start.
    #[schemars(extend("unit" = "seconds"))]
    pub audit_interval_s: u64,
}

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

/// The rules by which workers are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DispatchName {
    /// Every job to every worker.
    Broadcast,
    /// Every job to the `k` fastest of the workers with the shortest lists.
    FastestK,
    /// Every job to as many workers as it is worth, by their measured rates and round trips and by the load.
    Adaptive,
}

/// The rules by which works are priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PricingName {
    /// In proportion to the expected hashes.
    Proportional,
    /// One credit for anything up to a send, which makes workers prefer receives.
    Flat,
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
            http: Http { listen: loopback(5030) },
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
            limits: Limits { multiplier_max: 8.0 },
            dispatch: Dispatch {
                policy: DispatchName::FastestK,
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

/// Whether the second of two listeners could not be opened. Port 0 is one that the system chooses.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = |address: IpAddr| address.is_unspecified();
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || is_any(one.ip()) || is_any(other.ip()))
}

impl Settings {
    /// Listeners that would take each other's port.
    fn colliding_listeners(&self) -> Vec<Invalid> {
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
        if self.dispatch.fairness > 100 {
            let sentence =
                format!("`dispatch.fairness` is {} percent, but can be at most 100", self.dispatch.fairness);
            invalid.push(Invalid::new(&["dispatch.fairness"], sentence));
        }
        invalid
    }

    /// The market's rules.
    ///
    /// # Errors
    /// [`BadMultiplier`] when `limits.multiplier_max` is not above zero.
    pub fn policy(&self) -> Result<Policy, BadMultiplier> {
        let dispatch = match self.dispatch.policy {
            DispatchName::Broadcast => DispatchPolicy::Broadcast,
            DispatchName::FastestK => DispatchPolicy::FastestK { k: self.dispatch.k },
            DispatchName::Adaptive => DispatchPolicy::Adaptive { fairness: self.dispatch.fairness },
        };
        let pricing = match self.pricing {
            PricingName::Proportional => Pricing::Proportional,
            PricingName::Flat => Pricing::Flat,
        };
        let multiplier_max = Multiplier::try_new(self.limits.multiplier_max)?;
        Ok(Policy { pricing, ..Policy::of_network(self.network, multiplier_max, dispatch) })
    }

    /// How a ledger's server is used.
    pub(crate) const fn access_to(&self, server: Server) -> Access {
        let (network, allows_unsafe) = (self.network, self.store.allow_unsafe);
        Access { server, network, allows_unsafe, announces: true }
    }

    /// Where the ledger is.
    pub fn ledger_place(&self) -> Place {
        // What cannot be read as a server was refused when the settings were.
        let server = self.store.url.as_ref().and_then(|url| url.expose().parse::<Server>().ok());
        match server {
            Some(server) => Place::server(&self.data_dir, self.access_to(server)),
            None => Place::embedded(&self.data_dir, self.network),
        }
    }

    fn node_rpc(&self) -> Result<Vec<Endpoint>, BadEndpoint> {
        let url = self.node.url.as_deref();
        url.map_or(Ok(Vec::new()), |url| Endpoint::parse_all(url, Scheme::Http, self.network))
    }

    fn node_websocket(&self) -> Result<Vec<Endpoint>, BadEndpoint> {
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

    /// How long after an audit of the ledger the next one begins; `None`: there is none.
    pub const fn audit_interval(&self) -> Option<Duration> {
        match self.ledger.audit_interval_s {
            0 => None,
            seconds => Some(Duration::from_secs(seconds)),
        }
    }

    /// How long requests in flight may go on when the coordinator stops.
    pub const fn shutdown_grace(&self) -> Duration {
        Duration::from_secs(self.shutdown_grace_s)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;
    use std::path::Path;

    use clap::CommandFactory;
    use config::{Command, Problems, Reference, load};

    use super::*;
    use crate::cli::Cli;

    fn with_variables(variables: &[(&str, &str)]) -> Result<Settings, Problems> {
        let variables = variables.iter().map(|(key, value)| (OsString::from(key), OsString::from(value)));
        load(None, variables, &serde_json::json!({})).map(|loaded| loaded.settings)
    }

    #[test]
    fn the_defaults_are_complete_and_the_environment_wins() {
        assert_eq!(with_variables(&[]).unwrap(), Settings::default());
        let settings = with_variables(&[
            ("DPOW_NETWORK", "dev"),
            ("DPOW_DATA_DIR", "12345"),
            ("DPOW_OPERATOR_TOKEN", "12345678901234567890123456"),
            ("DPOW_HTTP__LISTEN", "127.0.0.1:6000"),
            ("DPOW_MQTT__LISTEN_WEBSOCKET", "127.0.0.1:6001"),
            ("DPOW_MQTT__TRUSTED_PREFIXES", "10.1.0.0/16, ::1/128"),
            ("DPOW_ADMIN__LISTEN", "127.0.0.1:6002"),
            ("DPOW_DISPATCH__POLICY", "adaptive"),
            ("DPOW_DISPATCH__K", "3"),
            ("DPOW_DISPATCH__FAIRNESS", "20"),
            ("DPOW_LEDGER__AUDIT_INTERVAL_S", "0"),
            ("DPOW_WORKER_THREADS", "not ours"),
            ("DPOW_CONFIG", "not a key"),
        ])
        .unwrap();
        assert_eq!((settings.network, settings.http.listen.port()), (Network::Dev, 6000));
        assert_eq!(settings.mqtt.listen_websocket.map(|address| address.port()), Some(6001));
        assert_eq!(settings.admin.listen.map(|address| address.port()), Some(6002));
        assert_eq!(
            settings.mqtt.trusted_prefixes,
            ["10.1.0.0/16", "::1/128"].map(|prefix| prefix.parse().unwrap())
        );
        assert_eq!(settings.data_dir, Path::new("12345"));
        assert_eq!(settings.operator_token.as_ref().map(Secret::expose), Some("12345678901234567890123456"));
        let hour = Duration::from_hours(1);
        assert_eq!((settings.audit_interval(), Settings::default().audit_interval()), (None, Some(hour)));
        assert_eq!(settings.policy().unwrap().dispatch, DispatchPolicy::Adaptive { fairness: 20 });
    }

    #[test]
    fn what_breaks_a_rule_is_named_with_its_origin() {
        let variable = "the environment variable";
        for (variables, sentence) in [
            (
                &[("DPOW_HTTP__LISTEN", "127.0.0.1:1883")][..],
                format!(
                    "`http.listen` is 127.0.0.1:1883 and `mqtt.listen` is 127.0.0.1:1883: give each a port of its own \
                     (`http.listen`: {variable} DPOW_HTTP__LISTEN, `mqtt.listen`: the built-in defaults)"
                ),
            ),
            (
                &[("DPOW_MQTT__LISTEN_WEBSOCKET", "0.0.0.0:5030")],
                format!(
                    "`http.listen` is 127.0.0.1:5030 and `mqtt.listen_websocket` is 0.0.0.0:5030: give each a port of its own \
                     (`http.listen`: the built-in defaults, `mqtt.listen_websocket`: {variable} DPOW_MQTT__LISTEN_WEBSOCKET)"
                ),
            ),
            (
                &[("DPOW_LIMITS__MULTIPLIER_MAX", "0")],
                format!(
                    "`limits.multiplier_max` is 0: it must be a finite number greater than 0 \
                     (`limits.multiplier_max`: {variable} DPOW_LIMITS__MULTIPLIER_MAX)"
                ),
            ),
            (
                &[("DPOW_LIMITS__MULTIPLIER_MAX", "inf")],
                format!(
                    "`limits.multiplier_max` is inf: it must be a finite number greater than 0 \
                     (`limits.multiplier_max`: {variable} DPOW_LIMITS__MULTIPLIER_MAX)"
                ),
            ),
            (
                &[("DPOW_DATA_DIR", "")],
                format!("`data_dir` is empty: name a directory (`data_dir`: {variable} DPOW_DATA_DIR)"),
            ),
            (
                &[("DPOW_OPERATOR_TOKEN", "too-short-by-one-letter-x")],
                format!(
                    "`operator_token` must have at least 26 characters from `!` to `~`: `openssl rand -hex 32` makes a good \
                     one (`operator_token`: {variable} DPOW_OPERATOR_TOKEN)"
                ),
            ),
        ] {
            assert_eq!(with_variables(variables).unwrap_err().to_string(), sentence);
        }
    }

    #[test]
    fn what_a_key_cannot_take_is_named_with_its_origin() {
        let variable = "the environment variable";
        for (variables, sentence) in [
            (
                &[("DPOW_SHUTDOWN_GRACE_S", "601")][..],
                format!(
                    "`shutdown_grace_s` in {variable} DPOW_SHUTDOWN_GRACE_S is 601, but must be a whole number from 0 to 600 \
                     (seconds)"
                ),
            ),
            (
                // The default that stands in for the wrong value collides, which is nobody's mistake.
                &[("DPOW_HTTP__LISTEN", "x"), ("DPOW_MQTT__LISTEN", "127.0.0.1:5030")],
                format!(
                    "`http.listen` in {variable} DPOW_HTTP__LISTEN is \"x\", but must be an address with a port, such as \
                     127.0.0.1:5030"
                ),
            ),
            (
                &[("DPOW_DISPATCH__K", "0")],
                format!(
                    "`dispatch.k` in {variable} DPOW_DISPATCH__K is 0, but must be a whole number from 1 (workers)"
                ),
            ),
            (
                &[("DPOW_MQTT__TRUSTED_PREFIXES", "10.1.0.0/33")],
                format!(
                    "`mqtt.trusted_prefixes` in {variable} DPOW_MQTT__TRUSTED_PREFIXES is [\"10.1.0.0/33\"], but must be a list \
                     of addresses, each with `/` and its number of bits, such as [\"10.0.0.0/8\"]"
                ),
            ),
        ] {
            assert_eq!(with_variables(variables).unwrap_err().to_string(), sentence);
        }
    }

    #[test]
    fn what_is_fine_is_taken() {
        for fine in [
            &[("DPOW_HTTP__LISTEN", "127.0.0.1:0"), ("DPOW_MQTT__LISTEN", "127.0.0.1:0")][..],
            &[("DPOW_HTTP__LISTEN", "127.0.0.2:1883")],
            &[("DPOW_OPERATOR_TOKEN", "twenty-six-characters-long")],
            &[("DPOW_SHUTDOWN_GRACE_S", "600")],
        ] {
            assert!(with_variables(fine).is_ok(), "{fine:?}");
        }
    }

    /// The file in `deploy` is what the program prints, and as it stands it changes nothing.
    #[test]
    fn the_file_in_deploy_says_all_the_defaults() {
        let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/dpow.toml"));
        let generated = Command::Generate { markdown: false }.run::<Settings>(|| unreachable!()).unwrap();
        assert_eq!(
            fs::read_to_string(file).unwrap(),
            generated,
            "see CONTRIBUTING.md for how it is made anew"
        );
        let loaded = load::<Settings>(Some(file), [], &serde_json::json!({})).unwrap();
        assert_eq!(loaded.settings, Settings::default());
    }

    #[test]
    fn every_key_is_documented_and_every_flag_is_there() {
        let reference = Reference::of::<Settings>().unwrap();
        let command = Cli::command();
        for key in reference.keys() {
            assert!(!key.meaning.is_empty(), "{} says what it does", key.path);
            let is_number = matches!(key.form, config::reference::Form::Number { .. });
            assert_eq!(key.unit.is_some(), is_number, "{} says what it counts", key.path);
            let variable = reference.variable(&key.path);
            let is_anothers =
                Settings::OTHER_PREFIXES.iter().any(|prefix| variable.starts_with(&format!("{prefix}_")));
            assert!(!is_anothers, "{variable} would be taken for another program's");
            let Some(flag) = &key.flag else { continue };
            let argument =
                command.get_arguments().find(|argument| argument.get_long() == flag.strip_prefix("--"));
            let help = argument.and_then(clap::Arg::get_help).unwrap().to_string();
            let default = serde_json::to_value(&key.default).unwrap();
            assert!(
                help.ends_with(&format!("{}]", default.as_str().unwrap())),
                "{flag} says its default: {help}"
            );
        }
        let network = reference.keys().find(|key| key.path == "network").unwrap().expected();
        let names = network.split('`').skip(1).step_by(2).collect::<Vec<_>>();
        assert_eq!(names, Network::ALL.map(Network::name));
    }
}
