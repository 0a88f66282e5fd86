//! What is turned down, in the words of each dialect, and that it costs nothing and reaches nobody.

use std::thread;

use e2e::{Home, Http, NETWORK, RawWorker, Server, Service, Signal, account, root};
use serde_json::{Value, json};
use shared::pow::{Root, Threshold};

/// A server with a service that has credits, one that has none, and a worker that is connected and does nothing.
struct Market {
    home: Home,
    server: Server,
    worker: RawWorker,
    wallet: Service,
    beggar: Service,
}

impl Market {
    fn open() -> anyhow::Result<Self> {
        let home = Home::new()?;
        let (wallet, beggar) = (home.add_service("wallet")?, home.add_service("beggar")?);
        home.grant(&wallet, 100)?;
        let server = home.serve()?;
        let worker = RawWorker::join(&server, 1, account(1))?;
        Ok(Self { home, server, worker, wallet, beggar })
    }

    /// Asks for one work that nobody computes, and withdraws it. The first list that ever came to the worker is of that work:
    /// nothing that was refused before was dispatched. The journal has the grant only, the balance is whole.
    fn close(mut self) -> anyhow::Result<()> {
        let (last, other) = (root(u64::MAX), root(u64::MAX - 1));
        let key = &*self.wallet.key;
        let request = |root: Root| json!({ "root": root, "request_id": "0123456789abcdef0123456789abcdef" });
        thread::scope(|scope| {
            let waiting = scope.spawn(|| self.server.client().work(key, &request(last)));
            let first = self.worker.next_list()?;
            let roots: Vec<_> = first.jobs.iter().map(|job| job.root).collect();
            assert_eq!((first.sequence, roots), (1, vec![last]));

            let conflict = self.server.client().work(key, &request(other))?;
            assert_eq!((conflict.status, conflict.problem()?.as_str()), (409, "conflict"));
            let cancel = json!({ "action": "work_cancel", "hash": last }).to_string();
            self.server.client().post("/", Some(key), &cancel)?;
            let cancelled = waiting.join().expect("a client does not panic")?;
            assert_eq!((cancelled.status, cancelled.problem()?.as_str()), (499, "cancelled"));
            anyhow::Ok(())
        })?;
        self.server.stop(Signal::Terminate)?;
        assert_eq!(self.home.balance(&self.wallet)?.total_mc(), 100_000);
        assert_eq!(self.home.journal()?.replay()?.settlements, []);
        Ok(())
    }
}

/// A threshold just below the lowest that the network takes, and one just above the highest that is sold.
fn thresholds_out_of_range() -> [Threshold; 2] {
    let base = NETWORK.send_threshold();
    let hardest = u64::MAX - (u64::MAX - base.as_u64()) / 8;
    [Threshold::new(NETWORK.receive_threshold().as_u64() - 1), Threshold::new(hardest + 1)]
}

