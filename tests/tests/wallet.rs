//! Wallet libraries that others have written get work from `POST /` as they do from a node, by nothing but a URL and perhaps a
//! header.

use anyhow::{Context, ensure};
use e2e::{
    Home, Library, NETWORK, Process, Server, Service, Signal, WorkerProcess, account, oracle, root, run,
};
use serde_json::{Value, json};
use shared::Network;
use shared::pow::{Root, Threshold};

/// The URL that a wallet is given: its key stands in it, since a wallet has no other place for one.
fn url(server: &Server, key: &str) -> String {
    format!("http://{}/?key={key}", server.http_addr())
}

/// Starts a call of a method of nanopy's.
fn call(url: &str, method: &str, arguments: &Value) -> anyhow::Result<Process> {
    let mut command = Library::Nanopy.script("wallet");
    Process::start("wallet.py", command.args([url, "call", method, &arguments.to_string()]))
}

/// The reply to a call.
fn reply(mut call: Process) -> anyhow::Result<Value> {
    let finished = call.wait()?;
    ensure!(finished.status.success(), "nanopy does not like the reply: {}", finished.stderr);
    Ok(serde_json::from_str(&finished.stdout)?)
}

fn wallet(home: &Home, name: &str) -> anyhow::Result<Service> {
    let wallet = home.add_service(name)?;
    home.grant(&wallet, 10)?;
    Ok(wallet)
}

/// What the wallet says about one block: its work is right by nanopy's own hash, by ours and by Python's.
fn check_step(step: &Value, threshold: Threshold) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().map(str::to_owned).with_context(|| format!("no text: {step}"));
    let (root, reply) = (text(&step["root"])?.parse::<Root>()?, &step["reply"]);
    let work = oracle::verify(root, text(&reply["work"])?.parse()?, threshold)?;
    oracle::cross_check(&[work])?;
    assert_eq!(step["is_valid_by_nanopy"], true, "{step}");
    assert_eq!(reply["hash"], root.to_string(), "{step}");
    assert_eq!(reply["difficulty"], work.difficulty().to_string(), "{step}");
    let flag = |threshold| if work.difficulty().meets(threshold) { "1" } else { "0" };
    let validated = json!({
        "valid": "1",
        "valid_all": flag(NETWORK.send_threshold()),
        "valid_receive": "1",
        "difficulty": reply["difficulty"],
        "multiplier": reply["multiplier"],
    });
    assert_eq!(step["validated"], validated, "{step}");
    let again = json!({ "error": "Provided work is already enough for given difficulty" });
    assert_eq!(step["again"], again, "{step}");
    Ok(())
}

/// It opens an account, sends and changes: three blocks that nanopy makes and signs, with work that workers have done.
#[test]
fn nanopy_gets_and_validates_work() -> anyhow::Result<()> {
    if !Library::Nanopy.is_there("nanopy against the Nano RPC") {
        return Ok(());
    }
    let home = Home::new()?;
    let wallet = wallet(&home, "wallet")?;
    let server = home.serve()?;
    let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    let (receive, send) = (NETWORK.receive_threshold(), NETWORK.send_threshold());
    let mut command = Library::Nanopy.script("wallet");
    command.args([&url(&server, &wallet.key), "spend", &receive.to_string(), &send.to_string()]);
    let finished = run("wallet.py", &mut command)?;
    ensure!(finished.status.success(), "{}", finished.stderr);
    let steps = finished.stdout.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    assert_eq!(steps.len(), 3);
    for (step, threshold) in steps.iter().zip([receive, send, send]) {
        check_step(step, threshold)?;
    }
    worker.stop()?;
    server.stop(Signal::Terminate)?;
    // An open is a receive: 1/64 of a credit, rounded up; a send and a change are a credit each.
    assert_eq!(home.balance(&wallet)?.total_mc(), 10_000 - 16 - 2 * 1_000);
    Ok(())
}

/// Two wallets wait for the same root while no worker is there. The one cancels its request; the other gets its work.
#[test]
fn nanopy_cancels_its_own_request() -> anyhow::Result<()> {
    if !Library::Nanopy.is_there("nanopy cancels on the Nano RPC") {
        return Ok(());
    }
    let home = Home::new()?;
    let (patient, hasty) = (wallet(&home, "patient")?, wallet(&home, "hasty")?);
    let server = home.serve()?;
    let mut operator = server.login("operator", &home.read("operator-token")?, "watcher")?;
    operator.subscribe(&["stats/network"])?;
    let hash = json!({ "hash_": root(1) });
    let waiting = call(&url(&server, &patient.key), "work_generate", &hash)?;
    let cancelled = call(&url(&server, &hasty.key), "work_generate", &hash)?;
    operator.wait_until("two requests that wait", |delivery| {
        let statistics: Value = serde_json::from_slice(&delivery.payload).ok()?;
        (statistics["requests_open"] == 2).then_some(())
    })?;
    let cancel = reply(call(&url(&server, &hasty.key), "work_cancel", &hash)?)?;
    assert_eq!(cancel, json!({ "success": "" }));
    assert_eq!(reply(cancelled)?, json!({ "error": "Cancelled" }));
    let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    let given = reply(waiting)?;
    let nonce = given["work"].as_str().with_context(|| format!("no work: {given}"))?.parse()?;
    oracle::verify(root(1), nonce, NETWORK.send_threshold())?;
    worker.stop()?;
    server.stop(Signal::Terminate)?;
    assert_eq!([home.balance(&hasty)?.total_mc(), home.balance(&patient)?.total_mc()], [10_000, 9_000]);
    Ok(())
}

