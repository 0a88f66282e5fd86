//! `dpow-bridge`: a wallet and a node beside it go on, whatever becomes of the network.

use std::collections::BTreeMap;
use std::env;
use std::io::{Write, stderr};
use std::net::TcpListener;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use e2e::{
    BridgeProcess, Home, Http, Library, NETWORK, NodeJob, PATIENCE, Program, RawWorker, Service, Signal,
    WorkerProcess, account, oracle, program, root, run,
};
use serde_json::{Value, json};
use shared::Network;
use shared::pow::{Multiplier, Threshold};
use shared::protocol::WorkKind;

const THRESHOLD: Threshold = NETWORK.receive_threshold();

fn service(home: &Home) -> anyhow::Result<Service> {
    let service = home.add_service("wallet")?;
    home.grant_paid(&service, 1000)?;
    Ok(service)
}

/// Asks as a wallet does that knows nothing of keys, and checks the work.
fn wallet_asks(http: &Http, number: u64) -> anyhow::Result<()> {
    let call = json!({ "action": "work_generate", "hash": root(number), "difficulty": THRESHOLD });
    let reply = http.post("/", None, &call.to_string())?.json()?;
    let nonce = reply["work"].as_str().with_context(|| format!("no work: {reply}"))?.parse()?;
    oracle::verify(root(number), nonce, THRESHOLD).map(drop)
}

fn works(bridge: &BridgeProcess, from: &str) -> anyhow::Result<u64> {
    bridge.client().metric(&format!("dpow_bridge_works_total{{from=\"{from}\"}}"))
}

/// Beside one thread of the processor, `PoCL` searches while there is no network: it is told to be used, and finds works.
#[test]
fn opencl_searches_while_the_network_is_gone() -> anyhow::Result<()> {
    if !Path::new("/etc/OpenCL/vendors/pocl.icd").exists() {
        writeln!(stderr(), "SKIPPED for want of PoCL (Debian: pocl-opencl-icd): the bridge with OpenCL")?;
        return Ok(());
    }
    let nowhere = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let stranger = Service { name: "wallet".into(), key: "dpow_live_aaaaaaaaaaaaa_b".into() };
    // PoCL builds the kernel with the system's linker, and keeps it below the home directory.
    let [home, path] = ["HOME", "PATH"].map(|name| env::var(name).unwrap_or_default());
    let settings = [
        ("DPOW_BRIDGE_LOCAL__OPENCL_DEVICES", "all"),
        ("DPOW_BRIDGE_LOCAL__THREADS", "1"),
        ("HOME", &home),
        ("PATH", &path),
    ];
    let bridge = BridgeProcess::start(nowhere, &stranger, &settings)?;
    let is_ready = |line: &str| line.starts_with("opencl ") && line.contains("Portable Computing Language");
    let told = bridge.process().wait_for_line("what has become of OpenCL", is_ready)?;
    ensure!(told.ends_with(": used"), "{told}");
    let found_by =
        |searcher: &str| bridge.client().metric(&format!("dpow_bridge_searched_total{{by=\"{searcher}\"}}"));
    // Some 2^20 hashes each, so that it is worth a launch.
    let threshold = Multiplier::try_new(1024.0)?.to_threshold(NETWORK.send_threshold());
    let deadline = Instant::now() + PATIENCE;
    let mut asked = 0;
    while found_by("opencl")? == 0 {
        ensure!(Instant::now() < deadline, "of {asked} works it has found none");
        asked += 1;
        let call = json!({ "action": "work_generate", "hash": root(asked), "difficulty": threshold });
        let reply = bridge.client().post("/", None, &call.to_string())?.json()?;
        let nonce = reply["work"].as_str().with_context(|| format!("no work: {reply}"))?.parse()?;
        oracle::verify(root(asked), nonce, threshold)?;
    }
    assert_eq!((works(&bridge, "local")?, found_by("processor")? + found_by("opencl")?), (asked, asked));
    bridge.stop()
}

