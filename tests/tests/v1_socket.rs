//! The WebSocket of `/v1` with real processes: what it costs to break off, to come back and to be suspended.

use std::net::TcpStream;
use std::thread;

use anyhow::{Context, bail, ensure};
use e2e::{Home, PATIENCE, RawWorker, Server, Service, Signal, WorkerProcess, account, oracle, root};
use serde_json::{Value, json};
use shared::Network;
use shared::pow::Threshold;
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket, client};

const THRESHOLD: Threshold = Network::Dev.receive_threshold();
const RECEIVE_MC: u64 = 16;

struct Market {
    home: Home,
    wallet: Service,
    server: Server,
}

impl Market {
    fn open() -> anyhow::Result<Self> {
        let (home, wallet) = Home::with_wallet(100)?;
        let server = home.serve()?;
        Ok(Self { home, wallet, server })
    }

    fn connect(&self) -> anyhow::Result<Connection> {
        let address = self.server.http_addr();
        let mut request = format!("ws://{address}/v1/ws").into_client_request()?;
        request.headers_mut().insert("authorization", format!("Bearer {}", self.wallet.key).parse()?);
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (socket, _) = client(request, stream)?;
        let mut connection = Connection(socket);
        ensure!(connection.hear()?["service"] == self.wallet.name, "it is the wallet that is welcomed");
        Ok(connection)
    }

    /// What the service has paid, once everything has stopped.
    fn close(self) -> anyhow::Result<u64> {
        self.server.stop(Signal::Terminate)?;
        Ok(100_000 - self.home.balance(&self.wallet)?.total_mc())
    }
}

struct Connection(WebSocket<TcpStream>);

impl Connection {
    fn say(&mut self, word: &Value) -> anyhow::Result<()> {
        Ok(self.0.send(Message::text(word.to_string()))?)
    }

    fn ask(&mut self, number: u64) -> anyhow::Result<()> {
        let name = format!("{number:032x}");
        let word = json!({ "type": "work", "request_id": name, "root": root(number), "subtype": "receive" });
        self.say(&word)
    }

