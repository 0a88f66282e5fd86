//! Asks a coordinator for work as services do, and checks and measures every answer. `benches/README.md` says how to run and
//! read it.

mod caller;
mod dialect;
mod pace;
mod roots;
mod tally;

use std::io::Write;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use benches::machine;
use benches::process::{CpuTime, resident_kb};
use benches::report::{LoadReport, ProcessUse};
use clap::Parser;
use shared::pow::Threshold;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::caller::Caller;
use crate::dialect::{Asking, Dialect, INVALID_WORK};
use crate::pace::{Pace, Schedule};
use crate::roots::Roots;
use crate::tally::{Tally, Window};

/// Asks for work, and prints what became of it as one JSON object.
#[derive(Debug, Parser)]
struct Cli {
    /// Where the coordinator's HTTP port is.
    #[arg(long, default_value = "127.0.0.1:5030")]
    server: SocketAddr,
    /// In which form to ask.
    #[arg(long, value_enum, default_value_t = Dialect::V1)]
    dialect: Dialect,
    /// The key of a service; of several, connections use one each, in turn.
    #[arg(long = "key", required = true)]
    keys: Vec<String>,
    /// The name of the service, which only the original DPoW's form wants.
    #[arg(long, default_value = "")]
    user: String,
    /// What the work must meet: the receive threshold of the network `dev`, unless it is said.
    #[arg(long, default_value = "f000000000000000")]
    threshold: Threshold,
    /// How long a request may take, in milliseconds.
    #[arg(long, default_value_t = 30_000)]
    timeout_ms: u32,
    /// Connections. Each has one request on the way at a time.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Requests a second, sent at even intervals whether or not earlier ones are answered; without it each connection sends when
    /// it has its answer.
    #[arg(long)]
    rate: Option<f64>,
    /// The share of requests, from 0 to 1, for roots that were answered before on the same connection.
    #[arg(long, default_value_t = 0.0)]
    repeated: f64,
    /// Seconds before the measured time.
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Ends after so many requests instead, without a warm-up.
    #[arg(long, conflicts_with_all = ["rate", "seconds", "warm_up"])]
    requests: Option<u64>,
    /// A process whose CPU time and memory are measured, as NAME=PID; may be given several times.
    #[arg(long)]
    watch: Vec<Watched>,
}

/// A process that is watched.
#[derive(Debug, Clone)]
struct Watched {
    name: String,
    pid: u32,
}

