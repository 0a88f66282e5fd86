//! Nano nodes that have the coordinator among their work peers.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, ensure};
use e2e::{
    Home, NETWORK, NodeJob, PATIENCE, RawWorker, Server, Service, WorkerProcess, account, oracle, root, run,
};
use shared::pow::Threshold;
use shared::protocol::Verdict;

const THRESHOLD: Threshold = NETWORK.receive_threshold();
/// Jobs of the long run.
const JOBS: u64 = 1000;
/// How many at a time.
const AT_ONCE: usize = 8;

struct Peered {
    home: Home,
    service: Service,
    server: Server,
    peer: SocketAddr,
}

/// A coordinator whose service `node` pays for nodes.
fn start(variables: &[(&str, &str)]) -> anyhow::Result<Peered> {
    let home = Home::new()?;
    let service = home.add_service("node")?;
    home.grant_paid(&service, 1000)?;
    let mut command = home.listening_command(&["serve"])?;
    command.envs([("DPOW_NODE_PEER__SERVICE", "node"), ("DPOW_NODE_PEER__LISTEN", "127.0.0.1:0")]);
    let server = home.serve_with(command.envs(variables.iter().copied()))?;
    let banner = server.banner();
    let line =
        banner.iter().find_map(|line| line.trim().strip_prefix("node peer  ")).context("no node peer")?;
    let (peer, payer) = line.split_once(',').context("no address")?;
    ensure!(payer == " on the account of node", "{line}");
    Ok(Peered { home, service, server, peer: peer.parse()? })
}

/// What a node does with one of its jobs, by its number.
fn one_job(peer: SocketAddr, number: u64) -> anyhow::Result<()> {
    let root = root(number);
    let generate = || NodeJob::generate(peer, root, THRESHOLD, number.is_multiple_of(2).then(|| account(3)));
    match number % 10 {
        // The same root for two calls at once: both are answered.
        1 => {
            let (one, other) = (generate()?, generate()?);
            one.work()?;
            other.work()?;
        }
        // One of two requesters loses interest, closing before or after it says so: the other one is answered.
        2 => {
            let (one, other) = (generate()?, generate()?);
            drop(one);
            NodeJob::cancel(peer, root)?;
            other.work()?;
        }
        3 => {
            let (one, other) = (generate()?, generate()?);
            NodeJob::cancel(peer, root)?;
            drop(one);
            other.work()?;
        }
        // The cancel overtakes the job.
        4 => {
            NodeJob::cancel(peer, root)?;
            generate()?.work()?;
        }
        // Nobody is interested any more; later somebody is, twice.
        5 => {
            drop(generate()?);
            NodeJob::cancel(peer, root)?;
            let nonce = generate()?.work()?;
            ensure!(generate()?.work()? == nonce, "one root has one work");
        }
        // A connection without a byte.
        6 => {
            drop(TcpStream::connect(peer)?);
            generate()?.work()?;
            NodeJob::cancel(peer, root)?;
        }
        _ => drop(generate()?.work()?),
    }
    Ok(())
}

#[test]
fn a_node_gets_its_works_whatever_it_cancels_and_repeats() -> anyhow::Result<()> {
    let Peered { home, service, server, peer } = start(&[])?;
    let worker = WorkerProcess::start(server.mqtt_addr(), account(1))?;
    worker.wait_until_is_connected(true)?;
    let next = AtomicU64::new(0);
    let ask = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= JOBS {
                return anyhow::Ok(());
            }
            one_job(peer, number).with_context(|| format!("job {number}"))?;
        }
    };
    thread::scope(|scope| {
        let nodes: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(ask)).collect();
        nodes.into_iter().try_for_each(|node| node.join().expect("a node does not panic"))
    })?;
    let mut paid = BTreeMap::new();
    for settlement in home.journal()?.replay()?.settlements {
        *paid.entry(settlement.root).or_insert(0) += u64::from(settlement.charged() > 0);
    }
    ensure!(paid.len() == usize::try_from(JOBS)?, "{} roots were paid for", paid.len());
    ensure!(paid.values().all(|times| *times == 1), "a root was paid for twice");
    ensure!(home.balance(&service)?.total_mc() < 1_000_000);
    worker.stop()?;
    server.stop(e2e::Signal::Terminate)
}

#[test]
fn a_closed_connection_withdraws_and_a_cancel_withdraws_nobody_else() -> anyhow::Result<()> {
    let Peered { server, peer, .. } = start(&[])?;
    let mut worker = RawWorker::join(&server, 1, account(1))?;
    let alone = NodeJob::generate(peer, root(1), THRESHOLD, None)?;
    worker.wait_for_job(root(1))?;
    drop(alone);
    while worker.next_list()?.jobs.iter().any(|job| job.root == root(1)) {}

    let (one, other) = (
        NodeJob::generate(peer, root(2), THRESHOLD, None)?,
        NodeJob::generate(peer, root(2), THRESHOLD, None)?,
    );
    let job = worker.wait_for_job(root(2))?;
    let client = server.client();
    client.wait_for_metric("dpow_requests_open", |open| open == 2)?;
    NodeJob::cancel(peer, root(2))?;
    drop(one);
    client.wait_for_metric("dpow_requests_open", |open| open == 1)?;
    let nonce = oracle::search(root(2), 0, |difficulty| difficulty.meets(THRESHOLD));
    let verdict = worker.submit(job.job, root(2), nonce)?.verdict;
    ensure!(verdict == Verdict::Accepted, "the other one's job was withdrawn: {verdict:?}");
    ensure!(other.work()? == nonce);
    Ok(())
}

#[test]
fn trouble_is_said_with_status_200() -> anyhow::Result<()> {
    let Peered { home, server, peer, .. } = start(&[])?;
    let too_easy = Threshold::new(1);
    let mut refused = NodeJob::generate(peer, root(1), too_easy, None)?;
    ensure!(
        refused.reply()?.contains("\"error\": \"Difficulty above config limit or below publish threshold\"")
    );
    ensure!(home.run(&["service", "suspend", "node", "--reason", "test"])?.status.success());
    let mut refused = NodeJob::generate(peer, root(1), THRESHOLD, None)?;
    ensure!(refused.reply()?.contains("\"error\": \"Service suspended\""));
    ensure!(server.client().metric("dpow_http_requests_total{route=\"node_peer\",code=\"suspended\"}")? == 1);
    Ok(())
}

#[test]
fn who_is_not_allowed_is_not_heard() -> anyhow::Result<()> {
    let Peered { server, peer, .. } = start(&[("DPOW_NODE_PEER__ALLOW", "10.0.0.0/8")])?;
    let mut stream = TcpStream::connect(peer)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut said = Vec::new();
    // Closed or reset: nothing was said either way.
    let _ = stream.read_to_end(&mut said);
    ensure!(said.is_empty());
    server.stop(e2e::Signal::Terminate)?;
    let home = Home::new()?;
    let finished = run("dpow", home.listening_command(&["serve"])?.env("DPOW_NODE_PEER__SERVICE", "nobody"))?;
    ensure!(!finished.status.success());
    ensure!(finished.stderr.contains("make it with `dpow service add nobody`"), "{}", finished.stderr);
    Ok(())
}
