//! No secret is ever written down: a whole run, with secrets in all the wrong places, is looked through for every secret in it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use anyhow::{Context, ensure};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use e2e::{Finished, Home, NETWORK, RawWorker, Reply, Server, Service, Signal, WorkerProcess, account, root};
use serde_json::{Value, json};

/// Files of a data directory that hold a secret and nothing else.
const SECRET_FILES: [&str; 3] = ["operator-token", "pepper", "demo-key"];

/// Everything that a run has left behind, by where it was left.
#[derive(Default)]
struct Traces(BTreeMap<String, Vec<u8>>);

impl Traces {
    fn add(&mut self, place: &str, bytes: impl AsRef<[u8]>) {
        self.0.entry(place.to_owned()).or_default().extend(bytes.as_ref());
    }

    /// All that a process has printed.
    fn add_output(&mut self, name: &str, finished: &Finished) {
        self.add(&format!("{name}: standard output"), &finished.stdout);
        self.add(&format!("{name}: standard error"), &finished.stderr);
    }

    fn add_reply(&mut self, reply: &Reply) {
        self.add("HTTP bodies", &reply.body);
        for (name, value) in &reply.headers {
            self.add("HTTP headers", format!("{name}: {value}\n"));
        }
    }

    /// Every file of a data directory but those that are secrets.
    fn add_files(&mut self, folder: &Path) -> anyhow::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if SECRET_FILES.contains(&name.as_str()) {
                ensure!(entry.metadata()?.mode().trailing_zeros() >= 6, "{name} can be read by others");
            } else {
                self.add(&format!("file {name}"), fs::read(entry.path())?);
            }
        }
        Ok(())
    }

    /// The places where a secret was left.
    fn places_of(&self, secret: &[u8]) -> Vec<&str> {
        let has = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
        self.0.iter().filter(|(_, bytes)| has(bytes)).map(|(place, _)| place.as_str()).collect()
    }
}

/// Every secret of a run, as text and as the bytes that it stands for.
fn forms(secrets: &BTreeMap<&str, String>) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut forms = Vec::new();
    for (name, secret) in secrets {
        let text = secret.rsplit('_').next().unwrap_or_default();
        let bytes = match text.len() {
            64 => HEXLOWER.decode(text.as_bytes()),
            _ => BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()),
        };
        forms.push((format!("{name} as text"), text.as_bytes().to_vec()));
        forms.push((format!("{name} as bytes"), bytes.with_context(|| (*name).to_owned())?));
    }
    Ok(forms)
}

/// Bodies for `/v1/work` with a secret where something else belongs.
fn misplaced_on_v1(secret: &str) -> Vec<String> {
    let mut bodies = vec![secret.to_owned(), json!(secret).to_string(), json!([secret]).to_string()];
    bodies.push(json!({ secret: 1 }).to_string());
    for field in ["root", "threshold", "multiplier", "subtype", "account", "timeout_ms", "request_id"] {
        // A worker's secret looks like a root, and would be taken for one.
        if field != "root" || secret.len() != 64 {
            let mut body = json!({ "root": root(1) });
            body[field] = secret.into();
            bodies.push(body.to_string());
        }
    }
    bodies
}

/// The same for the Nano RPC.
fn misplaced_on_rpc(secret: &str) -> Vec<String> {
    let mut bodies = vec![secret.to_owned(), json!(secret).to_string(), json!({ secret: 1 }).to_string()];
    for field in ["action", "hash", "difficulty", "multiplier", "account", "version", "key", "block", "work"]
    {
        if field != "hash" || secret.len() != 64 {
            let mut body = json!({ "action": "work_generate", "hash": root(1) });
            body[field] = secret.into();
            bodies.push(body.to_string());
        }
    }
    bodies
}

