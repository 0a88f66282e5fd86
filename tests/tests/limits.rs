//! What one service, one key and one address may take, on every way in.

use std::sync::mpsc;
use std::thread;

use anyhow::{Context, ensure};
use e2e::{
    BridgeProcess, Home, Http, NETWORK, PATIENCE, Reply, Server, Signal, WorkerProcess, account, oracle, root,
};
use serde_json::{Value, json};
use shared::pow::Nonce;

/// A server with these settings.
fn serve(home: &Home, settings: &[(&str, &str)]) -> anyhow::Result<Server> {
    let mut command = home.listening_command(&["serve"])?;
    home.serve_with(command.envs(settings.iter().copied()))
}

/// Asks for the work of a receive.
fn ask(http: &Http, key: &str, number: u64) -> anyhow::Result<Reply> {
    http.work(key, &json!({ "root": root(number), "subtype": "receive" }))
}

/// What a command prints, without the end of its line.
fn printed(home: &Home, arguments: &[&str]) -> anyhow::Result<String> {
    Ok(home.succeed(arguments)?.trim_end().to_owned())
}

fn id_of(key: &str) -> anyhow::Result<&str> {
    key.split('_').nth(2).context("a key has an id")
}

#[test]
fn who_asks_too_fast_is_told_how_long_to_wait() -> anyhow::Result<()> {
    let home = Home::new()?;
    let (wallet, other) = (home.add_service("wallet")?, home.add_service("other")?);
    home.grant(&wallet, 10)?;
    home.grant(&other, 10)?;
    let settings = [("DPOW_LIMITS__REQUESTS_PER_SECOND", "1"), ("DPOW_LIMITS__BURST", "3")];
    let server = serve(&home, &settings)?;
    let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    worker.wait_until_is_connected(true)?;
    let http = server.client();
    let first = ask(&http, &wallet.key, 1)?;
    assert_eq!((first.status, first.header("ratelimit-policy")), (200, Some("\"requests\";q=3;w=3")));
    ensure!(first.header("ratelimit").is_some_and(|state| state.starts_with("\"requests\";r=")), "{first:?}");
    let refused = (2..60)
        .map(|number| ask(&http, &wallet.key, number))
        .find(|reply| reply.as_ref().is_ok_and(|reply| reply.status != 200))
        .context("nothing was refused")??;
    assert_eq!((refused.status, refused.problem()?.as_str()), (429, "rate_limited"));
    assert_eq!(refused.header("retry-after"), Some("1"), "{refused:?}");
    let call =
        |number| json!({ "action": "work_generate", "hash": root(number), "key": wallet.key }).to_string();
    let mut errors =
        (100..160).map(|number| anyhow::Ok(http.post("/", None, &call(number))?.json()?["error"].clone()));
    let told = errors
        .find(|error| error.as_ref().is_ok_and(|error| !error.is_null()))
        .context("nothing was refused on the Nano RPC")??;
    assert_eq!(told, "Rate limit exceeded");
    assert_eq!(ask(&http, &other.key, 80)?.status, 200, "another service has a bucket of its own");
    worker.stop()?;
    server.stop(Signal::Terminate)
}

