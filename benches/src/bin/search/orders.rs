//! How long an order takes to be obeyed by all threads.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use benches::figures::{Figures, Unit};
use shared::JobId;
use shared::pow::{Root, Threshold};
use tokio::sync::mpsc::unbounded_channel;
use worker::backend::cpu::{Pool, Settings};
use worker::backend::{Device, Search};

use crate::observed::Observed;

const ORDERS: u16 = 1_000;
/// Much longer than any order takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Gives orders one after the other, each at another moment of what the threads are doing, and waits until all threads obey.
pub(crate) fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let observed = Observed::new();
    let settings = Settings { instructions: observed.clone(), ..Settings::default() };
    let (found, _) = unbounded_channel();
    let pool = Pool::start(&settings, found)?;
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for counter in 0..ORDERS {
        let root = Root::new(std::array::from_fn(|place| counter.to_le_bytes()[place % 2]));
        let job = JobId { instance: 1, counter: counter.into() };
        let ordered = Instant::now();
        pool.search(Search { job, root, threshold: Threshold::new(u64::MAX) });
        let mut begun = Vec::new();
        while begun.len() < settings.threads.get() {
            ensure!(ordered.elapsed() < PATIENCE, "a thread does not obey");
            thread::sleep(Duration::from_micros(u64::from(2_000 + 7 * (counter % 100))));
            begun.extend(
                observed.take().into_iter().filter(|stint| stint.root == root && stint.began > ordered),
            );
            // A stint that has been taken begins anew.
            let mut seen = Vec::new();
            begun.retain(|stint| {
                !seen.contains(&stint.thread) && {
                    seen.push(stint.thread);
                    true
                }
            });
        }
        let times: Vec<_> = begun.iter().map(|stint| stint.began - ordered).collect();
        first.push(*times.iter().min().context("there are threads")?);
        last.push(*times.iter().max().context("there are threads")?);
    }
    figures.begin(1, settings.instructions.set().name());
    for (name, times) in
        [("an order's first nonce", first), ("the last thread leaves the order before", last)]
    {
        add(figures, name, times);
    }
    Ok(())
}

/// The median and the 99th of a hundred.
pub(crate) fn add(figures: &mut Figures, name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    for (label, share) in [("p50", 50), ("p99", 99)] {
        if let Some(time) = times.get((times.len() * share / 100).min(times.len().saturating_sub(1))) {
            figures.add(format!("{name}, {label}"), Unit::Milliseconds, time.as_secs_f64() * 1e3);
        }
    }
}
