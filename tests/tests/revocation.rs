//! Keys that are revoked and rotated, services and workers that are shut out, while work is being asked for: who is cut off, who
//! is not, and who pays.

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, ensure};
use e2e::{
    Delivery, Home, Mqtt, NETWORK, PATIENCE, RawWorker, Server, Service, Signal, WorkerProcess, account,
    oracle, root,
};
use serde_json::{Value, json};
use shared::pow::{Root, Threshold};
use shared::protocol::{ListedJob, Verdict};

const THRESHOLD: Threshold = NETWORK.send_threshold();

/// What an operator's command prints.
fn operate(home: &Home, arguments: &[&str]) -> anyhow::Result<String> {
    let finished = home.run(arguments)?;
    ensure!(finished.status.success(), "dpow {} failed: {}", arguments.join(" "), finished.stderr);
    Ok(finished.stdout.trim_end().to_owned())
}

/// The public part of a key, by which operators name it.
fn key_id(key: &str) -> anyhow::Result<&str> {
    key.split('_').nth(2).context("a key has three parts before its secret")
}

/// A service with ten credits that it has paid for.
fn wallet(home: &Home) -> anyhow::Result<Service> {
    let wallet = home.add_service("wallet")?;
    home.grant_paid(&wallet, 10)?;
    Ok(wallet)
}

fn request(root: Root) -> Value {
    json!({ "root": root, "threshold": THRESHOLD })
}

/// Publishes a request for work over MQTT, in JSON.
fn ask_over_mqtt(session: &mut Mqtt, id: &str, root: Root) -> anyhow::Result<()> {
    let demand = json!({ "threshold": THRESHOLD });
    let request =
        json!({ "request": id, "root": root, "demand": demand, "account": null, "timeout_ms": null });
    session.publish("service/wallet/request", request.to_string().as_bytes())
}

fn solve(worker: &mut RawWorker, ListedJob { job, root, .. }: ListedJob) -> anyhow::Result<()> {
    let nonce = oracle::search(root, 0, |difficulty| difficulty.meets(THRESHOLD));
    assert_eq!(worker.submit(job, root, nonce)?.verdict, Verdict::Accepted);
    Ok(())
}

/// Whether a service is told over HTTP, in both dialects, that it may not ask.
fn assert_refused(server: &Server, key: &str, code: &str, rpc_error: &str) -> anyhow::Result<()> {
    let client = server.client();
    assert_eq!(client.work(key, &request(root(99)))?.problem()?, code);
    let call = json!({ "action": "work_generate", "hash": root(99) });
    let reply = client.post("/", Some(key), &call.to_string())?;
    assert_eq!((reply.status, reply.json()?), (200, json!({ "error": rpc_error })));
    assert!(server.login("wallet", key, "any").is_err(), "nobody logs in with it");
    Ok(())
}

/// One of a service's two keys is revoked while a request that was made with it is open on HTTP, and another over MQTT. Its
/// connection ends, that of the other key does not; it opens nothing any more; and both requests are answered and paid for once:
/// over HTTP to whoever asked, over MQTT to the next key.
#[test]
fn a_revoked_key_takes_its_connections_and_leaves_its_requests() -> anyhow::Result<()> {
    let home = Home::new()?;
    let wallet = wallet(&home)?;
    let server = home.serve()?;
    let next_key = operate(&home, &["key", "issue", "wallet", "--label", "next"])?;
    let mut worker = RawWorker::join(&server, 1, account(1))?;
    let mut old = server.login("wallet", &wallet.key, "old")?;
    let mut new = server.login("wallet", &next_key, "new")?;
    assert_eq!(new.subscribe(&["service/wallet/reply"])?, [0]);
    let id = "0123456789abcdef0123456789abcdef";
    thread::scope(|scope| {
        let asking = scope.spawn(|| server.client().work(&wallet.key, &request(root(1))));
        let first = worker.wait_for_job(root(1))?;
        ask_over_mqtt(&mut old, id, root(2))?;
        server.client().wait_for_metric("dpow_requests_open", |open| open == 2)?;

        operate(&home, &["key", "revoke", key_id(&wallet.key)?])?;
        old.wait_until_closed()?;
        assert_refused(&server, &wallet.key, "unauthenticated", "Unauthorized")?;
        ask_over_mqtt(&mut new, id, root(2))?;
        solve(&mut worker, first)?;
        let second = worker.wait_for_job(root(2))?;
        solve(&mut worker, second)?;
        let answer = asking.join().expect("a client does not panic")?.answer(root(1), THRESHOLD)?;
        assert_eq!(answer.charged_mc, 1_000);
        let is_reply = |delivery: &Delivery| serde_json::from_slice::<Value>(&delivery.payload).ok();
        let reply = new.wait_until("the reply", is_reply)?;
        assert_eq!((&reply["request"], &reply["outcome"]["work"]["charged_mc"]), (&json!(id), &json!(1_000)));
        anyhow::Ok(())
    })?;
    server.stop(Signal::Terminate)?;
    assert_eq!(home.journal()?.replay()?.settlements.len(), 2);
    assert_eq!(home.balance(&wallet)?.paid_mc, 8_000);
    Ok(())
}