/// Sends a secret to wherever HTTP can take it.
fn misplace_over_http(server: &Server, secret: &str, traces: &mut Traces) -> anyhow::Result<()> {
    let client = server.client();
    for body in misplaced_on_v1(secret) {
        traces.add_reply(&client.work(secret, &Value::Null)?);
        traces.add_reply(&client.post("/v1/work", Some(secret), &body)?);
        traces.add_reply(&client.post("/v1/work", Some("dpow_live_nobody_nothing"), &body)?);
    }
    for body in misplaced_on_rpc(secret) {
        traces.add_reply(&client.post("/", Some("dpow_live_nobody_nothing"), &body)?);
        traces.add_reply(&client.post(&format!("/?key={secret}"), None, &body)?);
    }
    for path in [format!("/v1/{secret}"), format!("/{secret}"), format!("/readyz?verbose={secret}")] {
        traces.add_reply(&client.get(&path)?);
    }
    let headers = [("X-Request-Id", secret), ("Authorization", secret)];
    traces.add_reply(&client.post_with("/v1/work", &headers, "{}")?);
    Ok(())
}

/// Logs in over MQTT with a secret in every field, and as `service` sends it in every field of a request; each secret over a client
/// of its own number.
fn misplace_over_mqtt(
    server: &Server,
    service: &Service,
    (number, secret): (usize, &str),
) -> anyhow::Result<()> {
    let client = format!("client-{number}");
    for (user, password, client) in [
        (secret, secret, secret),
        ("wallet", secret, secret),
        (secret, service.key.as_str(), &client),
        ("operator", secret, &client),
    ] {
        // All but a few are refused, which takes the gate a moment on purpose.
        drop(server.login(user, password, client));
    }
    let mut mqtt = server.login(&service.name, &service.key, &client)?;
    let good = json!({
        "request": "0".repeat(32), "root": "0".repeat(64), "demand": { "subtype": "receive" }, "account": null,
        "timeout_ms": 20_000,
    });
    for field in ["request", "demand", "account", "timeout_ms", secret] {
        let mut request = good.clone();
        request[field] = secret.into();
        mqtt.publish(&format!("service/{}/request", service.name), request.to_string().as_bytes())?;
    }
    mqtt.publish(&format!("service/{}/request", service.name), secret.as_bytes())
}

/// A run of all parts that log, at the finest level: work is asked for on every edge and given, and every secret is sent to where
/// it does not belong. Returns the secrets and what the run has left behind.
fn run(format: &str) -> anyhow::Result<(BTreeMap<&'static str, String>, Traces)> {
    let home = Home::new()?;
    let wallet = home.add_service("wallet")?;
    home.grant_paid(&wallet, 10)?;
    let mut command = home.listening_command(&["serve"])?;
    command.envs([("DPOW_LOG__FILTER", "trace"), ("DPOW_LOG__FORMAT", format)]);
    let server = home.serve_with(&mut command)?;
    let log = ["--log", "trace", "--log-format", format];
    let worker = WorkerProcess::start_with(server.mqtt_addr(), account(1), &log)?;
    let secrets = BTreeMap::from([
        ("the API key", wallet.key.clone()),
        ("the operator's token", home.read("operator-token")?),
        ("the pepper", home.read("pepper")?),
        ("the worker's secret", worker.secret()?),
        ("the other worker's secret", RawWorker::credentials(2).0),
    ]);

    let mut traces = Traces::default();
    let mut operator = server.login("operator", &secrets["the operator's token"], "watcher")?;
    operator.subscribe(&["#"])?;
    drop(RawWorker::join(&server, 2, account(2))?);
    let client = server.client();
    traces.add_reply(
        &client.work(&wallet.key, &json!({ "root": root(1), "threshold": NETWORK.receive_threshold() }))?,
    );
    let rpc = json!({ "action": "work_generate", "hash": root(2), "key": wallet.key }).to_string();
    traces.add_reply(&client.post("/", None, &rpc)?);
    // What is sent in the wrong place is shown to operators as it was sent; of what is in its place they see no secret.
    operator.wait_until("the mirror of all that", |delivery| {
        traces.add("the operator's mirror", [delivery.topic.as_bytes(), &delivery.payload].concat());
        delivery.topic.starts_with("work/verdict/").then_some(())
    })?;
    for secret in secrets.values() {
        misplace_over_http(&server, secret, &mut traces)?;
    }
    thread::scope(|scope| {
        let misplacing: Vec<_> = secrets
            .values()
            .enumerate()
            .map(|(number, secret)| {
                let (server, wallet) = (&server, &wallet);
                scope.spawn(move || misplace_over_mqtt(server, wallet, (number, secret)))
            })
            .collect();
        misplacing.into_iter().try_for_each(|thread| thread.join().expect("a client does not panic"))
    })?;
    for path in ["/metrics", "/livez", "/readyz?verbose"] {
        traces.add_reply(&client.get(path)?);
    }
    traces.add_output("the worker", &worker.finish()?);
    server.process().signal(Signal::Terminate)?;
    traces.add_output("the coordinator", &server.end()?);
    for arguments in [&["credit", "journal", "--json"][..], &["credit", "balance", "wallet"]] {
        traces.add_output("the command line", &home.run(arguments)?);
    }
    traces.add_files(home.path())?;
    Ok((secrets, traces))
}

