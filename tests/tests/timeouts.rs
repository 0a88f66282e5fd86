//! Requests that run out of time, and others for the same root that do not.

use std::thread;

use e2e::{Home, NETWORK, Signal, WorkerProcess, account, root};
use serde_json::{Value, json};

/// Two requests wait for one root while no worker is there. The time of the one is over before a worker comes; the other is
/// answered then. Asking once more is free, before and after a restart.
#[test]
fn one_timeout_does_not_touch_the_other_request() -> anyhow::Result<()> {
    let (home, wallet) = Home::with_wallet(10)?;
    let server = home.serve()?;
    let mut operator = server.login("operator", &home.read("operator-token")?, "watcher")?;
    operator.subscribe(&["stats/network"])?;
    let (root, threshold) = (root(1), NETWORK.send_threshold());
    let request = |timeout_ms: u32| json!({ "root": root, "threshold": threshold, "timeout_ms": timeout_ms });

    let patient = thread::scope(|scope| {
        let patient = scope.spawn(|| server.client().work(&wallet.key, &request(30_000)));
        operator.wait_until("a request that waits", |delivery| {
            let statistics: Value = serde_json::from_slice(&delivery.payload).ok()?;
            (statistics["requests_open"] == 1).then_some(())
        })?;
        let hasty = server.client().work(&wallet.key, &request(1_000))?;
        assert_eq!((hasty.status, hasty.problem()?.as_str()), (503, "no_workers"));
        let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
        let patient = patient.join().expect("a client does not panic")?.answer(root, threshold)?;
        worker.stop()?;
        anyhow::Ok(patient)
    })?;
    assert_eq!(
        (patient.charged_mc, patient.balance_mc, patient.source.as_str()),
        (1_000, Some(9_000), "ondemand")
    );

    let again = server.client().work(&wallet.key, &request(1_000))?.answer(root, threshold)?;
    assert_eq!((again.work, again.charged_mc), (patient.work, 0));
    server.stop(Signal::Terminate)?;
    let restarted = home.serve()?;
    let again = restarted.client().work(&wallet.key, &request(1_000))?.answer(root, threshold)?;
    assert_eq!((again.work, again.charged_mc), (patient.work, 0));
    assert_eq!(home.balance(&wallet)?.total_mc(), 9_000);
    Ok(())
}
