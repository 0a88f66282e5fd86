//! The whole of `DPoW` in one process: what `dpow` does without a command.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use shared::{Millicredits, Network, Payee, ServiceId, TransferId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use worker::{Event, Secret, Server, Worker, WorkerError};

use crate::cli::{self, Console, StopSignal};
use crate::clock::Clock;
use crate::config::Settings;
use crate::coordinator::{Coordinator, Ledger};
use crate::entropy;
use crate::home::Home;
use crate::intake::keys::{self, KeyTerms};
use crate::store::{Bucket, Verb};
use crate::{administration, metrics};

/// The service that the printed curl line asks as.
const DEMO_SERVICE: &str = "demo";
/// The file of its key.
const DEMO_KEY: &str = "demo-key";
/// What it is granted, once.
const DEMO_CREDITS: u64 = 1000;
/// How long the built-in worker may take to be ready before the banner goes on without it.
const WORKER_PATIENCE: Duration = Duration::from_secs(5);

/// Runs everything until Ctrl-C or SIGTERM. Each line of the banner is printed when what it says is true.
///
/// # Errors
/// In one sentence, what is wrong and what to do.
pub async fn run(settings: &Settings, console: &Console) -> anyhow::Result<()> {
    let stop = StopSignal::listen()?;
    let network = settings.network;
    let recorder = metrics::install()?;
    let home = Arc::new(Home::open(&settings.data_dir)?);
    console.line(&format!("dpow {} · network {network}", env!("CARGO_PKG_VERSION")));
    let ledger = Ledger::open(settings.ledger_place(), &home).await?;
    let key = demo_key(&home, &ledger).await?;
    console.line(&format!("ledger     {}", ledger.place));
    let secret = Secret::generate()?;
    let house = secret.worker_id();
    let mut coordinator = Coordinator::start(settings, &home, &ledger, Some(house), recorder).await?;
    console.lines(coordinator.banner(&home));
    let (stop_worker, is_stopping) = watch::channel(false);
    let built_in = worker_settings(settings, secret, coordinator.mqtt_addr())?;
    let (worker, mut ready) = start_worker(built_in, is_stopping);
    if let Ok(Some(rate)) = tokio::time::timeout(WORKER_PATIENCE, ready.recv()).await {
        console.line(&worker_line(network, rate));
    }
    let balance = ledger.store.balance(demo_service()?).await?.unwrap_or_default().available();
    console.line(&format!(
        "service    {DEMO_SERVICE}, {balance} credits, key in {}",
        home.file(DEMO_KEY).display()
    ));
    console.line("\nAsk for work (a receive; Ctrl-C stops):\n");
    console.line(&curl(&coordinator, &key, network)?);
    let result = cli::until_stopped(&mut coordinator, stop, console).await;
    let stopped = match result {
        Ok(()) => coordinator.stop(settings.shutdown_grace()).await.map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    stop_worker.send_replace(true);
    worker.await??;
    stopped
}

fn demo_service() -> anyhow::Result<ServiceId> {
    Ok(DEMO_SERVICE.parse()?)
}

/// The demo service's key, from its file; the service, its credits and the key are made when they are not there.
async fn demo_key(home: &Home, ledger: &Ledger) -> anyhow::Result<zeroize::Zeroizing<String>> {
    let (service, at) = (demo_service()?, Clock::start().now());
    let amount = Millicredits::from_credits(DEMO_CREDITS).unwrap_or_default();
    let transfer = TransferId::of_cause("demo-grant");
    // Both were done at the first start; repeating them changes nothing.
    let verbs = vec![
        Verb::AddService { service, at },
        Verb::Grant { transfer, service, amount, bucket: Bucket::Granted, at },
    ];
    administration::all_done(&ledger.store.execute(verbs).await?)?;
    if let Some(key) = home.read_secret(DEMO_KEY)? {
        let proven = ledger.registry.prove(&key, None, at);
        if proven.is_some_and(|proven| proven.service == service) {
            return Ok(key);
        }
    }
    let key = keys::issue(&ledger.pepper, service, KeyTerms::default(), at)?;
    administration::all_done(&ledger.store.execute(vec![Verb::AddKey(key.record.clone())]).await?)?;
    ledger.registry.add_key(key.record);
    home.write_secret(DEMO_KEY, &key.text)?;
    Ok(key.text)
}

fn worker_settings(
    settings: &Settings,
    secret: Secret,
    mqtt: std::net::SocketAddr,
) -> anyhow::Result<worker::Settings> {
    Ok(worker::Settings {
        server: Server::try_new(&mqtt.ip().to_string(), mqtt.port())?,
        payee: Payee::House,
        secret,
        network: settings.network,
        processor: worker::backend::cpu::Settings::default(),
        opencl: None,
        threshold_max: settings.policy()?.threshold_max,
        precache: true,
        software: format!("dpow {}", env!("CARGO_PKG_VERSION")),
    })
}

/// Starts the built-in worker; its rate comes over the channel when it is connected.
fn start_worker(
    settings: worker::Settings,
    mut stop: watch::Receiver<bool>,
) -> (JoinHandle<Result<(), WorkerError>>, mpsc::UnboundedReceiver<u64>) {
    let (ready, is_ready) = mpsc::unbounded_channel();
    let mut rate = 0;
    let on_event = move |event| match event {
        Event::Measured { hashes_per_second } => rate = hashes_per_second,
        Event::Connected => drop(ready.send(rate)),
        Event::Disconnected { reason, .. } => {
            tracing::debug!(error = %reason, "the built-in worker is not connected");
        }
        Event::Judged(_) | Event::OpenCl { .. } | Event::DeviceFailed { .. } => {}
    };
    let shutdown = async move {
        let _ = stop.wait_for(|is_stopping| *is_stopping).await;
    };
    let worker = Worker::new(settings);
    (tokio::spawn(async move { worker.run(on_event, shutdown).await }), is_ready)
}

/// What the built-in worker does, and how long works take it on average.
#[expect(clippy::cast_precision_loss, reason = "an estimate for a person")]
fn worker_line(network: Network, rate: u64) -> String {
    let rate = (rate as f64).max(1.0);
    let seconds = |threshold: shared::pow::Threshold| threshold.expected_hashes() / rate;
    let mut line = format!("worker     CPU, {:.1} MH/s", rate / 1e6);
    // Writing to a string cannot fail.
    let _ = write!(
        line,
        ": a receive takes {:.1} s on average, a send {:.0} s",
        seconds(network.receive_threshold()),
        seconds(network.send_threshold())
    );
    line
}

/// A command that can be pasted as it is: a fresh root, at the receive threshold.
fn curl(coordinator: &Coordinator, key: &str, network: Network) -> anyhow::Result<String> {
    let root = shared::pow::Root::new(entropy::bytes()?);
    Ok(format!(
        "curl -sS http://{}/v1/work -H 'Authorization: Bearer {key}' -d '{{\"root\":\"{root}\",\"threshold\":\"{}\"}}'",
        coordinator.http_addr(),
        network.receive_threshold()
    ))
}
