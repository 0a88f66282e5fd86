//! A running coordinator.

use std::net::SocketAddr;
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::http::Http;
use crate::mqtt::Mqtt;
use crate::process::{Finished, Process, Signal, Stream};

/// A `dpow` that is ready for requests. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    process: Process,
    http: SocketAddr,
    mqtt: SocketAddr,
    ready_after: Duration,
}

impl Server {
    /// Starts it, and waits for the last line of its banner.
    pub(crate) fn start(command: &mut Command, is_last: impl Fn(&str) -> bool) -> anyhow::Result<Self> {
        let started = Instant::now();
        let process = Process::start("dpow", command)?;
        process.wait_for_line("the end of its banner", is_last)?;
        let ready_after = started.elapsed();
        let address = |scheme: &str| -> anyhow::Result<SocketAddr> {
            let address = process.wait_for_line(scheme, |line| line.contains(scheme))?;
            let (_, address) = address.split_once(scheme).context("the line contains the scheme")?;
            SocketAddr::from_str(address).with_context(|| format!("{address} is not an address"))
        };
        let (http, mqtt) = (address(" http://")?, address(" mqtt://")?);
        Ok(Self { process, http, mqtt, ready_after })
    }

    /// Where services ask.
    pub const fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Where workers connect.
    pub const fn mqtt_addr(&self) -> SocketAddr {
        self.mqtt
    }

    /// How long it took from the start to the last line of the banner.
    pub const fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Its process.
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// What it has printed to standard output so far.
    pub fn banner(&self) -> Vec<String> {
        let lines = self.process.lines().into_iter();
        lines.filter(|line| line.stream == Stream::Stdout).map(|line| line.text).collect()
    }

    /// A client with a connection of its own.
    pub fn client(&self) -> Http {
        Http::new(self.http)
    }

    /// An MQTT connection, logged in.
    ///
    /// # Errors
    /// When the login is refused.
    pub fn login(&self, user: &str, password: &str, client_id: &str) -> anyhow::Result<Mqtt> {
        Mqtt::connect(self.mqtt, user, password, client_id)
    }

    /// Has it stop, and demands that it ends well.
    ///
    /// # Errors
    /// When it does not.
    pub fn stop(mut self, signal: Signal) -> anyhow::Result<()> {
        self.process.signal(signal)?;
        let status = self.process.wait()?.status;
        ensure!(status.success(), "{signal:?} ended dpow with {status}");
        Ok(())
    }

    /// Waits for its end, which something else has brought about.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end(mut self) -> anyhow::Result<Finished> {
        self.process.wait()
    }

    /// Ends it as a power cut does.
    ///
    /// # Errors
    /// When it does not end.
    pub fn crash(mut self) -> anyhow::Result<()> {
        self.process.signal(Signal::Kill)?;
        self.process.wait().map(drop)
    }
}
