//! The settings: as they are written, and as they are used.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use config::{Configuration, Invalid, Problems, Secret, Telemetry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::link::{AddressPrefix, BadServer, Server};
use shared::{Network, ServiceId};
use thiserror::Error;
use worker::backend::cpu;
use worker::backend::opencl::{self, Choice};

use crate::elsewhere::{Address, BadAddress};
use crate::local;

/// The configuration as it is written. What stands here about a field is what `docs/config.md` and `deploy/dpow-bridge.toml` say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BridgeConfiguration {
    /// Where the network is.
    #[schemars(extend("form" = "mqtt://host:port", "flag" = "--server"))]
    server: String,
    /// The service on whose account all work is asked for. Without one, nothing can be done.
    #[schemars(with = "Option<String>", example = "my-wallet", extend("form" = "the name of a service", "flag" = "--service"))]
    service: Option<ServiceId>,
    /// Its key. Without one, nothing can be done.
    #[schemars(extend("flag" = "--key-file"))]
    key: Option<Secret>,
    /// Whose thresholds and addresses apply.
    #[schemars(with = "String", extend("form" = "`live`, `beta`, `test`, `dev` or `banano`", "flag" = "--network"))]
    network: Network,
    /// The HTTP edge.
    http: Http,
    /// Where Nano nodes ask for work that have this program among their `work_peers`.
    node_peer: NodePeer,
    /// Searching on this machine when the network does not answer.
    local: LocalConfiguration,
    /// Another work server, which is asked when the network does not answer.
    fallback: FallbackConfiguration,
    /// What is logged, and how.
    log: Telemetry,
}

/// The section `http`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Http {
    /// Where wallets ask, with a node's RPC or `/v1`. No key is asked for: whoever can connect spends the service's credits.
    #[schemars(extend("form" = "an address with a port, such as 127.0.0.1:5030", "flag" = "--http-listen"))]
    listen: SocketAddr,
}

/// The section `node_peer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NodePeer {
    /// Where nodes ask.
    #[schemars(extend("form" = "an address with a port, such as 127.0.0.1:7000", "flag" = "--node-peer-listen"))]
    listen: SocketAddr,
    /// From where nodes may ask; other connections are closed at once.
    #[schemars(
        with = "Vec<String>",
        extend("form" = "a list of addresses, each with `/` and its number of bits, such as [\"10.0.0.0/8\"]")
    )]
    allow: Vec<AddressPrefix>,
}

/// The section `local`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LocalConfiguration {
    /// Whether this machine searches when the network does not answer.
    enabled: bool,
    /// How long the network has before this machine searches, and the server of `fallback.url` is asked, as well; the first one to find work wins. A network that cannot be
    /// reached has no time.
    #[schemars(range(max = 120_000), extend("unit" = "milliseconds"))]
    after_ms: u64,
    /// How many threads search. Without a number, one for each core.
    #[schemars(example = 2, extend("unit" = "threads"))]
    threads: Option<NonZeroUsize>,
    /// Which OpenCL devices search beside the processor. `auto`: all but processors. `all`: processors as well. `off`: none, and OpenCL
    /// is not even loaded. Else numbers, as `dpow-worker devices` prints them, and parts of names.
    #[schemars(example = &"0,Radeon", extend("form" = "`auto`, `all`, `off`, or a list with commas"))]
    opencl_devices: String,
    /// The OpenCL library. Without one, the system's.
    #[schemars(example = "/opt/rocm/lib/libOpenCL.so.1", extend("form" = "a path"))]
    opencl_library: Option<PathBuf>,
}

/// The section `fallback`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FallbackConfiguration {
    /// Where it is: a node that searches by itself, or `nano-work-server`. What it says is checked.
    #[schemars(example = "http://127.0.0.1:7076", extend("form" = "`http://host:port`, with a path if need be", "flag" = "--fallback-url"))]
    url: Option<String>,
}