/// Which roots the service has paid for, and how often.
fn paid(home: &Home) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut paid = BTreeMap::new();
    for settlement in home.journal()?.replay()?.settlements {
        *paid.entry(settlement.root.to_string()).or_insert(0) += u64::from(settlement.charged() > 0);
    }
    Ok(paid)
}

/// The network answers, is gone, and is back. Every call is answered; what this machine has searched costs nothing, and nothing is
/// paid for twice.
#[test]
fn it_goes_on_while_the_network_is_gone() -> anyhow::Result<()> {
    let home = Home::new()?;
    let wallet = service(&home)?;
    let server = home.serve()?;
    let (http_addr, mqtt) = (server.http_addr(), server.mqtt_addr());
    let worker = WorkerProcess::start(mqtt, account(1))?;
    worker.wait_until_is_connected(true)?;
    let bridge = BridgeProcess::start(mqtt, &wallet, &[("DPOW_BRIDGE_LOCAL__AFTER_MS", "60000")])?;
    bridge.wait_until_connected(1)?;
    let http = bridge.client();
    for number in 0..20 {
        wallet_asks(&http, number)?;
        NodeJob::generate(bridge.node_peer(), root(100 + number), THRESHOLD, None)?.work()?;
    }
    assert_eq!((works(&bridge, "network")?, works(&bridge, "local")?), (40, 0));

    server.crash()?;
    bridge.process().wait_for_line("its loss", |line| line.starts_with("not connected"))?;
    for number in 20..40 {
        wallet_asks(&http, number)?;
        NodeJob::generate(bridge.node_peer(), root(100 + number), THRESHOLD, None)?.work()?;
    }
    assert_eq!((works(&bridge, "network")?, works(&bridge, "local")?), (40, 40));
    assert_eq!(http.get("/readyz")?.status, 200, "it can answer by itself");

    let server = home.serve_at(http_addr, mqtt)?;
    bridge.wait_until_connected(2)?;
    worker.wait_until_is_connected(true)?;
    for number in 0..60 {
        wallet_asks(&http, number)?;
    }
    assert_eq!((works(&bridge, "network")?, works(&bridge, "local")?), (100, 40));
    bridge.stop()?;
    worker.stop()?;
    server.stop(Signal::Terminate)?;
    let paid = paid(&home)?;
    assert_eq!(
        paid.len(),
        80,
        "60 of the wallet, and 20 that the node asked for while the network was there"
    );
    ensure!(paid.values().all(|times| *times == 1), "a root was paid for twice");
    Ok(())
}

/// The network has a set time; then this machine searches, and the request is withdrawn there.
#[test]
fn it_searches_when_the_network_takes_too_long_or_refuses() -> anyhow::Result<()> {
    let home = Home::new()?;
    let wallet = service(&home)?;
    let server = home.serve()?;
    let _idle = RawWorker::join(&server, 1, account(1))?;
    let bridge = BridgeProcess::start(server.mqtt_addr(), &wallet, &[("DPOW_BRIDGE_LOCAL__AFTER_MS", "1")])?;
    bridge.wait_until_connected(1)?;
    let http = bridge.client();
    let withdrawn = || server.client().metric("dpow_work_requests_total{outcome=\"cancelled\"}");
    let deadline = Instant::now() + PATIENCE;
    let mut asked = 0;
    // What is found before the request has left this machine is never withdrawn in the network.
    while withdrawn()? == 0 {
        ensure!(Instant::now() < deadline, "of {asked} requests none was withdrawn");
        asked += 1;
        wallet_asks(&http, asked)?;
    }
    ensure!(home.run(&["service", "suspend", "wallet", "--reason", "test"])?.status.success());
    bridge.process().wait_for_line("its loss", |line| line.starts_with("not connected"))?;
    wallet_asks(&http, asked + 1)?;
    assert_eq!((works(&bridge, "network")?, works(&bridge, "local")?), (0, asked + 1));
    assert_eq!(paid(&home)?.len(), 0);
    bridge.stop()
}