impl FromStr for Watched {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}` is not NAME=PID");
        let (name, pid) = text.split_once('=').ok_or_else(form)?;
        Ok(Self { name: name.into(), pid: pid.parse().map_err(|_| form())? })
    }
}

/// What processes had used at one moment.
struct Used {
    own: CpuTime,
    watched: Vec<(CpuTime, f64)>,
}

impl Used {
    fn now(watched: &[Watched]) -> anyhow::Result<Self> {
        let of = |process: &Watched| Ok((CpuTime::of(process.pid)?, resident_kb(process.pid)?));
        let watched = watched.iter().map(of).collect::<anyhow::Result<_>>()?;
        Ok(Self { own: CpuTime::of(std::process::id())?, watched })
    }
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    ensure!((0.0..=1.0).contains(&cli.repeated), "--repeated must be from 0 to 1");
    ensure!(cli.rate.is_none_or(|rate| rate > 0.0), "--rate must be above 0");
    machine::raise_descriptor_limit(cli.connections + 100)?;
    // One thread, so that the load leaves the other cores to what is measured.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(run(&cli))?;
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string_pretty(&report)?)?;
    let invalid = report.failed_in_all.get(INVALID_WORK);
    ensure!(invalid.is_none(), "{} answers brought invalid work", invalid.copied().unwrap_or_default());
    Ok(())
}

async fn run(cli: &Cli) -> anyhow::Result<LoadReport> {
    let origin = Instant::now();
    let (warm_up, measured) = match cli.requests {
        Some(_) => (Duration::ZERO, None),
        None => (Duration::from_secs_f64(cli.warm_up), Some(Duration::from_secs_f64(cli.seconds))),
    };
    let begin = origin + warm_up;
    let window = Window { begin, end: measured.map(|measured| begin + measured) };
    let pace = match cli.rate {
        Some(rate) => Pace::Open(Schedule::new(origin, rate, warm_up + measured.unwrap_or_default())),
        None => Pace::Closed { left: AtomicU64::new(cli.requests.unwrap_or(u64::MAX)), end: window.end },
    };
    let (pace, tally) = (Arc::new(pace), Arc::new(Mutex::new(Tally::new(window))));
    let mut callers = start(cli, &pace, &tally);

    sleep_until(begin.into()).await;
    let before = Used::now(&cli.watch)?;
    if let Some(end) = window.end {
        sleep_until(end.into()).await;
    } else {
        finish(&mut callers).await?;
    }
    let after = Used::now(&cli.watch)?;
    let seconds = measured.unwrap_or_else(|| begin.elapsed()).as_secs_f64();
    finish(&mut callers).await?;
    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(report(cli, &tally, &pace, seconds, (&before, &after)))
}

/// Starts all connections, and whoever lets requests become due.
fn start(cli: &Cli, pace: &Arc<Pace>, tally: &Arc<Mutex<Tally>>) -> JoinSet<anyhow::Result<()>> {
    let templates: Vec<_> =
        cli.keys.iter().map(|key| Arc::new(cli.dialect.template(&asking(cli, key)))).collect();
    // Roots of different runs differ, so that nothing is answered from what an earlier one has paid for.
    let seed = rand::random::<u64>();
    let mut callers = JoinSet::new();
    let keys = cli.keys.iter().zip(&templates).cycle();
    for (index, (key, template)) in (0..cli.connections).zip(keys) {
        let caller = Caller {
            server: cli.server,
            dialect: cli.dialect,
            key: key.clone(),
            template: Arc::clone(template),
            threshold: cli.threshold,
            patience: Duration::from_millis(cli.timeout_ms.into()) + PATIENCE_BEYOND,
            roots: Roots::new(seed.wrapping_add(index as u64), cli.repeated),
            pace: Arc::clone(pace),
            tally: Arc::clone(tally),
        };
        callers.spawn(async move {
            caller.run().await;
            Ok(())
        });
    }
    let pace = Arc::clone(pace);
    callers.spawn(async move {
        match &*pace {
            Pace::Open(schedule) => schedule.run().await.context("the timer failed"),
            Pace::Closed { .. } => Ok(()),
        }
    });
    callers
}

/// Waits until what was sent is answered, or given up.
async fn finish(callers: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(ended) = callers.join_next().await {
        ended.context("a connection's task failed")??;
    }
    Ok(())
}

/// How much longer than a request's own time an answer is waited for.
const PATIENCE_BEYOND: Duration = Duration::from_secs(10);

fn asking(cli: &Cli, key: &str) -> Asking {
    Asking {
        server: cli.server,
        user: cli.user.clone(),
        key: key.into(),
        threshold: cli.threshold,
        timeout_ms: cli.timeout_ms,
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
fn report(
    cli: &Cli,
    tally: &Tally,
    pace: &Pace,
    seconds: f64,
    (before, after): (&Used, &Used),
) -> LoadReport {
    let (ends, answers) = tally.in_window();
    let (answered_in_all, failed_in_all) = tally.in_all();
    let ends = usize::try_from(ends).unwrap_or(usize::MAX);
    let each = |(after, before): (CpuTime, CpuTime)| {
        let (own_us, kernel_us) = after.since(before, ends);
        (own_us + kernel_us, kernel_us)
    };
    let watched = cli.watch.iter().zip(&before.watched).zip(&after.watched);
    let processes = watched.map(|((process, before), after)| {
        let (cpu_us_per_request, kernel_us_per_request) = each((after.0, before.0));
        let resident_kb = (before.1, after.1);
        ProcessUse { name: process.name.clone(), cpu_us_per_request, kernel_us_per_request, resident_kb }
    });
    LoadReport {
        dialect: cli.dialect.as_str().into(),
        connections: cli.connections,
        rate: cli.rate,
        seconds,
        answered_per_second: answers as f64 / seconds,
        answered: tally.answered(),
        failed: tally.failed(),
        unsent: pace.unsent(),
        answered_in_all,
        failed_in_all,
        own_cpu_us_per_request: each((after.own, before.own)).0,
        processes: processes.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watched_process_has_a_name_and_a_number() {
        let watched: Watched = "dpow=12".parse().unwrap();
        assert_eq!((watched.name.as_str(), watched.pid), ("dpow", 12));
        assert!("dpow".parse::<Watched>().is_err() && "dpow=x".parse::<Watched>().is_err());
    }
}
