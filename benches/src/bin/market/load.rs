//! Whoever asks: a program of its own.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use benches::coordinator::SERVICE;
use benches::process::beside;
use benches::report::LoadReport;

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
    /// Asks a server, to the end.
    pub(crate) fn run(
        &self,
        server: SocketAddr,
        key: &str,
        watch: &[(&str, u32)],
    ) -> anyhow::Result<LoadReport> {
        let mut command = Command::new(beside("load")?);
        command.arg("--server").arg(server.to_string());
        command.args(["--dialect", &self.dialect, "--user", SERVICE, "--key", key]);
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
