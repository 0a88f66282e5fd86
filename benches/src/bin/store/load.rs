//! Callers in a closed loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

/// What a run came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Settlements a second.
    pub(crate) per_second: f64,
    /// From a settlement's call to its answer.
    pub(crate) p99: Duration,
}

/// Whatever holds and settles.
pub(crate) trait Seller: Send + Sync + 'static {
    /// Holds credits for a sale of this number.
    fn hold(&self, number: u64) -> impl Future<Output = anyhow::Result<()>> + Send;
    /// Settles it; returns when that is as durable as is promised.
    fn settle(&self, number: u64) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Has so many callers sell for some time.
pub(crate) async fn run(seller: impl Seller, callers: usize, time: Duration) -> anyhow::Result<Measured> {
    let (seller, next) = (Arc::new(seller), Arc::new(AtomicU64::new(1)));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (seller, next) = (Arc::clone(&seller), Arc::clone(&next));
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while began.elapsed() < time {
                let number = next.fetch_add(1, Ordering::Relaxed);
                seller.hold(number).await?;
                let called = Instant::now();
                seller.settle(number).await?;
                latencies.push(called.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(of_caller) = tasks.join_next().await {
        latencies.extend(of_caller??);
    }
    let elapsed = began.elapsed().as_secs_f64();
    Ok(measured(latencies, elapsed))
}

/// What latencies within some seconds come to.
#[expect(clippy::cast_precision_loss, reason = "counts of a bench")]
pub(crate) fn measured(mut latencies: Vec<Duration>, elapsed: f64) -> Measured {
    latencies.sort_unstable();
    let p99 = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or_default();
    Measured { per_second: latencies.len() as f64 / elapsed, p99 }
}
