//! The gate that is measured, with a coordinator that only answers: what it costs is the gate's cost.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use broker::bus::{Bus, Down, InProcessBus, Up};
use broker::identity::{Authenticator, Identity, Login, LoginAnswer, LoginRefused};
use broker::{Gate, GateSettings};
use bytes::Bytes;
use metrics_exporter_prometheus::PrometheusBuilder;
use shared::protocol::Topic;
use shared::{KeyId, Payee, SessionId, WorkerId};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::{Instant, sleep};

use crate::client::WORKER_USER;

/// How often the samples of metrics are sorted into their buckets, as in the real program.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How often the watch on delays looks. Often enough to see 100 ms, and cheap beside what is measured.
const WATCH_INTERVAL: Duration = Duration::from_millis(5);

/// How a result begins that counts against its worker. No stamp does.
pub(crate) const FORGED: [u8; 8] = [0xFF; 8];

/// Believes everybody.
struct Credulous;

impl Authenticator for Credulous {
    fn authenticate(&self, login: Login) -> LoginAnswer<'_> {
        Box::pin(async move {
            let bad = LoginRefused::BadCredentials;
            if login.user == WORKER_USER {
                let worker = login.client_id.parse().map_err(|_| bad)?;
                return Ok(Identity::Worker { worker, payee: Payee::House });
            }
            let service = login.user.parse().map_err(|_| bad)?;
            Ok(Identity::Service { service, key: KeyId::from_bytes([0; 8]) })
        })
    }
}

/// Runs a gate on a free port, and prints its address. Each line of input is answered with the longest delay since the one
/// before, in microseconds; delays are watched from the first line on. The end of the input ends the program.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let settings =
        GateSettings { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ..GateSettings::default() };
    // As in the real program: what the metrics cost belongs to the gate.
    let metrics = PrometheusBuilder::new().install_recorder()?;
    tokio::spawn(async move {
        loop {
            sleep(UPKEEP_INTERVAL).await;
            metrics.run_upkeep();
        }
    });
    let (gate, bus) = Gate::start(settings, Arc::new(Credulous)).await?;
    say(&gate.local_addr().to_string())?;
    tokio::spawn(answer(bus));
    let longest = Arc::new(AtomicU64::new(0));
    let mut watch = None;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        say(&longest.swap(0, Ordering::Relaxed).to_string())?;
        watch.get_or_insert_with(|| tokio::spawn(watch_delays(Arc::clone(&longest))));
    }
    Ok(())
}

fn say(what: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{what}")?;
    stdout.flush().context("nobody listens")
}

/// Sleeps again and again, and keeps the longest time that it has slept too long: so long a ready task had to wait.
async fn watch_delays(longest: Arc<AtomicU64>) {
    loop {
        let due = Instant::now() + WATCH_INTERVAL;
        sleep(WATCH_INTERVAL).await;
        let late = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
        longest.fetch_max(late, Ordering::Relaxed);
    }
}

/// Answers each result with a verdict, a forged one with a penalty besides, and each request with lists for as many workers as it asks for.
async fn answer(mut bus: InProcessBus) {
    let mut ring = Ring::default();
    while let Some(up) = bus.receive().await {
        let Up::Message { session, topic, payload } = up else { continue };
        match topic {
            Topic::WorkResult(worker) => {
                let is_forged = payload.starts_with(&FORGED);
                bus.send(Down::Message { session, topic: Topic::WorkVerdict(worker), payload });
                if is_forged {
                    bus.send(Down::Penalize { session });
                }
            }
            Topic::WorkerHello(worker) => ring.workers.push((session, worker)),
            Topic::ServiceRequest(_) => ring.send_lists(&bus, &payload),
            _ => {}
        }
    }
}

/// The workers that have said hello, served in turn. Those that are idle say nothing and cost nothing here.
#[derive(Default)]
struct Ring {
    workers: Vec<(SessionId, WorkerId)>,
    next: usize,
}

impl Ring {
    /// The first two bytes say to how many workers the rest is sent.
    fn send_lists(&mut self, bus: &InProcessBus, payload: &Bytes) {
        let Some((count, _)) = payload.split_first_chunk::<2>() else { return };
        let list = payload.slice(2..);
        for _ in 0..u16::from_be_bytes(*count) {
            let Some((session, worker)) = self.workers.get(self.next) else { return };
            let topic = Topic::WorkRequest(*worker);
            bus.send(Down::Message { session: *session, topic, payload: list.clone() });
            self.next = (self.next + 1) % self.workers.len();
        }
    }
}
