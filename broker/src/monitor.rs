//! Whether the gate is alive, for the health endpoint and for the coordinator, which exits when it is not.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often the canary is sent round.
pub(crate) const CANARY_INTERVAL: Duration = Duration::from_secs(1);
/// Without a canary for so long, the gate is not healthy: one interval, and 2 s for the way.
const HEALTHY_WITHIN: Duration = Duration::from_secs(3);
/// Without a canary for so long, the gate is dead. Longer than the pauses of a machine that is merely overloaded.
const DEAD_AFTER: Duration = Duration::from_secs(10);

/// What a gate has died of. It cannot be repaired inside the process: the router cannot be started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GateDeath {
    /// The router does not take messages any more.
    #[error("the MQTT router has stopped")]
    RouterGone,
    /// The router takes messages, but none has come back for 10 s.
    #[error("the MQTT router does not deliver any more")]
    CanaryMissed,
    /// A task of the gate has panicked.
    #[error("a task of the MQTT gate has failed")]
    TaskFailed,
}

/// Watches a gate. Cheap to clone; does not keep the gate alive.
#[derive(Debug, Clone)]
pub struct GateMonitor {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    started: Instant,
    canary_seen: Mutex<Option<Instant>>,
    death: watch::Sender<Option<GateDeath>>,
}

impl GateMonitor {
    pub(crate) fn new() -> Self {
        let (started, death) = (Instant::now(), watch::Sender::new(None));
        Self { state: Arc::new(State { started, canary_seen: Mutex::new(None), death }) }
    }

    /// Whether messages on watched topics go round: the last canary came back within 3 s. Not yet so for the first
    /// milliseconds of a gate.
    pub fn is_healthy(&self) -> bool {
        let is_fresh = |seen: Instant| Instant::now().saturating_duration_since(seen) <= HEALTHY_WITHIN;
        self.state.death.borrow().is_none() && self.canary_seen().is_some_and(is_fresh)
    }

    /// Waits until the gate has died; for ever, if it does not. A gate that is shut down has not died.
    pub async fn died(&self) -> GateDeath {
        let mut death = self.state.death.subscribe();
        loop {
            if let Some(cause) = *death.borrow_and_update() {
                return cause;
            }
            // The sender lives in the state that is borrowed here, so this waits for a change and cannot fail.
            let _ = death.changed().await;
        }
    }

    /// The canary is back.
    pub(crate) fn canary_returned(&self) {
        *self.canary_seen() = Some(Instant::now());
    }

    /// Declares the gate dead if the canary has been away for too long.
    pub(crate) fn check_canary(&self) {
        let last = self.canary_seen().unwrap_or(self.state.started);
        if Instant::now().saturating_duration_since(last) > DEAD_AFTER {
            self.report(GateDeath::CanaryMissed);
        }
    }

    /// Declares the gate dead. The first cause stays.
    pub(crate) fn report(&self, cause: GateDeath) {
        let is_first = self.state.death.send_if_modified(|death| death.replace(cause).is_none());
        if is_first {
            tracing::error!(gate.death = %cause, "the MQTT gate is dead");
        }
    }

    /// Runs one of the gate's tasks; a panic in it is the gate's death.
    pub(crate) async fn supervise(self, task: impl Future<Output = ()>) {
        if AssertUnwindSafe(task).catch_unwind().await.is_err() {
            self.report(GateDeath::TaskFailed);
        }
    }

    fn canary_seen(&self) -> MutexGuard<'_, Option<Instant>> {
        self.state.canary_seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn without_its_canary_a_gate_falls_ill_and_then_dies() {
        let monitor = GateMonitor::new();
        assert!(!monitor.is_healthy());
        monitor.canary_returned();
        assert!(monitor.is_healthy());
        tokio::time::advance(HEALTHY_WITHIN + Duration::from_millis(1)).await;
        monitor.check_canary();
        assert!(!monitor.is_healthy());
        assert_eq!(monitor.died().now_or_never(), None);
        monitor.canary_returned();
        assert!(monitor.is_healthy());
        tokio::time::advance(DEAD_AFTER + Duration::from_millis(1)).await;
        monitor.check_canary();
        assert_eq!(monitor.died().now_or_never(), Some(GateDeath::CanaryMissed));
    }

    #[tokio::test]
    async fn a_failing_task_is_the_death_of_the_gate() {
        let monitor = GateMonitor::new();
        monitor.canary_returned();
        monitor.clone().supervise(async {}).await;
        assert!(monitor.is_healthy());
        monitor.clone().supervise(async { panic!("on purpose") }).await;
        assert_eq!(monitor.died().await, GateDeath::TaskFailed);
        assert!(!monitor.is_healthy());
    }
}
