//! Real processes beside the simulator: the same volunteers, the same load, the same policy, once over MQTT in real time and once in
//! virtual time. `benches/README.md` says how to run and read it.

mod asking;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use benches::coordinator::{Coordinator, NETWORK, Program, WORKERS};
use benches::fleet::Fleet;
use benches::machine;
use benches::process::beside;
use benches::report::FleetReport;
use benches::volunteers::{scale, volunteers};
use clap::Parser;
use marketplace::dispatch::DispatchPolicy;
use marketplace::sim::{Class, Report, Scenario, simulate};
use serde::Serialize;

use crate::asking::{Asked, Asking};

/// How efficient the coordinator says that it is.
const EFFICIENCY: &str = "dpow_dispatch_efficiency_ratio ";

/// Asks real processes and the simulator for work at the same loads, and prints both, and the one over the other.
#[derive(Debug, Parser)]
struct Cli {
    /// The coordinator's program; the one built beside this one unless it is named.
    #[arg(long)]
    dpow: Option<PathBuf>,
    /// Of the population, and of what is left to chance.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many workers.
    #[arg(long, default_value_t = 200)]
    workers: u32,
    /// Loads, as parts of what all workers can do.
    #[arg(long, value_delimiter = ',', default_value = "0.2,0.5,0.8")]
    loads: Vec<f64>,
    /// Seconds before those that are measured.
    #[arg(long, default_value_t = 20.0)]
    warm_up: f64,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Requests that count in the simulator; half as many go before them.
    #[arg(long, default_value_t = 40_000)]
    simulated: u32,
    /// Where the ledgers are.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    data: PathBuf,
    /// Where to write every figure.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What came of one load on one side.
#[derive(Debug, Clone, Serialize)]
struct Figures {
    load: f64,
    what: &'static str,
    asked: usize,
    answered: usize,
    p50_s: f64,
    p95_s: f64,
    p99_s: f64,
    messages_per_work: f64,
    /// What the coordinator takes it to be, and what it is in the simulator.
    efficiency: f64,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    ensure!(
        cli.loads.iter().all(|load| (0.0..1.0).contains(load) && *load > 0.0),
        "a load is between 0 and 1"
    );
    machine::raise_descriptor_limit(cli.workers as usize + 2000)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut all = Vec::new();
    for load in &cli.loads {
        let real = runtime.block_on(real(&cli, *load)).with_context(|| format!("at a load of {load}"))?;
        let simulated = simulated(&cli, *load)?;
        all.push((real, simulated));
    }
    print(&all, &mut std::io::stdout().lock())?;
    if let Some(path) = &cli.json {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        serde_json::to_writer_pretty(file, &all)?;
    }
    Ok(())
}

fn simulated(cli: &Cli, load: f64) -> anyhow::Result<Figures> {
    let mut scenario = Scenario::volunteers(cli.seed, cli.workers, load, cli.simulated);
    scenario.dispatch = DispatchPolicy::Adaptive { fairness: 0 };
    let report: Report = simulate(&scenario)?;
    let class = report.classes.get(&Class::Send).context("sends were asked for")?;
    let seconds = |share| class.quantile(share).map_or(f64::INFINITY, |time| time.as_secs_f64());
    Ok(Figures {
        load,
        what: "simulated",
        asked: class.asked,
        answered: class.answered,
        p50_s: seconds(0.5),
        p95_s: seconds(0.95),
        p99_s: seconds(0.99),
        messages_per_work: report.messages_per_work,
        efficiency: report.efficiency,
    })
}

async fn real(cli: &Cli, load: f64) -> anyhow::Result<Figures> {
    let path = match &cli.dpow {
        Some(path) => path.clone(),
        None => beside("dpow")?,
    };
    let program = Program { name: "dpow".into(), path, settings: Vec::new() };
    let coordinator = Coordinator::start(&program, &cli.data, None)?;
    let drawn = format!("--volunteers={}", cli.seed);
    let mut fleet = Fleet::start(coordinator.mqtt(), "first", cli.workers as usize, &[drawn])?;
    coordinator.wait_for(&[WORKERS], cli.workers.into()).await?;

    let rates: f64 = volunteers(cli.seed, cli.workers).iter().map(|volunteer| volunteer.rate).sum();
    let threshold = NETWORK.send_threshold();
    let per_second = load * rates / threshold.expected_hashes();
    let asking = Asking::new(coordinator.http(), coordinator.key(), threshold, per_second, cli.seed);
    // Kept, for what is dropped is withdrawn.
    let _before = asking.go_on_for(Duration::from_secs_f64(cli.warm_up)).await;
    let before = fleet.report()?;
    let asked = asking.go_on_for(Duration::from_secs_f64(cli.seconds)).await;
    let efficiency = coordinator.value(EFFICIENCY).await?;
    let messages_per_work = messages_per_work(&before, &fleet.report()?);
    // Those who still wait are answered while others go on asking, as they were all the time.
    let Asked { times, failed } = asking.until_all_are_answered(asked).await?;
    ensure!(failed.is_empty(), "not all were answered: {failed:?}");
    coordinator.stop()?;
    let at = |share: f64| quantile(&times, share);
    let (p50_s, p95_s, p99_s) = (at(0.5), at(0.95), at(0.99));
    let asked = times.len();
    Ok(Figures {
        load,
        what: "real",
        asked,
        answered: asked,
        p50_s,
        p95_s,
        p99_s,
        messages_per_work,
        efficiency,
    })
}

/// Lists, results, statuses and verdicts for each result that was accepted.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn messages_per_work(before: &FleetReport, after: &FleetReport) -> f64 {
    let messages = |report: &FleetReport| {
        report.lists + report.results + report.statuses + report.verdicts.values().sum::<u64>()
    };
    let works = |report: &FleetReport| report.verdicts.get("accepted").copied().unwrap_or(0);
    (messages(after) - messages(before)) as f64 / (works(after) - works(before)).max(1) as f64
}

/// The smallest of ascending values that at least this share of them does not exceed, in seconds.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index"
)]
fn quantile(ascending: &[Duration], share: f64) -> f64 {
    let rank = (ascending.len() as f64 * share).ceil() as usize;
    ascending.get(rank.saturating_sub(1)).map_or(f64::NAN, Duration::as_secs_f64)
}

fn print(all: &[(Figures, Figures)], out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "Hashes are {:.0} times as easy as they stand for.\n", 1.0 / scale())?;
    writeln!(out, "| load | | requests | p50 s | p95 s | p99 s | messages | efficiency |")?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    for (real, simulated) in all {
        for one in [real, simulated] {
            writeln!(
                out,
                "| {} | {} | {} | {:.4} | {:.4} | {:.4} | {:.1} | {:.3} |",
                one.load,
                one.what,
                one.asked,
                one.p50_s,
                one.p95_s,
                one.p99_s,
                one.messages_per_work,
                one.efficiency
            )?;
        }
        writeln!(
            out,
            "| {} | real over simulated | | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} |",
            real.load,
            real.p50_s / simulated.p50_s,
            real.p95_s / simulated.p95_s,
            real.p99_s / simulated.p99_s,
            real.messages_per_work / simulated.messages_per_work,
            real.efficiency / simulated.efficiency
        )?;
    }
    Ok(())
}
