//! The books, checked from outside: audits of a running server and beside it, a ledger that somebody has changed, and exports.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, ensure};
use e2e::{
    Finished, Home, Journal, Line, NETWORK, Server, Service, Signal, Tool, WorkerProcess, account, root, run,
};
use rusqlite::Connection;
use serde_json::{Value, json};

/// Requests under load.
const REQUESTS: u64 = 240;
/// Connections that ask at the same time.
const CONNECTIONS: u64 = 8;

/// A server that audits each second, and says so.
fn serve(home: &Home) -> anyhow::Result<Server> {
    let mut command = home.listening_command(&["serve", "--log", "warn,coordinator::audit=debug"])?;
    home.serve_with(command.env("DPOW_LEDGER__AUDIT_INTERVAL_S", "1"))
}

/// Waits for an audit with a verdict that was said after the first `from` lines, and returns how many lines there are then.
fn audited(server: &Server, from: usize, violations: u64) -> anyhow::Result<usize> {
    let said = format!("ledger.violations={violations} ");
    let is_it = |line: &Line| line.text.contains("audited") && line.text.contains(&said);
    server.process().wait_until(&said, |lines| {
        let new = lines.get(from..)?;
        new.iter().any(is_it).then_some(lines.len())
    })
}

/// Changes the ledger beside the server, as no program of ours does.
fn forge(home: &Home, amount: i64) -> anyhow::Result<()> {
    let ledger = Connection::open(home.path().join("ledger.sqlite"))?;
    ledger.busy_timeout(e2e::PATIENCE)?;
    let changed =
        ledger.execute("UPDATE party SET balance = balance + ?1 WHERE name = 'paid:wallet'", [amount])?;
    ensure!(changed == 1, "the service has bought credits");
    Ok(())
}

fn audit(home: &Home) -> anyhow::Result<(Option<i32>, Value)> {
    let Finished { status, stdout, stderr } = home.run(&["ledger", "audit", "--json"])?;
    Ok((status.code(), serde_json::from_str(&stdout).context(stderr)?))
}

/// Asks for this root at the receive threshold.
fn ask(server: &Server, service: &Service, number: u64) -> anyhow::Result<e2e::Reply> {
    let demand = json!({ "root": root(number), "threshold": NETWORK.receive_threshold() });
    server.client().work(&service.key, &demand)
}

#[test]
fn a_ledger_that_somebody_has_changed_turns_readiness_red_and_stops_sales_until_it_is_right()
-> anyhow::Result<()> {
    let home = Home::new()?;
    let wallet = home.add_service("wallet")?;
    home.grant_paid(&wallet, 10)?;
    let server = serve(&home)?;
    let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    let (client, threshold) = (server.client(), NETWORK.receive_threshold());
    let seen = audited(&server, 0, 0)?;
    assert_eq!(client.get("/readyz")?.status, 200);
    let paid = ask(&server, &wallet, 1)?.answer(root(1), threshold)?;
    assert_eq!(paid.charged_mc, 16);

    forge(&home, 7)?;
    let seen = audited(&server, seen, 1)?;
    let ready = client.get("/readyz?verbose")?;
    assert_eq!(ready.status, 503);
    let part = "audit: 1 violation, 7 mc out of balance; run `dpow ledger audit`";
    assert!(ready.body.lines().any(|line| line == part), "{}", ready.body);
    assert_eq!(client.metric("dpow_ledger_imbalance")?, 7);
    assert_eq!(client.metric("dpow_ledger_audit_violations")?, 1);
    assert_eq!(ask(&server, &wallet, 2)?.problem()?, "store_unavailable");
    assert_eq!(ask(&server, &wallet, 1)?.answer(root(1), threshold)?.charged_mc, 0, "it has paid for this");
    let (code, report) = audit(&home)?;
    let text = "party paid:wallet is kept with 9991 mc, but the journal comes to 9984 mc";
    assert_eq!((code, &report["violations"]), (Some(1), &json!([{ "kind": "balance", "text": text }])));
    let seen = audited(&server, seen, 1)?;
    let is_error = |line: &&Line| line.text.contains("ERROR");
    assert_eq!(server.process().lines().iter().filter(is_error).count(), 1, "it is said once");

    forge(&home, -7)?;
    audited(&server, seen, 0)?;
    assert_eq!(client.get("/readyz")?.status, 200);
    assert_eq!(client.metric("dpow_ledger_imbalance")?, 0);
    assert_eq!(ask(&server, &wallet, 2)?.answer(root(2), threshold)?.charged_mc, 16);
    worker.stop()?;
    server.stop(Signal::Terminate)
}

/// Asks for all roots over many connections, some of them by both services, while audits go on beside it.
fn under_load(home: &Home, server: &Server, services: &[Service; 2]) -> anyhow::Result<u64> {
    let is_over = AtomicBool::new(false);
    let ask_some = |connection: u64| -> anyhow::Result<()> {
        for number in (connection..REQUESTS).step_by(usize::try_from(CONNECTIONS)?) {
            let service = &services[usize::from(number % 3 == 0)];
            ask(server, service, number / 2)?.answer(root(number / 2), NETWORK.receive_threshold())?;
        }
        Ok(())
    };
    let audit_on = || -> anyhow::Result<u64> {
        let mut audits = 0;
        while !is_over.load(Ordering::Relaxed) {
            let (code, report) = audit(home)?;
            ensure!(code == Some(0) && report["green"] == true, "{report}");
            audits += 1;
        }
        Ok(audits)
    };
    thread::scope(|scope| {
        let auditor = scope.spawn(audit_on);
        let callers: Vec<_> = (0..CONNECTIONS).map(|number| scope.spawn(move || ask_some(number))).collect();
        let asked: anyhow::Result<()> =
            callers.into_iter().try_for_each(|caller| caller.join().expect("a client does not panic"));
        is_over.store(true, Ordering::Relaxed);
        let audits = auditor.join().expect("an auditor does not panic")?;
        asked.map(|()| audits)
    })
}

