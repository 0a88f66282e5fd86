//! Settlements a second of the stores, beside their raw engines.
//!
//! Each caller holds, waits, settles, waits, and so on, as the coordinator does for each request; a settlement counts when it is
//! durable as far as the store promises. The raw engine does the same writes without the store. See `benches/README.md`.

mod engine;
mod load;
mod raw_redis;
mod raw_sqlite;
mod restart;
mod sales;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Parser;
use serde::Serialize;

use self::engine::Engine;
use self::load::Measured;

/// Measures settlements a second of the ledger's stores beside their raw engines
#[derive(Debug, Parser)]
struct Options {
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long each figure is measured
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Numbers of callers
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    callers: Vec<usize>,
    /// Where the files of all engines are, so that the disk is the same [default: the system's folder for such things]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Instead, start a coordinator on ledgers with so many works
    #[arg(long)]
    restart: Option<u64>,
    /// The coordinator's program
    #[arg(long, default_value = "target/release/dpow")]
    dpow: PathBuf,
    /// Write every figure to a file as well
    #[arg(long)]
    json: Option<PathBuf>,
}

/// One figure of one round.
#[derive(Debug, Clone, Serialize)]
struct Figure {
    round: u32,
    engine: Engine,
    is_raw: bool,
    callers: usize,
    per_second: f64,
    p99_ms: f64,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "this is what it is for")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let folder = options.folder.clone().unwrap_or_else(std::env::temp_dir);
    println!("{}\n", machine());
    if let Some(works) = options.restart {
        return restart(&options.dpow, works, options.rounds, &folder).await;
    }
    let mut figures = Vec::new();
    for round in 1..=options.rounds {
        for &callers in &options.callers {
            for engine in Engine::ALL {
                for is_raw in [false, true] {
                    let time = Duration::from_secs(options.seconds);
                    let Measured { per_second, p99 } = engine.measure(is_raw, callers, time, &folder).await?;
                    let p99_ms = p99.as_secs_f64() * 1e3;
                    figures.push(Figure { round, engine, is_raw, callers, per_second, p99_ms });
                }
            }
        }
    }
    print(&figures, &options.callers, &mut std::io::stdout().lock())?;
    if let Some(path) = options.json {
        std::fs::write(path, serde_json::to_string_pretty(&figures)?)?;
    }
    Ok(())
}

/// Starts a coordinator on each kind of ledger with so many works, and on an empty one.
#[expect(clippy::print_stdout, reason = "this is what it is for")]
async fn restart(dpow: &Path, works: u64, rounds: u32, folder: &Path) -> anyhow::Result<()> {
    println!("| ledger | works | ready after, s | CPU until then, s | memory, MB |\n|---|---|---|---|---|");
    for works in [0, works] {
        for is_redis in [false, true] {
            let mut started = Vec::new();
            for _ in 0..rounds {
                started.push(if is_redis {
                    restart::on_redis(dpow, works, folder).await?
                } else {
                    restart::on_sqlite(dpow, works, folder).await?
                });
            }
            let columns = [
                started.iter().map(|start| start.ready.as_secs_f64()).collect(),
                started.iter().map(|start| start.cpu_s).collect(),
                started.iter().map(|start| start.memory_mb).collect(),
            ];
            let name = if is_redis { "Redis" } else { "SQLite" };
            println!("| {name} | {works} | {} |", columns.map(summary).join(" | "));
        }
    }
    Ok(())
}

/// For each engine and number of callers the median of all rounds and, in brackets, the least and the greatest.
fn print(figures: &[Figure], callers: &[usize], to: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        to,
        "| engine | callers | settlements/s | raw engine | of the raw engine | p99, ms | raw p99, ms |"
    )?;
    writeln!(to, "|---|---|---|---|---|---|---|")?;
    for engine in Engine::ALL {
        for &callers in callers {
            let of = |is_raw: bool| -> Vec<&Figure> {
                let is_it = |figure: &&Figure| {
                    (figure.engine, figure.callers, figure.is_raw) == (engine, callers, is_raw)
                };
                figures.iter().filter(is_it).collect()
            };
            let (store, raw) = (of(false), of(true));
            let rates = |figures: &[&Figure]| figures.iter().map(|figure| figure.per_second).collect();
            let p99s = |figures: &[&Figure]| figures.iter().map(|figure| figure.p99_ms).collect();
            let ratios =
                store.iter().zip(&raw).map(|(store, raw)| store.per_second / raw.per_second).collect();
            let columns = [rates(&store), rates(&raw), ratios, p99s(&store), p99s(&raw)].map(summary);
            writeln!(to, "| {} | {callers} | {} |", engine.name(), columns.join(" | "))?;
        }
    }
    Ok(())
}

/// The median of values, with the least and the greatest.
fn summary(mut values: Vec<f64>) -> String {
    values.sort_unstable_by(f64::total_cmp);
    let rounded = |value: f64| match value {
        below if below < 10.0 => format!("{value:.2}"),
        below if below < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    };
    match values.as_slice() {
        [] => String::new(),
        [only] => rounded(*only),
        [least, .., greatest] => {
            format!(
                "{} [{}, {}]",
                rounded(values[(values.len() - 1) / 2]),
                rounded(*least),
                rounded(*greatest)
            )
        }
    }
}

/// The commit, the engines and the machine, as one line.
fn machine() -> String {
    let line = |command: &mut Command| {
        let output = command.output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned()
    };
    let commit = line(Command::new("git").args(["describe", "--always", "--dirty"]));
    let redis = line(Command::new("redis-server").arg("--version"));
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let processor = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let processor = processor.map_or("", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    let sqlite = rusqlite::version();
    format!(
        "{commit}, SQLite {sqlite} and {redis} on {processor}, {cores} cores, load {}",
        load.split(' ').next().unwrap_or_default()
    )
}
