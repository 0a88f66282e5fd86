//! Hostile sessions send results as fast as they can: what honest ones feel of it, while the gate's rate limit alone holds them
//! back, and when the coordinator calls their results forged.

use std::net::SocketAddr;
use std::time::Duration;

use benches::figures::{Figures, Unit};
use benches::mqtt::publish;
use shared::WorkerId;
use shared::protocol::Topic;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::Scale;
use crate::client::join_as_worker;
use crate::crowd::{Workers, worker};
use crate::echo::FORGED;
use crate::latency::Stopwatch;
use crate::round_trip;
use crate::server::Server;

/// Honest workers, as in the measurement of round trips.
const HONEST: usize = 100;
/// Hostile sessions, and the first of their numbers.
const HOSTILE: usize = 100;
const HOSTILE_FROM: usize = 2_000_000;
/// Between two results of each: 1,000 a second, as far as the server reads them.
const INTERVAL: Duration = Duration::from_millis(1);
/// How soon one that has been shut out comes again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// What one sends that nobody calls forged.
const HARMLESS: [u8; 8] = [0; 8];

pub(crate) async fn measure(server: &Server, scale: Scale, figures: &mut Figures) -> anyhow::Result<()> {
    let stopwatch = Stopwatch::new();
    let mut honest = Workers::start(server, HONEST, &stopwatch).await?;
    let quiet = round_trip::stream(server, scale, &stopwatch, &mut honest).await?;
    figures.add("flood, before: p99", Unit::Milliseconds, quiet.p99_ms);
    for (name, content) in [("rate limit alone", HARMLESS), ("forged results", FORGED)] {
        let mut hostile = JoinSet::new();
        for index in HOSTILE_FROM..HOSTILE_FROM + HOSTILE {
            hostile.spawn(flood(server.address(), worker(index), content));
        }
        let flooded = round_trip::stream(server, scale, &stopwatch, &mut honest).await?;
        figures.add(
            format!("flood of 100 x 1,000/s, {name}: honest p99"),
            Unit::Milliseconds,
            flooded.p99_ms,
        );
        let ratio = flooded.p99_ms / quiet.p99_ms;
        figures.add(format!("flood, {name}: honest p99 over before"), Unit::Ratio, ratio);
        figures.add(
            format!("flood, {name}: honest p50 over before"),
            Unit::Ratio,
            flooded.p50_ms / quiet.p50_ms,
        );
        hostile.shutdown().await;
    }
    Ok(())
}

/// Logs in and sends, and comes again when it is thrown out.
async fn flood(server: SocketAddr, worker: WorkerId, content: [u8; 8]) {
    let result = publish(&Topic::WorkResult(worker).to_string(), None, &[&content, &[0; 49]]);
    loop {
        if let Ok(mut stream) = join_as_worker(server, worker).await {
            let mut pace = interval(INTERVAL);
            // Whoever is not read does not catch up: it sends what it can.
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while stream.write_all(&result).await.is_ok() {
                pace.tick().await;
            }
        }
        sleep(AGAIN_AFTER).await;
    }
}
