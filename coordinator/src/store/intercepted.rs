//! A store for tests that comes between the verbs and the ledger, and answers every question as the ledger behind it does.

use std::collections::BTreeMap;

use marketplace::ledger::audit::{Audit, Report};
use marketplace::ledger::{DaySpent, JournalEntry, Party};
use marketplace::precache::{PrecacheTerms, Watch};
use shared::{ServiceId, Timestamp};

use super::memory::MemoryStore;
use super::{
    Answer, Balance, KnownKey, Later, LimitedKey, Numbered, ServiceRecord, SettledWork, Store, Verb,
    WorkerBan, WorkerSubject, WorkerTotal,
};

/// What a test does with verbs on their way to the ledger: hold them up, lose them, refuse them.
pub(crate) trait Intercept: Send + Sync + 'static {
    /// The ledger behind it.
    fn ledger(&self) -> &MemoryStore;

    /// Carries verbs out, or not.
    fn carry_out(&self, verbs: Vec<Verb>) -> Later<'_, Vec<Answer>>;
}

impl<T: Intercept> Store for T {
    fn execute(&self, verbs: Vec<Verb>) -> Later<'_, Vec<Answer>> {
        self.carry_out(verbs)
    }

    fn balance(&self, service: ServiceId) -> Later<'_, Option<Balance>> {
        self.ledger().balance(service)
    }

    fn parties(&self) -> Later<'_, BTreeMap<Party, i64>> {
        self.ledger().parties()
    }

    fn journal(&self, from: u64, count: usize) -> Later<'_, Vec<JournalEntry>> {
        self.ledger().journal(from, count)
    }

    fn services(&self) -> Later<'_, Vec<ServiceRecord>> {
        self.ledger().services()
    }

    fn keys(&self) -> Later<'_, Vec<KnownKey>> {
        self.ledger().keys()
    }

    fn key_limits(&self) -> Later<'_, Vec<LimitedKey>> {
        self.ledger().key_limits()
    }

    fn worker_bans(&self) -> Later<'_, Vec<WorkerBan>> {
        self.ledger().worker_bans()
    }

    fn precache_terms(&self) -> Later<'_, Vec<(ServiceId, PrecacheTerms)>> {
        self.ledger().precache_terms()
    }

    fn watches(&self) -> Later<'_, Vec<Watch>> {
        self.ledger().watches()
    }

    fn spent(&self) -> Later<'_, Vec<DaySpent>> {
        self.ledger().spent()
    }

    fn worker_totals(&self, of: Option<WorkerSubject>) -> Later<'_, Vec<WorkerTotal>> {
        self.ledger().worker_totals(of)
    }

    fn settled_since(&self, since: Timestamp, count: usize) -> Later<'_, Vec<SettledWork>> {
        self.ledger().settled_since(since, count)
    }

    fn settlements(&self, from: u64, count: usize) -> Later<'_, Vec<Numbered>> {
        self.ledger().settlements(from, count)
    }

    fn audit(&self, audit: Audit) -> Later<'_, (Audit, Report)> {
        self.ledger().audit(audit)
    }
}
