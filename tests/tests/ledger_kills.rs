//! Power cuts of everything that a ledger depends on: the coordinator, its Redis server, both, the end of the server's log, and the
//! disk of the embedded ledger. Whatever dies when: each request is answered and charged once, or not charged.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use e2e::{
    Home, Kills, RedisServer, Server, Siege, Signal, Summary, Sync, any_moment, run, say, seed, shell,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// Kills of each kind in a run, and in one with `DPOW_FULL`.
const KILLS: (usize, usize) = (10, 100);
/// Workers, each a process.
const WORKERS: u8 = 2;
/// The end of a log that a cut falls into.
const CUT_MAX: u64 = 4096;
/// The disk of the embedded ledger, in KiB: some, and what the ledger may grow by while it waits for one kill.
const DISK: (usize, usize) = (24 * 1024, 512);

fn kills() -> usize {
    if env::var_os("DPOW_FULL").is_some() { KILLS.1 } else { KILLS.0 }
}

/// A community whose ledger is in a server.
fn with_redis(what: &str, sync: Sync) -> anyhow::Result<Option<(RedisServer, Siege, Server)>> {
    let Some(redis) = RedisServer::start(what, sync)? else { return Ok(None) };
    let home = Home::with_redis(&redis)?;
    Ok(Siege::begin_in(home, what, WORKERS)?.map(|(siege, server)| (redis, siege, server)))
}

/// Says what a run came to.
fn tell(what: &str, began: Instant, hardships: &str, summary: Summary) {
    let Summary { answered, free, charged, healed } = summary;
    say(&format!(
        "{what}: {} kills in {:.0} s; {answered} requests, all answered ({hardships}); {charged} charged once, of these {healed} \
         answered only after a kill; {free} free; audit green",
        kills(),
        began.elapsed().as_secs_f64(),
    ));
}

/// The random choices of a run, which it says.
fn chance(what: &str) -> anyhow::Result<(u64, SmallRng)> {
    let seed = seed()?;
    say(&format!("{what}: DPOW_SEED={seed}"));
    Ok((seed, SmallRng::seed_from_u64(seed)))
}

#[test]
fn the_coordinator_dies_beside_redis() -> anyhow::Result<()> {
    let what = "kills of the coordinator beside Redis";
    let (seed, mut random) = chance(what)?;
    let Some((_redis, siege, server)) = with_redis(what, Sync::Everysec)? else { return Ok(()) };
    let began = Instant::now();
    let (server, Kills { .. }) =
        siege.under_load(seed, || siege.kill_again_and_again(server, kills(), &mut random))?;
    let hardships = siege.hardships();
    tell(what, began, &hardships, siege.finish(server)?);
    Ok(())
}

/// What is done to a server between its end and its start.
type Loss = fn(&RedisServer, &mut SmallRng) -> anyhow::Result<()>;

/// The server dies again and again, and the coordinator goes on.
fn the_server_dies(what: &str, sync: Sync, loss: Loss) -> anyhow::Result<()> {
    let (seed, mut random) = chance(what)?;
    let Some((mut redis, siege, server)) = with_redis(what, sync)? else { return Ok(()) };
    let began = Instant::now();
    siege.under_load(seed, || {
        siege.wait_for_workers()?;
        for _ in 0..kills() {
            any_moment(&mut random, Duration::from_millis(500));
            redis.kill()?;
            loss(&redis, &mut random)?;
            any_moment(&mut random, Duration::from_millis(100));
            redis.restart()?;
            siege.wait_until_ready()?;
        }
        Ok(())
    })?;
    let hardships = siege.hardships();
    tell(what, began, &hardships, siege.finish(server)?);
    Ok(())
}

#[test]
fn a_server_that_syncs_always_dies() -> anyhow::Result<()> {
    the_server_dies("kills of redis-server with always", Sync::Always, |_, _| Ok(()))
}

#[test]
fn a_server_that_syncs_each_second_dies() -> anyhow::Result<()> {
    the_server_dies("kills of redis-server with everysec", Sync::Everysec, |_, _| Ok(()))
}

/// The server loses the end of its log, as in a power failure, at any byte; the coordinator brings it back.
#[test]
fn a_server_loses_the_end_of_its_log() -> anyhow::Result<()> {
    the_server_dies("cuts of redis-server's log", Sync::Everysec, |redis, random| {
        redis.cut(random.random_range(1..=CUT_MAX)).map(drop)
    })
}

