//! How fast the worker searches, beside one hash per call of `blake2b_simd`, and what lies between a request and its search.
//!
//! See `benches/README.md` for the stages, and for how to read the figures.

mod clock;
mod coordinator;
mod hot_loop;
mod observed;
mod orders;
mod rate;
mod requests;
mod threads;

use std::io::stdout;
use std::path::PathBuf;

use benches::figures::Figures;
use benches::machine::describe;
use clap::{Parser, ValueEnum};

/// Measures the search of the worker
#[derive(Debug, Parser)]
struct Options {
    /// Which stages; all without it
    #[arg(long, value_delimiter = ',')]
    only: Vec<Stage>,
    /// How often rates are measured
    #[arg(long, default_value_t = 15)]
    rounds: u32,
    /// How many works the last stage asks for
    #[arg(long, default_value_t = 60)]
    works: usize,
    /// The coordinator's program
    #[arg(long, default_value = "target/release/dpow")]
    dpow: PathBuf,
    /// Write every figure to a file as well
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// Instructions of the hot loops, from this program's own code.
    Code,
    /// Nonces a second of one thread, beside the yardstick.
    Rate,
    /// Nonces a second of more threads.
    Threads,
    /// From a list to its first nonce, and to the last thread that has left the list before.
    Orders,
    /// From a request to its work, beside the search itself.
    Requests,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut figures = Figures::new(describe(None));
    let is_wanted = |stage| options.only.is_empty() || options.only.contains(&stage);
    if is_wanted(Stage::Code) {
        hot_loop::measure(&mut figures)?;
    }
    if is_wanted(Stage::Rate) {
        rate::measure(options.rounds, &mut figures);
    }
    if is_wanted(Stage::Threads) {
        threads::measure(&mut figures)?;
    }
    if is_wanted(Stage::Orders) {
        orders::measure(&mut figures)?;
    }
    if is_wanted(Stage::Requests) {
        requests::measure(&options.dpow, options.works, &mut figures).await?;
    }
    figures.print(&mut stdout())?;
    if let Some(path) = options.json {
        figures.write_json(&path)?;
    }
    Ok(())
}
