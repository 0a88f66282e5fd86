//! The model: what each verb means, in as few words as possible. Everything else that is a store must behave like it.
//!
//! Nothing survives the process. It looks through all settlements at each one, so it is for tests and for trying things out.

mod books;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use marketplace::ledger::audit::{Audit, Report};
use marketplace::ledger::{self, JournalEntry, Party, Posting, Sale, Split, Standing, WorkKey};
use shared::{Account, HoldId, KeyId, Millicredits, Payee, ServiceId, Timestamp, TransferId, WorkerId};

use super::{
    Answer, Balance, Bucket, DaySpent, KeyRecord, KnownKey, Later, LimitedKey, Numbered, PrecacheTerms,
    Purse, Reason, ServiceRecord, ServiceState, SettledWork, Settlement, Store, Verb, VerbRefused, Watch,
    WorkerBan, WorkerSubject, WorkerTotal,
};

/// A ledger in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    model: Mutex<Model>,
}

/// A hold that is open.
#[derive(Debug, Clone, Copy)]
struct Hold {
    service: ServiceId,
    parts: Split,
    expires: Timestamp,
    purse: Option<Purse>,
}

#[derive(Debug, Default)]
struct Model {
    services: BTreeMap<ServiceId, ServiceRecord>,
    keys: BTreeMap<KeyId, KnownKey>,
    key_limits: BTreeMap<String, LimitedKey>,
    bans: BTreeMap<WorkerSubject, WorkerBan>,
    precache: BTreeMap<ServiceId, PrecacheTerms>,
    watches: BTreeMap<(ServiceId, Account), Watch>,
    grants: BTreeMap<TransferId, (ServiceId, Millicredits, Bucket)>,
    holds: BTreeMap<HoldId, Hold>,
    /// In the order in which they were made.
    settlements: Vec<(Settlement, Answer)>,
    works_paid: BTreeSet<WorkKey>,
    /// What settlements have charged, in their order: of which purse, on which day.
    charges: Vec<(Purse, u64, Millicredits)>,
    journal: Vec<JournalEntry>,
    parties: BTreeMap<Party, i64>,
}

impl MemoryStore {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes a balance without a posting, which nothing but a fault could.
    #[cfg(test)]
    pub(crate) fn forge(&self, party: Party, amount: i64) {
        *self.model().parties.entry(party).or_default() += amount;
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        // Only a broken invariant panics while the lock is held, and then before anything has been written.
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn execute(&self, verbs: Vec<Verb>) -> Later<'_, Vec<Answer>> {
        Box::pin(async move {
            let mut model = self.model();
            Ok(verbs.into_iter().map(|verb| model.execute(verb)).collect())
        })
    }

    fn balance(&self, service: ServiceId) -> Later<'_, Option<Balance>> {
        Box::pin(async move {
            let model = self.model();
            Ok(model.services.contains_key(&service).then(|| model.balance(service)))
        })
    }

    fn parties(&self) -> Later<'_, BTreeMap<Party, i64>> {
        Box::pin(async move { Ok(self.model().parties.clone()) })
    }

    fn journal(&self, from: u64, count: usize) -> Later<'_, Vec<JournalEntry>> {
        Box::pin(async move {
            Ok(self
                .model()
                .journal
                .iter()
                .filter(|entry| entry.sequence >= from)
                .take(count)
                .copied()
                .collect())
        })
    }

    fn services(&self) -> Later<'_, Vec<ServiceRecord>> {
        Box::pin(async move { Ok(self.model().services.values().cloned().collect()) })
    }

    fn keys(&self) -> Later<'_, Vec<KnownKey>> {
        Box::pin(async move {
            let mut keys: Vec<KnownKey> = self.model().keys.values().cloned().collect();
            keys.sort_by_key(|KnownKey { record, .. }| (record.service, record.at, record.key.to_string()));
            Ok(keys)
        })
    }

    fn key_limits(&self) -> Later<'_, Vec<LimitedKey>> {
        Box::pin(async { Ok(self.model().key_limits.values().cloned().collect()) })
    }

    fn worker_bans(&self) -> Later<'_, Vec<WorkerBan>> {
        Box::pin(async move {
            let mut bans: Vec<WorkerBan> = self.model().bans.values().cloned().collect();
            bans.sort_by_key(|ban| ban.subject.to_string());
            Ok(bans)
        })
    }

    fn precache_terms(&self) -> Later<'_, Vec<(ServiceId, PrecacheTerms)>> {
        Box::pin(async move {
            Ok(self.model().precache.iter().map(|(service, terms)| (*service, *terms)).collect())
        })
    }

    fn watches(&self) -> Later<'_, Vec<Watch>> {
        Box::pin(async move { Ok(self.model().watches.values().copied().collect()) })
    }

    fn spent(&self) -> Later<'_, Vec<DaySpent>> {
        Box::pin(async move { Ok(self.model().spent()) })
    }

    fn worker_totals(&self, of: Option<WorkerSubject>) -> Later<'_, Vec<WorkerTotal>> {
        Box::pin(async move { Ok(self.model().worker_totals(of)) })
    }

    fn settled_since(&self, since: Timestamp, count: usize) -> Later<'_, Vec<SettledWork>> {
        Box::pin(async move { Ok(self.model().settled_since(since, count)) })
    }

    fn settlements(&self, from: u64, count: usize) -> Later<'_, Vec<Numbered>> {
        Box::pin(async move {
            let model = self.model();
            let numbered = (1..).zip(&model.settlements).filter(|(sequence, _)| *sequence >= from);
            let numbered = numbered.map(|(sequence, (settlement, answer))| Numbered {
                sequence,
                settlement: settlement.clone(),
                answer: answer.clone(),
            });
            Ok(numbered.take(count).collect())
        })
    }

    fn audit(&self, audit: Audit) -> Later<'_, (Audit, Report)> {
        Box::pin(async move {
            let Ok(audited) = audit.run(&*self.model());
            Ok(audited)
        })
    }
}

