//! Services, a coordinator and three workers: every request answered, and every millicredit accounted for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, ensure};
use e2e::{Answer, Home, NETWORK, Replay, Server, Service, Signal, WorkerProcess, account, oracle, root};
use serde_json::json;
use shared::Millicredits;
use shared::credits::price;
use shared::pow::{Root, Threshold};

/// Requests in all.
const REQUESTS: u64 = 500;
/// Of the first service, for roots of their own. The others repeat some of these roots.
const FRESH: u64 = 350;
/// Connections that ask at the same time.
const CONNECTIONS: usize = 32;
/// What each service is given.
const CREDITS: u64 = 400;
/// The accounts of the workers.
const WORKERS: [u8; 3] = [1, 2, 3];

/// A request, and its answer once it is there.
struct Asked<'a> {
    service: &'a Service,
    root: Root,
    threshold: Threshold,
    answer: Answer,
}

/// The request of a number: fresh ones of the first service, then in turn repeats of the second service's and its own. Equal
/// roots have equal thresholds, so that each work answers all requests for its root.
fn demand(number: u64, [first, second]: [&Service; 2]) -> (&Service, Root, Threshold) {
    let (service, of_root) = match number {
        0..FRESH => (first, number),
        _ if number.is_multiple_of(3) => (first, number - FRESH),
        _ => (second, number - FRESH),
    };
    let threshold =
        if of_root.is_multiple_of(4) { NETWORK.send_threshold() } else { NETWORK.receive_threshold() };
    (service, root(of_root), threshold)
}

/// Asks all requests over many connections, and demands work for each.
fn ask_all<'a>(server: &Server, services: [&'a Service; 2]) -> anyhow::Result<Vec<Asked<'a>>> {
    let next = AtomicUsize::new(0);
    let ask = || -> anyhow::Result<Vec<Asked<'a>>> {
        let client = server.client();
        let mut asked = Vec::new();
        loop {
            let number = u64::try_from(next.fetch_add(1, Ordering::Relaxed))?;
            if number >= REQUESTS {
                return Ok(asked);
            }
            // The repeats come in between, so that some meet their root while it is searched for and some later.
            let (service, root, threshold) = demand(number * 7 % REQUESTS, services);
            let reply = client.work(&service.key, &json!({ "root": root, "threshold": threshold }))?;
            asked.push(Asked { service, root, threshold, answer: reply.answer(root, threshold)? });
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(ask)).collect();
        let results = threads.into_iter().map(|thread| thread.join().expect("a client does not panic"));
        results.collect::<Result<Vec<_>, _>>().map(|asked| asked.into_iter().flatten().collect())
    })
}

/// What each party has paid for each root, according to the answers; for free ones nothing.
fn charged_by_answers(
    asked: &[Asked<'_>],
    party: impl Fn(&Service) -> String,
) -> BTreeMap<(String, Root), u64> {
    let mut charged: BTreeMap<_, u64> = BTreeMap::new();
    for Asked { service, root, answer, .. } in asked {
        *charged.entry((party(service), *root)).or_default() += answer.charged_mc;
    }
    charged
}

/// Each settlement splits what was charged; the first for a work pays its worker, later ones the house. Workers earn something
/// payable from credits that were paid for only.
fn check_settlements(replay: &Replay) -> anyhow::Result<()> {
    let payees: BTreeSet<String> = WORKERS
        .iter()
        .flat_map(|number| ["payable", "nonpayable"].map(|kind| format!("{kind}:{}", account(*number))))
        .collect();
    let mut works = BTreeSet::new();
    for settlement in &replay.settlements {
        let is_first = works.insert((settlement.root, settlement.nonce));
        let charged = settlement.charged();
        let fee = if is_first { charged.div_ceil(10) } else { charged };
        ensure!(settlement.kept == fee, "the house keeps another share: {settlement:?}");
        ensure!(settlement.payee.is_some() == is_first, "a work is paid for twice, or never: {settlement:?}");
        if let Some(payee) = &settlement.payee {
            let is_payable = settlement.payer.starts_with("paid:");
            ensure!(payees.contains(payee), "nobody's worker was paid: {settlement:?}");
            ensure!(payee.starts_with("payable:") == is_payable, "paid from other credits: {settlement:?}");
        }
    }
    Ok(())
}

/// Two services, one with credits that it bought and one with credits that it was given, ask from 32 connections; the journal
/// is replayed afterwards.
#[test]
fn every_request_is_answered_and_every_credit_accounted_for() -> anyhow::Result<()> {
    let home = Home::new()?;
    let (wallet, faucet) = (home.add_service("wallet")?, home.add_service("faucet")?);
    home.grant_paid(&wallet, CREDITS)?;
    home.grant(&faucet, CREDITS)?;
    let server = home.serve()?;
    let workers = WORKERS.map(|number| WorkerProcess::start(server.mqtt_addr(), account(number)));
    let workers = workers.into_iter().collect::<Result<Vec<_>, _>>()?;

    let asked = ask_all(&server, [&wallet, &faucet])?;
    assert_eq!(asked.len(), usize::try_from(REQUESTS)?);
    oracle::cross_check(&asked.iter().map(|asked| asked.answer.work).collect::<Vec<_>>())?;
    for Asked { threshold, answer, .. } in &asked {
        let price = price(*threshold, NETWORK.send_threshold());
        assert!([Millicredits::ZERO, price].contains(&Millicredits::new(answer.charged_mc)), "{answer:?}");
    }
    for worker in workers {
        worker.stop()?;
    }
    server.stop(Signal::Terminate)?;

    let replay = home.journal()?.replay()?;
    let granted = Millicredits::from_credits(CREDITS).context("few credits")?.as_u64();
    let party = |service: &Service| {
        let bucket = if service == &wallet { "paid" } else { "granted" };
        format!("{bucket}:{}", service.name)
    };
    let mut charged_by_journal = BTreeMap::new();
    for settlement in &replay.settlements {
        let before =
            charged_by_journal.insert((settlement.payer.clone(), settlement.root), settlement.charged());
        assert_eq!(before, None, "a service pays once for a root: {settlement:?}");
    }
    assert_eq!(charged_by_answers(&asked, party), charged_by_journal);
    check_settlements(&replay)?;
    for service in [&wallet, &faucet] {
        let charged: u64 =
            asked.iter().filter(|asked| asked.service == service).map(|asked| asked.answer.charged_mc).sum();
        assert!(charged > 0 && replay.granted.get(&party(service)) == Some(&granted));
        assert_eq!(home.balance(service)?.total_mc(), granted - charged);
        assert_eq!(replay.balances.get(&party(service)), Some(&i64::try_from(granted - charged)?));
    }
    Ok(())
}
