//! How a request ends: exactly once, with work or with a reason.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::credits::Millicredits;
use crate::pow::Work;
use crate::refusal::Refusal;

/// The one outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Work was found and, if anything was due, paid for.
    Answered(Answer),
    /// Nothing was charged.
    Refused(Refusal),
    /// Work was found, but the ledger has not said whether it is paid for. Asking again is free if it was. On every edge this is
    /// [`Refusal::StoreUnavailable`], without the word that nothing was charged.
    Unsettled,
}

impl Outcome {
    /// The reason, when there is no work.
    pub const fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Answered(_) => None,
            Self::Refused(refusal) => Some(*refusal),
            Self::Unsettled => Some(Refusal::StoreUnavailable),
        }
    }
}

/// Work, and what it cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Meets the request's threshold.
    pub work: Work,
    /// How it was come by.
    pub source: WorkSource,
    /// Milliseconds from the arrival of the request to this answer.
    pub elapsed_ms: u32,
    /// What was charged; zero when the service had paid for this root before.
    pub charged: Millicredits,
    /// What the service may still spend, as far as the ledger was asked: a free repeat is answered without it.
    pub balance: Option<Millicredits>,
}

/// How the work of an answer was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkSource {
    /// Workers computed it while the request waited.
    OnDemand,
    /// It was computed ahead for a new frontier.
    Precache,
    /// It had been computed before for the same root.
    Cache,
}

impl WorkSource {
    /// The word on every edge: `ondemand`, `precache` or `cache`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnDemand => "ondemand",
            Self::Precache => "precache",
            Self::Cache => "cache",
        }
    }
}

impl fmt::Display for WorkSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
