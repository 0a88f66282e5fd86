//! Ends, wanted and unwanted.

use std::thread;

use e2e::{
    Home, Http, NETWORK, RawWorker, Server, Service, Settlement, Signal, WorkerProcess, account, root,
};
use serde_json::{Value, json};
use shared::pow::Threshold;

/// A threshold that the workers of these tests refuse, at 800 mc: requests for it wait.
const HARD: Threshold = Threshold::new(0xffb0_0000_0000_0000);

/// A request that waits when the server is stopped is told so when the time for finishing is over; the server ends well.
#[test]
fn a_stopping_server_answers_who_waits() -> anyhow::Result<()> {
    let (home, wallet) = Home::with_wallet(1)?;
    let mut command = home.listening_command(&["serve"])?;
    let server = home.serve_with(command.env("DPOW_SHUTDOWN_GRACE_S", "1"))?;
    let mut worker = RawWorker::join(&server, 1, account(1))?;
    let request = json!({ "root": root(1), "timeout_ms": 120_000 });
    let client = server.client();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.work(&wallet.key, &request));
        worker.wait_for_job(root(1))?;
        server.stop(Signal::Interrupt)?;
        let reply = waiting.join().expect("a client does not panic")?;
        assert_eq!((reply.status, reply.problem()?.as_str()), (503, "draining"));
        anyhow::Ok(())
    })?;
    assert_eq!(home.balance(&wallet)?.total_mc(), 1_000);
    Ok(())
}

/// Asks at the receive threshold, which is answered, and returns what is said to be left.
fn receive(client: &Http, service: &Service, number: u64) -> anyhow::Result<Option<u64>> {
    let (root, threshold) = (root(number), NETWORK.receive_threshold());
    let reply = client.work(&service.key, &json!({ "root": root, "threshold": threshold }))?;
    Ok(reply.answer(root, threshold)?.balance_mc)
}

/// Asks for work that nobody computes.
fn hard(server: &Server, service: &Service, number: u64, timeout_ms: u32) -> anyhow::Result<(u16, String)> {
    let request = json!({ "root": root(number), "threshold": HARD, "timeout_ms": timeout_ms });
    let reply = server.client().work(&service.key, &request)?;
    Ok((reply.status, reply.problem()?))
}

/// Power fails while one request is settled and another holds most of what is left. After the restart the ledger has what was
/// settled and nothing else, the hold is gone, and the worker has come back by itself.
#[test]
fn a_crash_loses_holds_and_nothing_else() -> anyhow::Result<()> {
    let (home, wallet) = Home::with_wallet(1)?;
    let server = home.serve()?;
    let easy = NETWORK.receive_threshold().to_string();
    let worker = WorkerProcess::start_with(server.mqtt_addr(), account(1), &["--threshold-max", &easy])?;
    assert_eq!(receive(&server.client(), &wallet, 1)?, Some(984));

    let mut operator = server.login("operator", &home.read("operator-token")?, "watcher")?;
    operator.subscribe(&["stats/network"])?;
    let (http, mqtt) = (server.http_addr(), server.mqtt_addr());
    let client = server.client();
    let request = json!({ "root": root(2), "threshold": HARD, "timeout_ms": 120_000 });
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.work(&wallet.key, &request));
        operator.wait_until("a request that waits", |delivery| {
            let statistics: Value = serde_json::from_slice(&delivery.payload).ok()?;
            (statistics["jobs_open"] == 1).then_some(())
        })?;
        assert_eq!(
            hard(&server, &wallet, 3, 30_000)?,
            (402, "insufficient_credit".into()),
            "800 of 984 mc are held"
        );
        server.crash()?;
        assert!(waiting.join().expect("a client does not panic").is_err(), "nobody is left to answer");
        anyhow::Ok(())
    })?;

    let server = home.serve_at(http, mqtt)?;
    worker.wait_until_connected(2)?;
    assert_eq!(receive(&server.client(), &wallet, 4)?, Some(968));
    assert_eq!(hard(&server, &wallet, 5, 500)?, (504, "expired".into()), "800 mc can be held again");
    server.stop(Signal::Terminate)?;
    let settlements = home.journal()?.replay()?.settlements;
    assert_eq!(settlements.iter().map(Settlement::charged).collect::<Vec<_>>(), [16, 16]);
    assert_eq!(home.balance(&wallet)?.total_mc(), 968);
    Ok(())
}

/// Whoever has read the banner may stop the server at once.
#[test]
fn a_stop_right_after_the_banner_is_heard() -> anyhow::Result<()> {
    for _ in 0..10 {
        Home::new()?.serve()?.stop(Signal::Terminate)?;
    }
    Ok(())
}
