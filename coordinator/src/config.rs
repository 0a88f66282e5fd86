//! What an operator may set: defaults < TOML file < environment `DPOW_SECTION__KEY` < flags.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use broker::AddressPrefix;
use config::{ConfigError, Sources, Telemetry};
use marketplace::dispatch::DispatchPolicy;
use marketplace::{Policy, Pricing};
use serde::{Deserialize, Serialize};
use shared::Network;
use shared::pow::{BadMultiplier, Multiplier};

/// All settings of `dpow`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Whose thresholds and addresses apply: `live`, `beta`, `test`, `dev` or `banano`.
    pub network: Network,
    /// Where ledger and secrets are kept. One process at a time.
    pub data_dir: PathBuf,
    /// How long requests in flight may go on when the coordinator stops, in seconds.
    pub shutdown_grace_s: u64,
    /// The HTTP edge.
    pub http: Http,
    /// The MQTT gate.
    pub mqtt: Mqtt,
    /// Commands of operators.
    pub admin: Admin,
    /// Bounds of what is sold.
    pub limits: Limits,
    /// Who is offered what.
    pub dispatch: Dispatch,
    /// What works cost.
    pub pricing: PricingName,
    /// The ledger.
    pub ledger: Ledger,
    /// What is logged, and how.
    pub log: Telemetry,
}

/// The section `http`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where services ask.
    pub listen: SocketAddr,
}

/// The section `mqtt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mqtt {
    /// Where workers, services and operators connect.
    pub listen: SocketAddr,
    /// Where they connect over WebSocket, if anywhere. `/mqtt` on the HTTP port is another way.
    pub listen_websocket: Option<SocketAddr>,
    /// Addresses to which no limits by address apply, such as those of a farm or a proxy.
    pub trusted_prefixes: Vec<AddressPrefix>,
}

/// The section `admin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Where operators' commands are taken besides the socket in the data directory, if anywhere. Whoever has the operator's
    /// token may do everything there.
    pub listen: Option<SocketAddr>,
}

/// The section `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The hardest work that is sold, as a multiple of the base send threshold.
    pub multiplier_max: f64,
}

/// The section `dispatch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dispatch {
    /// By which rule workers are chosen.
    pub policy: DispatchName,
    /// To how many workers `fastest_k` offers a job.
    pub k: NonZeroUsize,
}

/// The section `ledger`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// How long after an audit the next one begins, in seconds; 0: there is none, not even at the start.
    pub audit_interval_s: u64,
}

/// The rules by which workers are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DispatchName {
    /// Every job to every worker.
    Broadcast,
    /// Every job to the `k` fastest of those with the shortest lists.
    FastestK,
}

/// The rules by which works are priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PricingName {
    /// By expected hashes.
    Proportional,
    /// One credit for anything up to a send.
    Flat,
}

impl Default for Settings {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            network: Network::Live,
            data_dir: "dpow-data".into(),
            shutdown_grace_s: 30,
            http: Http { listen: loopback(5030) },
            mqtt: Mqtt {
                listen: loopback(1883),
                listen_websocket: None,
                trusted_prefixes: AddressPrefix::LOOPBACK.to_vec(),
            },
            admin: Admin { listen: None },
            limits: Limits { multiplier_max: 8.0 },
            dispatch: Dispatch { policy: DispatchName::FastestK, k: NonZeroUsize::MIN.saturating_add(7) },
            pricing: PricingName::Proportional,
            ledger: Ledger { audit_interval_s: 3600 },
            log: Telemetry { filter: "warn".into(), ..Telemetry::default() },
        }
    }
}

impl Settings {
    /// Reads all layers. `flags` holds only what was given on the command line.
    ///
    /// # Errors
    /// [`ConfigError`] names the key and where its value comes from.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &impl Serialize,
    ) -> Result<Self, ConfigError> {
        let mut sources = Sources::new(&Self::default())?;
        if let Some(file) = file {
            sources = sources.file(file)?;
        }
        config::load(&sources.environment("DPOW", &["DPOW_WORKER", "DPOW_BRIDGE"], variables)?.flags(flags)?)
    }

    /// The market's rules.
    ///
    /// # Errors
    /// [`BadMultiplier`] when `limits.multiplier_max` is not above zero.
    pub fn policy(&self) -> Result<Policy, BadMultiplier> {
        let dispatch = match self.dispatch.policy {
            DispatchName::Broadcast => DispatchPolicy::Broadcast,
            DispatchName::FastestK => DispatchPolicy::FastestK { k: self.dispatch.k },
        };
        let pricing = match self.pricing {
            PricingName::Proportional => Pricing::Proportional,
            PricingName::Flat => Pricing::Flat,
        };
        let multiplier_max = Multiplier::try_new(self.limits.multiplier_max)?;
        Ok(Policy { pricing, ..Policy::of_network(self.network, multiplier_max, dispatch) })
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
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn load(variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let variables = variables.iter().map(|(key, value)| (OsString::from(key), OsString::from(value)));
        Settings::load(None, variables, &std::collections::BTreeMap::<String, String>::new())
    }

    #[test]
    fn the_defaults_are_complete_and_the_environment_wins() {
        assert_eq!(load(&[]).unwrap(), Settings::default());
        let settings = load(&[
            ("DPOW_NETWORK", "dev"),
            ("DPOW_DATA_DIR", "12345"),
            ("DPOW_HTTP__LISTEN", "127.0.0.1:6000"),
            ("DPOW_MQTT__LISTEN_WEBSOCKET", "127.0.0.1:6001"),
            ("DPOW_MQTT__TRUSTED_PREFIXES", "10.1.0.0/16, ::1/128"),
            ("DPOW_ADMIN__LISTEN", "127.0.0.1:6002"),
            ("DPOW_DISPATCH__POLICY", "broadcast"),
            ("DPOW_DISPATCH__K", "3"),
            ("DPOW_LEDGER__AUDIT_INTERVAL_S", "0"),
            ("DPOW_WORKER_THREADS", "not ours"),
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
        assert_eq!((settings.audit_interval(), Settings::default().audit_interval()), (None, Some(HOUR)));
        assert_eq!(settings.policy().unwrap().dispatch, DispatchPolicy::Broadcast);
    }

    #[test]
    fn the_file_in_deploy_says_all_the_defaults() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/dpow.toml");
        let none = std::collections::BTreeMap::<String, String>::new();
        let settings = Settings::load(Some(Path::new(file)), [], &none).unwrap();
        assert_eq!(settings, Settings::default());
        let text = std::fs::read_to_string(file).unwrap();
        for key in [
            "network",
            "data_dir",
            "shutdown_grace_s",
            "pricing",
            "audit_interval_s",
            "listen",
            "trusted_prefixes",
            "multiplier_max",
            "policy",
            "k",
        ] {
            assert!(text.contains(&format!("\n{key} = ")), "{key}");
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = load(&[("DPOW_HTTP__PORT", "1")]).unwrap_err().to_string();
        assert!(error.contains("port"), "{error}");
        assert!(load(&[("DPOW_DISPATCH__K", "0")]).is_err());
        assert!(load(&[("DPOW_MQTT__TRUSTED_PREFIXES", "10.1.0.0/33")]).is_err());
    }
}
