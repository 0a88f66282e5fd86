//! Whom the HTTP edge asks: the coordinator in its own process, or a network far away.

use std::future::Future;
use std::time::Duration;

use shared::pow::{Root, Threshold};
use shared::{Account, Network, Outcome, Refusal, RequestId, ServiceId};

/// A request for work, read and checked by the edge, but not yet admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkRequest {
    /// The service's own name for it; one is drawn when it gives none.
    pub request: Option<RequestId>,
    /// What work is wanted for.
    pub root: Root,
    /// What it must meet. Whether it is sold is the market's to say.
    pub threshold: Threshold,
    /// Whose block it is for, if the service says so.
    pub account: Option<Account>,
    /// How long the service will wait, 1 ms to [`TIMEOUT_MAX`].
    pub timeout: Duration,
}

/// Longest time that a request may take.
pub const TIMEOUT_MAX: Duration = Duration::from_mins(2);

/// The outcome of a request, and the name under which it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// As given, or as drawn.
    pub request: RequestId,
    /// Its one outcome.
    pub outcome: Outcome,
}

/// Whether requests are taken at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Each part by name, with what is wrong with it if anything is.
    pub parts: Vec<(&'static str, Option<String>)>,
}

impl Readiness {
    /// Whether nothing is wrong with any part.
    pub fn is_ready(&self) -> bool {
        self.parts.iter().all(|(_, trouble)| trouble.is_none())
    }
}

/// Whom the HTTP edge asks.
pub trait Source: Clone + Send + Sync + 'static {
    /// Whose thresholds apply.
    fn network(&self) -> Network;

    /// Which service an API key belongs to.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`], or why it cannot be decided now.
    fn authenticate(&self, key: &str) -> Result<ServiceId, Refusal>;

    /// Asks for work. Dropping the future withdraws the request, unless another caller waits for the same request id.
    fn ask(&self, service: ServiceId, request: WorkRequest) -> impl Future<Output = Answered> + Send;

    /// Withdraws all of a service's open requests for a root.
    fn withdraw_root(&self, service: ServiceId, root: Root) -> impl Future<Output = ()> + Send;

    /// Whether requests are taken at the moment.
    fn readiness(&self) -> Readiness;

    /// All metrics in Prometheus' text format.
    fn metrics(&self) -> String;
}
