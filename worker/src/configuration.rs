//! The settings: as they are written, and as they are used.

use std::env;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::{Configuration, Invalid, LogFormat, Problems, Telemetry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::pow::Threshold;
use shared::{Account, Network};
use thiserror::Error;
use worker::backend::cpu::{self, InstructionSet, Instructions, UnknownInstructionSet, available, fastest};
use worker::backend::opencl::{self, Choice};
use worker::{BadServer, Server, threshold_max_default};

/// The instruction set is chosen by the worker.
const AUTO: &str = "auto";

/// The configuration as it is written. What stands here about a field is what `docs/config.md` and `deploy/dpow-worker.toml`
/// say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunConfiguration {
    /// Where to connect.
    #[schemars(extend("form" = "mqtt://host:port", "flag" = "--server"))]
    server: String,
    /// Whom the results are paid to: your address. Without one, nothing can be done.
    #[schemars(
        example = &"nano_YOUR_ADDRESS",
        extend("form" = "an address of the network", "flag" = "--account")
    )]
    account: Option<String>,
    /// The network that the account and the work belong to.
    #[schemars(with = "String", extend("form" = "`live`, `beta`, `test`, `dev` or `banano`", "flag" = "--network"))]
    network: Network,
    /// Where the worker keeps its identity; one worker for each directory. Without one, it is `dpow-worker` in
    /// `$XDG_STATE_HOME`, else in `~/.local/state`.
    #[schemars(example = "/var/lib/dpow-worker", extend("form" = "a path", "flag" = "--data-dir"))]
    data_dir: Option<PathBuf>,
    /// How many threads search. Without a number, one for each core.
    #[schemars(example = 2, extend("unit" = "threads", "flag" = "--threads"))]
    threads: Option<NonZeroUsize>,
    /// With which instructions they search. `auto`: the fastest that the processor has. Some processors are faster, or cooler,
    /// with `avx512vl` than with `avx512`; `dpow-worker bench` tells.
    #[schemars(extend(
        "form" = "`auto`, `avx512`, `avx512vl`, `avx2`, `neon-sha3`, `neon` or `portable`",
        "flag" = "--instructions"
    ))]
    instructions: String,
    /// Whether each thread stays on a core of its own. Only on Linux.
    #[schemars(extend("flag" = "--pin-threads"))]
    pin_threads: bool,
    /// Whether everything else on the machine goes before the threads that search. Only on Linux.
    #[schemars(extend("flag" = "--low-priority"))]
    low_priority: bool,
    /// The hardest work to do. Without one, 8 times the network's send threshold.
    #[schemars(
        with = "Option<String>",
        example = &"ffffffff00000000",
        extend("form" = "16 hexadecimal digits", "flag" = "--threshold-max")
    )]
    threshold_max: Option<Threshold>,
    /// Whether to work ahead of demand as well.
    #[schemars(extend("flag" = "--precache"))]
    precache: bool,
    /// Graphics cards and whatever else speaks OpenCL.
    opencl: OpenCl,
    /// What is logged, and how. What the worker does is told on standard output in any case.
    log: Telemetry,
}

/// The section `opencl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OpenCl {
    /// Which devices search. `auto`: all but processors, for which the worker has better code of its own. `all`: processors as
    /// well. `off`: none, and OpenCL is not even loaded. Else numbers, as the worker prints them at its start, and parts of
    /// names.
    #[schemars(
        example = &"0,Radeon",
        extend("form" = "`auto`, `all`, `off`, or a list with commas", "flag" = "--opencl-devices")
    )]
    devices: String,
    /// How long a launch takes. Two are under way, so an order to stop is obeyed after twice this time. Where a card drives a
    /// display that stutters, take 1 or 2.
    #[schemars(range(min = 1, max = 50), extend("unit" = "milliseconds", "flag" = "--opencl-launch-ms"))]
    launch_ms: u64,
    /// The OpenCL library. Without one, the system's.
    #[schemars(example = "/opt/rocm/lib/libOpenCL.so.1", extend("form" = "a path", "flag" = "--opencl-library"))]
    library: Option<PathBuf>,
}