impl Model {
    fn execute(&mut self, verb: Verb) -> Answer {
        match verb {
            Verb::AddService { service, at } => {
                let (state, reason) = (ServiceState::Active, Reason::default());
                let new = ServiceRecord { service, at, state, since: at, reason };
                self.services.entry(service).or_insert(new);
                Answer::Done
            }
            Verb::SetServiceState { service, state, reason, at } => {
                self.set_service_state(service, state, reason, at)
            }
            Verb::AddKey(record) => self.add_key(record),
            Verb::ExpireKey { key, at } => self.expire_key(key, at),
            Verb::KeysUsed { used } => self.keys_used(used),
            Verb::BanWorker(ban) => {
                self.bans.insert(ban.subject, ban);
                Answer::Done
            }
            Verb::UnbanWorker { subject } => {
                self.bans.remove(&subject);
                Answer::Done
            }
            Verb::LimitKey(LimitedKey { service, .. })
            | Verb::SetPrecache { service, .. }
            | Verb::KeepWatch(Watch { service, .. })
            | Verb::DropWatch { service, .. }
                if !self.services.contains_key(&service) =>
            {
                Answer::Refused(VerbRefused::UnknownService)
            }
            Verb::LimitKey(limited) => {
                self.key_limits.insert(limited.key.to_string(), limited);
                Answer::Done
            }
            Verb::SetPrecache { service, terms: Some(terms) } => {
                self.precache.insert(service, terms);
                Answer::Done
            }
            Verb::SetPrecache { service, terms: None } => {
                self.precache.remove(&service);
                Answer::Done
            }
            Verb::KeepWatch(watch) => {
                self.watches.insert((watch.service, watch.account), watch);
                Answer::Done
            }
            Verb::DropWatch { service, account } => {
                self.watches.remove(&(service, account));
                Answer::Done
            }
            Verb::Grant { transfer, service, amount, bucket, at } => {
                self.grant(transfer, service, amount, bucket, at)
            }
            Verb::Hold { hold, service, amount, expires, purse } => {
                self.hold(hold, (service, amount), expires, purse)
            }
            Verb::Settle(settlement) => self.settle(settlement),
            Verb::Release { hold } => {
                self.holds.remove(&hold);
                Answer::Released
            }
            Verb::Expire { now } => {
                let holds: Vec<HoldId> =
                    self.holds.iter().filter(|(_, hold)| hold.expires <= now).map(|(id, _)| *id).collect();
                self.holds.retain(|_, hold| hold.expires > now);
                Answer::Expired { holds }
            }
        }
    }

    fn set_service_state(
        &mut self,
        service: ServiceId,
        state: ServiceState,
        reason: Reason,
        at: Timestamp,
    ) -> Answer {
        let Some(known) = self.services.get_mut(&service) else {
            return Answer::Refused(VerbRefused::UnknownService);
        };
        if known.state != state {
            (known.state, known.since, known.reason) = (state, at, reason);
        }
        Answer::Done
    }

