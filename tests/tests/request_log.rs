//! One request id from HTTP to the verdict: whoever has the id of a request finds its whole story in the log.

use anyhow::Context;
use e2e::{Home, NETWORK, Server, Service, Signal, WorkerProcess, account, root};
use serde_json::{Value, json};

/// A coordinator that logs JSON at the level `debug`, and a service with a credit.
fn open() -> anyhow::Result<(Home, Service, Server)> {
    let (home, wallet) = Home::with_wallet(1)?;
    let mut command = home.listening_command(&["serve"])?;
    command.envs([("DPOW_LOG__FILTER", "debug"), ("DPOW_LOG__FORMAT", "json")]);
    let server = home.serve_with(&mut command)?;
    Ok((home, wallet, server))
}

/// The lines of a log that name this in their field.
fn story<'a>(log: &'a [Value], field: &str, id: &str) -> Vec<&'a Value> {
    log.iter().filter(|line| line[field] == id).collect()
}

/// What the lines say.
fn messages<'a>(lines: &[&'a Value]) -> Vec<&'a str> {
    lines.iter().filter_map(|line| line["message"].as_str()).collect()
}

/// Stops the server, and reads its log.
fn log_of(server: Server) -> anyhow::Result<Vec<Value>> {
    server.process().signal(Signal::Terminate)?;
    let finished = server.end()?;
    finished.stderr.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

const ANSWERED: [&str; 6] = [
    "a request has arrived",
    "a request waits for a job",
    "a result answers a request",
    "a request is settled",
    "a request is answered",
    "work was given",
];

#[test]
fn the_id_of_an_answer_leads_to_its_job_its_worker_and_its_settlement() -> anyhow::Result<()> {
    let (home, wallet, server) = open()?;
    let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    let (root, threshold) = (root(1), NETWORK.receive_threshold());
    let body = json!({ "root": root, "threshold": threshold }).to_string();
    let bearer = format!("Bearer {}", wallet.key);
    let proxy = "0b7d9f5e-3c41-4e0a-9d55-2f6c8a1b7e90";
    let (trace, step) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let parent = format!("00-{trace}-{step}-01");
    let headers =
        [("Authorization", bearer.as_str()), ("X-Request-Id", proxy), ("traceparent", parent.as_str())];
    let reply = server.client().post_with("/v1/work", &headers, &body)?;
    reply.answer(root, threshold)?;
    let json = reply.json()?;
    let id = json["request_id"].as_str().context("an answer names its request")?;
    assert_eq!(reply.header("x-request-id"), Some(id));
    let next = reply.header("traceparent").context("the trace goes on")?;
    assert!(next.starts_with(&format!("00-{trace}-")) && !next.contains(step), "{next}");
    worker.stop()?;
    let log = log_of(server)?;

    let lines = story(&log, "request.id", id);
    assert_eq!(messages(&lines), ANSWERED);
    for line in &lines[..5] {
        assert_eq!((&line["service.id"], &line["work.root"]), (&"wallet".into(), &json!(root)), "{line}");
    }
    let [arrived, waits, solved, settled, answered, given] = lines[..] else { unreachable!("counted") };
    assert_eq!((&arrived["request.way"], &arrived["work.threshold"]), (&"http".into(), &json!(threshold)));
    let job = waits["job.id"].as_str().context("a job")?;
    let worker = solved["worker.id"].as_str().context("a worker")?;
    assert_eq!((&solved["job.id"], &solved["verdict"]), (&job.into(), &"accepted".into()));
    let judged = story(&log, "job.id", job);
    let judged = judged.iter().find(|line| line["message"] == "a result was judged").context("a verdict")?;
    assert_eq!((&judged["worker.id"], &judged["verdict"]), (&worker.into(), &"accepted".into()));
    assert_eq!(settled["charged_mc"], 16);
    let hold = settled["hold.id"].as_str().context("a hold")?;
    assert!(home.journal_text()?.contains(hold), "the hold {hold} is the transfer in the journal");
    assert_eq!((&answered["work.source"], &answered["charged_mc"]), (&"ondemand".into(), &16.into()));
    assert!(answered["duration_ms"].is_u64(), "{answered}");
    // What a proxy calls the request leads here as well, and the trace that it is a part of.
    let span = &given["spans"][0];
    assert_eq!((&span["http.request_id"], &span["trace.id"]), (&proxy.into(), &trace.into()), "{given}");
    Ok(())
}

#[test]
fn requests_of_every_edge_have_an_id() -> anyhow::Result<()> {
    let (_home, wallet, server) = open()?;
    let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    let rpc =
        |hash| json!({ "action": "work_generate", "hash": hash, "difficulty": NETWORK.receive_threshold() });
    let over_rpc = server.client().post("/", Some(&wallet.key), &rpc(root(1)).to_string())?;
    let over_rpc = over_rpc.header("x-request-id").context("a name")?.to_owned();

    let own = "00000000000000000000000000000abc";
    let mut mqtt = server.login("wallet", &wallet.key, "client")?;
    mqtt.subscribe(&["service/wallet/reply"])?;
    let request = json!({
        "request": own, "root": root(1), "demand": { "subtype": "receive" }, "account": null, "timeout_ms": 20_000,
    });
    mqtt.publish("service/wallet/request", request.to_string().as_bytes())?;
    mqtt.wait_until("a reply", |delivery| delivery.topic.ends_with("/reply").then_some(()))?;

    let dear = json!({ "root": root(2), "threshold": NETWORK.send_threshold() });
    let refused = server.client().work(&wallet.key, &dear)?;
    assert_eq!(refused.problem()?, "insufficient_credit");
    let refused = refused.header("x-request-id").context("a name")?.to_owned();
    worker.stop()?;
    let log = log_of(server)?;

    assert_eq!(messages(&story(&log, "request.id", &over_rpc)), ANSWERED);
    let over_mqtt = story(&log, "request.id", own);
    assert_eq!(messages(&over_mqtt), ["a request has arrived", "a request is answered"]);
    assert_eq!(over_mqtt[0]["request.way"], "mqtt");
    let refused = story(&log, "request.id", &refused);
    assert_eq!(
        messages(&refused),
        ["a request has arrived", "a request is refused", "work was refused"],
        "{refused:?}"
    );
    assert_eq!(refused[1]["refusal.code"], "insufficient_credit");
    Ok(())
}
