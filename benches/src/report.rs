//! What the load and the fleet say of themselves, as JSON: written by each, read by the market.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// How long something took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Half took at most this.
    pub p50_ms: f64,
    /// 95 of 100 took at most this.
    pub p95_ms: f64,
    /// 99 of 100 took at most this.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Latency {
    /// Of a histogram in microseconds; zeros of an empty one.
    #[expect(clippy::cast_precision_loss, reason = "nothing takes 2^52 us")]
    pub fn of(microseconds: &Histogram<u64>) -> Self {
        let at = |percentile| microseconds.value_at_percentile(percentile) as f64 / 1000.0;
        Self {
            p50_ms: at(50.0),
            p95_ms: at(95.0),
            p99_ms: at(99.0),
            max_ms: microseconds.max() as f64 / 1000.0,
        }
    }
}

/// Requests that ended in one way, and how long that took them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// How many, among those that were to be sent in the measured time.
    pub count: u64,
    /// From the time when each was to be sent until its end.
    pub latency: Latency,
}

/// What a process has used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessUse {
    /// As it was called on the command line.
    pub name: String,
    /// CPU time for each request that ended in the measured time, in microseconds.
    pub cpu_us_per_request: f64,
    /// The part of it that the kernel spent.
    pub kernel_us_per_request: f64,
    /// Resident memory when the measured time began and when it ended, in kB of 1,024 bytes.
    pub resident_kb: (f64, f64),
}

/// What the load has to say at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadReport {
    /// The form of the requests.
    pub dialect: String,
    /// Connections.
    pub connections: usize,
    /// Requests a second that were to be sent; absent in a closed loop.
    pub rate: Option<f64>,
    /// The measured time, in seconds.
    pub seconds: f64,
    /// Works that came in the measured time, a second.
    pub answered_per_second: f64,
    /// Requests that were answered with valid work.
    pub answered: Ended,
    /// All others, by what became of them.
    pub failed: BTreeMap<String, Ended>,
    /// Requests that were to be sent in the measured time and were not, since every connection was occupied: what they would
    /// have waited is in no latency.
    pub unsent: u64,
    /// Works of the whole run, warm-up and stragglers included: what the coordinator has answered.
    pub answered_in_all: u64,
    /// Failures of the whole run, likewise.
    pub failed_in_all: BTreeMap<String, u64>,
    /// CPU time of the load itself for each request that ended in the measured time, in microseconds.
    pub own_cpu_us_per_request: f64,
    /// What was watched.
    pub processes: Vec<ProcessUse>,
}

/// What the fleet has to say whenever it is asked. All counts are since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetReport {
    /// Sessions that are connected and have said hello.
    pub connected: u64,
    /// Sessions that were lost.
    pub lost: u64,
    /// Attempts to connect that failed.
    pub refused: u64,
    /// Lists that came.
    pub lists: u64,
    /// Jobs that stood on a list for the first time.
    pub jobs: u64,
    /// Results that were sent.
    pub results: u64,
    /// Statuses that were sent, for want of anything else to say.
    pub statuses: u64,
    /// Verdicts by their word.
    pub verdicts: BTreeMap<String, u64>,
}