/// The configuration as it is used.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) connection: client::Settings,
    pub(crate) network: Network,
    pub(crate) http_listen: SocketAddr,
    pub(crate) node_peer_listen: SocketAddr,
    pub(crate) node_peer_allow: Vec<AddressPrefix>,
    pub(crate) local: Option<local::Settings>,
    pub(crate) fallback: Option<Address>,
    pub(crate) patience: Duration,
    pub(crate) log: Telemetry,
}

/// Why the program does not know what to do.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    #[error(transparent)]
    Configuration(#[from] Problems),
    #[error("no service is given: name the one that pays, with --service")]
    NoService,
    #[error("no key is given: name the file that has the service's key, with --key-file")]
    NoKey,
    #[error("the server {server} cannot be used: {reason}")]
    Server { server: String, reason: BadServer },
    #[error("`fallback.url` cannot be used: {0}")]
    Fallback(#[from] BadAddress),
}

impl SettingsError {
    /// The keys that would have to be others.
    const fn keys(&self) -> &'static [&'static str] {
        match self {
            Self::Configuration(_) => &[],
            Self::NoService => &["service"],
            Self::NoKey => &["key"],
            Self::Server { .. } => &["server"],
            Self::Fallback(_) => &["fallback.url"],
        }
    }
}

impl Default for BridgeConfiguration {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            server: "mqtt://127.0.0.1:1883".into(),
            service: None,
            key: None,
            network: Network::Live,
            http: Http { listen: loopback(5030) },
            node_peer: NodePeer { listen: loopback(7000), allow: AddressPrefix::LOOPBACK.to_vec() },
            local: LocalConfiguration {
                enabled: true,
                after_ms: 5_000,
                threads: None,
                opencl_devices: Choice::Auto.to_string(),
                opencl_library: None,
            },
            fallback: FallbackConfiguration::default(),
            log: Telemetry { filter: "warn".into(), ..Telemetry::default() },
        }
    }
}

impl Configuration for BridgeConfiguration {
    const PROGRAM: &'static str = "dpow-bridge";
    const PREFIX: &'static str = "DPOW_BRIDGE";

    fn validate(&self) -> Vec<Invalid> {
        let invalid = |error: SettingsError| Invalid::new(error.keys(), error.to_string());
        let service = self.service.is_none().then_some(SettingsError::NoService);
        let key = self.key.is_none().then_some(SettingsError::NoKey);
        let troubles = self.read_server().err().into_iter().chain(self.read_fallback().err());
        let found = troubles.chain(service).chain(key).map(invalid);
        found.chain(self.log.validate()).collect()
    }
}

impl BridgeConfiguration {
    fn read_server(&self) -> Result<Server, SettingsError> {
        let server = &self.server;
        server.parse().map_err(|reason| SettingsError::Server { server: server.clone(), reason })
    }

    fn read_fallback(&self) -> Result<Option<Address>, SettingsError> {
        Ok(self.fallback.url.as_ref().map(|url| url.parse()).transpose()?)
    }

    pub(crate) fn read(self) -> Result<Settings, SettingsError> {
        let (server, fallback) = (self.read_server()?, self.read_fallback()?);
        let service = self.service.ok_or(SettingsError::NoService)?;
        let key = self.key.ok_or(SettingsError::NoKey)?.expose().to_owned().into();
        let Self { network, http, node_peer, local, log, .. } = self;
        let default = cpu::Settings::default();
        let threads = local.threads.unwrap_or(default.threads);
        Ok(Settings {
            connection: client::Settings { server, service, key, network },
            network,
            http_listen: http.listen,
            node_peer_listen: node_peer.listen,
            node_peer_allow: node_peer.allow,
            local: local.enabled.then_some(local::Settings {
                processor: cpu::Settings { threads, ..default },
                opencl: opencl::Settings {
                    devices: Choice::of(&local.opencl_devices),
                    library: local.opencl_library,
                    ..opencl::Settings::default()
                },
            }),
            fallback,
            patience: Duration::from_millis(local.after_ms),
            log,
        })
    }
}
