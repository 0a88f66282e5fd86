//! Power cuts: the coordinator is killed at any moment, and neither a credit nor a work is lost.

use std::collections::BTreeMap;
use std::env;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use e2e::{Home, NETWORK, Process, Siege, Signal, Summary, WorkerProcess, account, root, say, seed};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

/// Kills in a run, and in one with `DPOW_FULL`.
const KILLS: (usize, usize) = (20, 500);
/// First starts that are killed.
const FIRST_STARTS: usize = 8;
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

/// Lets the coordinator live until the moment has come, and kills it. Returns how long workers took to be back from when it was
/// started, if they were waited for.
fn one_life(siege: &Siege, moment: Moment, random: &mut SmallRng) -> anyhow::Result<Option<Duration>> {
    if moment == Moment::Start {
        let mut process = siege.begin_restart()?;
        any_moment(random, Duration::from_millis(120));
        process.signal(Signal::Kill)?;
        process.wait()?;
        return Ok(None);
    }
    let started = Instant::now();
    let server = siege.restart()?;
    let mut back_after = None;
    match moment {
        Moment::Start => {}
        Moment::Early => any_moment(random, Duration::from_millis(200)),
        Moment::Load => {
            siege.wait_for_workers()?;
            back_after = Some(started.elapsed());
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
        moments.insert(Moment::Load, 1);
        for moment in MOMENTS.into_iter().cycle().take(kills - 1) {
            siege.wait_for_loss()?;
            *moments.entry(moment).or_default() += 1;
            worst = worst.max(one_life(&siege, moment, &mut random)?.unwrap_or_default());
        }
        siege.wait_for_loss()?;
        let started = Instant::now();
        let server = siege.restart()?;
        siege.wait_for_workers()?;
        Ok((server, worst.max(started.elapsed())))
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

/// A directory whose first start was killed, in the middle of making the ledger and the secrets, is as good as an empty one.
#[test]
fn a_kill_during_the_very_first_start_leaves_a_directory_that_starts() -> anyhow::Result<()> {
    let seed = seed()?;
    say(&format!("first starts: DPOW_SEED={seed}"));
    let mut random = SmallRng::seed_from_u64(seed);
    for _ in 0..FIRST_STARTS {
        let home = Home::new()?;
        let mut process = Process::start("dpow", &mut home.listening_command(&["serve"])?)?;
        any_moment(&mut random, Duration::from_millis(60));
        process.signal(Signal::Kill)?;
        process.wait()?;
        let wallet = home.add_service("wallet")?;
        home.grant(&wallet, 1)?;
        let server = home.serve()?;
        let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
        let (root, threshold) = (root(1), NETWORK.receive_threshold());
        let reply = server.client().work(&wallet.key, &json!({ "root": root, "threshold": threshold }))?;
        assert_eq!(reply.answer(root, threshold)?.charged_mc, 16);
        worker.stop()?;
    }
    Ok(())
}