/// A service asks without a pause while its key is rotated twice. It takes the new key when it is told so, and none of its
/// requests ever fails. Each old key ends by itself after the overlap, and takes its connection with it.
#[test]
fn a_rotation_with_an_overlap_fails_no_request() -> anyhow::Result<()> {
    let home = Home::new()?;
    let wallet = home.add_service("wallet")?;
    home.grant_paid(&wallet, 1_000)?;
    let server = home.serve()?;
    let _worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    let (key, is_over) = (RwLock::new(wallet.key.clone()), AtomicBool::new(false));
    let current = || key.read().expect("nobody panics with it").clone();
    let ask_on = |number: u64| {
        let client = server.client();
        let mut answered = 0;
        while !is_over.load(Ordering::Relaxed) {
            let root = root(number << 32 | answered);
            let request = json!({ "root": root, "threshold": NETWORK.receive_threshold() });
            client.work(&current(), &request)?.answer(root, NETWORK.receive_threshold())?;
            answered += 1;
        }
        anyhow::Ok(answered)
    };
    let rotate_twice = || {
        let first = current();
        let mut sessions = Vec::new();
        for client_id in ["first", "second"] {
            let old = current();
            sessions.push((server.login("wallet", &old, client_id)?, old.clone()));
            *key.write().expect("nobody panics with it") =
                operate(&home, &["key", "rotate", key_id(&old)?, "--overlap", "10s"])?;
        }
        let request = json!({ "root": root(1 << 40), "threshold": NETWORK.receive_threshold() });
        ensure!(
            server.client().work(&first, &request)?.status == 200,
            "the first key is valid until its end"
        );
        for (mut session, old) in sessions {
            session.wait_until_closed()?;
            assert_refused(&server, &old, "unauthenticated", "Unauthorized")?;
        }
        server.login("wallet", &current(), "third").map(drop)
    };
    let answered = thread::scope(|scope| {
        let asking = [1, 2].map(|number| scope.spawn(move || ask_on(number)));
        let rotated = rotate_twice();
        is_over.store(true, Ordering::Relaxed);
        let answered = asking.map(|asking| asking.join().expect("a client does not panic"));
        rotated?;
        answered.into_iter().sum::<anyhow::Result<u64>>()
    })?;
    server.stop(Signal::Terminate)?;
    assert!(answered > 2, "{answered} requests only");
    let settlements = home.journal()?.replay()?.settlements.len();
    assert_eq!(u64::try_from(settlements)?, answered + 1, "each answer is settled once, and nothing else is");
    assert_eq!(home.balance(&wallet)?.paid_mc, 1_000_000 - 16 * (answered + 1));
    Ok(())
}

