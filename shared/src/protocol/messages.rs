//! The messages. Plain structs and externally tagged enums only: the order of fields is the binary protocol, and serde's
//! `tag`, `untagged`, `flatten`, `default` and `skip` each break it. So is the order of variants.

use serde::{Deserialize, Serialize};

use super::codec::Message;
use crate::account::Account;
use crate::credits::Millicredits;
use crate::ids::{JobId, RequestId};
use crate::network::{BlockKind, Network};
use crate::outcome::{Answer, Outcome, WorkSource};
use crate::pow::{Difficulty, Multiplier, Nonce, Root, Threshold, Work};
use crate::refusal::Refusal;

/// Most jobs of a list.
pub const WORK_LIST_MAX: usize = 8;
/// Most devices that a worker reports.
pub const WORKER_DEVICES_MAX: usize = 16;
/// Longest text in a worker's messages, in bytes.
pub const WORKER_TEXT_MAX: usize = 48;
/// Largest uplink payload, in bytes.
const UPLINK_MAX: usize = 1024;
/// Largest downlink payload, in bytes: a full list as JSON has about 1.6 kB.
pub(super) const DOWNLINK_MAX: usize = 4096;

/// Whether somebody is waiting for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkKind {
    /// A request is waiting.
    OnDemand,
    /// Computed ahead, when there is nothing on demand.
    Precache,
}

impl WorkKind {
    /// The word in topics, logs and metrics: `ondemand` or `precache`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnDemand => "ondemand",
            Self::Precache => "precache",
        }
    }
}

/// `work/request/<worker>`: everything the worker is to do, in order. What is not in it is cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkList {
    /// Grows by one with each list of a session; an older one is ignored.
    pub sequence: u32,
    /// At most [`WORK_LIST_MAX`], in the order in which they are to be done.
    pub jobs: Vec<ListedJob>,
}

/// One job of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedJob {
    /// To be named in the result.
    pub job: JobId,
    /// What the nonce is searched for.
    pub root: Root,
    /// What it must meet.
    pub threshold: Threshold,
    /// Whether somebody is waiting.
    pub kind: WorkKind,
    /// Milliseconds until nobody is waiting any more, counted from the sending.
    pub remaining_ms: u32,
}

/// `work/result/<worker>`: a nonce for a job of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkResult {
    /// As listed.
    pub job: JobId,
    /// As listed; it lets a result be used whose job has ended.
    pub root: Root,
    /// What was found.
    pub nonce: Nonce,
}

/// What became of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Verdict {
    /// Valid and first: it answers the job.
    Accepted,
    /// Valid, but another result was first.
    Late {
        /// By how many milliseconds.
        by_ms: u32,
    },
    /// Valid, but nobody was waiting for it any more.
    Cancelled,
    /// The same result from the same worker again.
    Duplicate,
    /// The job is not remembered: it ended long ago, or before the coordinator's start.
    UnknownJob,
    /// It does not meet the threshold. Counts against the worker.
    BelowThreshold {
        /// What the nonce attains.
        difficulty: Difficulty,
        /// What was asked for.
        threshold: Threshold,
    },
    /// This worker was never given this root. Counts against the worker.
    NeverGiven,
}

impl Verdict {
    /// All words that [`as_str`](Self::as_str) gives.
    pub const NAMES: [&'static str; 7] =
        ["accepted", "late", "cancelled", "duplicate", "unknown_job", "below_threshold", "never_given"];

    /// The word in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Late { .. } => "late",
            Self::Cancelled => "cancelled",
            Self::Duplicate => "duplicate",
            Self::UnknownJob => "unknown_job",
            Self::BelowThreshold { .. } => "below_threshold",
            Self::NeverGiven => "never_given",
        }
    }

    /// Whether it counts against the worker: only what an honest program cannot send.
    pub const fn counts_against_worker(self) -> bool {
        matches!(self, Self::BelowThreshold { .. } | Self::NeverGiven)
    }
}

