//! The coordinator that is measured: a process of its own on an empty data directory, with one service that has credits.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::http::fetch;
use crate::redis_server::RedisServer;
use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use shared::Network;
use tempfile::TempDir;
use tokio::time::sleep;

/// The network of all measurements: its thresholds take a few hashes.
pub const NETWORK: Network = Network::Dev;
/// The service that asks.
pub const SERVICE: &str = "bench";
/// More than any measurement spends.
const CREDITS: &str = "1000000";
/// How long its workers may take to be there, and counts to agree.
const WITHIN: Duration = Duration::from_mins(1);
/// Between two looks.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The metric of workers that can be given work. It is set once a second.
pub const WORKERS: &str = "dpow_workers_connected ";
/// Those of requests that were answered with work.
pub const ANSWERED: [&str; 3] = [
    "dpow_work_requests_total{outcome=\"ondemand\"}",
    "dpow_work_requests_total{outcome=\"precache\"}",
    "dpow_work_requests_total{outcome=\"cache\"}",
];
/// That of results that were accepted.
pub const ACCEPTED: [&str; 1] = ["dpow_work_results_total{verdict=\"accepted\"}"];

/// A program that is measured, under the name that it has in tables.
#[derive(Debug, Clone)]
pub struct Program {
    /// That name.
    pub name: String,
    /// Where it is.
    pub path: std::path::PathBuf,
    /// Variables that it is started with.
    pub settings: Vec<(String, String)>,
}

/// A running coordinator. Dropping it kills it.
#[derive(Debug)]
pub struct Coordinator {
    child: Child,
    http: SocketAddr,
    mqtt: SocketAddr,
    key: String,
    /// The server of its ledger, if that is not embedded.
    redis: Option<RedisServer>,
    _folder: TempDir,
}

impl Coordinator {
    /// Starts it on a new directory within `data`, and waits until it listens. Its ledger is embedded, or in a Redis server that syncs
    /// its log as `redis` says.
    ///
    /// # Errors
    /// When it does not get that far.
    pub fn start(program: &Program, data: &Path, redis: Option<&str>) -> anyhow::Result<Self> {
        let folder = TempDir::new_in(data).context("no directory for data can be made")?;
        let redis = redis.map(|sync| RedisServer::start(folder.path(), sync)).transpose()?;
        let command = |arguments: &[&str]| {
            let mut command = Command::new(&program.path);
            command.env_clear();
            // What is measured is what it can do, not what one service may ask for.
            for limit in ["DPOW_LIMITS__REQUESTS_PER_SECOND", "DPOW_LIMITS__BURST"] {
                command.env(limit, "1000000");
            }
            command.envs(program.settings.iter().map(|(key, value)| (key, value)));
            command.envs(redis.iter().map(|redis| ("DPOW_STORE__URL", redis.url())));
            command.args(["--network", NETWORK.name(), "--data-dir"]).arg(folder.path()).args(arguments);
            command.stdin(Stdio::null());
            command
        };
        let key = output(&mut command(&["service", "add", SERVICE]))?.trim().to_owned();
        output(&mut command(&["credit", "grant", SERVICE, CREDITS]))?;
        let mut child = command(&["serve", "--http-listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.path.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("a pipe was asked for")?).lines();
        let mut address = |scheme: &str| -> anyhow::Result<SocketAddr> {
            for line in lines.by_ref() {
                if let Some((_, address)) = line?.split_once(scheme) {
                    return address.parse().with_context(|| format!("`{address}` is no address"));
                }
            }
            anyhow::bail!("{} ended before it said where it listens", program.path.display())
        };
        let mqtt = address(" mqtt://")?;
        let http = address(" http://")?;
        Ok(Self { child, http, mqtt, key, redis, _folder: folder })
    }

    /// Where services ask.
    pub const fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where workers connect.
    pub const fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }

    /// The key of [`SERVICE`].
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The number of the process that has its ledger, if that is another one.
    pub fn redis_pid(&self) -> Option<u32> {
        self.redis.as_ref().map(RedisServer::pid)
    }

    /// The sum of some metrics.
    ///
    /// # Errors
    /// When the coordinator does not answer.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are whole and not negative"
    )]
    pub async fn counted(&self, metrics: &[&str]) -> anyhow::Result<u64> {
        let text = fetch(self.http, "/metrics").await?;
        Ok(metrics.iter().map(|metric| sum(&text, metric)).sum::<f64>() as u64)
    }

    /// The value of one metric.
    ///
    /// # Errors
    /// When the coordinator does not answer.
    pub async fn value(&self, metric: &str) -> anyhow::Result<f64> {
        Ok(sum(&fetch(self.http, "/metrics").await?, metric))
    }

    /// Waits until the sum of some metrics has a value.
    ///
    /// # Errors
    /// When it has another for too long.
    pub async fn wait_for(&self, metrics: &[&str], wanted: u64) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            let counted = self.counted(metrics).await?;
            if counted == wanted {
                return Ok(());
            }
            ensure!(begin.elapsed() < WITHIN, "{} is {counted} and not {wanted}", metrics.join(" and "));
            sleep(LOOK_EVERY).await;
        }
    }

    /// Has it stop, and demands that it ends well.
    ///
    /// # Errors
    /// When it does not.
    pub fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the coordinator ended with {status}");
        Ok(())
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        // It fails only if the process has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command prints, if it succeeds.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let output =
        command.output().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// The sum of all metrics in Prometheus' text form that begin with `metric`, labels and all.
fn sum(text: &str, metric: &str) -> f64 {
    let lines = text.lines().filter(|line| line.starts_with(metric));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_the_labels_that_are_not_named() {
        let text = "# HELP a{b=\"c\" text 7\na{b=\"c\"} 1\na{b=\"d\",e=\"f\"} 2.5\nab 4\n";
        assert!((sum(text, "a{") - 3.5).abs() < 1e-9);
        assert!((sum(text, "a{b=\"d\"") - 2.5).abs() < 1e-9);
        assert!(sum(text, "none").abs() < 1e-9);
    }
}
