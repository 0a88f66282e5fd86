//! All accounts and payers, what is ready and what runs.

use std::collections::BTreeMap;

use shared::pow::Root;
use shared::{Account, ServiceId, Timestamp};

use super::payer::Payer;
use super::watched::Watched;
use super::{PrecacheStart, PrecacheState, PrecacheUse, Precached};
use crate::cache::Aging;
use crate::input::RequestKey;
use crate::ledger::{DaySpent, Purse};
use crate::limits::READY_MAX;

/// A precached work that nobody has asked for yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    /// How long it took, in milliseconds.
    pub(super) took_ms: u32,
}

/// What the market knows for working ahead.
#[derive(Debug)]
pub(crate) struct Precache {
    pub(super) payers: BTreeMap<ServiceId, Payer>,
    pub(super) accounts: BTreeMap<Account, Watched>,
    /// Whose next root a root is.
    pub(super) by_root: BTreeMap<Root, Account>,
    pub(super) running: BTreeMap<(ServiceId, Root), RequestKey>,
    pub(super) ready: Aging<(ServiceId, Root), Ready>,
    pub(super) requests_made: u64,
    /// Whether something that waits may be able to start.
    pub(crate) is_due: bool,
}

impl Precache {
    /// With what was kept.
    pub(crate) fn new(now: Timestamp, start: PrecacheStart, spent: &[DaySpent]) -> Self {
        let mut new = Self {
            payers: BTreeMap::new(),
            accounts: BTreeMap::new(),
            by_root: BTreeMap::new(),
            running: BTreeMap::new(),
            ready: Aging::new(READY_MAX),
            requests_made: 0,
            is_due: false,
        };
        for (service, terms) in start.terms {
            new.payer(service).terms = Some(terms);
        }
        for watch in start.watches {
            new.accounts.entry(watch.account).or_default().restore(&watch);
            new.payer(watch.service).accounts += 1;
        }
        for (account, watched) in &new.accounts {
            new.by_root.insert(watched.next_root(*account), *account);
        }
        for DaySpent { purse, day, amount } in spent {
            if let Purse::Precache(service) = purse {
                new.payer(*service).spend(now, *day, *amount);
            }
        }
        for Precached { service, root, at } in start.settled {
            // One that was asked for before the start, and is asked for once more, counts as a hit once more.
            new.ready.insert(now, at, (service, root), Ready { took_ms: 0 });
        }
        new
    }

    /// Accounts that are watched.
    pub(crate) fn watched(&self) -> impl Iterator<Item = Account> {
        self.accounts.keys().copied()
    }

    /// A service's precaching.
    pub(crate) fn state_of(&self, now: Timestamp, service: ServiceId) -> PrecacheState {
        let none = Payer::default();
        let payer = self.payers.get(&service).unwrap_or(&none);
        PrecacheState {
            terms: payer.terms,
            spent_today: payer.spent_today(now),
            accounts: payer.accounts,
            running: payer.running,
            waiting: payer.waiting.len(),
            used: payer.used,
        }
    }

    /// What it has come to for all services.
    pub(crate) fn used(&self) -> PrecacheUse {
        self.payers.values().fold(PrecacheUse::default(), |sum, payer| sum.plus(payer.used))
    }

    /// Precaches under way.
    pub(crate) fn running_count(&self) -> usize {
        self.running.len()
    }

    /// Services of which anything is known.
    pub(crate) fn services(&self) -> impl Iterator<Item = ServiceId> {
        self.payers.keys().copied()
    }

    pub(super) fn payer(&mut self, service: ServiceId) -> &mut Payer {
        self.payers.entry(service).or_default()
    }

    pub(super) fn has_opted_in(&self, service: ServiceId) -> bool {
        self.payers.get(&service).is_some_and(|payer| payer.terms.is_some())
    }
}