/// Both die at once, and nothing that was acknowledged is lost.
#[test]
fn both_die_at_once() -> anyhow::Result<()> {
    let what = "kills of redis-server and the coordinator at once";
    let (seed, mut random) = chance(what)?;
    let Some((mut redis, siege, server)) = with_redis(what, Sync::Always)? else { return Ok(()) };
    let began = Instant::now();
    let server = siege.under_load(seed, || {
        let mut server = server;
        for _ in 0..kills() {
            siege.wait_for_workers()?;
            any_moment(&mut random, Duration::from_millis(300));
            if random.random() {
                server.process().signal(Signal::Kill)?;
                redis.kill()?;
            } else {
                redis.kill()?;
                any_moment(&mut random, Duration::from_millis(30));
                server.process().signal(Signal::Kill)?;
            }
            server.end()?;
            siege.wait_for_loss()?;
            redis.restart()?;
            server = siege.restart()?;
        }
        siege.wait_for_workers()?;
        Ok(server)
    })?;
    let hardships = siege.hardships();
    tell(what, began, &hardships, siege.finish(server)?);
    Ok(())
}

/// Both die, and the server has not kept the end of its log: what nobody can bring back is told, and the ledger fits.
#[test]
fn what_is_lost_for_good_is_told() -> anyhow::Result<()> {
    let what = "a log that is cut while the coordinator is gone";
    let Some(mut redis) = RedisServer::start(what, Sync::Everysec)? else { return Ok(()) };
    let home = Home::with_redis(&redis)?;
    let wallet = home.add_service("wallet")?;
    home.grant(&wallet, 10)?;
    home.grant(&wallet, 20)?;
    redis.kill()?;
    // The last grant's share of the log is longer than this.
    redis.cut(100)?;
    redis.restart()?;
    let server = home.serve()?;
    let told = server
        .process()
        .wait_for_line("what is lost", |line| line.contains("has lost its last changes for good"))?;
    ensure!(told.contains("ERROR") && told.contains("docs/reliability.md"), "{told}");
    ensure!(server.client().metric("dpow_ledger_lost_changes_total")? >= 1);
    ensure!(home.balance(&wallet)?.total_mc() == 10_000, "a grant is there whole or not at all");
    server.stop(Signal::Terminate)?;
    ensure!(home.run(&["ledger", "audit"])?.status.success());
    Ok(())
}

/// A disk of its own, which goes away with this value.
struct Disk(PathBuf);

impl Disk {
    /// `None` where this process may not have one, which is said aloud.
    fn mount(what: &str) -> anyhow::Result<Option<Self>> {
        let path = tempfile::tempdir()?.keep();
        let mount = format!("mount -t tmpfs -o size={}k tmpfs {}", DISK.0 + DISK.1 * kills(), path.display());
        if run("mount", &mut shell(&mount))?.status.success() {
            return Ok(Some(Self(path)));
        }
        fs::remove_dir(&path)?;
        say(&format!("SKIPPED for want of the right to mount a disk: {what}"));
        Ok(None)
    }

    /// Leaves so many bytes free, or all.
    fn leave(&self, bytes: Option<u64>) -> anyhow::Result<()> {
        let ballast = self.0.join("ballast");
        let Some(bytes) = bytes else { return Ok(fs::remove_file(ballast)?) };
        let free = run("df", &mut shell(&format!("df -k --output=avail {} | tail -n 1", self.0.display())))?;
        let free: u64 = free.stdout.trim().parse().context("df says how much is free")?;
        let size = (free * 1024).saturating_sub(bytes);
        let written = fs::write(&ballast, vec![0; usize::try_from(size)?]);
        // What could not be written fills the disk as well.
        if written.is_err() {
            ensure!(ballast.exists(), "the disk takes nothing at all");
        }
        Ok(())
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there is on the way out.
        let _ = run("umount", &mut shell(&format!("umount -l {0} && rmdir {0}", self.0.display())));
    }
}

/// The disk of the embedded ledger fills up again and again; sometimes the coordinator dies as well.
#[test]
fn the_disk_of_the_embedded_ledger_fills_up() -> anyhow::Result<()> {
    let what = "full disks of the embedded ledger";
    let (seed, mut random) = chance(what)?;
    let Some(disk) = Disk::mount(what)? else { return Ok(()) };
    let Some((siege, server)) = Siege::begin_in(Home::new_in(disk.path())?, what, WORKERS)? else {
        return Ok(());
    };
    let began = Instant::now();
    let server = siege.under_load(seed, || {
        let mut server = server;
        for number in 0..kills() {
            siege.wait_for_workers()?;
            any_moment(&mut random, Duration::from_millis(200));
            disk.leave(Some(random.random_range(0..64 * 1024)))?;
            any_moment(&mut random, Duration::from_millis(500));
            if number % 3 == 2 {
                server.crash()?;
                siege.wait_for_loss()?;
                disk.leave(None)?;
                server = siege.restart()?;
            } else {
                disk.leave(None)?;
            }
            siege.wait_until_ready()?;
        }
        siege.wait_for_workers()?;
        Ok(server)
    })?;
    let hardships = siege.hardships();
    tell(what, began, &hardships, siege.finish(server)?);
    Ok(())
}
