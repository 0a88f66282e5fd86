//! Measures the MQTT gate beside Debian's mosquitto, in turn, on loopback. `benches/README.md` says how to run and read it.

mod client;
mod crowd;
mod delivery;
mod echo;
mod flood;
mod latency;
mod memory;
mod readers;
mod round_trip;
mod server;
mod soak;
mod storm;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use benches::figures::Figures;
use benches::machine;
use clap::{Parser, Subcommand, ValueEnum};

use crate::server::{Kind, Server};

/// Measures the MQTT gate beside mosquitto.
#[derive(Debug, Parser)]
struct Cli {
    /// Rounds; in each, every stage is measured on the gate and then on mosquitto.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds that each stream of messages is measured for.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Sessions of the largest crowd.
    #[arg(long, default_value_t = 10_000)]
    sessions: usize,
    /// The stages to measure, separated by commas; all when absent.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Stage>,
    /// The program to compare with.
    #[arg(long, default_value = "/usr/sbin/mosquitto")]
    mosquitto: PathBuf,
    /// Where to write every single figure.
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves as the gate that is measured; started by this program itself.
    #[command(hide = true)]
    ServeGate,
    /// Attacks a gate with random traffic, and fails when it stops answering an honest session or grows.
    Soak {
        /// For how long.
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        /// What the traffic is drawn from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// What attackers say, before it is damaged.
        #[arg(long, default_value = "fuzz/corpus/packet_reader")]
        corpus: PathBuf,
    },
}

/// What can be measured on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// Memory of idle subscribed sessions, and how fast they come.
    Memory,
    /// Results and their verdicts beside few and many idle sessions.
    RoundTrip,
    /// Lists to 1, 8 and 64 of 1,000 sessions at once.
    Delivery,
    /// All sessions lose their connections and come back.
    Storm,
    /// Some sessions read slowly, or not at all.
    Readers,
    /// Some sessions send results as fast as they can.
    Flood,
}

/// How large the measurements are.
#[derive(Debug, Clone, Copy)]
struct Scale {
    sessions: usize,
    duration: Duration,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if let Some(Command::ServeGate) = cli.command {
        return tokio::runtime::Runtime::new()?.block_on(echo::serve());
    }
    machine::raise_descriptor_limit(cli.sessions + 1000)?;
    // One thread, so that the load leaves the other cores to what is measured.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(Command::Soak { minutes, seed, corpus }) = &cli.command {
        return runtime.block_on(soak::run(Duration::from_mins(*minutes), *seed, corpus));
    }
    let figures = runtime.block_on(measure(&cli))?;
    figures.print(&mut std::io::stdout().lock())?;
    if let Some(path) = &cli.json {
        figures.write_json(path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

async fn measure(cli: &Cli) -> anyhow::Result<Figures> {
    let stages = if cli.only.is_empty() { Stage::value_variants() } else { &cli.only };
    let scale = Scale { sessions: cli.sessions, duration: Duration::from_secs(cli.seconds) };
    let mut figures = Figures::new(machine::describe(Some(&cli.mosquitto)));
    for round in 1..=cli.rounds {
        for stage in stages {
            for kind in Kind::ALL {
                figures.begin(round, kind.as_str());
                measure_stage(*stage, kind, cli, scale, &mut figures)
                    .await
                    .with_context(|| format!("{stage:?} of {} in round {round}", kind.as_str()))?;
            }
        }
    }
    Ok(figures)
}

/// Measures one stage on a server that has just started.
async fn measure_stage(
    stage: Stage,
    kind: Kind,
    cli: &Cli,
    scale: Scale,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let mut server = Server::start(kind, &cli.mosquitto).await?;
    match stage {
        Stage::Memory => memory::measure(&server, scale, figures).await,
        Stage::RoundTrip => round_trip::measure(&server, scale, figures).await,
        Stage::Delivery => delivery::measure(&server, scale, figures).await,
        Stage::Storm => storm::measure(&mut server, scale, figures).await,
        Stage::Readers => readers::measure(&server, scale, figures).await,
        Stage::Flood => flood::measure(&server, scale, figures).await,
    }
}