#[test]
fn rest_says_what_is_wrong_with_a_status_and_a_code() -> anyhow::Result<()> {
    let market = Market::open()?;
    let client = market.server.client();
    let (wallet, beggar) = (Some(&*market.wallet.key), Some(&*market.beggar.key));
    let root = root(1);
    let good = json!({ "root": root }).to_string();
    let [too_low, too_high] = thresholds_out_of_range()
        .map(|threshold| json!({ "root": root, "threshold": threshold }).to_string());
    for (key, body, status, code) in [
        (None, &*good, 401, "unauthenticated"),
        (Some("dpow_live_aaaaaaaaaaaaa_b"), &good, 401, "unauthenticated"),
        (beggar, &good, 402, "insufficient_credit"),
        (wallet, &too_low, 422, "threshold_out_of_range"),
        (wallet, &too_high, 422, "threshold_out_of_range"),
        (wallet, &json!({ "root": root, "multiplier": 8.01 }).to_string(), 422, "threshold_out_of_range"),
        (wallet, "", 400, "malformed"),
        (wallet, "[]", 400, "malformed"),
        (wallet, "{}", 400, "malformed"),
        (wallet, r#"{"root":"00"}"#, 400, "malformed"),
        (wallet, &json!({ "root": root, "hash": root }).to_string(), 400, "malformed"),
        (wallet, &json!({ "root": root, "timeout_ms": 0 }).to_string(), 400, "malformed"),
        (wallet, &json!({ "root": root, "multiplier": 1, "subtype": "send" }).to_string(), 400, "malformed"),
        (wallet, &format!("{good}{}", " ".repeat(4096)), 413, "too_large"),
    ] {
        let reply = client.post("/v1/work", key, body)?;
        assert_eq!((reply.status, reply.problem()?.as_str()), (status, code), "{body}");
    }
    market.close()
}

/// The error of a call to `POST /`: always with status 200, laid out as a node does it.
fn rpc_error(client: &Http, key: Option<&str>, body: &str) -> anyhow::Result<String> {
    let reply = client.post("/", key, body)?;
    assert_eq!((reply.status, reply.content_type.as_str()), (200, "application/json"), "{body}");
    let json = reply.json()?;
    let error = json["error"].as_str().unwrap_or_default();
    assert_eq!(reply.body, format!("{{\n    \"error\": \"{error}\"\n}}\n"), "{body}");
    Ok(error.to_owned())
}

#[test]
fn node_rpc_says_what_is_wrong_as_a_node_does() -> anyhow::Result<()> {
    let market = Market::open()?;
    let client = market.server.client();
    let (wallet, beggar) = (Some(&*market.wallet.key), Some(&*market.beggar.key));
    let generate = |field: &str, value: Value| {
        let mut call = json!({ "action": "work_generate", "hash": root(1) });
        call[field] = value;
        call.to_string()
    };
    let good = generate("version", json!("work_1"));
    let [too_low, too_high] =
        thresholds_out_of_range().map(|threshold| generate("difficulty", json!(threshold)));
    let too_far = "Difficulty above config limit or below publish threshold";
    for (key, body, error) in [
        (None, &*good, "Unauthorized"),
        (Some("no key"), &good, "Unauthorized"),
        (None, r#"{"action":"work_cancel","hash":"0"}"#, "Unauthorized"),
        (beggar, &good, "Insufficient credits"),
        (wallet, &too_low, too_far),
        (wallet, &too_high, too_far),
        (wallet, &generate("multiplier", json!("8.01")), too_far),
        (wallet, "", "Unable to parse JSON"),
        (wallet, "[]", "Unable to parse JSON"),
        (wallet, "{}", "Unable to parse JSON"),
        (wallet, r#"{"action":"work_generate"}"#, "Unable to parse JSON"),
        (wallet, &format!("{good}{}", " ".repeat(32 * 1024)), "Unable to parse JSON"),
        (wallet, &format!(r#"{{"action":{}"#, "[".repeat(20)), "Max JSON depth exceeded"),
        (wallet, r#"{"action":"account_balance"}"#, "Unknown command"),
        (wallet, &generate("version", json!("work_2")), "Bad work version"),
        (wallet, &generate("account", json!("nano_1")), "Bad account number"),
        (wallet, &generate("hash", json!("g")), "Invalid block hash"),
        (wallet, &generate("difficulty", json!("g")), "Bad difficulty"),
        (wallet, &generate("multiplier", json!("0")), "Bad multiplier"),
        (wallet, r#"{"action":"work_validate","hash":"0","work":"g"}"#, "Bad work"),
    ] {
        assert_eq!(rpc_error(&client, key, body)?, error, "{body}");
    }
    let reply = client.get("/")?;
    assert_eq!((reply.status, reply.json()?), (200, json!({ "error": "Can only POST requests" })));
    market.close()
}

/// A request that waits is withdrawn by `work_cancel`, on another connection, and uncharged.
#[test]
fn a_call_that_waits_can_be_cancelled() -> anyhow::Result<()> {
    let (home, wallet) = Home::with_wallet(1)?;
    let server = home.serve()?;
    let mut worker = RawWorker::join(&server, 1, account(1))?;
    let root = root(1);
    let call = |action: &str| json!({ "action": action, "hash": root, "key": wallet.key }).to_string();
    let (generate, cancel) = (call("work_generate"), call("work_cancel"));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| rpc_error(&server.client(), None, &generate));
        worker.wait_for_job(root)?;
        let cancelled = server.client().post("/", None, &cancel)?;
        assert_eq!((cancelled.status, cancelled.json()?), (200, json!({ "success": "" })));
        assert_eq!(waiting.join().expect("a client does not panic")?, "Cancelled");
        anyhow::Ok(())
    })?;
    assert_eq!(worker.next_list()?.jobs, [], "the worker is told to stop");
    server.stop(Signal::Terminate)?;
    assert_eq!(home.balance(&wallet)?.total_mc(), 1_000);
    Ok(())
}
