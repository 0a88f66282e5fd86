//! Arguments and configuration of the program.

use std::env;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use config::{Configuration, Invalid, LogFormat, Problems, Telemetry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::pow::Threshold;
use shared::{Account, Network};
use thiserror::Error;
use worker::backend::opencl::{self, Choice};
use worker::{BadServer, Server, threshold_max_default};

/// Searches nonces for Nano blocks and earns Nano.
#[derive(Debug, Parser)]
#[command(name = "dpow-worker", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Connect to a server and work (what happens when no command is given).
    Run,
    /// Settings: what is wrong with them, what is in effect, what there is.
    #[command(subcommand)]
    Config(config::Command),
}

/// What the program is asked to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// Work.
    Run(Box<RunSettings>),
    /// Print this.
    Print(String),
}

/// Every flag is optional, so that what is not given leaves the layers below alone.
#[derive(Debug, Args, Serialize)]
struct Flags {
    /// Where to connect.
    #[arg(
        long,
        global = true,
        value_name = "mqtt://HOST:PORT",
        help = "Where to connect [default: mqtt://127.0.0.1:1883]"
    )]
    server: Option<String>,
    /// Whom the results are paid to: your address, nano_… (ban_… on Banano).
    #[arg(long, global = true, value_name = "ADDRESS")]
    account: Option<String>,
    /// The network: live, beta, test, dev or banano [default: live].
    #[arg(long, global = true)]
    network: Option<Network>,
    /// Where the worker keeps its identity.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        help = "Where the worker keeps its identity; one worker for each directory \
                [default: dpow-worker in $XDG_STATE_HOME, else in ~/.local/state]"
    )]
    data_dir: Option<PathBuf>,
    /// How many threads search [default: one for each core].
    #[arg(long, global = true)]
    threads: Option<NonZeroUsize>,
    /// The hardest work to do, 16 hexadecimal digits [default: 8 times the network's send threshold].
    #[arg(long, global = true, value_name = "THRESHOLD")]
    threshold_max: Option<Threshold>,
    /// Whether to work ahead of demand as well [default: true].
    #[arg(long, global = true, value_name = "BOOL")]
    precache: Option<bool>,
    /// A TOML file with these settings. Environment variables such as `DPOW_WORKER_SERVER` win over it, flags over
    /// both.
    #[arg(long, global = true, value_name = "FILE", env = "DPOW_WORKER_CONFIG")]
    #[serde(skip)]
    config: Option<PathBuf>,
    #[command(flatten)]
    opencl: OpenClFlags,
    #[command(flatten)]
    log: LogFlags,
}

#[derive(Debug, Args, Serialize)]
struct OpenClFlags {
    /// Which devices of OpenCL search: auto, all, off, or numbers and parts of names with commas between them
    /// [default: auto].
    #[arg(global = true, long = "opencl-devices", value_name = "DEVICES")]
    devices: Option<String>,
    /// How long a launch on such a device takes, in milliseconds [default: 5].
    #[arg(global = true, long = "opencl-launch-ms", value_name = "MS")]
    launch_ms: Option<u64>,
    /// The OpenCL library [default: the system's].
    #[arg(global = true, long = "opencl-library", value_name = "FILE")]
    library: Option<PathBuf>,
}

#[derive(Debug, Args, Serialize)]
struct LogFlags {
    /// What to log to standard error: error, warn, info, debug, or directives [default: warn].
    #[arg(global = true, long = "log", value_name = "FILTER")]
    filter: Option<String>,
    /// How to log [default: text].
    #[arg(global = true, long = "log-format", value_name = "FORMAT")]
    format: Option<LogFormat>,
}

/// The configuration as it is written. What stands here about a field is what `docs/config.md` and `deploy/dpow-worker.toml`
/// say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunConfiguration {
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
    pub(crate) network: Network,
    pub(crate) data_dir: PathBuf,
    pub(crate) threads: Option<NonZeroUsize>,
    pub(crate) threshold_max: Threshold,
    pub(crate) precache: bool,
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
}