/// Another work server is asked when the network cannot be reached; here it is a bridge that searches by itself.
#[test]
fn it_asks_another_work_server() -> anyhow::Result<()> {
    let home = Home::new()?;
    let wallet = service(&home)?;
    let server = home.serve()?;
    let mqtt = server.mqtt_addr();
    server.crash()?;
    let other = BridgeProcess::start(mqtt, &wallet, &[("DPOW_BRIDGE_LOCAL__OPENCL_DEVICES", "off")])?;
    let bridge = BridgeProcess::start(
        mqtt,
        &wallet,
        &[("DPOW_BRIDGE_LOCAL__ENABLED", "false"), ("DPOW_BRIDGE_FALLBACK__URL", &other.url())],
    )?;
    let http = bridge.client();
    assert_eq!(http.get("/readyz")?.status, 200);
    for number in 0..5 {
        wallet_asks(&http, number)?;
    }
    assert_eq!((works(&bridge, "fallback")?, works(&other, "local")?), (5, 5));
    other.stop()?;
    let call = json!({ "root": root(9), "threshold": THRESHOLD, "timeout_ms": 1000 });
    // Nobody is left, and nobody knows what the network has done.
    assert_eq!(http.work("none is needed", &call)?.problem_that_may_be_charged()?, "store_unavailable");
    assert_eq!(http.get("/readyz")?.status, 503);
    bridge.stop()
}

/// What can wait is said to the network: a worker that does nothing ahead of demand has it only once it is on demand.
#[test]
fn what_can_wait_waits_in_the_network() -> anyhow::Result<()> {
    let home = Home::new()?;
    let wallet = service(&home)?;
    let server = home.serve()?;
    let mut worker = RawWorker::join(&server, 1, account(1))?;
    let bridge =
        BridgeProcess::start(server.mqtt_addr(), &wallet, &[("DPOW_BRIDGE_LOCAL__ENABLED", "false")])?;
    bridge.wait_until_connected(1)?;
    let ask = |number: u64, class: &str| {
        let call = json!({
            "request_id": format!("{number:032x}"),
            "root": root(number),
            "threshold": THRESHOLD,
            "class": class,
            "async": true,
        });
        bridge.client().work("none is needed", &call)
    };
    assert_eq!(ask(1, "precache")?.status, 202);
    let deadline = Instant::now() + PATIENCE;
    while server.client().metric("dpow_requests_open")? == 0 {
        ensure!(Instant::now() < deadline, "it does not come to the network");
    }
    assert_eq!(ask(2, "ondemand")?.status, 202);
    let list = loop {
        let list = worker.next_list()?;
        if list.jobs.iter().any(|job| job.root == root(2)) {
            break list;
        }
    };
    assert_eq!(list.jobs.iter().map(|job| job.root).collect::<Vec<_>>(), [root(2)]);
    let ended = bridge.client().delete(&format!("/v1/work/{:032x}", 2), "none is needed", "")?;
    assert_eq!(ended.json()?["problem"]["code"], json!("cancelled"));
    while !worker.next_list()?.jobs.is_empty() {}
    assert_eq!(ask(1, "ondemand")?.status, 202);
    assert_eq!(worker.wait_for_job(root(1))?.kind, WorkKind::OnDemand);
    bridge.stop()
}

