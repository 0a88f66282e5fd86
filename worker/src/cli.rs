//! Arguments and configuration of the program.

use std::env;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use config::{ConfigError, LogFormat, Sources, Telemetry};
use serde::{Deserialize, Serialize};
use shared::pow::Threshold;
use shared::{Account, Network};
use thiserror::Error;
use worker::{BadServer, Server, threshold_max_default};

/// The prefix of this program's environment variables.
const PREFIX: &str = "DPOW_WORKER";

/// Searches nonces for Nano blocks and earns Nano.
#[derive(Debug, Parser)]
#[command(name = "dpow-worker", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Of `run`, which is what happens when no command is given.
    #[command(flatten)]
    run: RunFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Connect to a server and work (what happens when no command is given).
    Run(RunFlags),
}

/// Every flag is optional, so that what is not given leaves the layers below alone.
#[derive(Debug, Args, Serialize)]
struct RunFlags {
    /// Where to connect.
    #[arg(long, value_name = "mqtt://HOST:PORT", help = "Where to connect [default: mqtt://127.0.0.1:1883]")]
    server: Option<String>,
    /// Whom the results are paid to: your address, nano_… (ban_… on Banano).
    #[arg(long, value_name = "ADDRESS")]
    account: Option<String>,
    /// The network: live, beta, test, dev or banano [default: live].
    #[arg(long)]
    network: Option<Network>,
    /// Where the worker keeps its identity.
    #[arg(
        long,
        value_name = "DIR",
        help = "Where the worker keeps its identity; one worker for each directory \
                [default: dpow-worker in $XDG_STATE_HOME, else in ~/.local/state]"
    )]
    data_dir: Option<PathBuf>,
    /// How many threads search [default: one for each core].
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// The hardest work to do, 16 hexadecimal digits [default: 8 times the network's send threshold].
    #[arg(long, value_name = "THRESHOLD")]
    threshold_max: Option<Threshold>,
    /// Whether to work ahead of demand as well [default: true].
    #[arg(long, value_name = "BOOL")]
    precache: Option<bool>,
    /// A TOML file with these settings. Environment variables such as `DPOW_WORKER_SERVER` win over it, flags over
    /// both.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    #[command(flatten)]
    log: LogFlags,
}

#[derive(Debug, Args, Serialize)]
struct LogFlags {
    /// What to log to standard error: error, warn, info, debug, or directives [default: warn].
    #[arg(long = "log", value_name = "FILTER")]
    filter: Option<String>,
    /// How to log: text or json [default: text].
    #[arg(long = "log-format", value_name = "FORMAT", value_parser = log_format)]
    format: Option<LogFormat>,
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("use text or json".into()),
    }
}

/// The configuration as it is written: its keys are the flags' names, with `log` a section.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunConfiguration {
    server: String,
    account: Option<String>,
    network: Network,
    data_dir: Option<PathBuf>,
    threads: Option<NonZeroUsize>,
    threshold_max: Option<Threshold>,
    precache: bool,
    log: Telemetry,
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
    pub(crate) log: Telemetry,
}

/// Why the program does not know what to do.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    #[error(transparent)]
    Configuration(#[from] ConfigError),
    #[error("no account is given: name your address with --account nano_…, for results are paid to it")]
    NoAccount,
    #[error("the account {address} cannot be paid")]
    Account {
        address: String,
        #[source]
        source: shared::account::AccountError,
    },
    #[error("the server {server} cannot be used")]
    Server {
        server: String,
        #[source]
        source: BadServer,
    },
}

impl Arguments {
    /// All layers together, checked.
    pub(crate) fn settings(self) -> Result<RunSettings, SettingsError> {
        let flags = match self.command {
            Some(Command::Run(flags)) => flags,
            None => self.run,
        };
        let mut sources = Sources::new(&RunConfiguration::default())?;
        if let Some(file) = &flags.config {
            sources = sources.file(file)?;
        }
        let sources = sources.environment(PREFIX, &[], env::vars_os())?.flags(&flags)?;
        check(config::load(&sources)?)
    }
}

fn check(configuration: RunConfiguration) -> Result<RunSettings, SettingsError> {
    let RunConfiguration { server, account, network, data_dir, threads, threshold_max, precache, log } =
        configuration;
    let account = account.ok_or(SettingsError::NoAccount)?;
    Ok(RunSettings {
        server: server.parse().map_err(|source| SettingsError::Server { server, source })?,
        account: network
            .parse_address(&account)
            .map_err(|source| SettingsError::Account { address: account, source })?,
        network,
        data_dir: data_dir.unwrap_or_else(|| default_data_dir(|name| env::var_os(name).map(PathBuf::from))),
        threads,
        threshold_max: threshold_max.unwrap_or_else(|| threshold_max_default(network)),
        precache,
        log,
    })
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

    const ADDRESS: &str = "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3";

    /// What the arguments come to, without this process's environment.
    fn settings(arguments: &[&str]) -> Result<RunSettings, SettingsError> {
        let arguments = Arguments::try_parse_from([&["dpow-worker"], arguments].concat()).unwrap();
        let flags = match arguments.command {
            Some(Command::Run(flags)) => flags,
            None => arguments.run,
        };
        check(config::load(&Sources::new(&RunConfiguration::default())?.flags(&flags)?)?)
    }

    #[test]
    fn run_is_what_happens_without_a_command() {
        for arguments in [&["--account", ADDRESS][..], &["run", "--account", ADDRESS]] {
            let settings = settings(arguments).unwrap();
            assert_eq!(settings.account.to_string(), ADDRESS);
            assert_eq!(settings.server.to_string(), "mqtt://127.0.0.1:1883");
            assert_eq!(settings.threshold_max.to_string(), "ffffffff00000000");
            assert_eq!((settings.network, settings.threads, settings.precache), (Network::Live, None, true));
            assert_eq!(settings.log.filter, "warn");
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
        ])
        .unwrap();
        assert_eq!(settings.network, Network::Banano);
        assert_eq!(settings.server.to_string(), "mqtt://[::1]:1");
        assert_eq!(settings.threads, NonZeroUsize::new(3));
        assert_eq!(settings.data_dir, PathBuf::from("/data"));
        assert_eq!(settings.log, Telemetry { filter: "debug".into(), format: LogFormat::Json });
        assert_eq!(settings.threshold_max.to_string(), "ffffff0000000000");
        assert!(!settings.precache);
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