#[test]
fn a_key_is_good_for_what_was_said() -> anyhow::Result<()> {
    let (home, wallet) = Home::with_wallet(10)?;
    let server = home.serve()?;
    let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    worker.wait_until_is_connected(true)?;
    let http = server.client();
    let key = printed(&home, &["key", "issue", "wallet", "--spend-per-day", "1", "--allow", "127.0.0.0/8"])?;
    let send = |number| http.work(&key, &json!({ "root": root(number) }));
    let left = || anyhow::Ok(http.get_with("/v1/quota", &key)?.json()?["spend_left_mc"].clone());
    assert_eq!(left()?, 1000);
    assert_eq!(send(1)?.status, 200);
    assert_eq!(left()?, 0);
    let refused = send(2)?;
    assert_eq!(
        (refused.status, refused.problem()?.as_str()),
        (402, "insufficient_credit"),
        "a credit is spent"
    );
    assert_eq!(send(1)?.status, 200, "what is paid for is free");
    assert_eq!(ask(&http, &wallet.key, 3)?.status, 200, "another key of the service goes on");
    let listed = home.run(&["key", "list", "wallet"])?.stdout;
    ensure!(listed.contains("until revoked, for 1.000 a day, from 127.0.0.0/8"), "{listed}");

    let id = id_of(&key)?;
    let said = printed(&home, &["key", "limit", id, "--allow", "10.0.0.0/8"])?;
    assert_eq!(said, format!("the key {id} of wallet is valid until revoked, from 10.0.0.0/8"));
    assert_eq!(send(4)?.status, 401, "not from here");
    ensure!(server.login("wallet", &key, "x").is_err(), "nor over MQTT");
    printed(&home, &["key", "limit", id])?;
    assert_eq!(send(4)?.status, 200);
    let (http_addr, mqtt) = (server.http_addr(), server.mqtt_addr());
    server.stop(Signal::Terminate)?;
    let again = home.serve_at(http_addr, mqtt)?;
    worker.wait_until_is_connected(true)?;
    assert_eq!(again.client().work(&key, &json!({ "root": root(5) }))?.status, 200, "it is kept");
    worker.stop()?;
    again.stop(Signal::Terminate)
}

/// What it spent is in the ledger with what it was charged, so a start knows of both or of neither.
#[test]
fn a_key_spends_its_bound_and_no_more_however_often_the_server_is_killed() -> anyhow::Result<()> {
    let (home, _) = Home::with_wallet(100)?;
    let key = printed(&home, &["key", "issue", "wallet", "--spend-per-day", "12"])?;
    let send = |http: &Http, number: u64| http.work(&key, &json!({ "root": root(number) }));
    let mut server = home.serve()?;
    let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    for life in 0..3_u64 {
        worker.wait_until_is_connected(true)?;
        let (http, http_addr, mqtt_addr) = (server.client(), server.http_addr(), server.mqtt_addr());
        let (answered, is_answered) = mpsc::channel();
        thread::scope(|scope| {
            for number in 1..=3 {
                let (http, send, answered) = (&http, &send, answered.clone());
                scope.spawn(move || answered.send(send(http, 10 * life + number)));
            }
            // The others are under way, settled or told when it is killed.
            is_answered.recv_timeout(PATIENCE)??;
            server.crash()
        })?;
        server = home.serve_at(http_addr, mqtt_addr)?;
    }
    worker.wait_until_is_connected(true)?;
    let http = server.client();
    let refused = (100..120)
        .map(|number| send(&http, number))
        .find(|reply| reply.as_ref().is_ok_and(|reply| reply.status != 200))
        .context("it may go on for ever")??;
    assert_eq!((refused.status, refused.problem()?.as_str()), (402, "insufficient_credit"));
    worker.stop()?;
    server.stop(Signal::Terminate)?;
    let charged: u64 = home.journal()?.replay()?.settlements.iter().map(e2e::Settlement::charged).sum();
    assert_eq!(charged, 12_000);
    Ok(())
}

