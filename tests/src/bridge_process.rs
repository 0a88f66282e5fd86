//! A running `dpow-bridge`.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, ensure};
use shared::Network;
use tempfile::TempDir;

use crate::NETWORK;
use crate::home::Service;
use crate::http::Http;
use crate::process::{Process, Signal};
use crate::program::{Program, program};

/// See the module. Killed when dropped.
#[derive(Debug)]
pub struct BridgeProcess {
    process: Process,
    http: SocketAddr,
    node_peer: SocketAddr,
    _folder: TempDir,
}

impl BridgeProcess {
    /// Starts one for a service of the network that tests use, with these variables, and waits until it listens.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(mqtt: SocketAddr, service: &Service, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::of_network(NETWORK, mqtt, service, variables)
    }

    /// The same, for another network.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn of_network(
        network: Network,
        mqtt: SocketAddr,
        service: &Service,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let key = folder.path().join("key");
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key)?;
        file.write_all(service.key.as_bytes())?;
        let mut command = program(Program::Bridge)?;
        command.args(["--network", network.name(), "--server", &format!("mqtt://{mqtt}")]);
        command.args(["--service", &service.name, "--key-file"]).arg(key);
        command.args(["--http-listen", "127.0.0.1:0", "--node-peer-listen", "127.0.0.1:0"]);
        let process = Process::start("dpow-bridge", command.envs(variables.iter().copied()))?;
        let address = |scheme: &str| -> anyhow::Result<SocketAddr> {
            let line = process.wait_for_line(scheme, |line| line.starts_with(scheme))?;
            let address = line.trim_start_matches(scheme).trim();
            address.parse().with_context(|| format!("{address} is not an address"))
        };
        let (node_peer, http) = (address("node peer")?, address("http       http://")?);
        Ok(Self { process, http, node_peer, _folder: folder })
    }

    /// Where nodes ask.
    pub const fn node_peer(&self) -> SocketAddr {
        self.node_peer
    }

    /// Where wallets ask.
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// A client with a connection of its own.
    pub fn client(&self) -> Http {
        Http::new(self.http)
    }

    /// Its process.
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until it has told so often that it is connected.
    ///
    /// # Errors
    /// When it does not get connected.
    pub fn wait_until_connected(&self, times: usize) -> anyhow::Result<()> {
        self.process.wait_until("its connection", |lines| {
            let told = lines.iter().filter(|line| line.text == "connected").count();
            (told >= times).then_some(())
        })
    }

    /// Has it stop, and demands that it ends well.
    ///
    /// # Errors
    /// When it does not.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.process.signal(Signal::Terminate)?;
        let status = self.process.wait()?.status;
        ensure!(status.success(), "dpow-bridge ended with {status}");
        Ok(())
    }
}
