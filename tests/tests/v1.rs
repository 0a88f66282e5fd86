//! `/v1` with real processes: what each way of asking costs, and that whoever leaves pays nothing.

use std::io::Write;
use std::net::TcpStream;
use std::thread;

use anyhow::Context;
use e2e::{Home, NETWORK, RawWorker, Reply, Server, Service, Signal, WorkerProcess, account, root};
use serde_json::{Value, json};
use shared::pow::Root;
use shared::protocol::WorkKind;

const NAME: &str = "0123456789abcdef0123456789abcdef";
const RECEIVE_MC: u64 = 16;

fn open() -> anyhow::Result<(Home, Service, Server)> {
    let (home, wallet) = Home::with_wallet(10)?;
    let server = home.serve()?;
    Ok((home, wallet, server))
}

fn receive(root: Root) -> Value {
    json!({ "root": root, "subtype": "receive", "timeout_ms": 120_000 })
}

fn named(mut body: Value) -> Value {
    body["request_id"] = json!(NAME);
    body
}

/// How a request stands once it has ended.
fn ended(server: &Server, wallet: &Service, location: &str) -> anyhow::Result<Value> {
    loop {
        let stands = server.client().get_with(&format!("{location}?wait_ms=30000"), &wallet.key)?.json()?;
        if stands["state"] != "open" {
            return Ok(stands);
        }
    }
}

fn detach(server: &Server, wallet: &Service, body: Value) -> anyhow::Result<Reply> {
    let mut body = body;
    body["async"] = json!(true);
    server.client().work(&wallet.key, &body)
}

/// Begun, fetched, begun again under the same name, and begun again under none: one work, paid for once.
#[test]
fn a_request_that_goes_on_by_itself_is_paid_for_once() -> anyhow::Result<()> {
    let (home, wallet, server) = open()?;
    let begun = detach(&server, &wallet, named(receive(root(1))))?;
    let location = format!("/v1/work/{NAME}");
    assert_eq!((begun.status, begun.header("location")), (202, Some(location.as_str())));
    let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    let first = ended(&server, &wallet, &location)?;
    assert_eq!((&first["state"], &first["result"]["charged_mc"]), (&json!("answered"), &json!(RECEIVE_MC)));

    detach(&server, &wallet, named(receive(root(1))))?;
    let again = ended(&server, &wallet, &location)?;
    assert_eq!(again["result"], first["result"], "the answer that was given before");
    let reply = detach(&server, &wallet, receive(root(1)))?;
    let free = ended(&server, &wallet, reply.header("location").context("a place")?)?;
    assert_eq!(
        (&free["result"]["work"], &free["result"]["charged_mc"]),
        (&first["result"]["work"], &json!(0))
    );

    worker.stop()?;
    server.stop(Signal::Terminate)?;
    assert_eq!(home.balance(&wallet)?.total_mc(), 10_000 - RECEIVE_MC);
    assert_eq!(home.journal()?.replay()?.settlements.iter().filter(|one| one.charged() > 0).count(), 1);
    Ok(())
}

/// A batch sent twice under one name, with a mistake and the same root twice in it: each root is paid for once.
#[test]
fn each_work_of_a_batch_is_paid_for_once() -> anyhow::Result<()> {
    let (home, wallet, server) = open()?;
    let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    let requests = [receive(root(1)), receive(root(2)), json!({ "root": "x" }), receive(root(1))];
    let body = json!({ "requests": requests }).to_string();
    let bearer = format!("Bearer {}", wallet.key);
    let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", NAME)];
    let post = || server.client().post_with("/v1/work/batch", &headers, &body)?.json();
    let (first, second) = (post()?, post()?);
    assert_eq!((&first["charged_mc"], &first), (&json!(2 * RECEIVE_MC), &second));
    let statuses: Vec<_> =
        first["results"].as_array().context("results")?.iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [200, 200, 400, 200]);
    worker.stop()?;
    server.stop(Signal::Terminate)?;
    assert_eq!(home.balance(&wallet)?.total_mc(), 10_000 - 2 * RECEIVE_MC);
    Ok(())
}

