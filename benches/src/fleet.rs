//! The workers that are measured with: a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context;

use crate::process::beside;
use crate::report::FleetReport;

/// Running workers. Dropping it ends them.
#[derive(Debug)]
pub struct Fleet {
    child: Child,
    /// Dropped first: the fleet ends with its input.
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Fleet {
    /// Starts so many workers that behave in one way, with further arguments.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        server: SocketAddr,
        policy: &str,
        count: usize,
        arguments: &[String],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(beside("fleet")?);
        command.args(["--server", &server.to_string(), "--workers", &format!("{policy}:{count}")]);
        command.args(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start the fleet")?;
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().context("a pipe was asked for")?);
        Ok(Self { child, stdin, stdout })
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What its workers have done.
    ///
    /// # Errors
    /// When it has ended.
    pub fn report(&mut self) -> anyhow::Result<FleetReport> {
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
