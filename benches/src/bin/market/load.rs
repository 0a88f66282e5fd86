//! The other two programs: the workers, and whoever asks.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};
use benches::report::{FleetReport, LoadReport};

use crate::coordinator::{Coordinator, SERVICE};

/// How the coordinator is asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Load {
    pub(crate) dialect: String,
    pub(crate) connections: usize,
    /// Requests a second; none in a closed loop.
    pub(crate) rate: Option<f64>,
    pub(crate) repeated: f64,
    pub(crate) length: Length,
}

/// For how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Length {
    /// So many requests.
    Requests(u64),
    /// So many seconds, after so many that are not measured.
    Seconds { warm_up: f64, measured: f64 },
}

impl Load {
    /// Asks, to the end.
    pub(crate) fn run(&self, coordinator: &Coordinator, watch: &[(&str, u32)]) -> anyhow::Result<LoadReport> {
        let mut command = Command::new(beside("load")?);
        command.arg("--server").arg(coordinator.http().to_string());
        command.args(["--dialect", &self.dialect, "--user", SERVICE, "--key", coordinator.key()]);
        command.args(["--connections", &self.connections.to_string()]);
        command.args(["--repeated", &self.repeated.to_string()]);
        if let Some(rate) = self.rate {
            command.args(["--rate", &rate.to_string()]);
        }
        match self.length {
            Length::Requests(requests) => {
                command.args(["--requests", &requests.to_string()]);
            }
            Length::Seconds { warm_up, measured } => {
                command.args(["--warm-up", &warm_up.to_string(), "--seconds", &measured.to_string()]);
            }
        }
        for (name, pid) in watch {
            command.args(["--watch", &format!("{name}={pid}")]);
        }
        let output = command.stdin(Stdio::null()).output().context("cannot start the load")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the load ended with {}: {error}", output.status);
        serde_json::from_slice(&output.stdout).context("the load does not report as it should")
    }
}

/// Running workers. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Fleet {
    child: Child,
    /// Dropped first: the fleet ends with its input.
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Fleet {
    /// Starts so many workers of a policy.
    pub(crate) fn start(
        server: SocketAddr,
        policy: &str,
        count: usize,
        rate: Option<f64>,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(beside("fleet")?);
        command.args(["--server", &server.to_string(), "--workers", &format!("{policy}:{count}")]);
        if let Some(rate) = rate {
            command.args(["--rate", &rate.to_string()]);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start the fleet")?;
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().context("a pipe was asked for")?);
        Ok(Self { child, stdin, stdout })
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What its workers have done.
    pub(crate) fn report(&mut self) -> anyhow::Result<FleetReport> {
        self.stdin.as_mut().context("it is still open")?.write_all(b"\n").context("the fleet has ended")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        serde_json::from_str(&line).context("the fleet does not report as it should")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stdin = None;
        // It fails only if the process has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that was built together with this one.
pub(crate) fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.parent().unwrap_or(Path::new("")).join(name);
    ensure!(
        path.exists(),
        "there is no {}: build it with `cargo build --release -p dpow-coordinator -p dpow-benches --bins`",
        path.display()
    );
    Ok(path)
}