    fn hear(&mut self) -> anyhow::Result<Value> {
        loop {
            match self.0.read()? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Close(frame) => bail!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    /// How the server ends it, with nothing said before.
    fn goodbye(&mut self) -> anyhow::Result<(CloseCode, String)> {
        loop {
            match self.0.read()? {
                Message::Close(frame) => {
                    let frame = frame.context("a close frame says why")?;
                    return Ok((frame.code, frame.reason.to_string()));
                }
                Message::Text(text) => bail!("{text}"),
                _ => {}
            }
        }
    }

    /// The work that is given next, and for which number.
    fn given(&mut self) -> anyhow::Result<(u64, u64)> {
        let word = self.hear()?;
        let result = &word["result"];
        let number = u64::from_str_radix(word["request_id"].as_str().context("a name")?, 16)?;
        let nonce = result["work"].as_str().with_context(|| format!("no work: {word}"))?.parse()?;
        oracle::verify(root(number), nonce, THRESHOLD)?;
        Ok((number, result["charged_mc"].as_u64().context("a charge")?))
    }
}

/// A stop answers what is open, and then says goodbye to every connection, also to one that has asked nothing.
#[test]
fn a_stop_is_told_to_every_connection_after_its_answers() -> anyhow::Result<()> {
    let market = Market::open()?;
    let mut worker = RawWorker::join(&market.server, 1, account(1))?;
    let (mut idle, mut asking) = (market.connect()?, market.connect()?);
    asking.ask(1)?;
    let job = worker.wait_for_job(root(1))?;
    market.server.process().signal(Signal::Terminate)?;
    market.server.process().wait_for_line("the stop", |line| line.starts_with("stopping"))?;
    let nonce = oracle::search(job.root, 0, |difficulty| difficulty.meets(job.threshold));
    worker.submit(job.job, job.root, nonce)?;
    assert_eq!(asking.given()?, (1, RECEIVE_MC));
    for connection in [&mut asking, &mut idle] {
        assert_eq!(connection.goodbye()?, (CloseCode::Away, "draining".to_owned()));
    }
    assert_eq!(market.server.end()?.status.code(), Some(0));
    Ok(())
}

/// A connection breaks with requests open. Its client comes back, asks again under the same names, and pays for each once; what was
/// answered before is given again.
#[test]
fn who_comes_back_pays_once() -> anyhow::Result<()> {
    let market = Market::open()?;
    let mut idle = RawWorker::join(&market.server, 1, account(1))?;
    let mut first = market.connect()?;
    for number in 0..8 {
        first.ask(number)?;
    }
    // Frames are read in their order.
    first.say(&json!({ "type": "ping" }))?;
    ensure!(first.hear()?["type"] == "pong", "all of them are open");
    idle.wait_for_job(root(0))?;
    drop(first);
    let mut second = market.connect()?;
    for number in 0..8 {
        second.ask(number)?;
    }
    // Whoever does nothing would hold the jobs.
    drop(idle);
    let worker = WorkerProcess::start(market.server.mqtt_addr(), account(2))?;
    let mut given = Vec::new();
    for _ in 0..8 {
        given.push(second.given()?);
    }
    given.sort_unstable();
    assert_eq!(given, (0..8).map(|number| (number, RECEIVE_MC)).collect::<Vec<_>>());
    drop(second);
    let mut third = market.connect()?;
    third.ask(3)?;
    assert_eq!(third.given()?, (3, RECEIVE_MC), "what is known is what was charged once");
    worker.stop()?;
    assert_eq!(market.close()?, 8 * RECEIVE_MC);
    Ok(())
}

#[test]
fn who_closes_has_withdrawn_and_pays_nothing() -> anyhow::Result<()> {
    let market = Market::open()?;
    let mut worker = RawWorker::join(&market.server, 1, account(1))?;
    let mut connection = market.connect()?;
    connection.ask(1)?;
    worker.wait_for_job(root(1))?;
    connection.0.close(None)?;
    while !worker.next_list()?.jobs.is_empty() {}
    assert_eq!(market.close()?, 0);
    Ok(())
}

/// A service is suspended while it has requests open: they end uncharged, and the connection with them.
#[test]
fn a_service_that_is_suspended_is_told_and_pays_nothing() -> anyhow::Result<()> {
    let market = Market::open()?;
    let mut worker = RawWorker::join(&market.server, 1, account(1))?;
    let mut connection = market.connect()?;
    connection.ask(1)?;
    worker.wait_for_job(root(1))?;
    let mut command = market.home.command(&["service", "suspend", &market.wallet.name])?;
    ensure!(e2e::run("dpow service suspend", &mut command)?.status.success(), "it is suspended");
    let word = connection.hear()?;
    assert_eq!((&word["problem"]["code"], &word["problem"]["charged_mc"]), (&json!("suspended"), &json!(0)));
    // Nothing but the same reason comes then, and the end.
    let ended = loop {
        match connection.hear() {
            Ok(word) => assert_eq!(word["problem"]["code"], "suspended"),
            Err(ended) => break ended.to_string(),
        }
    };
    ensure!(ended.contains("suspended"), "{ended}");
    assert_eq!(market.close()?, 0);
    Ok(())
}

/// Many connections, each with many requests for the same roots: each root is found once, and paid for once by the service.
#[test]
fn the_same_roots_over_many_connections_are_paid_for_once() -> anyhow::Result<()> {
    let market = Market::open()?;
    let worker = WorkerProcess::start(market.server.mqtt_addr(), account(1))?;
    let connections = (0..8).map(|_| market.connect()).collect::<Result<Vec<_>, _>>()?;
    thread::scope(|scope| {
        let asking = connections.into_iter().map(|mut connection| {
            scope.spawn(move || {
                (0..32).try_for_each(|number| connection.ask(number))?;
                let mut charged = 0;
                for _ in 0..32 {
                    charged += connection.given()?.1;
                }
                anyhow::Ok(charged)
            })
        });
        for charged in asking.collect::<Vec<_>>() {
            // They have the same names, so each hears what its request cost.
            assert_eq!(charged.join().expect("a client does not panic")?, 32 * RECEIVE_MC);
        }
        anyhow::Ok(())
    })?;
    worker.stop()?;
    assert_eq!(market.close()?, 32 * RECEIVE_MC);
    Ok(())
}
