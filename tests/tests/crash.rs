//! Power cuts: the coordinator is killed at any moment, and neither a credit nor a work is lost.

use std::collections::BTreeMap;
use std::env;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use e2e::{Siege, Signal, Summary, say, seed};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// Kills in a run, and in one with `DPOW_FULL`.
const KILLS: (usize, usize) = (20, 500);
/// Workers, each a process.
const WORKERS: u8 = 2;
/// How long workers may take to come back by themselves.
const BACK_WITHIN: Duration = Duration::from_secs(15);

/// In which part of its life the coordinator is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// While it starts.
    Start,
    /// Soon after it is ready, mostly before workers are back.
    Early,
    /// When everybody is back.
    Load,
    /// While it stops in an orderly way.
    Stop,
}

/// In turn. Most are under load, since most of a life is.
const MOMENTS: [Moment; 5] = [Moment::Start, Moment::Load, Moment::Early, Moment::Load, Moment::Stop];

/// Waits for a moment up to `limit` from now: what is tested is that any moment will do.
fn any_moment(random: &mut SmallRng, limit: Duration) {
    thread::sleep(limit.mul_f64(random.random()));
}

/// Lets the coordinator live until the moment has come, and kills it. Returns how long workers took to be back, if they were
/// waited for.
fn one_life(siege: &Siege, moment: Moment, random: &mut SmallRng) -> anyhow::Result<Option<Duration>> {
    if moment == Moment::Start {
        let mut process = siege.begin_restart()?;
        any_moment(random, Duration::from_millis(120));
        process.signal(Signal::Kill)?;
        process.wait()?;
        return Ok(None);
    }
    let server = siege.restart()?;
    let mut back_after = None;
    match moment {
        Moment::Start => {}
        Moment::Early => any_moment(random, Duration::from_millis(200)),
        Moment::Load => {
            back_after = Some(siege.wait_for_workers()?);
            any_moment(random, Duration::from_millis(500));
        }
        Moment::Stop => {
            any_moment(random, Duration::from_millis(200));
            server.process().signal(Signal::Terminate)?;
            any_moment(random, Duration::from_millis(30));
        }
    }
    server.crash()?;
    Ok(back_after)
}

/// The coordinator is killed again and again while two services ask in closed loops, each client repeating its request with the
/// same id until it is answered. No charge without an answer, no root paid for twice, no hold left, every work kept, and workers
/// back by themselves in time.
#[test]
fn kills_at_any_moment_lose_nothing() -> anyhow::Result<()> {
    let seed = seed()?;
    say(&format!("kills: DPOW_SEED={seed}"));
    let Some((siege, server)) = Siege::begin("kills under load", WORKERS)? else { return Ok(()) };
    let kills = if env::var_os("DPOW_FULL").is_some() { KILLS.1 } else { KILLS.0 };
    let mut random = SmallRng::seed_from_u64(seed);
    let began = Instant::now();
    let mut moments: BTreeMap<Moment, usize> = BTreeMap::new();
    let (server, worst) = siege.under_load(seed, || {
        let mut worst = Duration::ZERO;
        siege.wait_for_workers()?;
        any_moment(&mut random, Duration::from_millis(500));
        server.crash()?;
        for moment in MOMENTS.into_iter().cycle().take(kills - 1) {
            siege.wait_for_loss()?;
            *moments.entry(moment).or_default() += 1;
            worst = worst.max(one_life(&siege, moment, &mut random)?.unwrap_or_default());
        }
        siege.wait_for_loss()?;
        let server = siege.restart()?;
        Ok((server, worst.max(siege.wait_for_workers()?)))
    })?;
    let (hardships, lasted) = (siege.hardships(), began.elapsed());
    let Summary { answered, free, charged, healed } = siege.finish(server)?;
    say(&format!(
        "kills: {kills} in {:.0} s ({moments:?}); {answered} requests, all answered ({hardships}); {charged} charged once, of these \
         {healed} answered only after a kill; {free} free; workers back after at most {:.1} s",
        lasted.as_secs_f64(),
        worst.as_secs_f64()
    ));
    ensure!(worst <= BACK_WITHIN, "workers were back after {worst:?} only");
    Ok(())
}
