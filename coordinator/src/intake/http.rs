//! What the HTTP edge asks of the coordinator in its own process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bridge::source::{Answered, Readiness, Source, WorkRequest};
use marketplace::{Caller, NewRequest, RequestKey, Withdrawal};
use metrics_exporter_prometheus::PrometheusHandle;
use shared::pow::Root;
use shared::{Network, Outcome, Refusal, RequestId, ServiceId};
use tokio::sync::{mpsc, oneshot};

use super::registry::Registry;
use crate::answer::answer;
use crate::clock::Clock;
use crate::driver::Command;
use crate::entropy;
use crate::health::Health;

/// Numbers callers, over all ways in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Callers(Arc<AtomicU64>);

impl Callers {
    /// A number that was not used before.
    pub(crate) fn next(&self) -> Caller {
        Caller(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// The coordinator, as the HTTP edge sees it.
#[derive(Clone)]
pub(crate) struct InProcess {
    /// Whose thresholds apply.
    pub(crate) network: Network,
    /// Who may ask.
    pub(crate) registry: Registry,
    /// By which keys expire.
    pub(crate) clock: Clock,
    /// The driver.
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    /// Numbers callers.
    pub(crate) callers: Callers,
    /// What is wrong, if anything is.
    pub(crate) health: Arc<Health>,
    /// Renders metrics.
    pub(crate) metrics: PrometheusHandle,
}

/// Withdraws a caller that is dropped before it has its outcome: its client has hung up.
struct HangUp<'a> {
    caller: Option<Caller>,
    commands: &'a mpsc::UnboundedSender<Command>,
}

impl Drop for HangUp<'_> {
    fn drop(&mut self) {
        if let Some(caller) = self.caller.take() {
            // A driver that has stopped has nothing left to withdraw from.
            let _ = self.commands.send(Command::Withdraw(Withdrawal::Caller(caller)));
        }
    }
}

impl InProcess {
    async fn outcome(&self, new: NewRequest) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        if self.commands.send(Command::Ask { new, reply }).is_err() {
            return Outcome::Refused(Refusal::Draining);
        }
        let mut hang_up = HangUp { caller: Some(new.caller), commands: &self.commands };
        // A driver that ends with the request open may have asked for its settlement already.
        let outcome = answer(outcome, self.commands.closed()).await.unwrap_or(Outcome::Unsettled);
        hang_up.caller = None;
        outcome
    }
}

impl Source for InProcess {
    fn network(&self) -> Network {
        self.network
    }

    fn authenticate(&self, key: &str) -> Result<ServiceId, Refusal> {
        let now = self.clock.now();
        let proven = self.registry.prove(key, now).ok_or(Refusal::Unauthenticated)?;
        if self.registry.lets_in(proven, now) { Ok(proven.service) } else { Err(Refusal::Suspended) }
    }

    async fn ask(&self, service: ServiceId, asked: WorkRequest) -> Answered {
        let Some(request) = asked.request.or_else(new_request_id) else {
            let request = RequestId::from_u128(0);
            return Answered { request, outcome: Outcome::Refused(Refusal::Fault) };
        };
        let new = NewRequest {
            caller: self.callers.next(),
            key: RequestKey { service, request },
            root: asked.root,
            threshold: asked.threshold,
            timeout: asked.timeout,
        };
        Answered { request, outcome: self.outcome(new).await }
    }

    async fn withdraw_root(&self, service: ServiceId, root: Root) {
        let _ = self.commands.send(Command::Withdraw(Withdrawal::Root { service, root }));
    }

    fn readiness(&self) -> Readiness {
        self.health.readiness()
    }

    fn metrics(&self) -> String {
        self.metrics.render()
    }
}

fn new_request_id() -> Option<RequestId> {
    entropy::bytes().ok().map(|bytes| RequestId::from_u128(u128::from_be_bytes(bytes)))
}
