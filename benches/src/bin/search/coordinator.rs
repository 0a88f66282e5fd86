//! A coordinator of the live network, as a process of its own on an empty data directory.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail, ensure};
use shared::Network;
use tempfile::TempDir;

/// A running coordinator, with a service that has credits. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Coordinator {
    child: Child,
    pub(crate) http: SocketAddr,
    pub(crate) mqtt: SocketAddr,
    pub(crate) key: String,
    _folder: TempDir,
}

impl Coordinator {
    /// Starts it and waits until it listens.
    pub(crate) fn start(program: &Path) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let command = |arguments: &[&str]| {
            let mut command = Command::new(program);
            command.env_clear().args(["--network", Network::Live.name(), "--data-dir"]).arg(folder.path());
            command.args(arguments).stdin(Stdio::null());
            command
        };
        let output = |arguments: &[&str]| -> anyhow::Result<String> {
            let output =
                command(arguments).output().with_context(|| format!("cannot start {}", program.display()))?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Ok(String::from_utf8(output.stdout)?.trim().to_owned())
        };
        let key = output(&["service", "add", "bench"])?;
        output(&["credit", "grant", "bench", "1000"])?;
        let serve = ["serve", "--http-listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0"];
        let mut child = command(&serve).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("a pipe was asked for")?).lines();
        let mut address = |scheme: &str| -> anyhow::Result<SocketAddr> {
            for line in lines.by_ref() {
                if let Some((_, address)) = line?.split_once(scheme) {
                    return address.parse().with_context(|| format!("`{address}` is no address"));
                }
            }
            bail!("{} ended before it said where it listens", program.display())
        };
        let (mqtt, http) = (address(" mqtt://")?, address(" http://")?);
        Ok(Self { child, http, mqtt, key, _folder: folder })
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
