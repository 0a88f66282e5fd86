//! `docs/services.md`: each snippet, as it stands there, gets its work from a running server.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use e2e::{Home, NETWORK, Server, Service, Signal, Tool, WorkerProcess, account, oracle, run};
use shared::pow::{Nonce, Root};

#[path = "../snippets/ask.rs"]
#[expect(unreachable_pub, reason = "it is what somebody else's program has")]
mod ask;

/// Where the page says that the server is.
const HTTP: &str = "127.0.0.1:5030";
const MQTT: [&str; 2] = ["-h 127.0.0.1", "-p 1883"];

fn page() -> anyhow::Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/services.md");
    fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))
}

/// The snippets of a language, in their order.
fn snippets(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

struct Market {
    home: Home,
    wallet: Service,
    server: Server,
    worker: WorkerProcess,
}

impl Market {
    fn open() -> anyhow::Result<Self> {
        let home = Home::new()?;
        let wallet = home.add_service("my-wallet")?;
        home.grant(&wallet, 10)?;
        let server = home.serve()?;
        let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
        worker.wait_until_is_connected(true)?;
        Ok(Self { home, wallet, server, worker })
    }

    /// A snippet that asks this server.
    fn here(&self, snippet: &str) -> String {
        let mqtt = self.server.mqtt_addr();
        snippet
            .replace(HTTP, &self.server.http_addr().to_string())
            .replace(MQTT[0], &format!("-h {}", mqtt.ip()))
            .replace(MQTT[1], &format!("-p {}", mqtt.port()))
    }

    /// Runs a snippet that lies in a file, and returns what it prints.
    fn run(&self, tool: Tool, file: &str, snippet: &str) -> anyhow::Result<String> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(file);
        fs::write(&path, self.here(snippet))?;
        let mut command = tool.command();
        if tool == Tool::Node {
            // Before its version 22, `WebSocket` is there only when it is asked for.
            command.arg("--experimental-websocket");
        }
        command.arg(&path).env("DPOW_KEY", &self.wallet.key).current_dir(folder.path());
        let finished = run(file, &mut command)?;
        ensure!(finished.status.success(), "{file}: {}{}", finished.stdout, finished.stderr);
        Ok(finished.stdout)
    }

    /// Each works once, for a root of its own, and is paid for.
    fn close(self, works: u64) -> anyhow::Result<()> {
        self.worker.stop()?;
        self.server.stop(Signal::Terminate)?;
        assert_eq!(self.home.balance(&self.wallet)?.total_mc(), 10_000 - 16 * works);
        Ok(())
    }
}

fn check(digit: u8, nonce: &str) -> anyhow::Result<()> {
    let nonce: Nonce = nonce.trim().parse().with_context(|| format!("no nonce: {nonce}"))?;
    oracle::verify(Root::new([digit; 32]), nonce, NETWORK.receive_threshold()).map(drop)
}

/// The text behind a name in a JSON answer.
fn field<'a>(json: &'a str, name: &str) -> anyhow::Result<&'a str> {
    let start = json.split(&format!("\"{name}\":\"")).nth(1);
    start.and_then(|rest| rest.split('"').next()).with_context(|| format!("no {name}: {json}"))
}

#[test]
fn each_gets_its_work() -> anyhow::Result<()> {
    let page = page()?;
    let [shell, python, javascript] = ["sh", "python", "js"].map(|language| snippets(&page, language));
    ensure!((shell.len(), python.len(), javascript.len()) == (2, 1, 2), "the page has other snippets now");
    let market = Market::open()?;
    let mut works = 0;
    if Tool::Curl.is_there("docs/services.md with curl") {
        check(0x11, field(&market.run(Tool::Bash, "curl.sh", &shell[0])?, "work")?)?;
        works += 1;
    }
    if Tool::Python.is_there("docs/services.md in Python") {
        check(0x22, &market.run(Tool::Python, "ask.py", &python[0])?)?;
        works += 1;
    }
    if Tool::Node.is_there("docs/services.md in JavaScript") {
        check(0x33, &market.run(Tool::Node, "ask.mjs", &javascript[0])?)?;
        let told = market.run(Tool::Node, "socket.mjs", &javascript[1])?;
        for digit in [0x66, 0x77] {
            let root = Root::new([digit; 32]).to_string();
            let line = told.lines().find_map(|line| line.strip_prefix(&root));
            check(digit, line.with_context(|| format!("no work for {root}: {told}"))?)?;
        }
        works += 3;
    }
    if Tool::MosquittoRr.is_there("docs/services.md over MQTT") {
        check(0x55, field(&market.run(Tool::Bash, "mosquitto.sh", &shell[1])?, "nonce")?)?;
        works += 1;
    }
    market.close(works)
}

#[test]
fn the_one_in_rust_gets_its_work() -> anyhow::Result<()> {
    let page = page()?;
    let snippet = snippets(&page, "rust").pop().context("no Rust on the page")?;
    ensure!(
        include_str!("../snippets/ask.rs").ends_with(&snippet),
        "tests/snippets/ask.rs is not what the page has"
    );
    let market = Market::open()?;
    let server = format!("mqtt://{}", market.server.mqtt_addr());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(ask::ask(&server, market.wallet.key.clone(), NETWORK));
    let nonce = asked.map_err(|error| anyhow::anyhow!("{error}"))?;
    check(0x44, &nonce.to_string())?;
    market.close(1)
}

/// What a snippet says when its key is not one is what a person needs to hear.
#[test]
fn who_has_no_key_is_told_so() -> anyhow::Result<()> {
    let page = page()?;
    let python = snippets(&page, "python").pop().context("no Python on the page")?;
    if !Tool::Python.is_there("docs/services.md without a key") {
        return Ok(());
    }
    let mut market = Market::open()?;
    market.wallet.key = "dpow_live_none".into();
    let refused = market.run(Tool::Python, "ask.py", &python).expect_err("it is refused").to_string();
    ensure!(refused.contains("unauthenticated: No valid API key was given"), "{refused}");
    Ok(())
}
