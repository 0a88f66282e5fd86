//! Programs of others, written from `docs/protocol.md` with MQTT libraries of others, on both sides of the market.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use e2e::{Dialect, Home, Library, NETWORK, Process, RawWorker, Server, account, oracle, root, run};
use serde_json::{Value, json};

/// Each library with each way to connect that it has.
const DIALECTS: [(Library, Dialect); 8] = [
    (Library::Paho, Dialect { transport: "tcp", version: "3.1.1" }),
    (Library::Paho, Dialect { transport: "tcp", version: "5" }),
    (Library::Paho, Dialect { transport: "ws", version: "3.1.1" }),
    (Library::Paho, Dialect { transport: "ws", version: "5" }),
    (Library::MqttJs, Dialect { transport: "tcp", version: "3.1.1" }),
    (Library::MqttJs, Dialect { transport: "tcp", version: "5" }),
    (Library::MqttJs, Dialect { transport: "ws", version: "3.1.1" }),
    (Library::MqttJs, Dialect { transport: "ws", version: "5" }),
];

/// Where the server takes this transport: WebSocket is an upgrade on the HTTP port.
fn address(server: &Server, dialect: Dialect) -> SocketAddr {
    if dialect.transport == "ws" { server.http_addr() } else { server.mqtt_addr() }
}

/// A worker in Python, over each way to connect that it has, answers a service in Python and one in JavaScript; each is paid for,
/// and the worker hears that it was accepted.
#[test]
fn a_foreign_worker_answers_foreign_services() -> anyhow::Result<()> {
    if ![Library::Paho, Library::MqttJs].iter().all(|library| library.is_there("clients of others")) {
        return Ok(());
    }
    let (home, wallet) = Home::with_wallet(1)?;
    let server = home.serve()?;
    let (workers, _) = DIALECTS.split_at(4);
    for (index, (library, worker_dialect)) in workers.iter().copied().enumerate() {
        let (secret, _) = RawWorker::credentials(1);
        let mut command = library.command("worker", address(&server, worker_dialect), worker_dialect);
        let worker = Process::start("worker.py", command.args([account(1).to_string(), secret]))?;
        for (number, (library, dialect)) in
            DIALECTS.into_iter().enumerate().skip(index).step_by(workers.len())
        {
            let root = root(u64::try_from(number)?);
            let mut command = library.command("service", address(&server, dialect), dialect);
            let finished = run("service", command.args([&wallet.name, &wallet.key, &root.to_string()]))?;
            ensure!(finished.status.success(), "{library:?}, {dialect}: {}", finished.stderr);
            let reply: Value = serde_json::from_str(&finished.stdout)?;
            let work = &reply["outcome"]["work"];
            assert_eq!((&work["charged_mc"], &work["source"]), (&json!(16), &json!("ondemand")), "{reply}");
            let nonce = work["nonce"].as_str().with_context(|| format!("no nonce in {reply}"))?.parse()?;
            oracle::verify(root, nonce, NETWORK.receive_threshold())?;
            worker.wait_for_line("its verdict", |line| {
                line.contains(&root.to_string()) && line.contains("\"verdict\": \"accepted\"")
            })?;
        }
    }
    Ok(())
}
