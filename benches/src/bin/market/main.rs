//! Measures a whole market: a coordinator, workers and a service, each a process of its own, in alternating rounds over given
//! configurations. `benches/README.md` says how to run and read it.

mod disk;
mod load;
mod refuser;
mod table;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use benches::coordinator::{ACCEPTED, ANSWERED, Coordinator, LOOK_EVERY, Program, WORKERS};
use benches::fleet::Fleet;
use benches::machine;
use benches::process::beside;
use benches::report::{FleetReport, LoadReport};
use clap::Parser;
use tokio::time::sleep;

use crate::load::{Length, Load};
use crate::refuser::Refuser;
use crate::table::{Measurement, Measurements};

/// Connections of an open loop: more than requests wait at once as long as the coordinator keeps up.
const OPEN_CONNECTIONS: usize = 2000;
/// The same where each is a `WebSocket`, of which a coordinator takes 1,024.
const OPEN_SOCKETS: usize = 1000;
/// The process that has the ledger, if that is not the coordinator.
const REDIS: &str = "redis-server";
/// The load that measures what a refusal takes at the least.
const FLOOR: &str = "open, twice it, of a server that only refuses";
/// The rates of the open loops, as parts of what the closed loop with most connections has reached just before.
const OPEN_PARTS: [(&str, f64); 2] = [("open, half of it", 0.5), ("open, twice it", 2.0)];

/// Measures a market, and prints a table of medians and ranges.
#[derive(Debug, Parser)]
struct Cli {
    /// Coordinators to measure in turn, as NAME=PATH; the one built beside this program unless they are named.
    #[arg(long = "dpow", value_name = "NAME=PATH", value_parser = pair)]
    programs: Vec<(String, String)>,
    /// Variables that the coordinators are started with, such as `DPOW_DISPATCH__K=1`.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    /// How many workers.
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,1000")]
    workers: Vec<usize>,
    /// What workers do with their lists: `one`, `race`, `mute` or `slow` (see the fleet).
    #[arg(long, default_value = "one")]
    policy: String,
    /// Hashes a second of each worker; without it, it searches in no time.
    #[arg(long)]
    worker_rate: Option<f64>,
    /// How many connections, each with one request on the way at a time.
    #[arg(long, value_delimiter = ',', default_value = "1,32,256")]
    connections: Vec<usize>,
    /// In which form to ask: `v1`, `ws`, `rpc` or `service`.
    #[arg(long, default_value = "v1")]
    dialect: String,
    /// The share of requests, from 0 to 1, for roots that were answered before.
    #[arg(long, default_value_t = 0.0)]
    repeated: f64,
    /// Asks at half and at twice the rate that the closed loop with most connections has reached as well, whether or not answers
    /// come; and at twice the rate a server that does nothing but refuse.
    #[arg(long)]
    overload: bool,
    /// Rounds over all configurations.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds before the measured time.
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Measures so many requests instead.
    #[arg(long, conflicts_with_all = ["seconds", "warm_up", "overload"])]
    requests: Option<u64>,
    /// Keeps the ledgers in a Redis server of its own, which syncs its log `always` or `everysec`.
    #[arg(long, value_name = "SYNC", value_parser = ["always", "everysec"])]
    redis: Option<String>,
    /// Where the ledgers are, for as long as they are needed: on which disk is in every figure.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    data: PathBuf,
    /// Where to write every single figure.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (left, right) = text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`"))?;
    Ok((left.into(), right.into()))
}

impl Cli {
    fn programs(&self) -> anyhow::Result<Vec<Program>> {
        let program = |name: &str, path: PathBuf| {
            let settings = self.settings.clone();
            Program { name: name.into(), path, settings }
        };
        if self.programs.is_empty() {
            return Ok(vec![program("dpow", beside("dpow")?)]);
        }
        Ok(self.programs.iter().map(|(name, path)| program(name, path.into())).collect())
    }

    fn open_connections(&self) -> usize {
        if self.dialect == "ws" { OPEN_SOCKETS } else { OPEN_CONNECTIONS }
    }