impl SettingsError {
    /// The keys that would have to be others.
    const fn keys(&self) -> &'static [&'static str] {
        match self {
            Self::Configuration(_) => &[],
            Self::NoAccount => &["account"],
            Self::Account { .. } => &["account", "network"],
            Self::Server { .. } => &["server"],
        }
    }
}

impl Arguments {
    /// What is to be done, with all layers of the configuration together and checked.
    pub(crate) fn task(self) -> Result<Task, SettingsError> {
        self.task_with(env::vars_os())
    }

    fn task_with(
        self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Task, SettingsError> {
        let load = || config::load::<RunConfiguration>(self.flags.config.as_deref(), variables, &self.flags);
        match self.command {
            None | Some(Command::Run) => Ok(Task::Run(Box::new(load()?.settings.read()?))),
            Some(Command::Config(command)) => Ok(Task::Print(command.run(load)?)),
        }
    }
}

impl Configuration for RunConfiguration {
    const PROGRAM: &'static str = "dpow-worker";
    const PREFIX: &'static str = "DPOW_WORKER";

    fn validate(&self) -> Vec<Invalid> {
        let invalid = |error: SettingsError| Invalid::new(error.keys(), error.to_string());
        let (server, account) = (self.read_server().err(), self.read_account().err());
        server.into_iter().chain(account).map(invalid).chain(self.log.validate()).collect()
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

    fn read(self) -> Result<RunSettings, SettingsError> {
        let (server, account) = (self.read_server()?, self.read_account()?);
        let Self { network, data_dir, threads, threshold_max, precache, opencl, log, .. } = self;
        let data_dir =
            data_dir.unwrap_or_else(|| default_data_dir(|name| env::var_os(name).map(PathBuf::from)));
        Ok(RunSettings {
            server,
            account,
            network,
            opencl: opencl.read(&data_dir),
            data_dir,
            threads,
            threshold_max: threshold_max.unwrap_or_else(|| threshold_max_default(network)),
            precache,
            log,
        })
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
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use clap::CommandFactory;
    use config::Reference;
    use config::reference::Form;

    use super::*;

    const ADDRESS: &str = "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3";

    /// What the arguments come to, without this process's environment.
    fn settings(arguments: &[&str]) -> Result<Box<RunSettings>, SettingsError> {
        match Arguments::try_parse_from([&["dpow-worker"], arguments].concat()).unwrap().task_with([])? {
            Task::Run(settings) => Ok(settings),
            Task::Print(text) => panic!("nothing was to be printed: {text}"),
        }
    }

    #[test]
    fn run_is_what_happens_without_a_command() {
        for arguments in
            [&["--account", ADDRESS][..], &["run", "--account", ADDRESS], &["--account", ADDRESS, "run"]]
        {
            let settings = settings(arguments).unwrap();
            assert_eq!(settings.account.to_string(), ADDRESS);
            assert_eq!(settings.server.to_string(), "mqtt://127.0.0.1:1883");
            assert_eq!(settings.threshold_max.to_string(), "ffffffff00000000");
            assert_eq!((settings.network, settings.threads, settings.precache), (Network::Live, None, true));
            assert_eq!(settings.log.filter, "warn");
            let default = opencl::Settings { folder: None, ..settings.opencl.clone() };
            assert_eq!(default, opencl::Settings::default());
        }
    }

    #[test]
    fn flags_reach_the_settings() {
        let settings = settings(&[
            "--account",
            &ADDRESS.replace("nano_", "ban_"),
            "--network",
            "banano",
            "--server",
            "mqtt://[::1]:1",
            "--threads",
            "3",
            "--data-dir",
            "/data",
            "--log",
            "debug",
            "--log-format",
            "json",
            "--threshold-max",
            "ffffff0000000000",
            "--precache",
            "false",
            "--opencl-devices",
            "0,Radeon",
            "--opencl-launch-ms",
            "2",
            "--opencl-library",
            "/lib/other.so",
        ])
        .unwrap();
        assert_eq!(settings.network, Network::Banano);
        assert_eq!(settings.server.to_string(), "mqtt://[::1]:1");
        assert_eq!(settings.threads, NonZeroUsize::new(3));
        assert_eq!(settings.data_dir, PathBuf::from("/data"));
        assert_eq!(settings.log, Telemetry { filter: "debug".into(), format: LogFormat::Json });
        assert_eq!(settings.threshold_max.to_string(), "ffffff0000000000");
        assert!(!settings.precache);
        let opencl = settings.opencl;
        assert_eq!(opencl.devices.to_string(), "0,Radeon");
        assert_eq!(opencl.launch, Duration::from_millis(2));
        assert_eq!(opencl.library, Some("/lib/other.so".into()));
        assert_eq!(opencl.folder, Some("/data/opencl".into()));
    }

    #[test]
    fn what_is_wrong_with_an_address_is_pointed_at() {
        let mistyped = ADDRESS.replace("nano_3t6k", "nano_3t6l");
        for (arguments, sentence) in [
            (&[][..], "no account is given"),
            (&["--account", &mistyped], "character 9 of the address is wrong"),
            (&["--account", ADDRESS, "--network", "banano"], "this network's addresses begin with ban_"),
            (&["--account", ADDRESS, "--server", "http://x"], "a server is written mqtt://host:port"),
        ] {
            let error = anyhow::Error::from(settings(arguments).unwrap_err());
            assert!(format!("{error:#}").contains(sentence), "{error:#}");
        }
    }

    /// The file in `deploy` is what the program prints, and as it stands it changes nothing.
    #[test]
    fn the_file_in_deploy_says_all_the_defaults() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/dpow-worker.toml");
        let arguments = Arguments::try_parse_from(["dpow-worker", "config", "generate"]).unwrap();
        let Task::Print(generated) = arguments.task_with([]).unwrap() else { panic!("nothing is printed") };
        let text = fs::read_to_string(file).unwrap();
        assert_eq!(text, generated, "see CONTRIBUTING.md for how it is made anew");
        let account = [("DPOW_WORKER_ACCOUNT".into(), ADDRESS.into())];
        let loaded = config::load::<RunConfiguration>(Some(Path::new(file)), account, &()).unwrap();
        let expected = RunConfiguration { account: Some(ADDRESS.into()), ..RunConfiguration::default() };
        assert_eq!(loaded.settings, expected);
    }

    /// Each key says what it does and what it counts, and is set by the flag that it names and by no other.
    #[test]
    fn every_key_is_documented_and_has_its_flag() {
        let reference = Reference::of::<RunConfiguration>().unwrap();
        let command = Arguments::command();
        let flags = command.get_arguments().filter_map(clap::Arg::get_long).map(|flag| format!("--{flag}"));
        let flags: BTreeSet<_> = flags.filter(|flag| flag != "--config").collect();
        for key in reference.keys() {
            assert!(!key.meaning.is_empty(), "{}", key.path);
            assert_eq!(key.unit.is_some(), matches!(key.form, Form::Number { .. }), "{}", key.path);
        }
        assert_eq!(reference.keys().filter_map(|key| key.flag.clone()).collect::<BTreeSet<_>>(), flags);
        let network = reference.keys().find(|key| key.path == "network").unwrap().expected();
        let names: Vec<_> = network.split('`').skip(1).step_by(2).collect();
        assert_eq!(names, Network::ALL.map(Network::name));
    }

    #[test]
    fn all_that_is_wrong_is_said_with_its_origin() {
        let arguments = Arguments::try_parse_from(["dpow-worker", "config", "check", "--server", "http://x"]);
        let variables = [("DPOW_WORKER_THREADS", "0"), ("DPOW_WORKER_ACOUNT", "nano_1")];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let error = arguments.unwrap().task_with(variables).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the configuration has 4 problems\n  \
             unknown key `acount` in the environment variable DPOW_WORKER_ACOUNT: did you mean DPOW_WORKER_ACCOUNT?\n  \
             `threads` in the environment variable DPOW_WORKER_THREADS is 0, but must be a whole number from 1 (threads)\n  \
             the server http://x cannot be used: a server is written mqtt://host:port (`server`: the flag --server)\n  \
             no account is given: name your address with --account nano_…, for results are paid to it (`account`: the \
             built-in defaults)"
        );
    }

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
}
