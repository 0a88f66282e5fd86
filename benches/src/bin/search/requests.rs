//! Works at the receive threshold through a real coordinator, beside the search that is in them.
//!
//! The worker runs in this process, with an observed instruction set, so that all times are of one clock: when a request leaves, when
//! its first nonce is tried, when it is found, and when its answer has come.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use benches::figures::{Figures, Unit};
use benches::http::{Connection, fetch};
use serde::Deserialize;
use shared::pow::{Nonce, Root, Work};
use shared::{Network, Payee};
use tokio::sync::oneshot;
use worker::backend::cpu::{self, Instructions};
use worker::{Secret, Server, Settings, Worker, threshold_max_default};

use crate::coordinator::Coordinator;
use crate::observed::{Observed, Stint};
use crate::orders::add;

const NETWORK: Network = Network::Live;
/// Requests at once where jobs are to wait for the worker.
const AT_ONCE: usize = 4;
/// How long the worker may take to be there.
const WITHIN: Duration = Duration::from_secs(30);

/// What of an answer matters.
#[derive(Deserialize)]
struct Answer<'a> {
    work: &'a str,
}

/// A work, and when it was asked for and there.
#[derive(Debug, Clone, Copy)]
struct Errand {
    root: Root,
    asked: Instant,
    answered: Instant,
}

/// One request after the other, and then several at once.
pub(crate) async fn measure(dpow: &Path, works: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let coordinator = Coordinator::start(dpow)?;
    let observed = Observed::new();
    let (stop, stopped) = oneshot::channel();
    let settings = settings(&coordinator, observed.clone())?;
    let worker = thread::spawn(move || work(settings, stopped));
    let begun = Instant::now();
    while !fetch(coordinator.http, "/metrics").await?.contains("dpow_workers_connected 1") {
        ensure!(begun.elapsed() < WITHIN, "the worker does not connect");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    figures.begin(1, observed.set().name());

    observed.take();
    let begun = Instant::now();
    let alone = ask(coordinator.http, &coordinator.key, works).await?;
    let elapsed = begun.elapsed();
    one_by_one(&alone, &observed.take(), elapsed, figures)?;

    let begun = Instant::now();
    let asking: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let key = coordinator.key.clone();
            let http = coordinator.http;
            tokio::spawn(async move { ask(http, &key, works / AT_ONCE).await })
        })
        .collect();
    let mut count = 0;
    for asking in asking {
        count += asking.await??.len();
    }
    side_by_side(count, &observed.take(), begun.elapsed(), figures);
    // The worker ends with it.
    let _ = stop.send(());
    worker.join().map_err(|_| anyhow::anyhow!("the worker has panicked"))?
}

fn settings(coordinator: &Coordinator, instructions: Arc<Observed>) -> anyhow::Result<Settings> {
    Ok(Settings {
        server: Server::try_new(&coordinator.mqtt.ip().to_string(), coordinator.mqtt.port())?,
        payee: Payee::Account(shared::Account::from_public_key([1; 32])),
        secret: Secret::generate()?,
        network: NETWORK,
        processor: cpu::Settings { instructions, ..cpu::Settings::default() },
        opencl: None,
        threshold_max: threshold_max_default(NETWORK),
        precache: true,
        software: "search".into(),
    })
}

/// A worker on a thread of its own, as its program has it.
fn work(settings: Settings, stopped: oneshot::Receiver<()>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Worker::new(settings).run(|_| {}, async { drop(stopped.await) }))?;
    Ok(())
}

/// Asks for works of random roots, one after the other, and checks them.
async fn ask(server: SocketAddr, key: &str, works: usize) -> anyhow::Result<Vec<Errand>> {
    let threshold = NETWORK.receive_threshold();
    let mut connection = Connection::open(server).await?;
    let mut all = Vec::new();
    for _ in 0..works {
        let root = Root::new(rand::random());
        let body = format!(r#"{{"root":"{root}","threshold":"{threshold}","timeout_ms":120000}}"#);
        let request = format!(
            "POST /v1/work HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let asked = Instant::now();
        let answer = connection.exchange(request.as_bytes()).await?;
        let answered = Instant::now();
        let text = String::from_utf8_lossy(answer.body);
        ensure!(answer.status == 200, "{text}");
        let nonce: Nonce = serde_json::from_slice::<Answer<'_>>(answer.body)?.work.parse()?;
        ensure!(Work::verify(root, nonce, threshold).is_some(), "no work: {text}");
        all.push(Errand { root, asked, answered });
    }
    Ok(all)
}

/// What a request takes besides its search, where nothing else is to be done.
#[expect(clippy::cast_precision_loss, reason = "few works")]
fn one_by_one(
    works: &[Errand],
    stints: &[Stint],
    elapsed: Duration,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let (mut before, mut after, mut besides) = (Vec::new(), Vec::new(), Vec::new());
    let (mut totals, mut searches) = (Duration::ZERO, Duration::ZERO);
    for work in works {
        let own = || stints.iter().filter(|stint| stint.root == work.root);
        let began = own().map(|stint| stint.began).min().context("it was searched")?;
        let found =
            own().filter(|stint| stint.has_found).map(|stint| stint.ended).min().context("it was found")?;
        let (total, search) = (work.answered - work.asked, found - began);
        before.push(began - work.asked);
        after.push(work.answered - found);
        besides.push(total.saturating_sub(search));
        totals += total;
        searches += search;
    }
    figures.add("one request at a time", Unit::PerSecond, works.len() as f64 / elapsed.as_secs_f64());
    figures.add("a work, mean", Unit::Milliseconds, totals.as_secs_f64() * 1e3 / works.len() as f64);
    figures.add("its search, mean", Unit::Milliseconds, searches.as_secs_f64() * 1e3 / works.len() as f64);
    add(figures, "request to first nonce", before);
    add(figures, "found to answer", after);
    add(figures, "both: besides the search", besides);
    Ok(())
}

/// How long a thread that has found something stands still while other jobs wait.
#[expect(clippy::cast_precision_loss, reason = "few works")]
fn side_by_side(works: usize, stints: &[Stint], elapsed: Duration, figures: &mut Figures) {
    let next = |stint: &Stint| {
        let later = stints.iter().filter(|other| other.thread == stint.thread && other.began >= stint.ended);
        later.map(|other| other.began).min()
    };
    let found = stints.iter().filter(|stint| stint.has_found);
    let idle: Vec<_> = found.filter_map(|stint| Some(next(stint)? - stint.ended)).collect();
    figures.add(format!("{AT_ONCE} requests at once"), Unit::PerSecond, works as f64 / elapsed.as_secs_f64());
    add(figures, "idle between two jobs", idle);
}