impl Default for OpenCl {
    fn default() -> Self {
        Self { devices: Choice::Auto.to_string(), launch_ms: 5, library: None }
    }
}

impl Default for RunConfiguration {
    fn default() -> Self {
        Self {
            server: "mqtt://127.0.0.1:1883".into(),
            account: None,
            network: Network::Live,
            data_dir: None,
            threads: None,
            instructions: AUTO.into(),
            pin_threads: false,
            low_priority: true,
            threshold_max: None,
            precache: true,
            opencl: OpenCl::default(),
            // Standard output tells the volunteer what goes on; the log is for what is wrong.
            log: Telemetry { filter: "warn".into(), format: LogFormat::Text },
        }
    }
}

/// The configuration as it is used.
#[derive(Debug)]
pub(crate) struct RunSettings {
    pub(crate) server: Server,
    pub(crate) account: Account,
    pub(crate) data_dir: PathBuf,
    pub(crate) threshold_max: Threshold,
    pub(crate) precache: bool,
    pub(crate) devices: DeviceSettings,
}

/// What is used of the configuration by those commands that need no server.
#[derive(Debug)]
pub(crate) struct DeviceSettings {
    pub(crate) network: Network,
    pub(crate) processor: cpu::Settings,
    pub(crate) opencl: opencl::Settings,
    pub(crate) log: Telemetry,
}

/// Why the program does not know what to do.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    #[error(transparent)]
    Configuration(#[from] Problems),
    #[error("no account is given: name your address with --account nano_…, for results are paid to it")]
    NoAccount,
    #[error("the account {address} cannot be paid: {reason}")]
    Account { address: String, reason: shared::account::AccountError },
    #[error("the server {server} cannot be used: {reason}")]
    Server { server: String, reason: BadServer },
    #[error(transparent)]
    UnknownInstructions(#[from] UnknownInstructionSet),
    #[error("this processor has no {wanted}; it has {}", names(&available()))]
    NoInstructions { wanted: InstructionSet },
}

/// The words of what a processor has, with commas between them.
fn names(available: &[Arc<dyn Instructions>]) -> String {
    available.iter().map(|instructions| instructions.set().as_str()).collect::<Vec<_>>().join(", ")
}

impl SettingsError {
    /// The keys that would have to be others.
    const fn keys(&self) -> &'static [&'static str] {
        match self {
            Self::Configuration(_) => &[],
            Self::NoAccount => &["account"],
            Self::Account { .. } => &["account", "network"],
            Self::Server { .. } => &["server"],
            Self::UnknownInstructions(_) | Self::NoInstructions { .. } => &["instructions"],
        }
    }
}

impl Configuration for RunConfiguration {
    const PROGRAM: &'static str = "dpow-worker";
    const PREFIX: &'static str = "DPOW_WORKER";

    fn validate(&self) -> Vec<Invalid> {
        let invalid = |error: SettingsError| Invalid::new(error.keys(), error.to_string());
        let (server, account) = (self.read_server().err(), self.read_account().err());
        let run = server.into_iter().chain(account).map(invalid);
        run.chain(self.validate_devices()).collect()
    }
}

/// The same configuration for those commands that need no server: what is wrong with its account does not matter to them.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct DeviceConfiguration(RunConfiguration);

impl Configuration for DeviceConfiguration {
    const PROGRAM: &'static str = RunConfiguration::PROGRAM;
    const PREFIX: &'static str = RunConfiguration::PREFIX;

    fn validate(&self) -> Vec<Invalid> {
        self.0.validate_devices()
    }
}

impl DeviceConfiguration {
    pub(crate) fn read(self) -> Result<DeviceSettings, SettingsError> {
        let data_dir = self.0.data_dir();
        self.0.read_devices(&data_dir)
    }
}

impl RunConfiguration {
    fn read_server(&self) -> Result<Server, SettingsError> {
        let server = &self.server;
        server.parse().map_err(|reason| SettingsError::Server { server: server.clone(), reason })
    }

