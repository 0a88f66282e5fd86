//! A ledger's server that is away for a while: nothing new is sold, nothing is lost or charged, and what was begun is finished.

use std::env;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use e2e::{
    Home, Http, NETWORK, RawWorker, RedisServer, Server, Service, Siege, Signal, Sync, account, any_moment,
    oracle, root, say, seed,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use shared::pow::{Root, Threshold};
use shared::protocol::{ListedJob, Verdict};

const THRESHOLD: Threshold = NETWORK.receive_threshold();
/// How long the server is away in a run, and in one with `DPOW_FULL`.
const AWAY: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(30));
/// How soon everything is as before.
const BACK_WITHIN: Duration = Duration::from_secs(5);

fn away() -> Duration {
    if env::var_os("DPOW_FULL").is_some() { AWAY.1 } else { AWAY.0 }
}

fn request(root: Root) -> Value {
    json!({ "root": root, "threshold": THRESHOLD, "timeout_ms": 90_000 })
}

fn solve(worker: &mut RawWorker, job: &ListedJob) -> anyhow::Result<Verdict> {
    let nonce = oracle::search(job.root, 0, |difficulty| difficulty.meets(job.threshold));
    Ok(worker.submit(job.job, job.root, nonce)?.verdict)
}

/// Asks for readiness until it is as wanted, and returns what it said.
fn wait_for_readiness(client: &Http, wanted: u16) -> anyhow::Result<String> {
    let deadline = Instant::now() + e2e::PATIENCE;
    loop {
        let reply = client.get("/readyz?verbose")?;
        if reply.status == wanted {
            return Ok(reply.body);
        }
        ensure!(Instant::now() < deadline, "readiness stays {}", reply.status);
    }
}

/// What is said while the ledger is away, again and again until the time is over.
fn look_round(server: &Server, wallet: &Service, until: Instant) -> anyhow::Result<u64> {
    let (client, mut asked) = (server.client(), 0);
    while Instant::now() < until || asked == 0 {
        assert_eq!(client.get("/livez")?.status, 200);
        assert!(wait_for_readiness(&client, 503)?.contains("ledger: it cannot be reached"));
        let refused = client.work(&wallet.key, &request(root(100 + asked)))?;
        assert_eq!((refused.status, refused.problem()?.as_str()), (503, "store_unavailable"));
        assert!(refused.header("retry-after").is_some_and(|value| value.parse::<u32>().is_ok()));
        let rpc = json!({ "action": "work_generate", "hash": root(100 + asked) }).to_string();
        let refused = client.post("/", Some(&wallet.key), &rpc)?;
        assert_eq!((refused.status, &refused.json()?["error"]), (200, &"Work service unavailable".into()));
        let again = client.work(&wallet.key, &request(root(1)))?;
        assert_eq!(again.answer(root(1), THRESHOLD)?.charged_mc, 0);
        asked += 1;
    }
    Ok(asked)
}

/// The server goes away with a request in flight, and comes back.
fn the_server_is_away(
    leave: fn(&mut RedisServer) -> anyhow::Result<()>,
    come_back: fn(&mut RedisServer) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Some(mut redis) = RedisServer::start("a ledger's server that is away", Sync::Everysec)? else {
        return Ok(());
    };
    let home = Home::with_redis(&redis)?;
    let wallet = home.add_service("wallet")?;
    home.grant(&wallet, 10)?;
    let server = home.serve()?;
    let mut worker = RawWorker::join(&server, 1, account(1))?;
    let client = server.client();
    let (asked, back) = thread::scope(|scope| {
        let first = scope.spawn(|| client.work(&wallet.key, &request(root(1))));
        let job = worker.wait_for_job(root(1))?;
        assert_eq!(solve(&mut worker, &job)?, Verdict::Accepted);
        first.join().expect("a client does not panic")?.answer(root(1), THRESHOLD)?;

        let waiting = scope.spawn(|| client.work(&wallet.key, &request(root(2))));
        let job = worker.wait_for_job(root(2))?;
        let until = Instant::now() + away();
        leave(&mut redis)?;
        wait_for_readiness(&server.client(), 503)?;
        assert_eq!(solve(&mut worker, &job)?, Verdict::Accepted);
        let asked = look_round(&server, &wallet, until)?;

        come_back(&mut redis)?;
        let returned = Instant::now();
        let answer = waiting.join().expect("a client does not panic")?.answer(root(2), THRESHOLD)?;
        assert_eq!(answer.charged_mc, 16);
        wait_for_readiness(&server.client(), 200)?;
        let next = scope.spawn(|| client.work(&wallet.key, &request(root(3))));
        let job = worker.wait_for_job(root(3))?;
        assert_eq!(solve(&mut worker, &job)?, Verdict::Accepted);
        let answer = next.join().expect("a client does not panic")?.answer(root(3), THRESHOLD)?;
        assert_eq!((answer.charged_mc, answer.balance_mc), (16, Some(10_000 - 3 * 16)));
        anyhow::Ok((asked, returned.elapsed()))
    })?;
    server.stop(Signal::Terminate)?;
    assert_eq!(home.balance(&wallet)?.total_mc(), 10_000 - 3 * 16);
    ensure!(home.run(&["ledger", "audit"])?.status.success());
    say(&format!(
        "store away for {} s: {asked} requests refused on either edge, none charged; paid requests again after {:.1} s",
        away().as_secs(),
        back.as_secs_f64()
    ));
    ensure!(back <= BACK_WITHIN, "everything was as before after {back:?} only");
    Ok(())
}

#[test]
fn a_server_that_has_ended_is_away() -> anyhow::Result<()> {
    the_server_is_away(RedisServer::kill, RedisServer::restart)
}

#[test]
fn a_server_that_stands_still_is_away() -> anyhow::Result<()> {
    the_server_is_away(|redis| redis.freeze(), |redis| redis.thaw())
}

/// Frozen and killed by turns under load: nobody pays without an answer, and every request is answered in the end.
#[test]
fn under_load_nothing_is_lost() -> anyhow::Result<()> {
    let seed = seed()?;
    say(&format!("store away under load: DPOW_SEED={seed}"));
    let mut random = SmallRng::seed_from_u64(seed);
    let what = "a ledger's server that is away under load";
    let Some(mut redis) = RedisServer::start(what, Sync::Everysec)? else { return Ok(()) };
    let home = Home::with_redis(&redis)?;
    let Some((siege, server)) = Siege::begin_in(home, what, 2)? else { return Ok(()) };
    siege.under_load(seed, || {
        siege.wait_for_workers()?;
        for number in 0..4 {
            any_moment(&mut random, Duration::from_millis(500));
            let pause = Duration::from_secs(1) + away().mul_f64(random.random::<f64>() / 2.0);
            if number % 2 == 0 {
                redis.freeze()?;
                any_moment(&mut random, pause);
                redis.thaw()?;
            } else {
                redis.kill()?;
                any_moment(&mut random, pause);
                redis.restart()?;
            }
            siege.wait_until_ready()?;
        }
        Ok(())
    })?;
    let hardships = siege.hardships();
    let summary = siege.finish(server)?;
    say(&format!(
        "store away under load: {} requests, all answered ({hardships}); {} charged once; {} free",
        summary.answered, summary.charged, summary.free
    ));
    Ok(())
}
