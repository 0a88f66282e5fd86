//! Looking at things. Needs a store that answers reads, nothing more, so it also works on the ledger alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use marketplace::ledger::Party;
use marketplace::precache::PrecacheState;
use shared::{KeyId, Millicredits, Network, Payee, ServiceId, Timestamp, WorkerId};

use super::reply::{self, Reply};
use super::request::{JOURNAL_MAX, Read};
use super::similar::similar;
use super::{Live, Refused};
use crate::clock::Clock;
use crate::intake::registry::Registry;
use crate::store::{
    Balance, KnownKey, LimitedKey, Place, ServiceRecord, Store, WorkerBan, WorkerSubject, WorkerTotal,
};

/// What there is to look at.
pub(super) struct View {
    pub(super) network: Network,
    pub(super) clock: Clock,
    pub(super) store: Arc<dyn Store>,
    /// Where the ledger is.
    pub(super) place: Place,
    pub(super) live: Option<Live>,
    /// Knows which keys were used that the store has not been told of yet.
    pub(super) registry: Option<Registry>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("network", &self.network).finish_non_exhaustive()
    }
}

impl View {
    pub(super) async fn read(&self, read: Read) -> Result<Reply, Refused> {
        Ok(match read {
            Read::Status => Reply::Status(Box::new(self.status().await?)),
            Read::Services => Reply::Services(self.services().await?),
            Read::Service { service } => {
                let (service, keys) = (self.service(service).await?, self.keys(Some(service)).await?);
                Reply::Service { service, keys }
            }
            Read::Keys { service } => {
                if let Some(service) = service {
                    self.record(service).await?;
                }
                Reply::Keys(self.keys(service).await?)
            }
            Read::Balance { service } => Reply::Balance(self.balance(service).await?),
            Read::Journal { from, count } => {
                Reply::Journal(self.store.journal(from, count.min(JOURNAL_MAX)).await?)
            }
            Read::Workers { all } => Reply::Workers(self.workers(all).await?),
            Read::Worker { subject } => self.worker(subject).await?,
            Read::Bans => Reply::Bans(self.bans().await?),
            Read::Usage { service } => Reply::Usage(self.usage(service).await?),
        })
    }

