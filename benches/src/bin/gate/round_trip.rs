//! A result goes up, its verdict comes back, beside few idle sessions and beside many.

use std::time::Duration;

use benches::figures::{Figures, Unit};
use benches::mqtt::publish;
use shared::protocol::Topic;
use tokio::io::AsyncWriteExt;

use crate::Scale;
use crate::crowd::{Workers, gather};
use crate::latency::{Stopwatch, Stream, Streamed};
use crate::server::{Kind, Server};

/// Workers that send results, in turn: each stays far below the gate's limit for one.
const WORKERS: usize = 100;
/// Between two results: 1,000 a second.
const INTERVAL: Duration = Duration::from_millis(1);
/// Idle sessions of the small crowd.
const FEW: usize = 10;
/// What follows the stamp, to make the payload as long as a result's.
const PADDING: [u8; 49] = [0; 49];

pub(crate) async fn measure(server: &Server, scale: Scale, figures: &mut Figures) -> anyhow::Result<()> {
    let stopwatch = Stopwatch::new();
    let mut workers = Workers::start(server, WORKERS, &stopwatch).await?;
    let _few = gather(server, 0..FEW).await?;
    let beside_few = stream(server, scale, &stopwatch, &mut workers).await?;
    beside_few.report(&format!("round trip, {FEW} idle"), figures);
    let _many = gather(server, FEW..scale.sessions).await?;
    let beside_many = stream(server, scale, &stopwatch, &mut workers).await?;
    beside_many.report(&format!("round trip, {} idle", scale.sessions), figures);
    let name = format!("round trip, {} idle over {FEW}", scale.sessions);
    figures.add(format!("{name}: p50"), Unit::Ratio, beside_many.p50_ms / beside_few.p50_ms);
    figures.add(format!("{name}: CPU"), Unit::Ratio, beside_many.cpu_us / beside_few.cpu_us);
    Ok(())
}

/// Sends results of these workers in turn, and watches their verdicts.
pub(crate) async fn stream(
    server: &Server,
    scale: Scale,
    stopwatch: &Stopwatch,
    workers: &mut Workers,
) -> anyhow::Result<Streamed> {
    let stream = Stream { server, stopwatch, interval: INTERVAL, duration: scale.duration, fan_out: 1 };
    let mut packet_id = 0_u16;
    let send = async || {
        let (worker, writer) = workers.next();
        // Nobody stands behind mosquitto who could answer: the nearest equal is a message to oneself.
        let topic = match server.kind() {
            Kind::Gate => Topic::WorkResult(*worker),
            Kind::Mosquitto => Topic::WorkVerdict(*worker),
        };
        packet_id = packet_id % u16::MAX + 1;
        let message = publish(&topic.to_string(), Some(packet_id), &[&stopwatch.stamp(), &PADDING]);
        writer.write_all(&message).await
    };
    stream.run(send).await
}
