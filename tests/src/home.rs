//! A data directory, and what an operator does with it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;
use shared::Network;
use tempfile::TempDir;

use crate::NETWORK;
use crate::fake_node::FakeNode;
use crate::journal::Journal;
use crate::process::{Finished, run};
use crate::program::{Program, program};
use crate::redis_server::RedisServer;
use crate::server::Server;

/// A data directory of a coordinator, removed when dropped.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
    network: Network,
    /// Settings for every command.
    variables: Vec<(&'static str, String)>,
}

/// A service that the coordinator knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name, which is its user name over MQTT too.
    pub name: String,
    /// Its key.
    pub key: String,
}

/// What a service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// Of what it was given.
    pub granted_mc: u64,
    /// Of what it has bought.
    pub paid_mc: u64,
}

impl Home {
    /// An empty one.
    ///
    /// # Errors
    /// When the system's folder for such things cannot be written to.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { folder: tempfile::tempdir()?, network: NETWORK, variables: Vec::new() })
    }

    /// One with the service `wallet`, which was given so many credits.
    ///
    /// # Errors
    /// As [`new`](Self::new), and when the program refuses.
    pub fn with_wallet(credits: u64) -> anyhow::Result<(Self, Service)> {
        let home = Self::new()?;
        let wallet = home.add_service("wallet")?;
        home.grant(&wallet, credits)?;
        Ok((home, wallet))
    }

    /// An empty one of another network than that of all tests.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_network(network: Network) -> anyhow::Result<Self> {
        Ok(Self { network, ..Self::new()? })
    }

    /// An empty one in a folder.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn new_in(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self { folder: tempfile::tempdir_in(folder)?, ..Self::new()? })
    }

    /// An empty one whose ledger is in a server.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_redis(server: &RedisServer) -> anyhow::Result<Self> {
        Ok(Self { variables: vec![("DPOW_STORE__URL", server.url())], ..Self::new()? })
    }

    /// From now on its ledger is in the server that a file names, or embedded without one.
    pub fn keep_ledger_at(&mut self, url_file: Option<&Path>) {
        self.variables =
            url_file.map(|path| ("DPOW_STORE__URL_FILE", path.display().to_string())).into_iter().collect();
    }

    /// An empty one whose server listens to these nodes, and reads frontiers every second.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_nodes(nodes: &[&FakeNode]) -> anyhow::Result<Self> {
        let join =
            |url: fn(&FakeNode) -> String| nodes.iter().map(|node| url(node)).collect::<Vec<_>>().join(",");
        let variables = vec![
            ("DPOW_NODE__URL", join(FakeNode::url)),
            ("DPOW_NODE__WEBSOCKET", join(FakeNode::websocket_url)),
            ("DPOW_NODE__CALLBACK_LISTEN", "127.0.0.1:0".into()),
            ("DPOW_NODE__CATCH_UP_S", "1".into()),
        ];
        Ok(Self { variables, ..Self::new()? })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file of it, as text without the last end of line.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, name: &str) -> anyhow::Result<String> {
        let text =
            std::fs::read_to_string(self.path().join(name)).with_context(|| format!("no file {name}"))?;
        Ok(text.trim_end().to_owned())
    }

    /// `dpow` on this directory.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = program(Program::Dpow)?;
        command.args(["--network", self.network.name(), "--data-dir"]).arg(self.path()).args(arguments);
        command.envs(self.variables.iter().map(|(name, value)| (*name, value)));
        Ok(command)
    }

    /// `dpow` on this directory, listening on ports that the system chooses.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub fn listening_command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = self.command(arguments)?;
        command.args(["--http-listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0"]);
        Ok(command)
    }

    /// Starts the coordinator without a worker.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn serve(&self) -> anyhow::Result<Server> {
        self.serve_with(&mut self.listening_command(&["serve"])?)
    }

    /// Starts the coordinator without a worker, listening where another did.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn serve_at(&self, http: SocketAddr, mqtt: SocketAddr) -> anyhow::Result<Server> {
        let (http, mqtt) = (http.to_string(), mqtt.to_string());
        self.serve_with(&mut self.command(&["serve", "--http-listen", &http, "--mqtt-listen", &mqtt])?)
    }

    /// Starts a coordinator whose banner ends with where services ask.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn serve_with(&self, command: &mut Command) -> anyhow::Result<Server> {
        Server::start(command, |line| line.starts_with("http "))
    }

    /// Starts everything in one process.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn all_in_one(&self) -> anyhow::Result<Server> {
        self.all_in_one_with(&mut self.listening_command(&[])?)
    }

    /// Starts everything in one process, by this command.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn all_in_one_with(&self, command: &mut Command) -> anyhow::Result<Server> {
        Server::start(command, |line| line.starts_with("curl "))
    }

    /// Makes a service known.
    ///
    /// # Errors
    /// When the program refuses.
    pub fn add_service(&self, name: &str) -> anyhow::Result<Service> {
        let key = self.succeed(&["service", "add", name])?;
        Ok(Service { name: name.into(), key: key.trim_end().to_owned() })
    }

    /// Gives a service credits.
    ///
    /// # Errors
    /// When the program refuses.
    pub fn grant(&self, service: &Service, credits: u64) -> anyhow::Result<()> {
        self.succeed(&["credit", "grant", &service.name, &credits.to_string()]).map(drop)
    }

    /// Gives a service credits that it has paid for.
    ///
    /// # Errors
    /// When the program refuses.
    pub fn grant_paid(&self, service: &Service, credits: u64) -> anyhow::Result<()> {
        self.succeed(&["credit", "grant", &service.name, &credits.to_string(), "--paid"]).map(drop)
    }

    /// What a service has.
    ///
    /// # Errors
    /// When the program refuses.
    pub fn balance(&self, service: &Service) -> anyhow::Result<Balance> {
        let printed = self.succeed(&["credit", "balance", &service.name, "--json"])?;
        let json: Value = serde_json::from_str(&printed)?;
        let amount = |field: &str| json[field].as_u64().with_context(|| format!("no {field} in {json}"));
        Ok(Balance { granted_mc: amount("granted_mc")?, paid_mc: amount("paid_mc")? })
    }

    /// Every posting.
    ///
    /// # Errors
    /// When the program refuses, or prints something else.
    pub fn journal(&self) -> anyhow::Result<Journal> {
        Journal::parse(&self.journal_text()?)
    }

    /// Every posting, as the program prints them.
    ///
    /// # Errors
    /// When the program refuses.
    pub fn journal_text(&self) -> anyhow::Result<String> {
        self.succeed(&["credit", "journal", "--json"])
    }

    /// Runs a command of an operator's to its end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Finished> {
        run("dpow", &mut self.command(arguments)?)
    }

    /// Runs a command of an operator's, and returns what it prints.
    ///
    /// # Errors
    /// When the program refuses.
    pub fn succeed(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let finished = self.run(arguments)?;
        ensure!(finished.status.success(), "dpow {} failed: {}", arguments.join(" "), finished.stderr);
        Ok(finished.stdout)
    }
}

impl Balance {
    /// All of it.
    pub const fn total_mc(self) -> u64 {
        self.granted_mc + self.paid_mc
    }
}
