//! Hostile sessions send results as fast as they can: what honest ones feel of it. Nobody is shut out here, as the coordinator
//! would have done after three results: this is the gate's rate limit alone.

use std::time::Duration;

use shared::protocol::Topic;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::Scale;
use crate::client::{join_as_worker, publish};
use crate::crowd::{Workers, introduce, worker};
use crate::figures::{Figures, Unit};
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

pub(crate) async fn measure(server: &Server, scale: Scale, figures: &mut Figures) -> anyhow::Result<()> {
    let stopwatch = Stopwatch::new();
    let mut honest = Workers::start(server, HONEST, &stopwatch).await?;
    let quiet = round_trip::stream(server, scale, &stopwatch, &mut honest).await?;
    let mut hostile = JoinSet::new();
    for index in HOSTILE_FROM..HOSTILE_FROM + HOSTILE {
        let worker = worker(index);
        let mut stream = join_as_worker(server.address(), worker).await?;
        introduce(server, &mut stream, worker).await?;
        let result = publish(&Topic::WorkResult(worker).to_string(), None, &[&[0; 57]]);
        hostile.spawn(async move {
            let mut pace = interval(INTERVAL);
            // Whoever is not read does not catch up: it sends what it can.
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while stream.write_all(&result).await.is_ok() {
                pace.tick().await;
            }
        });
    }
    let flooded = round_trip::stream(server, scale, &stopwatch, &mut honest).await?;
    figures.add("flood, before: p99", Unit::Milliseconds, quiet.p99_ms);
    figures.add("flood of 100 x 1,000/s: honest p99", Unit::Milliseconds, flooded.p99_ms);
    figures.add("flood: honest p99 over before", Unit::Ratio, flooded.p99_ms / quiet.p99_ms);
    figures.add("flood: honest p50 over before", Unit::Ratio, flooded.p50_ms / quiet.p50_ms);
    Ok(())
}