    fn add_key(&mut self, record: KeyRecord) -> Answer {
        if !self.services.contains_key(&record.service) {
            return Answer::Refused(VerbRefused::UnknownService);
        }
        let means = |record: &KeyRecord| (record.service, record.mac, record.label.clone());
        match self.keys.get(&record.key) {
            Some(known) if means(&known.record) != means(&record) => Answer::Refused(VerbRefused::Mismatch),
            Some(_) => Answer::Done,
            None => {
                self.keys.insert(record.key, KnownKey { record, last_used: None });
                Answer::Done
            }
        }
    }

    fn keys_used(&mut self, used: Vec<(KeyId, Timestamp)>) -> Answer {
        for (key, at) in used {
            if let Some(known) = self.keys.get_mut(&key) {
                known.last_used = known.last_used.max(Some(at));
            }
        }
        Answer::Done
    }

    fn expire_key(&mut self, key: KeyId, at: Timestamp) -> Answer {
        let Some(KnownKey { record, .. }) = self.keys.get_mut(&key) else {
            return Answer::Refused(VerbRefused::UnknownKey);
        };
        record.expires = Some(record.expires.map_or(at, |expires| expires.min(at)));
        Answer::Done
    }

    fn grant(
        &mut self,
        transfer: TransferId,
        service: ServiceId,
        amount: Millicredits,
        bucket: Bucket,
        at: Timestamp,
    ) -> Answer {
        let issued = self.parties.get(&Party::Issuance).map_or(0, |balance| balance.unsigned_abs());
        let total = Millicredits::new(issued).checked_add(amount);
        if !self.services.contains_key(&service) {
            return Answer::Refused(VerbRefused::UnknownService);
        }
        match self.grants.get(&transfer) {
            Some(earlier) if *earlier == (service, amount, bucket) => return Answer::Done,
            Some(_) => return Answer::Refused(VerbRefused::Mismatch),
            None if self.settlement(transfer).is_some() || self.is_open(transfer) => {
                return Answer::Refused(VerbRefused::Mismatch);
            }
            None => {}
        }
        if amount == Millicredits::ZERO || total.is_none() {
            return Answer::Refused(VerbRefused::OutOfRange);
        }
        self.grants.insert(transfer, (service, amount, bucket));
        self.post(ledger::grant(transfer, service, bucket, amount, at));
        Answer::Done
    }

    fn hold(
        &mut self,
        id: HoldId,
        (service, amount): (ServiceId, Millicredits),
        expires: Timestamp,
        purse: Option<Purse>,
    ) -> Answer {
        let transfer = TransferId::of_hold(id);
        if let Some(hold) = self.holds.get(&id) {
            let same = (hold.service, hold.parts.total()) == (service, amount);
            let Split { granted, paid } = hold.parts;
            return if same {
                Answer::Held { granted, paid }
            } else {
                Answer::Refused(VerbRefused::Mismatch)
            };
        }
        if self.settlement(transfer).is_some() || self.grants.contains_key(&transfer) {
            return Answer::Refused(VerbRefused::Mismatch);
        }
        let Balance { granted, paid, .. } = self.balance(service);
        match ledger::split(amount, Split { granted, paid }) {
            Some(parts) if self.services.contains_key(&service) => {
                self.holds.insert(id, Hold { service, parts, expires, purse });
                Answer::Held { granted: parts.granted, paid: parts.paid }
            }
            _ => Answer::HoldRefused { available: self.balance(service).available() },
        }
    }

    fn settle(&mut self, settlement: Settlement) -> Answer {
        let Settlement { hold, service, root, nonce, payee, at, .. } = settlement;
        let transfer = TransferId::of_hold(hold);
        if let Some((earlier, answer)) = self.settlement(transfer) {
            let same = *earlier == Settlement { at: earlier.at, ..settlement };
            return if same { answer.clone() } else { Answer::Refused(VerbRefused::Mismatch) };
        }
        let Some(Hold { service: owner, parts, purse, .. }) = self.holds.get(&hold).copied() else {
            return Answer::HoldGone;
        };
        if owner != service {
            return Answer::Refused(VerbRefused::Mismatch);
        }
        let work = WorkKey { root, nonce };
        let repeats = self.settlements.iter().any(|(earlier, _)| {
            (earlier.service, earlier.root) == (service, root)
                && ledger::is_repeat(earlier.difficulty, earlier.at, settlement.threshold, at)
        });
        let standing = match self.works_paid.contains(&work) {
            _ if repeats => Standing::Repeat,
            true => Standing::Later,
            false => Standing::First,
        };
        let charge = ledger::settle(&Sale { transfer, service, work, payee, at }, parts, standing);
        self.holds.remove(&hold);
        if charge.charged > Millicredits::ZERO {
            self.works_paid.insert(work);
            self.charges.extend(purse.map(|purse| (purse, at.day(), charge.charged)));
        }
        charge.postings.into_iter().for_each(|posting| self.post(posting));
        let balance = self.balance(service).available();
        let answer = Answer::Settled { charged: charge.charged, balance, earned: charge.earned };
        self.settlements.push((settlement, answer.clone()));
        answer
    }

