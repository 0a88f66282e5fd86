//! The command line of `dpow`.

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use config::{Loaded, LogFormat, Problems};
use serde::Serialize;
use shared::{Network, ServiceId};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Settings;
use crate::coordinator::{Coordinator, Ledger};
use crate::home::Home;
use crate::store::Bucket;
use crate::{all_in_one, metrics, operate, operator_token};

/// An open marketplace for Nano proof of work. Without a command: everything in one process.
#[derive(Debug, Parser)]
#[command(name = "dpow", version)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct Common {
    /// TOML file with settings
    #[arg(long, global = true, value_name = "FILE", env = "DPOW_CONFIG")]
    config: Option<PathBuf>,
    /// live, beta, test, dev or banano [default: live]
    #[arg(long, global = true)]
    network: Option<Network>,
    /// Where ledger and secrets are kept [default: ./dpow-data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where services ask over HTTP [default: 127.0.0.1:5030]
    #[arg(long, global = true, value_name = "ADDRESS")]
    http_listen: Option<SocketAddr>,
    /// Where workers connect over MQTT [default: 127.0.0.1:1883]
    #[arg(long, global = true, value_name = "ADDRESS")]
    mqtt_listen: Option<SocketAddr>,
    /// What is logged to standard error: a level, or directives such as `warn,coordinator=debug` [default: warn]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// How a line of the log is written [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the coordinator: MQTT gate, ledger and HTTP, without a worker of its own
    Serve,
    /// Services: those who ask for work
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Credits of services
    #[command(subcommand)]
    Credit(CreditCommand),
    /// Settings: what is wrong with them, what is in effect, what there is
    #[command(subcommand)]
    Config(config::Command),
}

#[derive(Debug, Subcommand)]
enum ServiceCommand {
    /// Make a service known and print a key for it, once
    Add {
        /// 1 to 32 of a-z, 0-9 and -
        service: ServiceId,
    },
}

#[derive(Debug, Subcommand)]
enum CreditCommand {
    /// Give a service credits
    Grant {
        /// Which service
        service: ServiceId,
        /// How many whole credits; one is the price of a send
        credits: u64,
        /// They were paid for: what workers earn from them is paid out
        #[arg(long)]
        paid: bool,
    },
    /// Print what a service has
    Balance {
        /// Which service
        service: ServiceId,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print every posting, oldest first
    Journal {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
}

/// The flags in the shape of the settings: what was not given is absent.
#[derive(Serialize)]
struct Flags<'a> {
    network: Option<Network>,
    data_dir: Option<&'a PathBuf>,
    http: Listen,
    mqtt: Listen,
    log: Log<'a>,
}

#[derive(Serialize)]
struct Listen {
    listen: Option<SocketAddr>,
}

#[derive(Serialize)]
struct Log<'a> {
    filter: Option<&'a str>,
    format: Option<LogFormat>,
}

impl Common {
    fn load(
        &self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Loaded<Settings>, Problems> {
        let flags = Flags {
            network: self.network,
            data_dir: self.data_dir.as_ref(),
            http: Listen { listen: self.http_listen },
            mqtt: Listen { listen: self.mqtt_listen },
            log: Log { filter: self.log.as_deref(), format: self.log_format },
        };
        config::load(self.config.as_deref(), variables, &flags)
    }
}

/// Standard output, for people and for the programs that they pipe it into.
#[derive(Debug, Default)]
pub struct Console;

impl Console {
    /// Prints a line. A reader that has gone away ends neither a coordinator nor a listing with a panic.
    pub fn line(&self, line: &str) {
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

/// Does what the command line says.
///
/// # Errors
/// In one sentence, what is wrong and what to do.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    let console = Console;
    let load = || cli.common.load(std::env::vars_os());
    if let Some(Command::Config(command)) = cli.command {
        console.line(command.run(load)?.trim_end());
        return Ok(());
    }
    let settings = load()?.settings;
    settings.log.start()?;
    match cli.command {
        None => all_in_one::run(&settings, &console).await,
        // Carried out above, for the settings that it is about may be wrong.
        Some(Command::Config(_)) => Ok(()),
        Some(Command::Serve) => serve(&settings, &console).await,
        Some(Command::Service(ServiceCommand::Add { service })) => {
            operate::add_service(&settings, service, &console).await
        }
        Some(Command::Credit(CreditCommand::Grant { service, credits, paid })) => {
            let bucket = if paid { Bucket::Paid } else { Bucket::Granted };
            operate::grant(&settings, service, credits, bucket, &console).await
        }
        Some(Command::Credit(CreditCommand::Balance { service, json })) => {
            operate::balance(&settings, service, json, &console)
        }
        Some(Command::Credit(CreditCommand::Journal { json })) => operate::journal(&settings, json, &console),
    }
}

async fn serve(settings: &Settings, console: &Console) -> anyhow::Result<()> {
    let stop = StopSignal::listen()?;
    let recorder = metrics::install()?;
    let home = Home::open(&settings.data_dir)?;
    let ledger = Ledger::open(settings, &home).await?;
    let mut coordinator = Coordinator::start(settings, &home, &ledger, None, recorder).await?;
    console.line(&format!("dpow {} · network {}", env!("CARGO_PKG_VERSION"), settings.network));
    console.line(&format!("mqtt       mqtt://{}", coordinator.mqtt_addr()));
    console.line(&operator_token::banner_line(settings, &home));
    console.line(&format!("http       http://{}", coordinator.http_addr()));
    until_stopped(&mut coordinator, stop, console).await?;
    Ok(coordinator.stop(settings.shutdown_grace()).await?)
}

/// Waits for the signal to stop. After that, a second one ends the process at once.
///
/// # Errors
/// When a part of the coordinator fails first.
pub(crate) async fn until_stopped(
    coordinator: &mut Coordinator,
    mut stop: StopSignal,
    console: &Console,
) -> anyhow::Result<()> {
    tokio::select! {
        () = stop.received() => {}
        error = coordinator.failed() => return Err(error.into()),
    }
    console.line("stopping: what is in flight is finished first; once more stops at once");
    tokio::spawn(async move {
        stop.received().await;
        std::process::exit(130);
    });
    Ok(())
}

/// Ctrl-C and SIGTERM. From its making on they no longer end the process, so it is made before anybody is told that it runs.
pub(crate) struct StopSignal {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignal {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
