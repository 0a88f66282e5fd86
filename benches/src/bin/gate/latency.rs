//! How long messages take, and what they cost.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use benches::figures::{Figures, Unit};
use tokio::time::{Instant, interval, sleep};

use crate::server::Server;

/// For how long a stream runs before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long messages are waited for once none is sent any more.
const STRAGGLERS_WITHIN: Duration = Duration::from_secs(2);

/// Stamps messages when they are sent and measures them when they come. Clones share their measurements.
#[derive(Debug, Clone)]
pub(crate) struct Stopwatch {
    origin: Instant,
    nanoseconds: Arc<Mutex<Vec<u64>>>,
}

impl Stopwatch {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), nanoseconds: Arc::default() }
    }

    /// What a message that is sent now begins with.
    pub(crate) fn stamp(&self) -> [u8; 8] {
        self.now().to_be_bytes()
    }

    /// Measures a message that has come.
    pub(crate) fn record(&self, payload: &[u8]) {
        if let Some((stamp, _)) = payload.split_first_chunk::<8>() {
            self.samples().push(self.now().saturating_sub(u64::from_be_bytes(*stamp)));
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn samples(&self) -> MutexGuard<'_, Vec<u64>> {
        self.nanoseconds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Messages that are sent at a steady pace, whether or not earlier ones have come.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    pub(crate) server: &'a Server,
    pub(crate) stopwatch: &'a Stopwatch,
    pub(crate) interval: Duration,
    pub(crate) duration: Duration,
    /// Messages that come for each that is sent.
    pub(crate) fan_out: usize,
}

/// What a stream was like.
#[derive(Debug)]
pub(crate) struct Streamed {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// CPU time of the server for each message that came, in microseconds.
    pub(crate) cpu_us: f64,
    /// The part of it that the kernel spent.
    pub(crate) kernel_us: f64,
    /// Messages that did not come, in hundredths of those that should have.
    pub(crate) lost_percent: f64,
}

impl Stream<'_> {
    /// Sends for a second, and then for as long as is measured.
    #[expect(clippy::cast_precision_loss, reason = "counts of messages are far below 2^52")]
    pub(crate) async fn run(
        &self,
        mut send: impl AsyncFnMut() -> io::Result<()>,
    ) -> anyhow::Result<Streamed> {
        self.send_for(WARM_UP, &mut send).await?;
        self.settle(usize::MAX, Duration::from_millis(100)).await;
        self.stopwatch.samples().clear();
        let before = self.server.cpu_time()?;
        let sent = self.send_for(self.duration, &mut send).await?;
        let expected = sent * self.fan_out;
        self.settle(expected, STRAGGLERS_WITHIN).await;
        let after = self.server.cpu_time()?;
        let mut samples = std::mem::take(&mut *self.stopwatch.samples());
        samples.sort_unstable();
        anyhow::ensure!(!samples.is_empty(), "no message has come");
        let (own_us, kernel_us) = after.since(before, samples.len());
        let missing = expected.saturating_sub(samples.len());
        Ok(Streamed {
            p50_ms: percentile_ms(&samples, 50),
            p99_ms: percentile_ms(&samples, 99),
            cpu_us: own_us + kernel_us,
            kernel_us,
            lost_percent: missing as f64 * 100.0 / expected as f64,
        })
    }

    /// Sends at the stream's pace, and says how often. What the sender is late by is caught up.
    async fn send_for(
        &self,
        duration: Duration,
        send: &mut impl AsyncFnMut() -> io::Result<()>,
    ) -> io::Result<usize> {
        let mut ticks = interval(self.interval);
        let count = usize::try_from(duration.as_micros() / self.interval.as_micros()).unwrap_or(usize::MAX);
        for _ in 0..count {
            ticks.tick().await;
            send().await?;
        }
        Ok(count)
    }

    /// Waits until so many messages have come, but not for ever.
    async fn settle(&self, expected: usize, patience: Duration) {
        let begin = Instant::now();
        while self.stopwatch.samples().len() < expected && begin.elapsed() < patience {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Streamed {
    /// Adds the figures under this name.
    pub(crate) fn report(&self, name: &str, figures: &mut Figures) {
        figures.add(format!("{name}: p50"), Unit::Milliseconds, self.p50_ms);
        figures.add(format!("{name}: p99"), Unit::Milliseconds, self.p99_ms);
        figures.add(format!("{name}: CPU per message"), Unit::Microseconds, self.cpu_us);
        figures.add(format!("{name}: of it in the kernel"), Unit::Microseconds, self.kernel_us);
        figures.add(format!("{name}: lost"), Unit::Percent, self.lost_percent);
    }
}

/// The value that so many hundredths of the sorted samples do not exceed.
#[expect(clippy::cast_precision_loss, reason = "a message never takes 2^52 ns")]
fn percentile_ms(sorted: &[u64], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len() - 1);
    sorted[index] as f64 / 1e6
}
