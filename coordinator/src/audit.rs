//! Audits in a running coordinator: one at its start, and one after each interval.
//!
//! The first audit replays everything; later ones read what is new, and compare all balances. Once a day, and after one that was
//! red, everything is replayed again, since what lies behind could have been changed. While the last audit is red, the coordinator
//! is not ready and nothing new is sold; what is open goes on, since each settlement is checked by itself.

use std::sync::Arc;
use std::time::Duration;

use marketplace::ledger::audit::{Audit, Report, Violation};
use shared::Timestamp;
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use crate::clock::Clock;
use crate::driver::Command;
use crate::health::Health;
use crate::metrics;
use crate::store::{Store, StoreError};

/// How long what was replayed once is believed.
const REPLAYED_FOR: Duration = Duration::from_hours(24);
/// When an audit is tried again that could not be carried out.
const TRIED_AGAIN: Duration = Duration::from_mins(1);
/// How many violations the log names.
const LOGGED_MAX: usize = 10;

/// Whoever audits.
pub(crate) struct Auditor {
    /// What is audited.
    pub(crate) store: Arc<dyn Store>,
    /// How long after one audit the next one begins.
    pub(crate) interval: Duration,
    /// The only clock.
    pub(crate) clock: Clock,
    /// Told what is wrong.
    pub(crate) health: Arc<Health>,
    /// The driver, which is told whether anything is.
    pub(crate) commands: mpsc::UnboundedSender<Command>,
}

impl Auditor {
    /// Audits until the store has stopped.
    pub(crate) async fn run(self) {
        let mut audit = Audit::new();
        let mut replayed_since = self.clock.now();
        let mut known: Vec<Violation> = Vec::new();
        loop {
            let began = self.clock.now();
            if audit.is_new() || began.since(replayed_since) >= REPLAYED_FOR {
                (audit, replayed_since) = (Audit::new(), began);
            }
            let wait = match self.store.audit(std::mem::take(&mut audit)).await {
                Ok((seen, report)) => {
                    self.tell(&report, &known, began);
                    if report.is_green() {
                        audit = seen;
                    }
                    known = report.violations;
                    self.interval
                }
                Err(StoreError::Stopped) => return,
                Err(StoreError::Unavailable(cause)) => {
                    warn!(error = %cause, "the ledger could not be audited; its last verdict stands");
                    self.interval.min(TRIED_AGAIN)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Passes a verdict on. `known` is what the last one found: it is logged once.
    fn tell(&self, report: &Report, known: &[Violation], began: Timestamp) {
        let took = self.clock.now().since(began);
        metrics::ledger_audited(report, began, took);
        let found = report.violations_found;
        if !report.is_green() && report.violations != known {
            let named: Vec<String> =
                report.violations.iter().take(LOGGED_MAX).map(ToString::to_string).collect();
            error!(
                ledger.violations = found,
                ledger.imbalance = report.imbalance,
                ledger.found = %named.join("; "),
                "the ledger is wrong: nothing new is sold until an audit is green; run `dpow ledger audit`"
            );
        } else if report.is_green() && !known.is_empty() {
            info!("the ledger's audit is green again");
        }
        self.health.set_audit((!report.is_green()).then(|| {
            let is_one = found == 1;
            let noun = if is_one { "violation" } else { "violations" };
            format!("{found} {noun}, {} mc out of balance; run `dpow ledger audit`", report.imbalance)
        }));
        // A driver that has stopped sells nothing anyway.
        let _ = self.commands.send(Command::Audited { is_green: report.is_green() });
        debug!(ledger.postings = report.checked.postings, ledger.violations = found, elapsed = ?took, "audited");
    }
}

#[cfg(test)]
mod tests {
    use marketplace::ledger::Party;

    use super::*;
    use crate::store::memory::MemoryStore;

    /// The verdict that is waited for; others before it are from audits that had begun earlier.
    async fn verdict(told: &mut mpsc::UnboundedReceiver<Command>, wanted: bool) {
        loop {
            match told.recv().await.expect("the auditor runs") {
                Command::Audited { is_green } if is_green == wanted => return,
                Command::Audited { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn readiness_and_the_market_follow_the_verdict() {
        let (commands, mut told) = mpsc::unbounded_channel();
        let store = Arc::new(MemoryStore::new());
        let health = Arc::new(Health::new(|| true));
        let auditor = Auditor {
            store: Arc::clone(&store) as Arc<dyn Store>,
            interval: Duration::from_millis(1),
            clock: Clock::start(),
            health: Arc::clone(&health),
            commands,
        };
        let running = tokio::spawn(auditor.run());
        let audit_part = || {
            health
                .readiness()
                .parts
                .into_iter()
                .find_map(|(part, trouble)| (part == "audit").then_some(trouble).flatten())
        };
        for _ in 0..2 {
            verdict(&mut told, true).await;
            assert!(health.readiness().is_ready() && audit_part().is_none());
            store.forge(Party::House, 5);
            verdict(&mut told, false).await;
            let trouble = audit_part().expect("it is red");
            assert_eq!(trouble, "1 violation, 5 mc out of balance; run `dpow ledger audit`");
            assert!(!health.readiness().is_ready());
            store.forge(Party::House, -5);
        }
        verdict(&mut told, true).await;
        running.abort();
    }
}