/// Runs the replay that the documentation shows over an export.
fn replay_of_the_documentation(export: &Path) -> anyhow::Result<Value> {
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ledger.md"))?;
    let (_, script) = document.split_once("```python\n").context("the document has a script")?;
    let (script, _) = script.split_once("```").context("the script has an end")?;
    let finished = run("python3", Tool::Python.command().args(["-c", script]).arg(export))?;
    ensure!(finished.status.success(), "{}", finished.stderr);
    Ok(serde_json::from_str(&finished.stdout)?)
}

#[test]
fn a_healthy_ledger_stays_green_under_load_and_its_export_replays_elsewhere() -> anyhow::Result<()> {
    let home = Home::new()?;
    let services = [home.add_service("wallet")?, home.add_service("faucet")?];
    home.grant_paid(&services[0], 100)?;
    home.grant(&services[1], 100)?;
    let server = serve(&home)?;
    let workers = [1, 2].map(|number| WorkerProcess::start(server.mqtt_addr(), account(number)));
    let workers = workers.into_iter().collect::<Result<Vec<_>, _>>()?;
    let audits = under_load(&home, &server, &services)?;
    assert!(audits > 0);
    // One that began after all of it.
    let seen = server.process().lines().len();
    let seen = audited(&server, seen, 0)?;
    audited(&server, seen, 0)?;
    assert_eq!(server.client().metric("dpow_ledger_audit_violations")?, 0);
    assert!(!server.process().lines().iter().any(|line| line.text.contains("ERROR")));
    for worker in workers {
        worker.stop()?;
    }
    server.stop(Signal::Terminate)?;

    let (code, report) = audit(&home)?;
    let replay = home.journal()?.replay()?;
    let count = |field: &str| report["checked"][field].as_u64();
    assert_eq!((code, &report["violations"]), (Some(0), &json!([])));
    let charged = u64::try_from(replay.settlements.len())?;
    assert_eq!(count("settlements").zip(count("free")).map(|(all, free)| all - free), Some(charged));
    assert_eq!(count("works_hashed"), count("settlements"));
    assert_eq!(count("parties"), Some(u64::try_from(replay.balances.len())?));
    check_exports(&home, &replay.balances)
}

/// Both forms say the same as the journal, from the first entry on and from a later one.
fn check_exports(home: &Home, balances: &std::collections::BTreeMap<String, i64>) -> anyhow::Result<()> {
    let csv = home.path().join("export.csv");
    let csv_name = csv.to_str().context("a path in UTF-8")?;
    let export = |arguments: &[&str]| -> anyhow::Result<String> {
        let finished = home.run(&[&["ledger", "export"], arguments].concat())?;
        ensure!(finished.status.success(), "{}", finished.stderr);
        Ok(finished.stdout)
    };
    fs::write(&csv, "an older export")?;
    let said = export(&["--out", csv_name])?;
    let lines = export(&["--format", "jsonl"])?;
    let count = lines.lines().count();
    assert_eq!(said, format!("{count} postings are in {csv_name}\n"));
    assert_eq!(fs::read_to_string(&csv)?.lines().count(), count + 1);
    assert_eq!(Journal::exported(&lines)?, home.journal()?);
    let later = export(&["--format", "jsonl", "--from", "5"])?;
    assert_eq!(later.lines().collect::<Vec<_>>(), lines.lines().skip(4).collect::<Vec<_>>());
    if Tool::Python.is_there("the replay of an export by another program") {
        assert_eq!(replay_of_the_documentation(&csv)?, json!(balances));
        let torn = fs::read_to_string(&csv)?.replacen("\r\n4,", "\r\n999,", 1);
        fs::write(&csv, torn)?;
        assert!(replay_of_the_documentation(&csv).is_err());
    }
    Ok(())
}

#[test]
fn what_cannot_be_read_is_no_verdict() -> anyhow::Result<()> {
    let code = |finished: Finished| (finished.status.code(), finished.stderr.lines().count());
    let home = Home::new()?;
    assert_eq!(code(home.run(&["ledger", "audit"])?), (Some(2), 1));
    assert_eq!(code(home.run(&["ledger", "export"])?), (Some(1), 1));
    home.add_service("wallet")?;
    let finished = home.run(&["ledger", "audit"])?;
    assert_eq!(
        (finished.status.code(), finished.stdout.lines().last().map(|line| &line[..12])),
        (Some(0), Some("audit: green"))
    );
    let mut command: Command = home.command(&["ledger", "audit", "--json"])?;
    command.env("DPOW_LEDGER__AUDIT_INTERVAL", "1");
    assert_eq!(code(run("dpow", &mut command)?), (Some(2), 1));
    fs::write(
        home.path().join("ledger.sqlite"),
        "no ledger at all, whoever has written it, and long enough to look at",
    )?;
    for extra in ["ledger.sqlite-wal", "ledger.sqlite-shm"] {
        let _ = fs::remove_file(home.path().join(extra));
    }
    assert_eq!(code(home.run(&["ledger", "audit"])?), (Some(2), 1));
    Ok(())
}
