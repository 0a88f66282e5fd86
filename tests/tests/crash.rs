//! Power cuts: the coordinator is killed at any moment, and neither a credit nor a work is lost.

use std::env;
use std::time::{Duration, Instant};

use anyhow::ensure;
use e2e::{
    Home, Kills, NETWORK, Process, Siege, Signal, Summary, WorkerProcess, account, any_moment, root, say,
    seed,
};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde_json::json;

/// Kills in a run, and in one with `DPOW_FULL`.
const KILLS: (usize, usize) = (20, 500);
/// First starts that are killed.
const FIRST_STARTS: usize = 8;
/// Workers, each a process.
const WORKERS: u8 = 2;
/// How long workers may take to come back by themselves.
const BACK_WITHIN: Duration = Duration::from_secs(15);

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
    let (server, run) = siege.under_load(seed, || siege.kill_again_and_again(server, kills, &mut random))?;
    let Kills { moments, worst } = run;
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
