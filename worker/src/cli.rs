//! Arguments and configuration of the program.

use std::env;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use config::LogFlags;
use serde::Serialize;
use shared::Network;
use shared::pow::Threshold;

use crate::configuration::{
    DeviceConfiguration, DeviceSettings, RunConfiguration, RunSettings, SettingsError,
};

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
    /// Which devices there are, and why each is used or not. Needs no server and no account.
    Devices(Form),
    /// Whether each device that is used computes what it should. Always the same searches. Needs no server and no account.
    Selftest(Form),
    /// How fast each device is, after a self-test, and how long works take it. Needs no server and no account.
    Bench(Bench),
    /// Settings: what is wrong with them, what is in effect, what there is.
    #[command(subcommand)]
    Config(config::Command),
}

/// How a command answers.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Form {
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How devices are measured.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Bench {
    /// How long each device is measured, and then all of them together.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    #[command(flatten)]
    pub(crate) form: Form,
}

impl Bench {
    pub(crate) const fn time(self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// What is done with the devices without a server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Offline {
    Devices(Form),
    Selftest(Form),
    Bench(Bench),
}

/// What the program is asked to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// Work.
    Run(Box<RunSettings>),
    /// Try the devices.
    Offline(Offline, Box<DeviceSettings>),
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
    /// With which instructions they search: avx512, avx512vl, avx2, neon-sha3, neon or portable [default: auto].
    #[arg(long, global = true, value_name = "SET")]
    instructions: Option<String>,
    /// Whether each thread stays on a core of its own [default: false].
    #[arg(long, global = true, value_name = "BOOL")]
    pin_threads: Option<bool>,
    /// Whether everything else on the machine goes before the threads that search [default: true].
    #[arg(long, global = true, value_name = "BOOL")]
    low_priority: Option<bool>,
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

impl Arguments {
    /// What is to be done, with all layers of the configuration together and checked.
    pub(crate) fn task(self) -> Result<Task, SettingsError> {
        self.task_with(env::vars_os())
    }

    fn task_with(
        self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Task, SettingsError> {
        let file = self.flags.config.as_deref();
        let offline = match self.command {
            None | Some(Command::Run) => {
                let loaded = config::load::<RunConfiguration>(file, variables, &self.flags)?;
                return Ok(Task::Run(Box::new(loaded.settings.read()?)));
            }
            Some(Command::Config(command)) => {
                let load = || config::load::<RunConfiguration>(file, variables, &self.flags);
                return Ok(Task::Print(command.run(load)?));
            }
            Some(Command::Devices(form)) => Offline::Devices(form),
            Some(Command::Selftest(form)) => Offline::Selftest(form),
            Some(Command::Bench(bench)) => Offline::Bench(bench),
        };
        let loaded = config::load::<DeviceConfiguration>(file, variables, &self.flags)?;
        Ok(Task::Offline(offline, Box::new(loaded.settings.read()?)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use clap::CommandFactory;
    use config::reference;
    use config::{LogFormat, Reference, Telemetry};
    use shared::Network;
    use worker::backend::cpu::InstructionSet;
    use worker::backend::opencl;

    use super::*;

    const ADDRESS: &str = "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3";

    /// What the arguments come to, without this process's environment.
    fn settings(arguments: &[&str]) -> Result<Box<RunSettings>, SettingsError> {
        match Arguments::try_parse_from([&["dpow-worker"], arguments].concat()).unwrap().task_with([])? {
            Task::Run(settings) => Ok(settings),
            other => panic!("it was to run: {other:?}"),
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
            let devices = settings.devices;
            assert_eq!((devices.network, settings.precache), (Network::Live, true));
            assert!(devices.processor.has_low_priority && !devices.processor.is_pinned);
            assert_eq!(devices.log.filter, "warn");
            let default = opencl::Settings { folder: None, ..devices.opencl.clone() };
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
            "--instructions",
            "portable",
            "--pin-threads",
            "true",
            "--low-priority",
            "false",
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
        let devices = settings.devices;
        assert_eq!(devices.network, Network::Banano);
        assert_eq!(settings.server.to_string(), "mqtt://[::1]:1");
        let processor = devices.processor;
        assert_eq!(processor.threads.get(), 3);
        assert_eq!(processor.instructions.set(), InstructionSet::Portable);
        assert!(processor.is_pinned && !processor.has_low_priority);
        assert_eq!(settings.data_dir, PathBuf::from("/data"));
        assert_eq!(devices.log, Telemetry { filter: "debug".into(), format: LogFormat::Json });
        assert_eq!(settings.threshold_max.to_string(), "ffffff0000000000");
        assert!(!settings.precache);
        let opencl = devices.opencl;
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
        let load = |file| config::load::<RunConfiguration>(file, account.clone(), &()).unwrap().settings;
        assert_eq!(load(Some(Path::new(file))), load(None));
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
            assert_eq!(
                key.unit.is_some(),
                matches!(key.form, reference::Form::Number { .. }),
                "{}",
                key.path
            );
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

    /// Whoever wants to know what the machine can do has no account yet.
    #[test]
    fn what_needs_no_server_needs_no_account() {
        let task = |arguments: &[&str]| {
            Arguments::try_parse_from([&["dpow-worker"], arguments].concat()).unwrap().task_with([])
        };
        let Task::Offline(Offline::Bench(bench), settings) =
            task(&["bench", "--seconds", "3", "--json", "--threads", "2", "--network", "banano"]).unwrap()
        else {
            panic!("it measures");
        };
        assert_eq!((bench.time(), bench.form.json), (Duration::from_secs(3), true));
        assert_eq!((settings.processor.threads.get(), settings.network), (2, Network::Banano));
        assert!(matches!(
            task(&["devices"]).unwrap(),
            Task::Offline(Offline::Devices(Form { json: false }), _)
        ));
        assert!(matches!(
            task(&["selftest", "--account", "x"]).unwrap(),
            Task::Offline(Offline::Selftest(_), _)
        ));
        let error = task(&["devices", "--instructions", "sse9"]).unwrap_err().to_string();
        assert!(error.contains("`sse9` is no instruction set"), "{error}");
    }
}
