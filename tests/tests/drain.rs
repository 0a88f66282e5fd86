//! Orderly stops: what is in flight is finished, whoever comes is told, and nothing is lost.

use std::env;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use e2e::{
    Home, NETWORK, Process, RawWorker, Reply, Server, Service, Siege, Signal, Summary, Tool, account, oracle,
    root, say,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use shared::pow::{Root, Threshold};
use shared::protocol::{ListedJob, Verdict};

const THRESHOLD: Threshold = NETWORK.receive_threshold();
/// Stops under load in a run, and in one with `DPOW_FULL`.
const STOPS: (usize, usize) = (20, 200);

/// A coordinator with a service that has ten credits.
fn open(grace_s: &str) -> anyhow::Result<(Home, Service, Server)> {
    let (home, wallet) = Home::with_wallet(10)?;
    let mut command = home.listening_command(&["serve"])?;
    let server = home.serve_with(command.env("DPOW_SHUTDOWN_GRACE_S", grace_s))?;
    Ok((home, wallet, server))
}

fn request(root: Root) -> Value {
    json!({ "root": root, "threshold": THRESHOLD, "timeout_ms": 60_000 })
}

/// Sends a worker's result for a job that it was given.
fn solve(worker: &mut RawWorker, job: &ListedJob) -> anyhow::Result<Verdict> {
    let nonce = oracle::search(job.root, 0, |difficulty| difficulty.meets(job.threshold));
    Ok(worker.submit(job.job, job.root, nonce)?.verdict)
}

/// Asks for readiness until it is gone.
fn wait_until_not_ready(server: &Server) -> anyhow::Result<Reply> {
    let deadline = Instant::now() + e2e::PATIENCE;
    loop {
        let reply = server.client().get("/readyz?verbose")?;
        if reply.status == 503 {
            return Ok(reply);
        }
        ensure!(Instant::now() < deadline, "it is ready for too long");
    }
}

/// Asks over MQTT, in JSON, and waits for the reply.
fn ask_over_mqtt(server: &Server, service: &Service, root: Root) -> anyhow::Result<Value> {
    let mut mqtt = server.login(&service.name, &service.key, "client")?;
    mqtt.subscribe(&[&format!("service/{}/reply", service.name)])?;
    let request = json!({
        "request": "0".repeat(32), "root": root, "demand": { "subtype": "receive" }, "account": null,
        "timeout_ms": 20_000,
    });
    mqtt.publish(&format!("service/{}/request", service.name), request.to_string().as_bytes())?;
    mqtt.wait_until("a reply", |delivery| serde_json::from_slice(&delivery.payload).ok())
}

/// From the signal on it is not ready, and whoever comes anew is told so on every edge; what has been paid for is still given, and
/// the request in flight is answered when its work comes, which ends the stop.
#[test]
fn what_is_in_flight_is_finished_and_whoever_comes_is_told() -> anyhow::Result<()> {
    let (home, wallet, server) = open("60")?;
    let mut worker = RawWorker::join(&server, 1, account(1))?;
    let client = server.client();
    thread::scope(|scope| {
        let first = scope.spawn(|| client.work(&wallet.key, &request(root(1))));
        let job = worker.wait_for_job(root(1))?;
        assert_eq!(solve(&mut worker, &job)?, Verdict::Accepted);
        first.join().expect("a client does not panic")?.answer(root(1), THRESHOLD)?;

        let waiting = scope.spawn(|| client.work(&wallet.key, &request(root(2))));
        let job = worker.wait_for_job(root(2))?;
        server.process().signal(Signal::Terminate)?;
        let readiness = wait_until_not_ready(&server)?;
        assert!(readiness.body.contains("intake: the coordinator is stopping"), "{}", readiness.body);
        assert_eq!(server.client().get("/livez")?.status, 200);

        let refused = server.client().work(&wallet.key, &request(root(3)))?;
        assert_eq!((refused.status, refused.problem()?.as_str()), (503, "draining"));
        assert!(refused.header("retry-after").is_some_and(|value| value.parse::<u32>().is_ok()));
        assert_eq!(refused.header("connection"), Some("close"));
        let rpc = json!({ "action": "work_generate", "hash": root(3) }).to_string();
        let refused = server.client().post("/", Some(&wallet.key), &rpc)?;
        assert_eq!((refused.status, &refused.json()?["error"]), (200, &"Work service unavailable".into()));
        assert_eq!(ask_over_mqtt(&server, &wallet, root(3))?["outcome"], json!({ "refused": "draining" }));
        let again = server.client().work(&wallet.key, &request(root(1)))?;
        assert_eq!(again.answer(root(1), THRESHOLD)?.charged_mc, 0);

        assert_eq!(solve(&mut worker, &job)?, Verdict::Accepted);
        let answer = waiting.join().expect("a client does not panic")?.answer(root(2), THRESHOLD)?;
        assert_eq!((answer.charged_mc, answer.balance_mc), (16, Some(10_000 - 2 * 16)));
        anyhow::Ok(())
    })?;
    assert_eq!(server.end()?.status.code(), Some(0));
    assert_eq!(home.balance(&wallet)?.total_mc(), 10_000 - 2 * 16);
    Ok(())
}

/// A second signal ends it without waiting for what is in flight, of which nothing is charged.
#[test]
fn a_second_signal_stops_at_once() -> anyhow::Result<()> {
    let (home, wallet, server) = open("600")?;
    let mut worker = RawWorker::join(&server, 1, account(1))?;
    let client = server.client();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.work(&wallet.key, &request(root(1))));
        worker.wait_for_job(root(1))?;
        server.process().signal(Signal::Terminate)?;
        wait_until_not_ready(&server)?;
        server.process().signal(Signal::Interrupt)?;
        assert!(waiting.join().expect("a client does not panic").is_err(), "nobody is left to answer");
        anyhow::Ok(())
    })?;
    assert_eq!(server.end()?.status.code(), Some(130));
    assert_eq!(home.balance(&wallet)?.total_mc(), 10_000);
    Ok(())
}