    fn read_account(&self) -> Result<Account, SettingsError> {
        let address = self.account.as_ref().ok_or(SettingsError::NoAccount)?;
        let account = self.network.parse_address(address);
        account.map_err(|reason| SettingsError::Account { address: address.clone(), reason })
    }

    fn read_instructions(&self) -> Result<Arc<dyn Instructions>, SettingsError> {
        if self.instructions == AUTO {
            return Ok(fastest());
        }
        let wanted: InstructionSet = self.instructions.parse()?;
        wanted.detect().ok_or(SettingsError::NoInstructions { wanted })
    }

    fn validate_devices(&self) -> Vec<Invalid> {
        let invalid = |error: SettingsError| Invalid::new(error.keys(), error.to_string());
        self.read_instructions().err().into_iter().map(invalid).chain(self.log.validate()).collect()
    }

    fn data_dir(&self) -> PathBuf {
        let data_dir = self.data_dir.clone();
        data_dir.unwrap_or_else(|| default_data_dir(|name| env::var_os(name).map(PathBuf::from)))
    }

    fn read_devices(self, data_dir: &Path) -> Result<DeviceSettings, SettingsError> {
        let default = cpu::Settings::default();
        let processor = cpu::Settings {
            instructions: self.read_instructions()?,
            threads: self.threads.unwrap_or(default.threads),
            is_pinned: self.pin_threads,
            has_low_priority: self.low_priority,
        };
        let Self { network, opencl, log, .. } = self;
        Ok(DeviceSettings { network, processor, opencl: opencl.read(data_dir), log })
    }

    pub(crate) fn read(self) -> Result<RunSettings, SettingsError> {
        let (server, account, data_dir) = (self.read_server()?, self.read_account()?, self.data_dir());
        let Self { network, threshold_max, precache, .. } = self;
        let threshold_max = threshold_max.unwrap_or_else(|| threshold_max_default(network));
        let devices = self.read_devices(&data_dir)?;
        Ok(RunSettings { server, account, data_dir, threshold_max, precache, devices })
    }
}

impl OpenCl {
    /// What is remembered about devices is kept in a folder of the data directory.
    fn read(self, data_dir: &Path) -> opencl::Settings {
        let Self { devices, launch_ms, library } = self;
        opencl::Settings {
            devices: Choice::of(&devices),
            library,
            launch: Duration::from_millis(launch_ms),
            folder: Some(data_dir.join("opencl")),
        }
    }
}

/// Where a program of this system's users keeps its state: the same place wherever it is started from, for another directory
/// is another identity. The XDG base directory specification has a path that is not absolute ignored.
fn default_data_dir(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("LOCALAPPDATA"))
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map_or_else(|| "dpow-worker-data".into(), |state| state.join("dpow-worker"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_directory_is_the_same_from_everywhere() {
        for (variables, expected) in [
            (&[("XDG_STATE_HOME", "/state"), ("HOME", "/home/a")][..], "/state/dpow-worker"),
            (&[("XDG_STATE_HOME", "state"), ("HOME", "/home/a")], "/home/a/.local/state/dpow-worker"),
            (&[], "dpow-worker-data"),
        ] {
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value))
            };
            assert_eq!(default_data_dir(variable), PathBuf::from(expected));
        }
    }

    #[test]
    fn instructions_are_chosen_by_their_word() {
        let read = |text: &str| {
            let configuration = RunConfiguration { instructions: text.into(), ..RunConfiguration::default() };
            configuration.read_instructions().map(|instructions| instructions.set())
        };
        assert_eq!(read("auto").unwrap(), fastest().set());
        for instructions in available() {
            assert_eq!(read(instructions.set().as_str()).unwrap(), instructions.set());
        }
        assert!(read("sse9").unwrap_err().to_string().starts_with("`sse9` is no instruction set: avx512,"));
        // No processor has both.
        let missing = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
        let error = read(missing).unwrap_err().to_string();
        assert!(error.starts_with(&format!("this processor has no {missing}; it has ")), "{error}");
        assert!(error.ends_with("portable"), "{error}");
    }
}