/// What is refused is a reply that nanopy accepts, with the reason in it.
#[test]
fn nanopy_hears_why_it_gets_no_work() -> anyhow::Result<()> {
    if !Library::Nanopy.is_there("nanopy is refused on the Nano RPC") {
        return Ok(());
    }
    let home = Home::new()?;
    let (wallet, beggar) = (wallet(&home, "wallet")?, home.add_service("beggar")?);
    let server = home.serve()?;
    let (own, hash) = (url(&server, &wallet.key), json!({ "hash_": root(1) }));
    let out_of_range = "Difficulty above config limit or below publish threshold";
    for (url, method, arguments, text) in [
        (&url(&server, "dpow_dev_none"), "work_generate", hash.clone(), "Unauthorized"),
        (&url(&server, &beggar.key), "work_generate", hash, "Insufficient credits"),
        (&own, "work_generate", json!({ "hash_": "x" }), "Invalid block hash"),
        (&own, "work_generate", json!({ "hash_": root(1), "multiplier": 65 }), out_of_range),
        (&own, "work_generate", json!({ "hash_": root(1), "difficulty": "0" }), out_of_range),
        (&own, "work_validate", json!({ "hash_": root(1), "work": "x" }), "Bad work"),
        (&own, "block_count", json!({}), "Unknown command"),
    ] {
        let refused = reply(call(url, method, &arguments)?)?;
        assert_eq!(refused, json!({ "error": text }), "{method} {arguments}");
    }
    server.stop(Signal::Terminate)?;
    assert_eq!(home.balance(&wallet)?.total_mc(), 10_000);
    Ok(())
}

/// A call of `@dev-ptera/nano-node-rpc`, with the key in a header.
fn client_call(server: &Server, key: &str, method: &str, arguments: &Value) -> anyhow::Result<Value> {
    let mut command = Library::NanoNodeRpc.script("wallet");
    command.args([&format!("http://{}", server.http_addr()), key, "call", method, &arguments.to_string()]);
    let finished = run("wallet.cjs", &mut command)?;
    ensure!(finished.status.success(), "nano-node-rpc does not like the reply: {}", finished.stderr);
    Ok(serde_json::from_str(&finished.stdout)?)
}

#[test]
fn nano_node_rpc_gets_work_and_hears_why_it_gets_none() -> anyhow::Result<()> {
    if !Library::NanoNodeRpc.is_there("nano-node-rpc against the Nano RPC") {
        return Ok(());
    }
    let home = Home::new()?;
    let wallet = wallet(&home, "wallet")?;
    let server = home.serve()?;
    let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    let given = client_call(&server, &wallet.key, "work_generate", &json!([root(1)]))?;
    let nonce = given["work"].as_str().with_context(|| format!("no work: {given}"))?.parse()?;
    oracle::cross_check(&[oracle::verify(root(1), nonce, NETWORK.send_threshold())?])?;
    let refused = client_call(&server, "dpow_dev_none", "work_generate", &json!([root(1)]))?;
    assert_eq!(refused, json!({ "error": "Unauthorized" }));
    worker.stop()?;
    server.stop(Signal::Terminate)?;
    assert_eq!(home.balance(&wallet)?.total_mc(), 9_000);
    Ok(())
}

/// It asks for what the live network demands, so a worker has to search for it, some eight million hashes.
#[test]
fn nano_wallet_js_receives_a_block_with_work_of_the_live_network() -> anyhow::Result<()> {
    if !Library::NanoWalletJs.is_there("nano-wallet-js against the Nano RPC") {
        return Ok(());
    }
    let home = Home::of_network(Network::Live)?;
    let wallet = wallet(&home, "wallet")?;
    let server = home.all_in_one()?;
    let mut command = Library::NanoWalletJs.script("wallet");
    let finished = run("wallet.cjs", command.args([&url(&server, &wallet.key), "receive"]))?;
    ensure!(finished.status.success(), "{}", finished.stderr);
    let received: Value = serde_json::from_str(&finished.stdout)?;
    assert_eq!(received["is_valid_by_nanocurrency"], true, "{received}");
    let text = |name: &str| received[name].as_str().with_context(|| format!("no {name}: {received}"));
    oracle::verify(text("root")?.parse()?, text("work")?.parse()?, Network::Live.receive_threshold())?;
    server.stop(Signal::Terminate)?;
    assert_eq!(home.balance(&wallet)?.total_mc(), 10_000 - 16);
    Ok(())
}
