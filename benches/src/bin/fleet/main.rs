//! Many workers in one process, over real connections, which search for easy work only. `benches/README.md` says how to run and
//! read it.

mod counts;
mod policy;
mod session;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use benches::machine;
use benches::volunteers::{Volunteer, volunteers};
use clap::Parser;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::counts::Counts;
use crate::policy::Group;
use crate::session::{Fleet, Nature, Session};

/// Sessions that are being opened at once: far fewer than a gate allows that have not logged in.
const LANES: usize = 64;

/// Works as so many workers. Answers each line of its input with a line of JSON that says what they have done, and ends with
/// its input.
#[derive(Debug, Parser)]
struct Cli {
    /// Where the coordinator's MQTT port is.
    #[arg(long, default_value = "127.0.0.1:1883")]
    server: SocketAddr,
    /// How many, as POLICY:COUNT; may be given several times. `one` searches for the first job of its list, `first` too and
    /// leaves it for what comes before it later, `race` for all at once, `mute` never answers, `slow` reads slowly. A mere number is of `one`.
    #[arg(long, default_value = "one:100")]
    workers: Vec<Group>,
    /// Hashes a second of each worker: how long it takes over a job is drawn as if it had so many. Without it, no time.
    #[arg(long)]
    rate: Option<f64>,
    /// Gives each worker the rate and the way to the coordinator that it has in the simulator with this seed, for sends of the
    /// network `dev` that stand for sends of the live one.
    #[arg(long, conflicts_with = "rate", value_name = "SEED")]
    volunteers: Option<u64>,
    /// What identities are made from; at random unless it is said.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    ensure!(cli.rate.is_none_or(|rate| rate > 0.0), "--rate must be above 0");
    let count: usize = cli.workers.iter().map(|group| group.count).sum();
    machine::raise_descriptor_limit(count + 100)?;
    // One thread, so that the fleet leaves the other cores to what is measured.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(&cli))
}

async fn run(cli: &Cli) -> anyhow::Result<()> {
    let seed = cli.seed.unwrap_or_else(rand::random);
    let fleet = Fleet { server: cli.server, lanes: Semaphore::new(LANES), counts: Counts::default(), seed };
    let fleet = Arc::new(fleet);
    let mut sessions = JoinSet::new();
    let policies = cli.workers.iter().flat_map(|group| std::iter::repeat_n(group.policy, group.count));
    for (number, (policy, nature)) in (0..).zip(policies.zip(natures(cli))) {
        let random = SmallRng::seed_from_u64(seed.wrapping_add(number));
        sessions.spawn(Session::new(Arc::clone(&fleet), number, policy, nature, random).run());
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        let report = serde_json::to_string(&fleet.counts.report())?;
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{report}").and_then(|()| stdout.flush()).context("nobody listens")?;
    }
    sessions.shutdown().await;
    Ok(())
}

/// How fast and how far away each worker is.
fn natures(cli: &Cli) -> Vec<Nature> {
    let count: usize = cli.workers.iter().map(|group| group.count).sum();
    let Some(seed) = cli.volunteers else {
        return vec![Nature { rate: cli.rate, delay: Duration::ZERO }; count];
    };
    volunteers(seed, u32::try_from(count).unwrap_or(u32::MAX))
        .into_iter()
        .map(|Volunteer { rate, delay }| Nature { rate: Some(rate), delay })
        .collect()
}
