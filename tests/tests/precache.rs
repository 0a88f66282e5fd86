//! Work ahead of demand, with real processes and a fake node: what is computed when a block is confirmed, what it costs, and what
//! is left of it after restarts of whatever may restart.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use e2e::fake_node::{Body, ConfirmationType};
use e2e::{Answer, FakeNode, Home, Http, NETWORK, PATIENCE, Server, Service, Signal, WorkerProcess, account};
use serde_json::{Value, json};
use shared::Account;
use shared::pow::Root;

const COMPUTED: &str = r#"dpow_precache_works_total{result="computed"}"#;
const SUPERSEDED: &str = r#"dpow_precache_works_total{result="superseded"}"#;
const OVER_BUDGET: &str = r#"dpow_precache_works_total{result="over_budget"}"#;
const WATCHED: &str = r#"dpow_node_confirmations_total{result="watched"}"#;
const STRANGER: &str = r#"dpow_node_confirmations_total{result="stranger"}"#;
const MALFORMED: &str = r#"dpow_node_confirmations_total{result="malformed"}"#;
/// Whom all works pay.
const VOLUNTEER: u8 = 200;

/// A service that has opted in.
fn opted_in(home: &Home, credits: u64) -> anyhow::Result<Service> {
    let service = home.add_service("wallet")?;
    home.grant_paid(&service, credits)?;
    home.succeed(&["service", "set", "wallet", "--precache", "on"])?;
    Ok(service)
}

/// A node, a server that watches it, and a service that has opted in and has credits.
struct Stage {
    node: FakeNode,
    home: Home,
    service: Service,
    server: Server,
    http: Http,
}

impl Stage {
    fn with(credits: u64) -> anyhow::Result<Self> {
        let node = FakeNode::start()?;
        let home = Home::with_nodes(&[&node])?;
        let service = opted_in(&home, credits)?;
        let server = home.serve()?;
        let http = server.client();
        Ok(Self { node, home, service, server, http })
    }
}

/// An account with a block, which is confirmed.
fn open(node: &FakeNode, number: u8) -> anyhow::Result<(Account, Root)> {
    let account = account(number);
    Ok((account, node.publish(account, Body::Send { to: account, amount: 1 })?))
}

fn ask(http: &Http, service: &Service, account: Account, root: Root) -> anyhow::Result<Answer> {
    let request = json!({ "root": root, "account": account });
    http.work(&service.key, &request)?.answer(root, NETWORK.send_threshold())
}

/// Waits until the balance is this, and nothing is held.
fn wait_for_balance(home: &Home, service: &Service, millicredits: u64) -> anyhow::Result<()> {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let balance = home.succeed(&["credit", "balance", &service.name, "--json"])?;
        let balance: Value = serde_json::from_str(&balance)?;
        if balance["paid_mc"] == millicredits && balance["held_mc"] == 0 {
            return Ok(());
        }
        ensure!(std::time::Instant::now() < deadline, "it is still {balance}, not {millicredits}");
    }
}

/// How often each root was paid for, and how much in all.
fn charges(home: &Home) -> anyhow::Result<(Vec<Root>, u64)> {
    let settlements = home.journal()?.replay()?.settlements;
    let charged = settlements.iter().map(e2e::Settlement::charged).sum();
    Ok((settlements.iter().map(|settlement| settlement.root).collect(), charged))
}

#[test]
fn a_confirmed_block_is_followed_by_work_that_is_charged_once() -> anyhow::Result<()> {
    let Stage { node, home, service, server, http } = Stage::with(10)?;
    let _worker = WorkerProcess::start(server.mqtt_addr(), account(VOLUNTEER))?;
    let (account, first) = open(&node, 1)?;
    ensure!(ask(&http, &service, account, first)?.charged_mc == 1000);
    node.wait_for_subscribers(1, &[account])?;
    let second = node.publish(account, Body::Change)?;
    http.wait_for_metric(COMPUTED, |computed| computed == 1)?;
    for (source, _) in [("precache", 0), ("cache", 1)] {
        let answer = ask(&http, &service, account, second)?;
        ensure!((answer.charged_mc, answer.source.as_str()) == (0, source), "{answer:?}");
    }
    ensure!(charges(&home)? == (vec![first, second], 2000), "one charge for each root");
    let usage = http.get_with("/v1/usage", &service.key)?.json()?;
    ensure!(usage["hits"] == 1 && usage["computed"] == 1 && usage["spent_today_mc"] == 1000, "{usage}");
    let shown: Value = serde_json::from_str(home.succeed(&["service", "usage", "wallet", "--json"])?.trim())?;
    ensure!(shown["hits"] == 1 && shown["charged_mc"] == 1000, "{shown}");
    let table = home.succeed(&["service", "usage"])?;
    ensure!(table.contains("HIT RATE") && table.contains("100 %"), "{table}");
    let status = home.succeed(&["status"])?;
    ensure!(status.contains(&node.url()) && status.contains("accounts   1 watched"), "{status}");
    server.stop(Signal::Terminate)
}