    /// Whether what is held is known.
    pub(super) fn is_live(&self) -> bool {
        self.live.is_some()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn status(&self) -> Result<reply::Status, Refused> {
        let services = self.store.services().await?;
        let held = if self.is_live() {
            let mut held = Vec::new();
            for ServiceRecord { service, .. } in &services {
                held.push(self.store.balance(*service).await?.unwrap_or_default().held);
            }
            Some(held.into_iter().sum())
        } else {
            None
        };
        let server = match &self.live {
            Some(live) => Some(live.status(self.now()).await?),
            None => None,
        };
        Ok(reply::Status {
            network: self.network,
            server,
            credits: credits(&self.store.parties().await?, held),
            ledger: reply::LedgerFile {
                path: self.place.absolute(),
                size_bytes: self.place.size_bytes(),
                services: services.len() as u64,
            },
        })
    }

    async fn services(&self) -> Result<Vec<reply::Service>, Refused> {
        let mut keys_valid: BTreeMap<ServiceId, usize> = BTreeMap::new();
        for key in self.keys(None).await?.into_iter().filter(|key| key.valid) {
            *keys_valid.entry(key.service).or_default() += 1;
        }
        let mut services = Vec::new();
        for record in self.store.services().await? {
            let balance = self.store.balance(record.service).await?.unwrap_or_default();
            let keys_valid = keys_valid.get(&record.service).copied().unwrap_or(0);
            services.push(self.service_of(&record, balance, keys_valid));
        }
        Ok(services)
    }

    pub(super) async fn service(&self, service: ServiceId) -> Result<reply::Service, Refused> {
        let record = self.record(service).await?;
        let balance = self.store.balance(service).await?.unwrap_or_default();
        let keys_valid = self.keys(Some(service)).await?.iter().filter(|key| key.valid).count();
        Ok(self.service_of(&record, balance, keys_valid))
    }

    fn service_of(&self, record: &ServiceRecord, balance: Balance, keys_valid: usize) -> reply::Service {
        reply::Service {
            service: record.service,
            state: record.state,
            state_at_us: record.since,
            reason: record.reason.clone(),
            added_at_us: record.at,
            credits: reply::ServiceCredits::new(balance, self.is_live()),
            keys_valid,
        }
    }

    /// What is kept of a service.
    pub(super) async fn record(&self, service: ServiceId) -> Result<ServiceRecord, Refused> {
        let records = self.store.services().await?;
        let found = records.iter().find(|record| record.service == service).cloned();
        found.ok_or_else(|| {
            let names = records.iter().map(|record| record.service);
            Refused::UnknownService { service, similar: similar(service.as_str(), names) }
        })
    }

    pub(super) async fn balance(&self, service: ServiceId) -> Result<reply::ServiceBalance, Refused> {
        match self.store.balance(service).await? {
            Some(balance) => {
                let credits = reply::ServiceCredits::new(balance, self.is_live());
                Ok(reply::ServiceBalance { service, credits })
            }
            // It says which names are like it.
            None => {
                Err(self.record(service).await.err().unwrap_or(Refused::Fault("a service has no balance")))
            }
        }
    }

    /// Keys of one service, or all.
    async fn keys(&self, service: Option<ServiceId>) -> Result<Vec<reply::Key>, Refused> {
        let keys = self.store.keys().await?.into_iter();
        let is_meant = |key: &KnownKey| service.is_none_or(|service| key.record.service == service);
        let limits = self.store.key_limits().await?;
        Ok(keys.filter(is_meant).map(|key| self.key_of(key, &limits)).collect())
    }

    pub(super) async fn key(&self, key: KeyId) -> Result<reply::Key, Refused> {
        let keys = self.store.keys().await?;
        if let Some(known) = keys.iter().find(|known| known.record.key == key) {
            return Ok(self.key_of(known.clone(), &self.store.key_limits().await?));
        }
        let ids = keys.iter().map(|known| known.record.key);
        Err(Refused::UnknownKey { key, similar: similar(&key.to_string(), ids) })
    }

    fn key_of(&self, KnownKey { record, last_used }: KnownKey, limits: &[LimitedKey]) -> reply::Key {
        let limits = limits.iter().find(|limited| limited.key == record.key);
        let limits = limits.map(|limited| limited.limits.clone()).unwrap_or_default();
        let lately = self.registry.as_ref().and_then(|registry| registry.last_used(record.key));
        reply::Key {
            key: record.key,
            service: record.service,
            valid: !record.is_over(self.now()),
            label: record.label,
            issued_at_us: record.at,
            expires_at_us: record.expires,
            last_used_at_us: last_used.max(lately),
            test: limits.is_test,
            spend_per_day_mc: limits.spend_per_day,
            allow: limits.allow,
        }
    }

    async fn workers(&self, all: bool) -> Result<Vec<reply::Worker>, Refused> {
        let mut workers = match &self.live {
            Some(live) => live.workers().await?,
            None => Vec::new(),
        };
        if all {
            join_totals(&mut workers, self.store.worker_totals(None).await?);
        }
        Ok(workers)
    }

    async fn worker(&self, subject: WorkerSubject) -> Result<Reply, Refused> {
        let mut workers = match &self.live {
            Some(live) => live.workers().await?,
            None => Vec::new(),
        };
        workers.retain(|worker| subject.covers(worker.worker, worker.payee));
        join_totals(&mut workers, self.store.worker_totals(Some(subject)).await?);
        let shown: BTreeSet<WorkerSubject> = workers.iter().flat_map(subjects_of).chain([subject]).collect();
        let bans: Vec<_> =
            self.bans().await?.into_iter().filter(|ban| shown.contains(&ban.subject)).collect();
        if workers.is_empty() && bans.is_empty() {
            return Err(Refused::UnknownWorker { subject });
        }
        Ok(Reply::Worker { workers, bans })
    }

    pub(super) async fn bans(&self) -> Result<Vec<reply::Ban>, Refused> {
        let bans = self.store.worker_bans().await?;
        Ok(bans.into_iter().map(|ban| self.ban_of(ban)).collect())
    }

    /// What working ahead has come to: with the server, since its start; without one, only the terms are known.
    async fn usage(&self, service: Option<ServiceId>) -> Result<Vec<reply::Usage>, Refused> {
        if let Some(service) = service {
            self.record(service).await?;
        }
        let states = if let Some(live) = &self.live {
            live.precaching(service).await?
        } else {
            let terms = self.store.precache_terms().await?;
            let is_meant = |of: &ServiceId| service.is_none_or(|service| service == *of);
            let terms = terms.into_iter().filter(|(of, _)| is_meant(of));
            let state = |terms| PrecacheState { terms: Some(terms), ..PrecacheState::default() };
            terms.map(|(service, terms)| (service, state(terms))).collect()
        };
        Ok(states.into_iter().map(|(service, state)| reply::Usage::new(service, &state)).collect())
    }

    pub(super) fn ban_of(&self, ban: WorkerBan) -> reply::Ban {
        reply::Ban {
            subject: ban.subject,
            holds: !ban.is_over(self.now()),
            reason: ban.reason,
            banned_at_us: ban.at,
            ends_at_us: ban.until,
        }
    }
}

/// By what a worker may have been shut out.
fn subjects_of(worker: &reply::Worker) -> impl Iterator<Item = WorkerSubject> + use<> {
    let account = match worker.payee {
        Payee::Account(account) => Some(WorkerSubject::Account(account)),
        Payee::House => None,
    };
    [Some(WorkerSubject::Worker(worker.worker)), account].into_iter().flatten()
}

/// Puts what workers have earned beside their connections, and those that are not connected behind them.
fn join_totals(workers: &mut Vec<reply::Worker>, totals: Vec<WorkerTotal>) {
    let mut totals: BTreeMap<(WorkerId, Payee), reply::Total> = totals
        .into_iter()
        .map(|WorkerTotal { worker, payee, works, earned, last }| {
            ((worker, payee), reply::Total { works, earned_mc: earned, last_at_us: last })
        })
        .collect();
    for worker in workers.iter_mut() {
        worker.total = totals.remove(&(worker.worker, worker.payee));
    }
    workers.extend(totals.into_iter().map(|((worker, payee), total)| reply::Worker {
        worker,
        payee,
        connection: None,
        total: Some(total),
    }));
}

/// What all parties together say of the credits.
fn credits(parties: &BTreeMap<Party, i64>, held: Option<Millicredits>) -> reply::Credits {
    let of = |is_meant: fn(&Party) -> bool| {
        let amounts = parties.iter().filter(|(party, _)| is_meant(party));
        Millicredits::new(amounts.map(|(_, amount)| *amount).sum::<i64>().unsigned_abs())
    };
    let issued_mc = of(|party| *party == Party::Issuance);
    let outstanding_mc = of(|party| matches!(party, Party::Granted(_) | Party::Paid(_)));
    reply::Credits {
        issued_mc,
        spent_mc: issued_mc.saturating_sub(outstanding_mc),
        held_mc: held,
        outstanding_mc,
    }
}