/// No secret is found anywhere; what is no secret is found wherever it has to be, so that is where was looked.
fn assert_no_secret(format: &str) -> anyhow::Result<()> {
    let (secrets, traces) = run(format)?;
    for (form, secret) in forms(&secrets)? {
        assert_eq!(traces.places_of(&secret), Vec::<&str>::new(), "{form}");
    }
    let text = root(1).to_string();
    let places = traces.places_of(text.as_bytes());
    for place in ["HTTP bodies", "the coordinator: standard error", "the command line: standard output"] {
        assert!(places.contains(&place), "the root is not in {place}, but in {places:?}");
    }
    for (known, place) in [
        ("connected to", "the worker: standard output"),
        ("stopping", "the coordinator: standard output"),
        ("x-request-id", "HTTP headers"),
        ("dpow_work_requests_total", "HTTP bodies"),
        ("work/verdict/", "the operator's mirror"),
        ("SQLite format 3", "file ledger.sqlite"),
    ] {
        assert!(traces.places_of(known.as_bytes()).contains(&place), "`{known}` is not in {place}");
    }
    assert!(!traces.places_of(root(1).as_bytes()).is_empty(), "the root's bytes are in the ledger");
    Ok(())
}

#[test]
fn no_secret_is_left_behind_with_a_log_as_text() -> anyhow::Result<()> {
    assert_no_secret("text")
}

#[test]
fn no_secret_is_left_behind_with_a_log_as_json() -> anyhow::Result<()> {
    assert_no_secret("json")
}

/// The demonstration prints the demo service's key, once, in the line that can be pasted. Nothing else of it does.
#[test]
fn the_demo_key_is_in_its_line_alone() -> anyhow::Result<()> {
    let home = Home::new()?;
    let mut command = home.listening_command(&[])?;
    command.env("DPOW_LOG__FILTER", "trace");
    let server = home.all_in_one_with(&mut command)?;
    let demo = home.read("demo-key")?;
    let request = json!({ "root": root(1), "threshold": NETWORK.receive_threshold() });
    server.client().work(&demo, &request)?.answer(root(1), NETWORK.receive_threshold())?;
    server.process().signal(Signal::Terminate)?;
    let finished = server.end()?;
    let has_key = |line: &&str| line.contains(&demo);
    assert_eq!(finished.stdout.lines().filter(has_key).count(), 1);
    assert_eq!(finished.stderr.lines().filter(has_key).count(), 0);
    let mut traces = Traces::default();
    traces.add_files(home.path())?;
    let secrets = BTreeMap::from([("the demo key", demo.clone())]);
    for (form, secret) in forms(&secrets)? {
        assert_eq!(traces.places_of(&secret), Vec::<&str>::new(), "{form}");
    }
    Ok(())
}