/// A wallet that cancels withdraws what it has asked for, in the network as well; a mistake is told as what it is.
#[test]
fn what_a_wallet_cancels_is_withdrawn() -> anyhow::Result<()> {
    let home = Home::new()?;
    let wallet = service(&home)?;
    let server = home.serve()?;
    let mut idle = RawWorker::join(&server, 1, account(1))?;
    let bridge =
        BridgeProcess::start(server.mqtt_addr(), &wallet, &[("DPOW_BRIDGE_LOCAL__ENABLED", "false")])?;
    bridge.wait_until_connected(1)?;
    let http = bridge.client();
    let waiting = std::thread::spawn(move || {
        let call = json!({ "action": "work_generate", "hash": root(1), "difficulty": THRESHOLD });
        http.post("/", None, &call.to_string())?.json()
    });
    idle.wait_for_job(root(1))?;
    let cancel = json!({ "action": "work_cancel", "hash": root(1) });
    assert_eq!(bridge.client().post("/", None, &cancel.to_string())?.json()?, json!({ "success": "" }));
    let cancelled: Value = waiting.join().expect("it does not panic")?;
    assert_eq!(cancelled, json!({ "error": "Cancelled" }));
    while idle.next_list()?.jobs.iter().any(|job| job.root == root(1)) {}
    let wrong = json!({ "root": root(2), "threshold": "0000000000000001" });
    let refused = bridge.client().work("none is needed", &wrong)?;
    assert_eq!((refused.status, refused.problem()?.as_str()), (422, "threshold_out_of_range"));
    server.stop(Signal::Terminate)?;
    bridge.process().wait_for_line("its loss", |line| line.starts_with("not connected"))?;
    assert_eq!(bridge.client().get("/readyz")?.status, 503, "nobody is left who could answer");
    bridge.stop()
}

/// Libraries that others have written, which know nothing of it.
#[test]
fn wallets_of_others_get_their_work_from_it() -> anyhow::Result<()> {
    let home = Home::new()?;
    let wallet = service(&home)?;
    let server = home.serve()?;
    let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    let bridge =
        BridgeProcess::start(server.mqtt_addr(), &wallet, &[("DPOW_BRIDGE_LOCAL__ENABLED", "false")])?;
    bridge.wait_until_connected(1)?;
    let url = bridge.url();
    for (library, number, call) in [
        (Library::Nanopy, 1, vec!["call", "work_generate"]),
        (Library::NanoNodeRpc, 2, vec!["none is needed", "call", "work_generate"]),
    ] {
        if !library.is_there("a wallet on dpow-bridge") {
            continue;
        }
        let arguments = match library {
            Library::Nanopy => json!({ "hash_": root(number) }),
            _ => json!([root(number)]),
        };
        let mut command = library.script("wallet");
        let finished = run("wallet", command.arg(&url).args(call).arg(arguments.to_string()))?;
        ensure!(finished.status.success(), "{library:?}: {}", finished.stderr);
        let reply: Value = serde_json::from_str(&finished.stdout)?;
        let nonce = reply["work"].as_str().with_context(|| format!("no work: {reply}"))?.parse()?;
        oracle::verify(root(number), nonce, NETWORK.send_threshold())?;
    }
    worker.stop()?;
    bridge.stop()
}

/// It asks for what the live network demands.
#[test]
fn nano_wallet_js_receives_a_block_with_work_from_it() -> anyhow::Result<()> {
    if !Library::NanoWalletJs.is_there("nano-wallet-js on dpow-bridge") {
        return Ok(());
    }
    let home = Home::of_network(Network::Live)?;
    let wallet = service(&home)?;
    let server = home.all_in_one()?;
    let variables = [("DPOW_BRIDGE_LOCAL__ENABLED", "false")];
    let bridge = BridgeProcess::of_network(Network::Live, server.mqtt_addr(), &wallet, &variables)?;
    bridge.wait_until_connected(1)?;
    let mut command = Library::NanoWalletJs.script("wallet");
    let finished = run("wallet.cjs", command.args([&bridge.url(), "receive"]))?;
    ensure!(finished.status.success(), "{}", finished.stderr);
    let received: Value = serde_json::from_str(&finished.stdout)?;
    let text = |name: &str| received[name].as_str().with_context(|| format!("no {name}: {received}"));
    oracle::verify(text("root")?.parse()?, text("work")?.parse()?, Network::Live.receive_threshold())?;
    assert_eq!(works(&bridge, "network")?, 1);
    bridge.stop()?;
    server.stop(Signal::Terminate)
}

#[test]
fn what_is_missing_is_named() -> anyhow::Result<()> {
    let finished = run("dpow-bridge", &mut program(Program::Bridge)?)?;
    ensure!(!finished.status.success());
    for sentence in ["name the one that pays, with --service", "with --key-file"] {
        ensure!(finished.stderr.contains(sentence), "{}", finished.stderr);
    }
    Ok(())
}
