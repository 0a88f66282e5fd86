//! Nonces a second of more and more threads.

use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};

use benches::figures::{Figures, Unit};
use shared::JobId;
use shared::pow::{Root, Threshold};
use tokio::sync::mpsc::unbounded_channel;
use worker::backend::cpu::{Pool, Settings};
use worker::backend::{Device, Search};

/// How long each number of threads is measured, each time.
const TIME: Duration = Duration::from_millis(400);
const ROUNDS: u32 = 5;

/// One thread and as many as there are cores, in turn, and how many times one thread the others are.
pub(crate) fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let settings = Settings::default();
    let name = settings.instructions.set().name();
    for round in 1..=ROUNDS {
        let one = rate(&settings, NonZeroUsize::MIN)?;
        let all = rate(&settings, settings.threads)?;
        figures.begin(round, name);
        figures.add("nonces, pool of one thread", Unit::PerSecond, one);
        figures.add(format!("nonces, pool of {}", settings.threads), Unit::PerSecond, all);
        figures.add(format!("{} threads over one", settings.threads), Unit::Ratio, all / one);
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a measurement")]
fn rate(settings: &Settings, threads: NonZeroUsize) -> anyhow::Result<f64> {
    let (found, _) = unbounded_channel();
    let pool = Pool::start(&Settings { threads, ..settings.clone() }, found)?;
    let job = JobId { instance: 1, counter: 1 };
    pool.search(Search { job, root: Root::new([1; 32]), threshold: Threshold::new(u64::MAX) });
    thread::sleep(TIME / 4);
    let (start, before) = (Instant::now(), pool.hashes());
    thread::sleep(TIME);
    Ok((pool.hashes() - before) as f64 / start.elapsed().as_secs_f64())
}