    fn load(&self, connections: usize, rate: Option<f64>) -> Load {
        let length = match self.requests {
            Some(requests) => Length::Requests(requests),
            None => Length::Seconds { warm_up: self.warm_up, measured: self.seconds },
        };
        let (dialect, repeated) = (self.dialect.clone(), self.repeated);
        Load { dialect, connections, rate, repeated, length }
    }
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let workers_max = cli.workers.iter().max().copied().unwrap_or_default();
    machine::raise_descriptor_limit(workers_max + OPEN_CONNECTIONS + 1000)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measurements = runtime.block_on(measure_all(&cli))?;
    measurements.print(&mut std::io::stdout().lock())?;
    if let Some(path) = &cli.json {
        write_json(&measurements, path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn write_json(measurements: &Measurements, path: &Path) -> anyhow::Result<()> {
    let mut file = File::create(path)?;
    serde_json::to_writer_pretty(&mut file, measurements)?;
    Ok(writeln!(file)?)
}

async fn measure_all(cli: &Cli) -> anyhow::Result<Measurements> {
    let programs = cli.programs()?;
    let disk_sync = disk::sync_time(&cli.data)?;
    let mut measurements = Measurements { machine: machine::describe(None), disk_sync, all: Vec::new() };
    for round in 1..=cli.rounds {
        for workers in cli.workers.iter().copied() {
            for program in &programs {
                let mut run = Run { cli, program, round, workers, all: &mut measurements.all };
                run.measure()
                    .await
                    .with_context(|| format!("{} with {workers} workers in round {round}", program.name))?;
            }
        }
    }
    Ok(measurements)
}

/// All loads on one program with so many workers, in one round.
struct Run<'a> {
    cli: &'a Cli,
    program: &'a Program,
    round: u32,
    workers: usize,
    all: &'a mut Vec<Measurement>,
}

impl Run<'_> {
    async fn measure(&mut self) -> anyhow::Result<()> {
        let mut reached = 0.0;
        for connections in self.cli.connections.iter().copied() {
            let plural = if connections == 1 { "" } else { "s" };
            let name = format!("{connections} connection{plural}");
            reached = self.measure_one(&name, &self.cli.load(connections, None)).await?;
        }
        if self.cli.overload {
            for (name, part) in OPEN_PARTS {
                let load = self.cli.load(self.cli.open_connections(), Some(reached * part));
                self.measure_one(name, &load).await?;
            }
            let (_, part) = OPEN_PARTS[1];
            let load = self.cli.load(OPEN_CONNECTIONS, Some(reached * part));
            self.measure_floor(&Load { dialect: "v1".into(), ..load })?;
        }
        Ok(())
    }

    /// Measures one load on a coordinator and workers that have just started, and says how many works a second there were.
    async fn measure_one(&mut self, name: &str, load: &Load) -> anyhow::Result<f64> {
        let coordinator = Coordinator::start(self.program, &self.cli.data, self.cli.redis.as_deref())?;
        let rate = self.cli.worker_rate.map(|rate| format!("--rate={rate}"));
        let rate = Vec::from_iter(rate);
        let mut fleet = Fleet::start(coordinator.mqtt(), &self.cli.policy, self.workers, &rate)?;
        coordinator.wait_for(&[WORKERS], self.workers as u64).await?;
        let mut watch = vec![("dpow", coordinator.pid()), ("fleet", fleet.pid())];
        watch.extend(coordinator.redis_pid().map(|pid| (REDIS, pid)));
        let reported = load.run(coordinator.http(), coordinator.key(), &watch)?;
        let fleet_report = self.check(&coordinator, &mut fleet, &reported).await?;
        drop(fleet);
        coordinator.stop()?;
        let works = reported.answered_per_second;
        let (round, program, workers) = (self.round, self.program.name.clone(), self.workers);
        let load = name.to_owned();
        self.all.push(Measurement { round, program, workers, load, reported, fleet: fleet_report });
        Ok(works)
    }

    /// Measures one load on a server that does nothing but refuse, which stands in the place of the coordinator.
    fn measure_floor(&mut self, load: &Load) -> anyhow::Result<()> {
        let refuser = Refuser::start()?;
        let reported = load.run(refuser.address(), "none", &[("dpow", refuser.pid())])?;
        let (round, program, workers) = (self.round, self.program.name.clone(), self.workers);
        let (load, fleet) = (FLOOR.to_owned(), FleetReport::default());
        self.all.push(Measurement { round, program, workers, load, reported, fleet });
        Ok(())
    }

    /// Demands that the coordinator has counted what the load and the fleet have.
    async fn check(
        &self,
        coordinator: &Coordinator,
        fleet: &mut Fleet,
        reported: &LoadReport,
    ) -> anyhow::Result<FleetReport> {
        // Whoever has given up waiting does not know what became of its request.
        let is_unknown = |kind: &String| UNKNOWN_ENDS.iter().any(|end| kind.starts_with(end));
        if !reported.failed_in_all.keys().any(is_unknown) {
            coordinator.wait_for(&ANSWERED, reported.answered_in_all).await?;
        }
        // A slow reader has not heard of all its verdicts yet, and may never.
        if self.cli.policy == "slow" {
            return fleet.report();
        }
        let begin = Instant::now();
        loop {
            let report = fleet.report()?;
            let heard = report.verdicts.get("accepted").copied().unwrap_or_default();
            if coordinator.counted(&ACCEPTED).await? == heard {
                return Ok(report);
            }
            ensure!(begin.elapsed() < HEARD_WITHIN, "the workers have not heard of every accepted result");
            sleep(LOOK_EVERY).await;
        }
    }
}

/// How failures begin after which the load cannot know whether its request was answered.
const UNKNOWN_ENDS: [&str; 3] = ["timeout", "cut off", "no connection"];
/// How long the last verdicts may take to be heard.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_two_sides() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(pair("a").is_err());
    }
}