#[test]
fn a_key_for_tests_needs_no_workers_and_costs_nothing() -> anyhow::Result<()> {
    let home = Home::new()?;
    home.add_service("wallet")?;
    let server = home.serve()?;
    let key = printed(&home, &["key", "issue", "wallet", "--test"])?;
    ensure!(key.starts_with("dpow_test_"), "{key}");
    let http = server.client();
    let quota = http.get_with("/v1/quota", &key)?.json()?;
    assert_eq!((&quota["multiplier_max"], &quota["spend_left_mc"]), (&json!(1.0), &Value::Null));
    let answer = http.work(&key, &json!({ "root": root(1) }))?.json()?;
    let nonce: Nonce = answer["work"].as_str().with_context(|| format!("no work: {answer}"))?.parse()?;
    oracle::verify(root(1), nonce, NETWORK.send_threshold())?;
    assert_eq!((&answer["charged_mc"], &answer["balance_mc"]), (&json!(0), &Value::Null));
    for (number, status, code) in [
        (1, 504, "expired"),
        (2, 503, "no_workers"),
        (4, 402, "insufficient_credit"),
        (5, 429, "rate_limited"),
        (6, 500, "fault"),
    ] {
        let request = json!({ "root": format!("{number:064}"), "timeout_ms": 100 });
        let reply = http.work(&key, &request)?;
        assert_eq!((reply.status, reply.problem()?.as_str()), (status, code));
    }
    let unsettled = http.work(&key, &json!({ "root": format!("{:064}", 3) }))?;
    assert_eq!(unsettled.problem_that_may_be_charged()?, "store_unavailable");
    let ahead = http.post("/v1/prefetch", Some(&key), &json!({ "roots": [root(2)] }).to_string())?;
    assert_eq!(ahead.problem()?, "precache_off");
    let live = key.replacen("test", "live", 1);
    assert_eq!(http.work(&live, &json!({ "root": root(1) }))?.status, 401, "it is not one for real work");
    let wallet = e2e::Service { name: "wallet".into(), key };
    let bridge =
        BridgeProcess::start(server.mqtt_addr(), &wallet, &[("DPOW_BRIDGE_LOCAL__ENABLED", "false")])?;
    bridge.wait_until_connected(1)?;
    let call = json!({ "action": "work_generate", "hash": root(3) }).to_string();
    let given = bridge.client().post("/", None, &call)?.json()?;
    let nonce = given["work"].as_str().with_context(|| format!("no work: {given}"))?.parse()?;
    oracle::verify(root(3), nonce, NETWORK.send_threshold())?;
    bridge.stop()?;
    server.stop(Signal::Terminate)?;
    assert_eq!(home.journal()?.replay()?.settlements, []);
    Ok(())
}

#[test]
fn who_guesses_at_keys_is_told_to_wait() -> anyhow::Result<()> {
    let (home, wallet) = Home::with_wallet(1)?;
    // A network that nobody is in: this machine is trusted otherwise.
    let server = serve(&home, &[("DPOW_MQTT__TRUSTED_PREFIXES", "192.0.2.0/24")])?;
    let http = server.client();
    let request = json!({ "root": root(1), "timeout_ms": 1 });
    for _ in 0..10 {
        assert_eq!(http.work("dpow_live_aaaaaaaaaaaaa_b", &request)?.status, 401);
    }
    let reply = http.work("dpow_live_aaaaaaaaaaaaa_b", &request)?;
    assert_eq!((reply.status, reply.problem()?.as_str()), (429, "rate_limited"));
    assert_eq!(http.work(&wallet.key, &request)?.problem()?, "no_workers", "a good key is heard");
    server.stop(Signal::Terminate)
}

#[test]
fn a_service_makes_itself_known_where_it_may() -> anyhow::Result<()> {
    let home = Home::new()?;
    let server = home.serve()?;
    let register = |server: &Server, body: &str| server.client().post("/v1/register", None, body);
    let off = register(&server, r#"{"service":"mine"}"#)?;
    assert_eq!((off.status, off.problem()?.as_str()), (403, "registration_off"));
    server.stop(Signal::Terminate)?;

    let settings = [("DPOW_REGISTRATION__ENABLED", "true"), ("DPOW_REGISTRATION__PER_ADDRESS_PER_DAY", "1")];
    let server = serve(&home, &settings)?;
    for (body, status, code) in
        [(r#"{"service":"Mine"}"#, 400, "malformed"), (r#"{"service":"operator"}"#, 409, "name_taken")]
    {
        let reply = register(&server, body)?;
        assert_eq!((reply.status, reply.problem()?.as_str()), (status, code));
    }
    let welcome = register(&server, r#"{"service":"mine"}"#)?;
    assert_eq!((welcome.status, welcome.header("cache-control")), (201, Some("no-store")));
    let welcome = welcome.json()?;
    assert_eq!(welcome["granted_mc"], 10_000);
    let key = welcome["api_key"].as_str().context("a key")?;
    let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    assert_eq!(ask(&server.client(), key, 1)?.status, 200);
    let second = register(&server, r#"{"service":"another"}"#)?;
    assert_eq!((second.status, second.problem()?.as_str()), (429, "registrations_full"));
    worker.stop()?;
    server.stop(Signal::Terminate)
}
