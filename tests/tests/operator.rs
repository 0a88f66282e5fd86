//! What can be seen and asked over MQTT, with a client that others have written.

use std::process::Command;

use anyhow::{Context, ensure};
use e2e::{Home, Mqtt, NETWORK, Process, RawWorker, Server, Tool, WorkerProcess, account, oracle, root, run};
use serde_json::{Value, json};
use shared::pow::Threshold;
use shared::protocol::Topic;

/// Who logs in: user, password and client id.
type Login<'a> = (&'a str, &'a str, &'a str);

fn mosquitto(tool: Tool, server: &Server, (user, password, client_id): Login<'_>) -> Command {
    let (host, port) = (server.mqtt_addr().ip().to_string(), server.mqtt_addr().port().to_string());
    let mut command = tool.command();
    // Protocol version 3.1.1; whatever happens, it ends.
    command.args(["-V", "311", "-W", "30", "-h", &host, "-p", &port]);
    command.args(["-u", user, "-P", password, "-i", client_id]);
    command
}

/// The operator's `work/#` mirrors the list, the result and the verdict of a request that is answered.
#[test]
fn the_operator_sees_work_pass() -> anyhow::Result<()> {
    if !Tool::MosquittoSub.is_there("the operator's view") {
        return Ok(());
    }
    let (home, wallet) = Home::with_wallet(1)?;
    let server = home.serve()?;
    let login = ("operator", &*home.read("operator-token")?, "watcher");
    let mut command = mosquitto(Tool::MosquittoSub, &server, login);
    command.args(["-v", "-t", "work/#", "-t", "stats/network"]);
    let watcher = Process::start("mosquitto_sub", &mut command)?;
    // Both filters are of one SUBSCRIBE; and what it prints is seen with the next message only.
    watcher.wait_for_line("its subscription", |line| line.starts_with("stats/network "))?;

    let _worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    let (root, threshold) = (root(1), NETWORK.send_threshold());
    let reply = server.client().work(&wallet.key, &json!({ "root": root, "threshold": threshold }))?;
    reply.answer(root, threshold)?;
    for topic in ["work/request/", "work/result/", "work/verdict/"] {
        watcher.wait_for_line(topic, |line| line.starts_with(topic))?;
    }
    Ok(())
}

/// A worker may subscribe to its own topics and to statistics; every wildcard over `work` and every other worker's topic is
/// refused in the SUBACK.
#[test]
fn a_worker_sees_nothing_of_others() -> anyhow::Result<()> {
    if !Tool::MosquittoSub.is_there("a worker's rights, with another client") {
        return Ok(());
    }
    let home = Home::new()?;
    let server = home.serve()?;
    let address = account(1).to_string();
    let (password, own) = RawWorker::credentials(1);
    let (_, other) = RawWorker::credentials(2);
    let filters = [
        (Topic::WorkRequest(own).to_string(), true),
        (Topic::WorkVerdict(own).to_string(), true),
        (Topic::StatsNetwork.to_string(), true),
        ("#".into(), false),
        ("work/#".into(), false),
        ("work/request/+".into(), false),
        (Topic::WorkRequest(other).to_string(), false),
        (Topic::WorkVerdict(other).to_string(), false),
    ];
    let mut command = mosquitto(Tool::MosquittoSub, &server, (&address, &password, &own.to_string()));
    for (filter, _) in &filters {
        command.args(["-t", filter]);
    }
    // What it prints is seen with the first message, so one topic has to have some.
    let subscriber = Process::start("mosquitto_sub", command.arg("-d"))?;
    let codes: Vec<String> = filters
        .iter()
        .map(|(_, is_allowed)| if *is_allowed { 0 } else { Mqtt::REFUSED }.to_string())
        .collect();
    let granted = subscriber.wait_for_line("a SUBACK", |line| line.starts_with("Subscribed"))?;
    assert_eq!(granted, format!("Subscribed (mid: 1): {}", codes.join(", ")));
    Ok(())
}

/// Nobody logs in as a worker whose secret he does not know.
#[test]
fn a_worker_id_belongs_to_its_secret() -> anyhow::Result<()> {
    if !Tool::MosquittoSub.is_there("a login as somebody else, with another client") {
        return Ok(());
    }
    let home = Home::new()?;
    let server = home.serve()?;
    let address = account(1).to_string();
    let ((password, own), (_, other)) = (RawWorker::credentials(1), RawWorker::credentials(2));
    for (login, is_allowed) in [
        ((&*address, &*password, &*own.to_string()), true),
        ((&address, &password, &other.to_string()), false),
        (("operator", &password, "any"), false),
        (("wallet", "no key", "any"), false),
    ] {
        let mut command = mosquitto(Tool::MosquittoSub, &server, login);
        let client = Process::start("mosquitto_sub", command.args(["-d", "-t", "stats/network", "-C", "1"]))?;
        let answer = client.wait_for_line("a CONNACK", |line| line.contains("received CONNACK"))?;
        assert_eq!(answer.ends_with("(0)"), is_allowed, "{login:?} {answer}");
    }
    Ok(())
}

/// A service asks and is answered on one connection, in JSON.
#[test]
fn a_service_asks_over_mqtt() -> anyhow::Result<()> {
    if !Tool::MosquittoRr.is_there("a service over MQTT") {
        return Ok(());
    }
    let (home, wallet) = Home::with_wallet(1)?;
    let server = home.serve()?;
    let _worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    let (root, id) = (root(1), "0123456789abcdef0123456789abcdef");
    let request = json!({
        "request": id, "root": root, "demand": { "subtype": "send" }, "account": null, "timeout_ms": null
    });
    let mut command = mosquitto(Tool::MosquittoRr, &server, (&wallet.name, &wallet.key, "any"));
    command.args(["-q", "1", "-t", "service/wallet/request", "-e", "service/wallet/reply"]);
    let finished = run("mosquitto_rr", command.args(["-m", &request.to_string()]))?;
    ensure!(finished.status.success(), "no reply: {}", finished.stderr);

    let reply: Value = serde_json::from_str(&finished.stdout)?;
    let work = &reply["outcome"]["work"];
    assert_eq!((&reply["request"], &work["root"]), (&json!(id), &json!(root)));
    assert_eq!((&work["charged_mc"], &work["balance_mc"]), (&json!(1_000), &json!(0)));
    let nonce = work["nonce"].as_str().with_context(|| format!("no nonce in {reply}"))?.parse()?;
    let threshold: Threshold = NETWORK.send_threshold();
    oracle::cross_check(&[oracle::verify(root, nonce, threshold)?])
}