/// A service is suspended, then banned, with requests open in each dialect: they end at once and cost nothing, nobody searches on,
/// its connections end, and it stays out over a crash until it is let in again.
#[test]
fn a_service_shut_out_in_mid_request_pays_nothing() -> anyhow::Result<()> {
    let home = Home::new()?;
    let wallet = wallet(&home)?;
    let mut server = home.serve()?;
    for (number, command) in [(1, "suspend"), (2, "ban")] {
        let mut worker = RawWorker::join(&server, 1, account(1))?;
        let mut session = server.login("wallet", &wallet.key, "here")?;
        let root = root(number);
        thread::scope(|scope| {
            let call = json!({ "action": "work_generate", "hash": root }).to_string();
            let over_v1 = scope.spawn(|| server.client().work(&wallet.key, &request(root)));
            let job = worker.wait_for_job(root)?;
            let (client, key) = (server.client(), Some(&*wallet.key));
            let over_rpc = scope.spawn(move || client.post("/", key, &call));
            ask_over_mqtt(&mut session, "0123456789abcdef0123456789abcdef", root)?;
            // All three wait for the one job: three holds.
            until(|| Ok(server.client().metric("dpow_requests_open")? == 3))?;

            operate(&home, &["service", command, "wallet", "--reason", "a test"])?;
            let refused = over_v1.join().expect("a client does not panic")?;
            assert_eq!((refused.status, refused.problem()?.as_str()), (403, "suspended"));
            let refused = over_rpc.join().expect("a client does not panic")?;
            assert_eq!((refused.status, refused.json()?), (200, json!({ "error": "Service suspended" })));
            session.wait_until_closed()?;
            while !worker.next_list()?.jobs.is_empty() {}
            // It is not too late for the work to be kept, but for anybody to pay for it.
            let nonce = oracle::search(root, 0, |difficulty| difficulty.meets(THRESHOLD));
            assert_eq!(worker.submit(job.job, root, nonce)?.verdict, Verdict::Cancelled);
            anyhow::Ok(())
        })?;
        assert_refused(&server, &wallet.key, "suspended", "Service suspended")?;
        assert_eq!(home.balance(&wallet)?.paid_mc, 10_000);
        // What was acknowledged survives.
        server.crash()?;
        server = home.serve()?;
        assert_refused(&server, &wallet.key, "suspended", "Service suspended")?;
        operate(&home, &["service", "resume", "wallet"])?;
        server.login("wallet", &wallet.key, "here")?;
    }
    assert_eq!(home.journal()?.replay()?.settlements.len(), 0);
    server.stop(Signal::Terminate)
}

/// The account of a worker is banned while that worker is busy: it is cut off, its job goes to another one, which is paid, and the
/// ban outlives the server.
#[test]
fn the_job_of_a_banned_worker_goes_to_another() -> anyhow::Result<()> {
    let home = Home::new()?;
    let wallet = wallet(&home)?;
    let server = home.serve()?;
    let mut banned = RawWorker::join(&server, 66, account(66))?;
    thread::scope(|scope| {
        let asking = scope.spawn(|| server.client().work(&wallet.key, &request(root(1))));
        banned.wait_for_job(root(1))?;
        operate(&home, &["worker", "ban", &account(66).to_string(), "--reason", "a test"])?;
        banned.wait_until_closed()?;
        let mut other = RawWorker::join(&server, 1, account(1))?;
        let job = other.wait_for_job(root(1))?;
        solve(&mut other, job)?;
        asking.join().expect("a client does not panic")?.answer(root(1), THRESHOLD)
    })?;
    server.crash()?;
    let server = home.serve()?;
    assert!(RawWorker::join(&server, 66, account(66)).is_err(), "the worker");
    assert!(RawWorker::join(&server, 67, account(66)).is_err(), "another one of the same account");
    RawWorker::join(&server, 66, account(1)).context("the worker is not banned, its account is")?;
    server.stop(Signal::Terminate)?;
    let settlements = home.journal()?.replay()?.settlements;
    assert_eq!(settlements.len(), 1);
    assert_eq!(settlements[0].payee, Some(format!("payable:{}", account(1))));
    Ok(())
}

/// Waits until a condition holds, looking often.
fn until(condition: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !condition()? {
        ensure!(std::time::Instant::now() < deadline, "it does not come true");
        thread::yield_now();
    }
    Ok(())
}
