//! What is wrong with the coordinator, for readiness and the heartbeat.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bridge::source::Readiness;

/// The parts that requests need.
pub(crate) struct Health {
    gate: Box<dyn Fn() -> bool + Send + Sync>,
    is_store_up: AtomicBool,
    /// What the last audit has found, if anything.
    audit: Mutex<Option<String>>,
    is_draining: AtomicBool,
}

impl Health {
    /// Everything is well until somebody says otherwise, but for the gate, which is asked.
    pub(crate) fn new(gate: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let gate = Box::new(gate);
        Self {
            gate,
            is_store_up: AtomicBool::new(true),
            audit: Mutex::new(None),
            is_draining: AtomicBool::new(false),
        }
    }

    /// The driver has found the store to be there, or away.
    pub(crate) fn set_store(&self, is_up: bool) {
        self.is_store_up.store(is_up, Ordering::Relaxed);
    }

    /// The ledger was audited, and this is wrong with it.
    pub(crate) fn set_audit(&self, trouble: Option<String>) {
        // The value is replaced as a whole, so that whoever panicked has left nothing half done.
        *self.audit.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// The coordinator is stopping.
    pub(crate) fn set_draining(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Each part, with what is wrong with it.
    pub(crate) fn readiness(&self) -> Readiness {
        let trouble = |is_wrong: bool, what: &str| is_wrong.then(|| what.to_owned());
        let parts = vec![
            ("gate", trouble(!(self.gate)(), "messages on watched topics do not come back")),
            ("ledger", trouble(!self.is_store_up.load(Ordering::Relaxed), "it cannot be reached")),
            ("audit", self.audit.lock().unwrap_or_else(PoisonError::into_inner).clone()),
            ("intake", trouble(self.is_draining.load(Ordering::Relaxed), "the coordinator is stopping")),
        ];
        Readiness { parts }
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.readiness().fmt(f)
    }
}
