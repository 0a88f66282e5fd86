//! A volunteer's worker.

use std::net::SocketAddr;

use anyhow::ensure;
use shared::Account;
use tempfile::TempDir;

use crate::NETWORK;
use crate::process::{Finished, Process, Signal};
use crate::program::{Program, program};

/// A `dpow-worker` that has been connected, with a data directory of its own. Killed when dropped.
#[derive(Debug)]
pub struct WorkerProcess {
    process: Process,
    folder: TempDir,
}

/// An account that no other number gives.
pub const fn account(number: u8) -> Account {
    Account::from_public_key([number; 32])
}

impl WorkerProcess {
    /// Starts it with one thread, and waits until it is connected.
    ///
    /// # Errors
    /// When it does not get that far.
    pub fn start(server: SocketAddr, account: Account) -> anyhow::Result<Self> {
        Self::start_with(server, account, &[])
    }

    /// Starts it with further arguments.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(server: SocketAddr, account: Account, arguments: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = program(Program::Worker)?;
        command.args(["run", "--threads", "1", "--network", NETWORK.name()]);
        command.args(["--server", &format!("mqtt://{server}"), "--account", &account.to_string()]);
        command.arg("--data-dir").arg(folder.path()).args(arguments);
        let worker = Self { process: Process::start("dpow-worker", &mut command)?, folder };
        worker.wait_until_connected(1)?;
        Ok(worker)
    }

    /// Waits until it has been connected that many times.
    ///
    /// # Errors
    /// When it has not.
    pub fn wait_until_connected(&self, times: usize) -> anyhow::Result<()> {
        self.process.wait_until("a connection", |lines| {
            let connections = lines.iter().filter(|line| line.text.starts_with("connected to")).count();
            (connections >= times).then_some(())
        })
    }

    /// Waits until it is connected, or is not, as it says itself.
    ///
    /// # Errors
    /// When that does not come.
    pub fn wait_until_is_connected(&self, wanted: bool) -> anyhow::Result<()> {
        self.process.wait_until("a change of its connection", |lines| {
            let is_connected =
                lines.iter().rev().find_map(|line| match line.text.split([' ', ':']).next()? {
                    "connected" => Some(true),
                    "disconnected" => Some(false),
                    _ => None,
                });
            (is_connected.unwrap_or(false) == wanted).then_some(())
        })
    }

    /// Waits until a result of its has been accepted.
    ///
    /// # Errors
    /// When none is.
    pub fn wait_until_accepted(&self) -> anyhow::Result<()> {
        self.process.wait_for_line("an accepted result", |line| line.starts_with("accepted ")).map(drop)
    }

    /// Its secret, as the file in its data directory has it.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn secret(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.folder.path().join("secret"))?.trim_end().to_owned())
    }

    /// Has it stop, and demands that it ends well.
    ///
    /// # Errors
    /// When it does not.
    pub fn stop(self) -> anyhow::Result<()> {
        self.finish().map(drop)
    }

    /// Has it stop, demands that it ends well, and returns all that it has printed.
    ///
    /// # Errors
    /// When it does not.
    pub fn finish(mut self) -> anyhow::Result<Finished> {
        self.process.signal(Signal::Terminate)?;
        let finished = self.process.wait()?;
        ensure!(finished.status.success(), "dpow-worker ended with {}", finished.status);
        Ok(finished)
    }
}