    fn spent(&self) -> Vec<DaySpent> {
        let purses: BTreeSet<Purse> = self.charges.iter().map(|(purse, ..)| *purse).collect();
        let last = |purse: Purse| {
            let of_purse = || self.charges.iter().filter(move |(other, ..)| *other == purse);
            let day = of_purse().map(|(_, day, _)| *day).max()?;
            let amount = of_purse().filter(|(_, other, _)| *other == day).map(|(.., charged)| *charged).sum();
            Some(DaySpent { purse, day, amount })
        };
        let mut spent: Vec<DaySpent> = purses.into_iter().filter_map(last).collect();
        spent.sort_by_key(|spent| spent.purse.to_string());
        spent
    }

    fn settled_since(&self, since: Timestamp, count: usize) -> Vec<SettledWork> {
        let newest_first = self.settlements.iter().rev();
        let mut settled: Vec<SettledWork> =
            newest_first.filter_map(|(settlement, answer)| SettledWork::of(settlement, answer)).collect();
        settled.retain(|work| work.at >= since);
        // Stable: of those made at the same time, the later one stays first.
        settled.sort_by_key(|work| Reverse(work.at));
        settled.truncate(count);
        settled
    }

    fn worker_totals(&self, of: Option<WorkerSubject>) -> Vec<WorkerTotal> {
        let mut totals: BTreeMap<(WorkerId, Payee), WorkerTotal> = BTreeMap::new();
        for (Settlement { worker, payee, at, .. }, answer) in &self.settlements {
            let (worker, payee, last) = (*worker, *payee, *at);
            let is_meant = of.is_none_or(|subject| subject.covers(worker, payee));
            let &Answer::Settled { earned, .. } = answer else { continue };
            if is_meant && earned > Millicredits::ZERO {
                let new = WorkerTotal { worker, payee, works: 0, earned: Millicredits::ZERO, last };
                let total = totals.entry((worker, payee)).or_insert(new);
                total.works += 1;
                total.earned = [total.earned, earned].into_iter().sum();
                total.last = total.last.max(last);
            }
        }
        totals.into_values().collect()
    }

    fn settlement(&self, transfer: TransferId) -> Option<&(Settlement, Answer)> {
        self.settlements.iter().find(|(settlement, _)| TransferId::of_hold(settlement.hold) == transfer)
    }

    fn is_open(&self, transfer: TransferId) -> bool {
        self.holds.keys().any(|hold| TransferId::of_hold(*hold) == transfer)
    }

    fn balance(&self, service: ServiceId) -> Balance {
        let settled =
            |party| Millicredits::new(self.parties.get(&party).map_or(0, |balance| balance.unsigned_abs()));
        let holds = || self.holds.values().filter(|hold| hold.service == service).map(|hold| hold.parts);
        let held = Split {
            granted: holds().map(|parts| parts.granted).sum(),
            paid: holds().map(|parts| parts.paid).sum(),
        };
        Balance {
            granted: settled(Party::Granted(service))
                .checked_sub(held.granted)
                .expect("held from what is there"),
            paid: settled(Party::Paid(service)).checked_sub(held.paid).expect("held from what is there"),
            held: held.total(),
        }
    }

    fn post(&mut self, posting: Posting) {
        let amount = posting.amount.as_i64();
        *self.parties.entry(posting.debit).or_default() -= amount;
        *self.parties.entry(posting.credit).or_default() += amount;
        let sequence = self.journal.len() as u64 + 1;
        self.journal.push(JournalEntry { sequence, posting });
    }
}

#[cfg(test)]
mod tests {
    use crate::store::conformance::conformance;
    use crate::store::memory::MemoryStore;

    conformance!(((), MemoryStore::new()));
}
