//! The command line of `dpow`.

mod credit;
mod documents;
mod flags;
mod key;
mod ledger;
mod operator;
mod serve;
mod service;
mod snippets;
mod status;
mod table;
mod wording;
mod worker;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::Serialize;
use shared::Network;

use crate::administration::{Change, Destination, Read, Reply, SOCKET, WayError};
use crate::all_in_one;
use crate::config::Settings;
pub(crate) use serve::{StopSignal, until_stopped};

/// An open marketplace for Nano proof of work. Without a command: everything in one process
#[derive(Debug, Parser)]
#[command(name = "dpow", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    flags: flags::Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 not done, for the reason that is printed; 2 the command line is wrong; 3 `dpow \
                          status`: no server answers. Of `dpow ledger audit`: 1 the ledger is wrong, 2 it cannot be read";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the coordinator: MQTT gate, ledger and HTTP, without a worker of its own
    Serve,
    /// Services: those who ask for work
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Keys of services
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Credits of services
    #[command(subcommand)]
    Credit(credit::CreditCommand),
    /// The books: check them, hand them out
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Workers: those who give work
    #[command(subcommand)]
    Worker(worker::WorkerCommand),
    /// What operators need for themselves
    #[command(subcommand)]
    Operator(operator::OperatorCommand),
    /// How everything is
    Status(status::StatusCommand),
    /// Settings: what is wrong with them, what is in effect, what there is
    #[command(subcommand)]
    Config(config::Command),
    /// Print a script with which a shell completes commands and flags
    Completions(documents::Completions),
    /// Write manual pages, one a command
    Man(documents::Man),
}

impl Cli {
    /// The exit code of a run that ends with an error. An audit keeps 1 for what it finds.
    pub const fn failure_code(&self) -> u8 {
        match self.command {
            Some(Command::Ledger(ledger::LedgerCommand::Audit { .. })) => 2,
            _ => 1,
        }
    }
}

/// Does what the command line says.
///
/// # Errors
/// In one sentence, what is wrong and what to do.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let console = Console;
    let settings = match &cli.command {
        // These read no settings: a package is built where there are none.
        Some(Command::Completions(completions)) => {
            completions.run(&console);
            return Ok(ExitCode::SUCCESS);
        }
        Some(Command::Man(man)) => {
            man.run(&console)?;
            return Ok(ExitCode::SUCCESS);
        }
        // The settings that it is about may be wrong.
        Some(Command::Config(command)) => {
            console.line(command.run(|| cli.flags.load(std::env::vars_os()))?.trim_end());
            return Ok(ExitCode::SUCCESS);
        }
        _ => cli.flags.load(std::env::vars_os())?.settings,
    };
    settings.log.start()?;
    let destination = cli.flags.destination(&settings);
    let office = Office { settings: &settings, destination, console: &console };
    match cli.command {
        None => all_in_one::run(&settings, &console).await?,
        Some(Command::Serve) => serve::run(&settings, &console).await?,
        Some(Command::Service(command)) => command.run(&office).await?,
        Some(Command::Key(command)) => command.run(&office).await?,
        Some(Command::Credit(command)) => command.run(&office).await?,
        Some(Command::Ledger(command)) => return command.run(&office).await,
        Some(Command::Worker(command)) => command.run(&office).await?,
        Some(Command::Operator(command)) => command.run(&office).await?,
        Some(Command::Status(command)) => return command.run(&office).await,
        Some(Command::Completions(_) | Command::Man(_) | Command::Config(_)) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Where commands of operators are carried out, and what they print to.
struct Office<'a> {
    settings: &'a Settings,
    destination: Destination,
    console: &'a Console,
}

impl Office<'_> {
    async fn read(&self, read: Read) -> Result<Reply, WayError> {
        Ok(self.destination.read(read).await?.reply)
    }

    async fn change(&self, change: Change) -> Result<Reply, WayError> {
        self.destination.change(change).await
    }

    const fn network(&self) -> Network {
        self.settings.network
    }

    const fn is_remote(&self) -> bool {
        matches!(self.destination, Destination::Remote { .. })
    }

    /// The socket of the server that runs on the data directory, if one does.
    fn socket(&self) -> PathBuf {
        self.settings.data_dir.join(SOCKET)
    }

    /// Where services ask, as the server says; without one, as it is set.
    async fn http_url(&self) -> String {
        let listen = match self.read(Read::Status).await {
            Ok(Reply::Status(status)) => status.server.map(|server| server.listens.http),
            _ => None,
        };
        let mut listen = listen.unwrap_or(self.settings.http.listen);
        if listen.ip().is_unspecified() {
            // It is for somebody on this machine to try.
            listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        format!("http://{listen}")
    }
}

/// What is said when the answer belongs to another question.
fn foreign_reply() -> anyhow::Error {
    anyhow::anyhow!(
        "the server gave an answer that does not belong to the question; is it another version of dpow?"
    )
}

/// Says something beside the result, on standard error.
fn note(note: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{note}");
}

/// Standard output, for people and for the programs that they pipe it into.
#[derive(Debug, Default)]
pub struct Console;

impl Console {
    /// Prints a line. A reader that has gone away ends neither a coordinator nor a listing with a panic.
    pub fn line(&self, line: &str) {
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }

    /// Prints lines.
    pub(crate) fn lines(&self, lines: impl IntoIterator<Item = String>) {
        lines.into_iter().for_each(|line| self.line(&line));
    }

    fn json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        self.line(&serde_json::to_string(value)?);
        Ok(())
    }

    fn json_lines(&self, values: &[impl Serialize]) -> anyhow::Result<()> {
        values.iter().try_for_each(|value| self.json(value))
    }
}