/// Epoch blocks and blocks of the former kinds move the frontier like others. The latter pass no filter of a node, so they come as
/// callbacks; without any, they are read.
#[test]
fn blocks_of_all_kinds_move_the_frontier() -> anyhow::Result<()> {
    let Stage { node, home, service, server, http } = Stage::with(20)?;
    let _worker = WorkerProcess::start(server.mqtt_addr(), account(VOLUNTEER))?;
    let owner = account(1);
    // Its first root is its public key.
    ask(&http, &service, owner, Root::new(*owner.public_key()))?;
    node.wait_for_subscribers(1, &[owner])?;
    let sends = (0..3).map(|_| node.publish(account(9), Body::Send { to: owner, amount: 5 }));
    let sends = sends.collect::<anyhow::Result<Vec<Root>>>()?;
    let callback = status(&home)?["server"]["node_callback"].as_str().context("no callbacks")?.to_owned();
    node.call_back(callback.parse::<SocketAddr>()?, "/block/");
    let bodies = [
        Body::LegacyOpen { source: sends[0] },
        Body::LegacyReceive { source: sends[1] },
        Body::LegacyChange,
        Body::LegacySend { to: account(9), amount: 1 },
        Body::Receive { source: sends[2] },
        Body::Change,
        Body::Send { to: account(9), amount: 1 },
        Body::Epoch,
    ];
    for (computed, body) in (1..).zip(bodies) {
        let hash = node.publish(owner, body)?;
        http.wait_for_metric(COMPUTED, |count| count == computed)?;
        let answer = ask(&http, &service, owner, hash)?;
        ensure!((answer.charged_mc, answer.source.as_str()) == (0, "precache"), "{body:?}: {answer:?}");
    }
    // Other people's sends to a watched account are no blocks of its own; nor is the same one twice.
    let before = http.metric(WATCHED)?;
    node.publish(account(9), Body::Send { to: owner, amount: 5 })?;
    let last = node.with_chain(|chain| chain.frontier(owner)).context("no frontier")?;
    node.confirm(last, ConfirmationType::Inactive)?;
    http.wait_for_metric(WATCHED, |count| count > before)?;
    ensure!(http.metric(COMPUTED)? == 8);
    server.stop(Signal::Terminate)
}

fn status(home: &Home) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&home.succeed(&["status", "--json"])?)?)
}