/// Three that wait are withdrawn, each in its own way: by hanging up, by its name while somebody waits, and by its name while nobody
/// does. The worker is relieved of each, and nothing is paid.
#[test]
fn what_is_withdrawn_costs_nothing_and_nobody_works_on_it() -> anyhow::Result<()> {
    let (home, wallet, server) = open()?;
    let mut worker = RawWorker::join(&server, 1, account(1))?;

    let body = receive(root(1)).to_string();
    let mut client = TcpStream::connect(server.http_addr())?;
    let (key, length) = (&wallet.key, body.len());
    write!(
        client,
        "POST /v1/work HTTP/1.1\r\nHost: d\r\nAuthorization: Bearer {key}\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    worker.wait_for_job(root(1))?;
    drop(client);
    wait_until_idle(&mut worker)?;

    let withdraw = || server.client().delete(&format!("/v1/work/{NAME}"), &wallet.key, "");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| server.client().work(&wallet.key, &named(receive(root(2)))));
        worker.wait_for_job(root(2))?;
        assert_eq!(withdraw()?.status, 204);
        let cancelled = waiting.join().expect("a client does not panic")?;
        assert_eq!((cancelled.status, cancelled.problem()?.as_str()), (499, "cancelled"));
        anyhow::Ok(())
    })?;
    wait_until_idle(&mut worker)?;

    detach(&server, &wallet, named(receive(root(3))))?;
    worker.wait_for_job(root(3))?;
    for _ in 0..2 {
        let status = withdraw()?.json()?;
        assert_eq!((&status["state"], &status["problem"]["code"]), (&json!("refused"), &json!("cancelled")));
    }
    wait_until_idle(&mut worker)?;

    server.stop(Signal::Terminate)?;
    assert_eq!(home.balance(&wallet)?.total_mc(), 10_000);
    assert_eq!(home.journal()?.replay()?.settlements, []);
    Ok(())
}

fn wait_until_idle(worker: &mut RawWorker) -> anyhow::Result<()> {
    while !worker.next_list()?.jobs.is_empty() {}
    Ok(())
}

/// What goes on by itself ends with the server, uncharged; its name is unknown then, and can be used again.
#[test]
fn a_server_that_stops_ends_what_goes_on_by_itself() -> anyhow::Result<()> {
    let (home, wallet) = Home::with_wallet(10)?;
    let serve = || {
        let mut command = home.listening_command(&["serve"])?;
        home.serve_with(command.env("DPOW_SHUTDOWN_GRACE_S", "1"))
    };
    let server = serve()?;
    let mut worker = RawWorker::join(&server, 1, account(1))?;
    detach(&server, &wallet, named(receive(root(1))))?;
    worker.wait_for_job(root(1))?;
    server.stop(Signal::Terminate)?;
    assert_eq!(home.balance(&wallet)?.total_mc(), 10_000);
    let server = serve()?;
    let unknown = server.client().get_with(&format!("/v1/work/{NAME}"), &wallet.key)?;
    assert_eq!((unknown.status, unknown.problem()?.as_str()), (404, "unknown_request"));
    assert_eq!(detach(&server, &wallet, named(receive(root(1))))?.status, 202);
    server.stop(Signal::Terminate)?;
    assert_eq!(home.balance(&wallet)?.total_mc(), 10_000);
    Ok(())
}

/// A worker that does nothing ahead of demand is given what can wait once it is asked for on demand, in whatever way.
#[test]
fn what_can_wait_is_searched_once_it_is_on_demand() -> anyhow::Result<()> {
    let (home, wallet, server) = open()?;
    let mut worker = RawWorker::join(&server, 1, account(1))?;
    let mut behind = named(receive(root(1)));
    behind["class"] = json!("precache");
    assert_eq!(detach(&server, &wallet, behind.clone())?.status, 202);
    let other = detach(&server, &wallet, receive(root(2)))?;
    let list = loop {
        let list = worker.next_list()?;
        if list.jobs.iter().any(|job| job.root == root(2)) {
            break list;
        }
    };
    assert_eq!(list.jobs.iter().map(|job| job.root).collect::<Vec<_>>(), [root(2)]);
    server.client().delete(other.header("location").context("a place")?, &wallet.key, "")?;
    wait_until_idle(&mut worker)?;
    assert_eq!(detach(&server, &wallet, behind)?.status, 202);
    assert_eq!(detach(&server, &wallet, named(receive(root(1))))?.status, 202);
    let job = worker.wait_for_job(root(1))?;
    assert_eq!((job.kind, job.threshold), (WorkKind::OnDemand, NETWORK.receive_threshold()));
    let helper = WorkerProcess::start(server.mqtt_addr(), account(2))?;
    let ended = ended(&server, &wallet, &format!("/v1/work/{NAME}"))?;
    assert_eq!(ended["result"]["charged_mc"], json!(RECEIVE_MC), "{ended}");
    helper.stop()?;
    server.stop(Signal::Terminate)?;
    home.journal()?.replay()?;
    Ok(())
}