/// `work/verdict/<worker>`: what became of a result, and where the worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerdictNotice {
    /// As in the result.
    pub job: JobId,
    /// As in the result.
    pub root: Root,
    /// What became of it.
    pub verdict: Verdict,
    /// Counts of this worker since it connected.
    pub totals: WorkerTotals,
}

/// Counts of a worker since it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerTotals {
    /// Results that answered a job.
    pub accepted: u64,
    /// Valid results that another one preceded.
    pub late: u64,
    /// Results that count against the worker.
    pub refused: u64,
    /// What its results have earned, as last settled.
    pub earned_mc: Millicredits,
}

/// How a device searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Cores of a processor.
    Cpu,
    /// An OpenCL device.
    OpenCl,
    /// A browser's WebGPU.
    WebGpu,
    /// A browser's WebAssembly or script.
    Wasm,
}

/// One device of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceReport {
    /// At most [`WORKER_TEXT_MAX`] bytes.
    pub name: String,
    /// How it searches.
    pub backend: Backend,
    /// Measured at its start, in hashes a second.
    pub hashes_per_second: u64,
}

/// `worker/<worker>/hello`: what the worker is and what it is willing to do. Sent after each connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerHello {
    /// Program and version, at most [`WORKER_TEXT_MAX`] bytes.
    pub software: String,
    /// At most [`WORKER_DEVICES_MAX`].
    pub devices: Vec<DeviceReport>,
    /// Benchmark of all devices together, in hashes a second. A prior only: rates are measured from accepted results.
    pub hashes_per_second: u64,
    /// Jobs it wants on its list, 1 to [`WORK_LIST_MAX`].
    pub capacity: u8,
    /// The hardest it will do.
    pub threshold_max: Threshold,
    /// Whether it also works ahead of demand.
    pub precache: bool,
}

/// Why a worker does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// Its owner said so.
    Owner,
    /// The machine is in use.
    NotIdle,
    /// The machine runs on battery.
    Battery,
    /// A device is too hot.
    Temperature,
    /// Outside the hours its owner set.
    Schedule,
    /// A device failed.
    Device,
}

/// `worker/<worker>/status`: how the worker is doing, on change and at most every few seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerStatus {
    /// Of all devices together as measured lately, in hashes a second.
    pub hashes_per_second: u64,
    /// Of each device of the newest [`WorkerHello`] in its order, as measured lately, in hashes a second. Empty if the worker does
    /// not tell; at most [`WORKER_DEVICES_MAX`].
    pub devices_hashes_per_second: Vec<u64>,
    /// Hottest device, in degrees Celsius.
    pub temperature_c: Option<i16>,
    /// Set while it does not work.
    pub paused: Option<PauseReason>,
}

/// How hard the work of a request must be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceDemand {
    /// At least this.
    Threshold(Threshold),
    /// This many times the base send threshold.
    Multiplier(f64),
    /// Enough for a block of this kind.
    Subtype(BlockKind),
}

impl ServiceDemand {
    /// The least difficulty that will do on this network.
    pub fn threshold(self, network: Network) -> Threshold {
        match self {
            Self::Threshold(threshold) => threshold,
            Self::Subtype(kind) => network.threshold_of(kind),
            // The codec lets only finite numbers above zero through; 0 is out of every range and refused as such.
            Self::Multiplier(ratio) => Multiplier::try_new(ratio)
                .map_or(Threshold::new(0), |multiplier| multiplier.to_threshold(network.send_threshold())),
        }
    }
}

/// `service/<service>/request`: a service asks for work.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceRequest {
    /// Repeating it repeats the question, not the request.
    pub request: RequestId,
    /// What work is wanted for.
    pub root: Root,
    /// How hard it must be.
    pub demand: ServiceDemand,
    /// Whose block it is for, if the service says so.
    pub account: Option<Account>,
    /// Milliseconds it may take; the coordinator's default when absent.
    pub timeout_ms: Option<u32>,
    /// Whether it can wait behind what cannot; on demand when absent.
    pub class: Option<WorkKind>,
}

/// `service/<service>/cancel`: the service is no longer interested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceCancel {
    /// Which request.
    pub request: RequestId,
}