/// What is on the way when the account goes on is withdrawn, uncharged; what nobody foresaw is asked for as ever.
#[test]
fn what_is_superseded_is_not_charged_and_what_was_missed_is_served() -> anyhow::Result<()> {
    let Stage { node, home, service, server, http } = Stage::with(10)?;
    let (account, first) = open(&node, 1)?;
    let body = json!({ "accounts": [account] }).to_string();
    let reply = http.post("/v1/accounts", Some(&service.key), &body)?;
    ensure!((reply.status, reply.body.as_str()) == (200, r#"{"accounts":1}"#), "{reply:?}");
    node.wait_for_subscribers(1, &[account])?;
    http.wait_for_metric("dpow_precaches_in_flight", |running| running == 1)?;
    let second = node.publish(account, Body::Change)?;
    http.wait_for_metric(SUPERSEDED, |count| count == 1)?;
    let _worker = WorkerProcess::start(server.mqtt_addr(), e2e::account(VOLUNTEER))?;
    http.wait_for_metric(COMPUTED, |count| count == 1)?;
    ensure!(charges(&home)? == (vec![second], 1000));
    ensure!(ask(&http, &service, account, second)?.charged_mc == 0);
    // It was never computed, so it is an ordinary request.
    let answer = ask(&http, &service, account, first)?;
    ensure!((answer.charged_mc, answer.source.as_str()) == (1000, "ondemand"), "{answer:?}");
    let reply = http.delete("/v1/accounts", &service.key, &body)?;
    ensure!((reply.status, reply.body.as_str()) == (200, r#"{"accounts":0}"#), "{reply:?}");
    ensure!(status(&home)?["server"]["accounts_watched"] == 0);
    server.stop(Signal::Terminate)
}

#[test]
fn nothing_is_spent_without_consent_budget_or_credits() -> anyhow::Result<()> {
    let node = FakeNode::start()?;
    let home = Home::with_nodes(&[&node])?;
    let service = home.add_service("wallet")?;
    home.grant_paid(&service, 3)?;
    let server = home.serve()?;
    let http = server.client();
    let _worker = WorkerProcess::start(server.mqtt_addr(), account(VOLUNTEER))?;
    let (account, first) = open(&node, 1)?;
    let body = json!({ "accounts": [account] }).to_string();
    for path in ["/v1/accounts", "/v1/prefetch"] {
        let body =
            if path == "/v1/accounts" { body.clone() } else { json!({ "roots": [first] }).to_string() };
        ensure!(http.post(path, Some(&service.key), &body)?.problem()? == "precache_off");
    }
    ask(&http, &service, account, first)?;
    ensure!(status(&home)?["server"]["accounts_watched"] == 0, "it has not opted in");

    // One credit a day.
    home.succeed(&["service", "set", "wallet", "--precache", "on", "--budget-per-day", "1"])?;
    http.post("/v1/accounts", Some(&service.key), &body)?;
    node.wait_for_subscribers(1, &[account])?;
    let second = node.publish(account, Body::Change)?;
    http.wait_for_metric(COMPUTED, |count| count == 1)?;
    let third = node.publish(account, Body::Change)?;
    http.wait_for_metric(OVER_BUDGET, |count| count == 1)?;
    ensure!(home.balance(&service)?.total_mc() == 1000);
    // A prefetch is within the same budget.
    let reply =
        http.post("/v1/prefetch", Some(&service.key), &json!({ "roots": [second, third] }).to_string())?;
    let states: Vec<_> = reply.json()?["roots"]
        .as_array()
        .context("no roots")?
        .iter()
        .map(|root| root["state"].clone())
        .collect();
    ensure!(states == ["ready", "over_budget"], "{reply:?}");
    // A restart does not forget what was spent today.
    let (at_http, at_mqtt) = (server.http_addr(), server.mqtt_addr());
    server.stop(Signal::Terminate)?;
    let server = home.serve_at(at_http, at_mqtt)?;
    let http = server.client();
    node.wait_for_subscribers(1, &[account])?;
    node.publish(account, Body::Change)?;
    http.wait_for_metric(OVER_BUDGET, |count| count >= 1)?;
    ensure!(home.balance(&service)?.total_mc() == 1000, "the last credit is left for what is asked for");
    ensure!(charges(&home)? == (vec![first, second], 2000));
    home.succeed(&["service", "set", "wallet", "--precache", "off"])?;
    ensure!(status(&home)?["server"]["accounts_watched"] == 0);
    server.stop(Signal::Terminate)
}

/// What restarts between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restart {
    Node,
    Coordinator,
    /// As by a power cut.
    Crash,
    Both,
}

/// Whatever restarts between any two steps, each root is charged once, and the work is there when it is asked for.
#[test]
fn restarts_between_any_two_steps_lose_nothing_and_charge_once() -> anyhow::Result<()> {
    let mut node = FakeNode::start()?;
    let home = Home::with_nodes(&[&node])?;
    let service = opted_in(&home, 100)?;
    let mut server = home.serve()?;
    let (at_http, at_mqtt) = (server.http_addr(), server.mqtt_addr());
    let _worker = WorkerProcess::start(at_mqtt, account(VOLUNTEER))?;
    let mut left = 100_000;
    let cases = [Restart::Node, Restart::Coordinator, Restart::Crash, Restart::Both];
    let cases = cases.into_iter().flat_map(|restart| (0..4).map(move |step| (restart, step)));
    for (number, (restart, step)) in (1..).zip(cases) {
        let (account, first) = open(&node, number)?;
        let mut second = None;
        for now in 0..4 {
            match now {
                0 => ensure!(ask(&server.client(), &service, account, first)?.charged_mc == 1000),
                1 => second = Some(node.publish(account, Body::Change)?),
                2 => wait_for_balance(&home, &service, left - 2000)?,
                _ => {
                    let answer = ask(&server.client(), &service, account, second.context("published")?)?;
                    ensure!(answer.charged_mc == 0, "{restart:?} after {step}: {answer:?}");
                }
            }
            if now == step {
                server = carry_out(restart, &home, &mut node, server, (at_http, at_mqtt))?;
            }
        }
        left -= 2000;
        ensure!(home.balance(&service)?.total_mc() == left, "{restart:?} after {step}");
    }
    let (mut roots, charged) = charges(&home)?;
    roots.sort_unstable();
    let count = roots.len();
    roots.dedup();
    ensure!((roots.len(), count, charged) == (32, 32, 32_000), "each root once");
    server.stop(Signal::Terminate)
}

fn carry_out(
    restart: Restart,
    home: &Home,
    node: &mut FakeNode,
    server: Server,
    (http, mqtt): (SocketAddr, SocketAddr),
) -> anyhow::Result<Server> {
    if matches!(restart, Restart::Node | Restart::Both) {
        node.stop();
    }
    let server = match restart {
        Restart::Node => server,
        Restart::Crash => {
            server.crash()?;
            home.serve_at(http, mqtt)?
        }
        Restart::Coordinator | Restart::Both => {
            server.stop(Signal::Terminate)?;
            home.serve_at(http, mqtt)?
        }
    };
    if matches!(restart, Restart::Node | Restart::Both) {
        node.listen()?;
    }
    Ok(server)
}

/// Confirmations that are lost, come late, twice or in the wrong order: in the end the last block's work is there.
#[test]
fn a_node_that_loses_and_mixes_up_confirmations_is_made_up_for() -> anyhow::Result<()> {
    let Stage { node, home, service, server, http } = Stage::with(100)?;
    let _worker = WorkerProcess::start(server.mqtt_addr(), account(VOLUNTEER))?;
    let (account, first) = open(&node, 1)?;
    ask(&http, &service, account, first)?;
    node.wait_for_subscribers(1, &[account])?;
    // Lost: it is read within a second.
    node.set_faults(|faults| faults.drops_confirmations = true);
    let lost = node.publish(account, Body::Change)?;
    http.wait_for_metric(COMPUTED, |count| count == 1)?;
    ensure!(ask(&http, &service, account, lost)?.charged_mc == 0);
    node.set_faults(|faults| {
        faults.drops_confirmations = false;
        faults.reorders = true;
        faults.repeats = true;
    });
    let mut last = lost;
    for _ in 0..3 {
        last = node.publish(account, Body::Change)?;
    }
    node.set_faults(|faults| faults.reorders = false);
    // Whether it was computed by then or was just being computed, its root is charged once, and the last block's is known.
    http.wait_for_metric(COMPUTED, |count| count >= 2)?;
    ask(&http, &service, account, last)?;
    let (mut roots, _) = charges(&home)?;
    let count = roots.len();
    roots.sort_unstable();
    roots.dedup();
    ensure!(roots.len() == count && roots.contains(&last), "each root once");
    // Wrong acknowledgements, silence and babble: what is asked for is served, and `status` says what is wrong.
    for set in
        [(|faults: &mut e2e::fake_node::Faults| faults.acknowledges_wrongly = true) as fn(&mut _), |faults| {
            faults.babbles = true;
        }]
    {
        node.set_faults(set);
    }
    let deadline = std::time::Instant::now() + PATIENCE;
    while !home.succeed(&["status"])?.contains("what its RPC says is not understood") {
        ensure!(std::time::Instant::now() < deadline, "status is silent about the node");
    }
    let (stranger, root) = open(&node, 2)?;
    ensure!(ask(&http, &service, stranger, root)?.charged_mc == 1000);
    server.stop(Signal::Terminate)
}

/// Several nodes: what one does not say the other does.
#[test]
fn one_of_two_nodes_is_enough() -> anyhow::Result<()> {
    let (mut one, other) = (FakeNode::start()?, FakeNode::start()?);
    let home = Home::with_nodes(&[&one, &other])?;
    let service = opted_in(&home, 10)?;
    let server = home.serve()?;
    let http = server.client();
    let _worker = WorkerProcess::start(server.mqtt_addr(), account(VOLUNTEER))?;
    let (account, first) = open(&one, 1)?;
    ensure!(open(&other, 1)?.1 == first);
    ask(&http, &service, account, first)?;
    for node in [&one, &other] {
        node.wait_for_subscribers(1, &[account])?;
    }
    // Both say it, and it is computed once.
    one.publish(account, Body::Change)?;
    other.publish(account, Body::Change)?;
    http.wait_for_metric(WATCHED, |count| count == 2)?;
    http.wait_for_metric(COMPUTED, |count| count == 1)?;
    one.stop();
    let last = other.publish(account, Body::Change)?;
    http.wait_for_metric(COMPUTED, |count| count == 2)?;
    ensure!(ask(&http, &service, account, last)?.charged_mc == 0);
    ensure!(charges(&home)?.1 == 3000);
    server.stop(Signal::Terminate)
}

/// A node that lies about frontiers costs budget, and nothing else.
#[test]
fn a_node_that_lies_costs_budget_and_never_correctness() -> anyhow::Result<()> {
    let Stage { node, home, service, server, http } = Stage::with(10)?;
    let _worker = WorkerProcess::start(server.mqtt_addr(), account(VOLUNTEER))?;
    let (account, first) = open(&node, 1)?;
    ask(&http, &service, account, first)?;
    let lie = e2e::root(66);
    node.set_faults(|faults| {
        faults.lies.insert(account, (lie, 1 << 50));
    });
    http.wait_for_metric(COMPUTED, |count| count == 1)?;
    ensure!(charges(&home)? == (vec![first, lie], 2000), "it has cost a credit");
    node.set_faults(|faults| faults.lies.clear());
    let second = node.publish(account, Body::Change)?;
    let answer = ask(&http, &service, account, second)?;
    ensure!((answer.charged_mc, answer.source.as_str()) == (1000, "ondemand"), "{answer:?}");
    // What the service builds on is believed, so that it is right again.
    let third = node.publish(account, Body::Change)?;
    http.wait_for_metric(COMPUTED, |count| count == 2)?;
    ensure!(ask(&http, &service, account, third)?.charged_mc == 0);
    server.stop(Signal::Terminate)
}

/// Messages with every key that a node V27 writes: state blocks, those of the former kinds, epochs, a send to an account from a
/// stranger, with and without a height, twice and late. Hashes and signatures are made up.
#[test]
fn a_recording_of_all_kinds_of_blocks_is_followed_to_its_end() -> anyhow::Result<()> {
    let recording = include_str!("../recorded/confirmations.jsonl");
    let messages: Vec<Value> = recording.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let owners = [41, 42, 43].map(|number| Account::from_public_key([number; 32]));
    let Stage { node, home, service, server, http } = Stage::with(50)?;
    let _worker = WorkerProcess::start(server.mqtt_addr(), account(VOLUNTEER))?;
    let named = http.post("/v1/accounts", Some(&service.key), &json!({ "accounts": owners }).to_string())?;
    ensure!(named.json()? == json!({ "accounts": 3 }));
    node.wait_for_subscribers(1, &owners)?;
    node.play_recording(recording);
    let own =
        |message: &&Value| owners.iter().any(|owner| message["message"]["account"] == owner.to_string());
    let watched = messages.iter().filter(own).count();
    http.wait_for_metric(WATCHED, |count| count == watched as u64)?;
    ensure!((http.metric(STRANGER)?, http.metric(MALFORMED)?) == (1, 0), "each was understood");
    // The last block of each account, as it stands in the recording; two of them come once more, and one after a later one.
    for (owner, last) in owners.into_iter().zip([3, 9, 11]) {
        let last: Root = messages[last]["message"]["hash"].as_str().context("no hash")?.parse()?;
        let deadline = std::time::Instant::now() + PATIENCE;
        while !charges(&home)?.0.contains(&last) {
            ensure!(std::time::Instant::now() < deadline, "nothing is computed for {owner}'s {last}");
        }
        let answer = ask(&http, &service, owner, last)?;
        ensure!((answer.charged_mc, answer.source.as_str()) == (0, "precache"), "{answer:?}");
    }
    server.stop(Signal::Terminate)
}

/// Beside adaptive dispatch, works ahead are computed and charged once as well.
#[test]
fn adaptive_dispatch_computes_ahead_as_well() -> anyhow::Result<()> {
    let node = FakeNode::start()?;
    let home = Home::with_nodes(&[&node])?;
    let service = opted_in(&home, 10)?;
    let server =
        home.serve_with(home.listening_command(&["serve"])?.env("DPOW_DISPATCH__POLICY", "adaptive"))?;
    let http = server.client();
    let _worker = WorkerProcess::start(server.mqtt_addr(), account(VOLUNTEER))?;
    let (account, first) = open(&node, 1)?;
    ask(&http, &service, account, first)?;
    node.wait_for_subscribers(1, &[account])?;
    let second = node.publish(account, Body::Change)?;
    http.wait_for_metric(COMPUTED, |computed| computed == 1)?;
    let answer = ask(&http, &service, account, second)?;
    ensure!((answer.charged_mc, answer.source.as_str()) == (0, "precache"), "{answer:?}");
    ensure!(charges(&home)? == (vec![first, second], 2000), "one charge for each root");
    server.stop(Signal::Terminate)
}

/// Ten thousand confirmations of strangers a second, and texts that are no confirmations at all, hold nothing up.
#[test]
fn strangers_confirmations_and_rubbish_hold_nothing_up() -> anyhow::Result<()> {
    const STRANGERS_PER_S: u64 = 10_000;
    const PARTS: u64 = 100;
    let seconds = if std::env::var_os("DPOW_FULL").is_some() { 60 } else { 1 };
    let Stage { node, home: _home, service, server, http } = Stage::with(10)?;
    let _worker = WorkerProcess::start(server.mqtt_addr(), account(VOLUNTEER))?;
    let (account, first) = open(&node, 1)?;
    ask(&http, &service, account, first)?;
    node.wait_for_subscribers(1, &[account])?;
    let rubbish = [
        "no JSON",
        "{}",
        "[]",
        r#"{"topic":"confirmation"}"#,
        r#"{"topic":"confirmation","message":{"account":"nano_1"}}"#,
    ];
    for text in rubbish {
        node.play(text);
    }
    http.wait_for_metric(MALFORMED, |count| count == 4)?;
    let stranger = node.with_chain(|chain| -> anyhow::Result<_> {
        let stranger = chain.append(e2e::account(7), Body::Send { to: e2e::account(8), amount: 1 })?;
        chain.block(stranger)
    })?;
    let frame = format!(
        r#"{{"topic":"confirmation","time":"1","message":{{"account":"{}","amount":"1","hash":"{}","confirmation_type":"active_quorum","block":{}}}}}"#,
        stranger.account,
        stranger.hash(),
        stranger.to_json(true)
    );
    let began = std::time::Instant::now();
    for part in 0..seconds * PARTS {
        (0..STRANGERS_PER_S / PARTS).for_each(|_| node.play(&frame));
        // At an even pace, not as fast as they can be written.
        let due = std::time::Duration::from_millis((part + 1) * 1_000 / PARTS);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    // On the same connection, behind all of them.
    let second = node.publish(account, Body::Change)?;
    http.wait_for_metric(COMPUTED, |count| count == 1)?;
    ensure!(ask(&http, &service, account, second)?.charged_mc == 0);
    ensure!(http.metric(STRANGER)? == seconds * STRANGERS_PER_S, "each was looked at, and left there");
    ensure!(node.sessions_opened() == 1, "the connection has held");
    server.stop(Signal::Terminate)
}

#[test]
fn accounts_beyond_the_limit_are_refused_in_a_sentence() -> anyhow::Result<()> {
    let home = Home::new()?;
    let service = opted_in(&home, 1)?;
    let server = home.serve()?;
    let http = server.client();
    ensure!(home.succeed(&["status"])?.contains("node       none: nothing is computed ahead"));
    let name = |from: u32| -> anyhow::Result<_> {
        let accounts: Vec<Account> = (from..from + 1000)
            .map(|number| {
                let mut key = [3; 32];
                key[..4].copy_from_slice(&number.to_be_bytes());
                Account::from_public_key(key)
            })
            .collect();
        http.post("/v1/accounts", Some(&service.key), &json!({ "accounts": accounts }).to_string())
    };
    for call in 0..10 {
        ensure!(name(call * 1000)?.json()? == json!({ "accounts": (call + 1) * 1000 }));
    }
    // However many more.
    for call in 10..20 {
        let reply = name(call * 1000)?;
        ensure!(reply.status == 409 && reply.problem()? == "accounts_limit", "{reply:?}");
        ensure!(reply.body.contains("At most 10000 accounts are watched for one service"), "{reply:?}");
    }
    http.wait_for_metric("dpow_accounts_watched", |watched| watched == 10_000)?;
    // They are there after a restart.
    let (at_http, at_mqtt) = (server.http_addr(), server.mqtt_addr());
    server.crash()?;
    let server = home.serve_at(at_http, at_mqtt)?;
    ensure!(status(&home)?["server"]["accounts_watched"] == 10_000);
    server.stop(Signal::Terminate)
}