/// Takes the lock of a database, and says so; gives it back when its standard input ends.
const LOCK: &str = "\
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute('BEGIN IMMEDIATE')
print('locked', flush=True)
sys.stdin.read()
";

/// The ledger is away when a settlement is asked for, and stays away. The stop does not wait for it: the caller is told that it may
/// have been charged, and once the ledger is back it pays once.
#[test]
fn a_ledger_that_is_away_does_not_hold_up_the_stop() -> anyhow::Result<()> {
    if !Tool::Python.is_there("a stop while the ledger is away") {
        return Ok(());
    }
    let (home, wallet, server) = open("1")?;
    let mut worker = RawWorker::join(&server, 1, account(1))?;
    let client = server.client();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.work(&wallet.key, &request(root(1))));
        let job = worker.wait_for_job(root(1))?;
        let mut command = Tool::Python.command();
        command.args(["-c", LOCK]).arg(home.path().join("ledger.sqlite"));
        let (locker, _input) = Process::start_with_input("locker", &mut command)?;
        locker.wait_for_line("the lock", |line| line == "locked")?;
        assert_eq!(solve(&mut worker, &job)?, Verdict::Accepted);
        server.process().signal(Signal::Terminate)?;
        let reply = waiting.join().expect("a client does not panic")?;
        let problem = reply.json()?;
        assert_eq!((reply.status, &problem["code"]), (503, &"store_unavailable".into()));
        assert_eq!((&problem["charged"], &problem["charged_mc"]), (&Value::Null, &Value::Null));
        assert_eq!(server.end()?.status.code(), Some(0));
        anyhow::Ok(())
    })?;

    let server = home.serve()?;
    let mut worker = RawWorker::join(&server, 1, account(1))?;
    let client = server.client();
    thread::scope(|scope| {
        let again = scope.spawn(|| client.work(&wallet.key, &request(root(1))));
        let job = worker.wait_for_job(root(1))?;
        assert_eq!(solve(&mut worker, &job)?, Verdict::Accepted);
        let answer = again.join().expect("a client does not panic")?.answer(root(1), THRESHOLD)?;
        assert_eq!(answer.charged_mc, 16);
        anyhow::Ok(())
    })?;
    server.stop(Signal::Terminate)?;
    assert_eq!(home.balance(&wallet)?.total_mc(), 10_000 - 16);
    Ok(())
}

/// Twenty orderly stops while two services ask and workers search, some with the workers there and some without: each ends well
/// and within its time, and what holds for kills holds here.
#[test]
fn stops_under_load_lose_nothing() -> anyhow::Result<()> {
    let seed = e2e::seed()?;
    say(&format!("stops: DPOW_SEED={seed}"));
    let mut random = SmallRng::seed_from_u64(seed);
    let Some((siege, server)) = Siege::begin("stops under load", 2)? else { return Ok(()) };
    let stops = if env::var_os("DPOW_FULL").is_some() { STOPS.1 } else { STOPS.0 };
    let mut longest = Duration::ZERO;
    let server = siege.under_load(seed, || {
        let mut running = server;
        for stop in 0..stops {
            if stop % 4 == 0 {
                siege.wait_for_workers()?;
            }
            thread::sleep(Duration::from_millis(300).mul_f64(random.random()));
            let began = Instant::now();
            running.stop(Signal::Terminate).with_context(|| format!("stop {stop}"))?;
            longest = longest.max(began.elapsed());
            siege.wait_for_loss()?;
            running = siege.restart()?;
        }
        siege.wait_for_workers()?;
        Ok(running)
    })?;
    let hardships = siege.hardships();
    let Summary { answered, free, charged, healed } = siege.finish(server)?;
    say(&format!(
        "stops: {stops}; {answered} requests, all answered ({hardships}); {charged} charged once, of these {healed} answered only \
         after a stop; {free} free; the longest stop took {:.1} s",
        longest.as_secs_f64()
    ));
    Ok(())
}