/// `service/<service>/reply`: the outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceReply {
    /// As in the request.
    pub request: RequestId,
    /// Work or a reason.
    pub outcome: ReplyOutcome,
}

/// The outcome as it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplyOutcome {
    /// Work was found.
    Work(RepliedWork),
    /// There is none to give. Nothing was charged, but for the exception that [`Refusal`] names.
    Refused(Refusal),
}

/// Work as it travels: unverified for whoever receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepliedWork {
    /// As in the request.
    pub root: Root,
    /// The nonce.
    pub nonce: Nonce,
    /// What the nonce attains.
    pub difficulty: Difficulty,
    /// How it was come by.
    pub source: WorkSource,
    /// Milliseconds from the arrival of the request to this reply.
    pub elapsed_ms: u32,
    /// What was charged.
    pub charged_mc: Millicredits,
    /// What is left, when the ledger was asked.
    pub balance_mc: Option<Millicredits>,
}

impl RepliedWork {
    /// The answer, hashed here: `None` if the nonce does not meet the threshold.
    pub fn verified(self, threshold: Threshold) -> Option<Answer> {
        let Self { root, nonce, source, elapsed_ms, charged_mc: charged, balance_mc: balance, .. } = self;
        let work = Work::verify(root, nonce, threshold)?;
        Some(Answer { work, source, elapsed_ms, charged, balance })
    }
}

impl From<Outcome> for ReplyOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Answered(answer) => Self::Work(RepliedWork {
                root: answer.work.root(),
                nonce: answer.work.nonce(),
                difficulty: answer.work.difficulty(),
                source: answer.source,
                elapsed_ms: answer.elapsed_ms,
                charged_mc: answer.charged,
                balance_mc: answer.balance,
            }),
            Outcome::Refused(refusal) => Self::Refused(refusal),
            Outcome::Unsettled => Self::Refused(Refusal::StoreUnavailable),
        }
    }
}

impl Message for WorkList {
    const SIZE_MAX: usize = DOWNLINK_MAX;

    fn check(&self) -> Result<(), &'static str> {
        if self.jobs.len() > WORK_LIST_MAX { Err("jobs: at most 8 are listed") } else { Ok(()) }
    }
}

impl Message for WorkResult {
    const SIZE_MAX: usize = UPLINK_MAX;
}

impl Message for VerdictNotice {
    const SIZE_MAX: usize = DOWNLINK_MAX;
}

impl Message for WorkerHello {
    const SIZE_MAX: usize = UPLINK_MAX;

    fn check(&self) -> Result<(), &'static str> {
        if self.software.len() > WORKER_TEXT_MAX {
            return Err("software: at most 48 bytes");
        }
        if self.devices.len() > WORKER_DEVICES_MAX {
            return Err("devices: at most 16 are reported");
        }
        if self.devices.iter().any(|device| device.name.len() > WORKER_TEXT_MAX) {
            return Err("devices: a name has at most 48 bytes");
        }
        if self.capacity == 0 || usize::from(self.capacity) > WORK_LIST_MAX {
            return Err("capacity: 1 to 8");
        }
        Ok(())
    }
}

impl Message for WorkerStatus {
    const SIZE_MAX: usize = UPLINK_MAX;

    fn check(&self) -> Result<(), &'static str> {
        if self.devices_hashes_per_second.len() > WORKER_DEVICES_MAX {
            return Err("devices_hashes_per_second: at most 16 are reported");
        }
        Ok(())
    }
}

impl Message for ServiceRequest {
    const SIZE_MAX: usize = UPLINK_MAX;

    fn check(&self) -> Result<(), &'static str> {
        match self.demand {
            ServiceDemand::Multiplier(ratio) if !(ratio > 0.0 && ratio.is_finite()) => {
                Err("multiplier: a finite number greater than 0")
            }
            _ => Ok(()),
        }
    }
}

impl Message for ServiceCancel {
    const SIZE_MAX: usize = UPLINK_MAX;
}

impl Message for ServiceReply {
    const SIZE_MAX: usize = DOWNLINK_MAX;
}
