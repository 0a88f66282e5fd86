//! What the market does when a block is seen, a request comes, or a precache ends.

use std::collections::BTreeSet;

use shared::pow::Root;
use shared::protocol::WorkKind;
use shared::{Account, Outcome, Refusal, RequestId, ServiceId, Timestamp, WorkSource};

use super::payer::Wanted;
use super::state::Ready;
use super::watched::News;
use super::{Frontier, PrecacheRefused, PrecacheState, PrecacheTerms, PrecacheUse, Prefetched};
use crate::effect::{Effect, Effects};
use crate::input::{Caller, NamedAccounts, NewRequest, Prefetch, RequestKey};
use crate::limits::{
    ACCOUNTS_MAX, ACCOUNTS_PER_SERVICE_MAX, PRECACHE_RUNNING_MAX, PRECACHE_TIMEOUT, PRECACHE_WAITING_MAX,
    UNUSED_BLOCKS_MAX, WORK_KEPT,
};
use crate::market::Marketplace;
use crate::requests::State;

/// How exactly it is kept when an account was last used.
const USED_TO: core::time::Duration = core::time::Duration::from_hours(1);

impl Marketplace {
    /// Accounts whose confirmations are of interest.
    pub fn watched_accounts(&self) -> impl Iterator<Item = Account> {
        self.precache.watched()
    }

    /// A service's precaching.
    pub fn precache_of(&self, now: Timestamp, service: ServiceId) -> PrecacheState {
        self.precache.state_of(now, service)
    }

    /// Every service of which something is known ahead of demand.
    pub fn precaching_services(&self) -> impl Iterator<Item = ServiceId> {
        self.precache.services()
    }

    /// What precaching has come to for all services since the start, and how many precaches are under way.
    pub fn precache_used(&self) -> (PrecacheUse, usize) {
        (self.precache.used(), self.precache.running_count())
    }

    pub(crate) fn set_precache(
        &mut self,
        now: Timestamp,
        service: ServiceId,
        terms: Option<PrecacheTerms>,
        effects: &mut Effects,
    ) {
        self.precache.payer(service).terms = terms;
        self.precache.is_due = true;
        if terms.is_some() {
            return;
        }
        self.precache.payer(service).waiting.clear();
        self.end_precaches_of(now, service, Refusal::Cancelled, effects);
        let accounts = self.precache.accounts.iter();
        let accounts = accounts.filter(|(_, watched)| watched.users.contains_key(&service));
        let accounts: Vec<Account> = accounts.map(|(account, _)| *account).collect();
        for account in accounts {
            self.stop_watching(service, account, effects);
        }
    }

    pub(crate) fn frontier_seen(&mut self, now: Timestamp, seen: Frontier, effects: &mut Effects) {
        let account = seen.account;
        let Some(watched) = self.precache.accounts.get_mut(&account) else { return };
        let before = watched.next_root(account);
        match watched.see(now, &seen) {
            News::Same => self.resume(now, account),
            News::Older => {}
            News::Unclear => effects.push(Effect::LookUp { account }),
            News::Forward => {
                self.supersede(now, account, before, effects);
                let unused = self.precache.accounts.get(&account).map_or(0, |watched| watched.unused);
                if unused > UNUSED_BLOCKS_MAX {
                    for service in self.users_of(account) {
                        self.stop_watching(service, account, effects);
                    }
                } else {
                    self.plan(now, account);
                    self.keep(account, effects);
                }
            }
        }
    }

    /// Decides whether the next root of an account is computed, and for whom.
    fn plan(&mut self, now: Timestamp, account: Account) {
        let Some(watched) = self.precache.accounts.get_mut(&account) else { return };
        let root = watched.next_root(account);
        watched.planned = Some(root);
        let is_regular = watched.is_regular();
        let payers = watched.users.iter().map(|(service, used)| (*used, *service));
        let mut payers: Vec<(Timestamp, ServiceId)> = payers.collect();
        payers
            .retain(|(_, service)| self.precache.has_opted_in(*service) && !self.suspended.contains(service));
        let Some((_, service)) = payers.into_iter().max() else { return };
        if !is_regular {
            self.precache.payer(service).used.irregular += 1;
            return;
        }
        let threshold = self.policy.base;
        let is_there = self.cache.find_settled(now, service, root, threshold).is_some()
            || self.precache.running.contains_key(&(service, root));
        let payer = self.precache.payer(service);
        if is_there || payer.is_waiting(root) {
            return;
        }
        if payer.waiting.len() >= PRECACHE_WAITING_MAX {
            payer.used.failed += 1;
            return;
        }
        payer.waiting.push_back(Wanted { root, threshold, account: Some(account) });
        self.precache.is_due = true;
    }

    /// Plans once more what a restart has interrupted, as long as a block is still expected.
    fn resume(&mut self, now: Timestamp, account: Account) {
        let Some(watched) = self.precache.accounts.get(&account) else { return };
        let since = watched.confirmed.max(watched.users.values().max().copied());
        let is_planned = watched.planned == Some(watched.next_root(account));
        if !is_planned && since.is_some_and(|since| now.since(since) < WORK_KEPT) {
            self.plan(now, account);
        }
    }

    /// An account has gone on: what was computed for its former next root is of no use any more.
    fn supersede(&mut self, now: Timestamp, account: Account, before: Root, effects: &mut Effects) {
        if self.precache.by_root.get(&before) == Some(&account) {
            self.precache.by_root.remove(&before);
        }
        if let Some(watched) = self.precache.accounts.get(&account) {
            self.precache.by_root.insert(watched.next_root(account), account);
        }
        for service in self.users_of(account) {
            self.precache.payer(service).waiting.retain(|wanted| wanted.account != Some(account));
            if self.precache.ready.remove((service, before)).is_some() {
                self.precache.payer(service).used.wasted += 1;
            }
            if let Some(key) = self.precache.running.get(&(service, before)).copied() {
                self.precache.payer(service).used.superseded += 1;
                self.end_unsettled(now, key, Refusal::Cancelled, effects);
            }
        }
    }

    /// A service asks: counts what precaching was good for, and notes that the account is in use. Returns where the work comes
    /// from if it is paid for already.
    pub(crate) fn precache_asked(
        &mut self,
        now: Timestamp,
        new: &NewRequest,
        is_paid_for: bool,
        effects: &mut Effects,
    ) -> WorkSource {
        let (service, root) = (new.key.service, new.root);
        if !self.precache.has_opted_in(service) {
            return WorkSource::Cache;
        }
        let account = new.account.or_else(|| self.precache.by_root.get(&root).copied());
        let watched = account.and_then(|account| Some((account, self.precache.accounts.get(&account)?)));
        let was_foreseen = watched.is_some_and(|(account, watched)| {
            watched.users.contains_key(&service) && watched.next_root(account) == root
        });
        let running = self.precache.running.get(&(service, root)).copied();
        let ready = self.precache.ready.remove((service, root));
        let payer = self.precache.payer(service);
        payer.waiting.retain(|wanted| wanted.root != root);
        let mut source = WorkSource::Cache;
        match (ready, running, is_paid_for) {
            (Some(Ready { took_ms }), _, true) => {
                payer.used.hits += 1;
                payer.used.saved_ms += u64::from(took_ms);
                source = WorkSource::Precache;
            }
            (None, Some(key), false) => {
                payer.used.late += 1;
                // Its hold may be the last of the service's credits, which the request itself needs now.
                self.end_unsettled(now, key, Refusal::Cancelled, effects);
            }
            (_, _, false) if was_foreseen => payer.used.missed += 1,
            _ => {}
        }
        if let Some(account) = account {
            self.use_account(now, service, account, new.account.map(|_| root), effects);
        }
        source
    }

    /// Notes that a service uses an account, and, where it says so, which block it is building on.
    fn use_account(
        &mut self,
        now: Timestamp,
        service: ServiceId,
        account: Account,
        told: Option<Root>,
        effects: &mut Effects,
    ) {
        let is_known = self.precache.accounts.get(&account).is_some_and(|it| it.users.contains_key(&service));
        if !is_known && (told.is_none() || !self.start_watching(now, service, account, effects)) {
            return;
        }
        let Some(watched) = self.precache.accounts.get_mut(&account) else { return };
        let before = watched.next_root(account);
        let last = watched.users.iter().map(|(user, used)| (*used, *user)).max();
        let was_last = last.is_some_and(|(used, user)| user == service && now.since(used) < USED_TO);
        let is_moved = told.is_some_and(|root| root != before);
        let is_news = !is_known || !was_last || is_moved || watched.unused > 0;
        watched.users.insert(service, now);
        watched.unused = 0;
        if let Some(root) = told.filter(|_| is_moved) {
            watched.told(account, root);
            self.supersede(now, account, before, effects);
        }
        // It asks for this root itself: there is nothing to foresee before the next block.
        if let Some(watched) = self.precache.accounts.get_mut(&account) {
            watched.planned = Some(watched.next_root(account));
        }
        if is_news {
            self.keep(account, effects);
        }
    }

    pub(crate) fn accounts_named(&mut self, now: Timestamp, named: &NamedAccounts, effects: &mut Effects) {
        let NamedAccounts { caller, service, is_watched, .. } = *named;
        let accounts: BTreeSet<Account> = named.accounts.iter().copied().collect();
        let taken = if is_watched {
            self.watch_all(now, service, &accounts, effects)
        } else {
            for account in accounts {
                self.stop_watching(service, account, effects);
            }
            Ok(())
        };
        let taken = taken.map(|()| self.precache.payer(service).accounts);
        effects.push(Effect::AccountsReply { caller, taken });
    }

    fn watch_all(
        &mut self,
        now: Timestamp,
        service: ServiceId,
        accounts: &BTreeSet<Account>,
        effects: &mut Effects,
    ) -> Result<(), PrecacheRefused> {
        self.may_precache(service)?;
        let known = |account: &&Account| self.precache.accounts.get(account);
        let of_all = accounts.iter().filter(|account| known(account).is_none()).count();
        let is_new = |account: &&Account| known(account).is_none_or(|it| !it.users.contains_key(&service));
        let of_service = accounts.iter().filter(is_new).count();
        if self.precache.payer(service).accounts + of_service > ACCOUNTS_PER_SERVICE_MAX {
            return Err(PrecacheRefused::AccountsOfService);
        }
        if self.precache.accounts.len() + of_all > ACCOUNTS_MAX {
            return Err(PrecacheRefused::Accounts);
        }
        for account in accounts {
            self.start_watching(now, service, *account, effects);
            if let Some(watched) = self.precache.accounts.get_mut(account) {
                watched.users.insert(service, now);
                watched.unused = 0;
            }
            self.keep(*account, effects);
        }
        Ok(())
    }

    pub(crate) fn prefetch(&mut self, now: Timestamp, prefetch: &Prefetch, effects: &mut Effects) {
        let Prefetch { caller, service, threshold, .. } = *prefetch;
        let taken = self.may_precache(service).and_then(|()| {
            let is_sold = self.policy.sells(threshold);
            if is_sold { Ok(()) } else { Err(PrecacheRefused::Threshold) }
        });
        let taken = taken.map(|()| {
            let roots = prefetch.roots.iter();
            roots
                .map(|root| {
                    self.prefetch_root(now, service, Wanted { root: *root, threshold, account: None })
                })
                .collect()
        });
        effects.push(Effect::PrefetchReply { caller, taken });
    }

    fn prefetch_root(&mut self, now: Timestamp, service: ServiceId, wanted: Wanted) -> Prefetched {
        let (root, price) = (wanted.root, self.policy.price(wanted.threshold));
        if self.cache.find_settled(now, service, root, wanted.threshold).is_some() {
            return Prefetched::Ready;
        }
        if self.precache.running.contains_key(&(service, root)) {
            return Prefetched::Running;
        }
        let payer = self.precache.payer(service);
        if payer.is_waiting(root) {
            return Prefetched::Waiting;
        }
        if payer.waiting.len() >= PRECACHE_WAITING_MAX {
            return Prefetched::Full;
        }
        if !payer.can_spend(now, price, payer.waiting.len() + 1) {
            payer.used.over_budget += 1;
            return Prefetched::OverBudget;
        }
        payer.waiting.push_back(wanted);
        self.precache.is_due = true;
        Prefetched::Waiting
    }

    fn may_precache(&self, service: ServiceId) -> Result<(), PrecacheRefused> {
        if self.suspended.contains(&service) {
            Err(PrecacheRefused::Suspended)
        } else if self.precache.has_opted_in(service) {
            Ok(())
        } else {
            Err(PrecacheRefused::Off)
        }
    }

    /// Starts what waits, as far as places, budgets and the market allow.
    pub(crate) fn start_precaches(&mut self, now: Timestamp, effects: &mut Effects) {
        if !std::mem::take(&mut self.precache.is_due) {
            return;
        }
        let services: Vec<ServiceId> = self
            .precache
            .payers
            .iter()
            .filter(|(_, payer)| !payer.waiting.is_empty() && payer.has_place())
            .map(|(service, _)| *service)
            .collect();
        for service in services {
            while self.precache.running.len() < PRECACHE_RUNNING_MAX
                && self.start_precache(now, service, effects)
            {}
        }
    }

    /// Starts the next root of a service; `false` when nothing more of it can start for now.
    fn start_precache(&mut self, now: Timestamp, service: ServiceId, effects: &mut Effects) -> bool {
        let payer = self.precache.payer(service);
        if !payer.has_place() {
            return false;
        }
        let Some(wanted) = payer.waiting.front().copied() else { return false };
        self.precache.requests_made += 1;
        // Of this run, so that no service can have chosen it for a request of its own by chance.
        let request = (u128::from(self.instance) << 64) | u128::from(self.precache.requests_made);
        let key = RequestKey { service, request: RequestId::from_u128(request) };
        let new = NewRequest {
            caller: Caller(0),
            key,
            root: wanted.root,
            threshold: wanted.threshold,
            timeout: PRECACHE_TIMEOUT,
            account: wanted.account,
            class: WorkKind::Precache,
            spender: None,
        };
        let refusal =
            self.refuses(now, &new).or_else(|| self.requests.contains_key(&key).then_some(Refusal::Conflict));
        let price = self.policy.price(wanted.threshold);
        let payer = self.precache.payer(service);
        match refusal {
            // It will be back.
            Some(Refusal::StoreUnavailable | Refusal::Overloaded) => return false,
            Some(_) => {
                payer.waiting.pop_front();
                payer.used.failed += 1;
                return true;
            }
            None => {}
        }
        payer.waiting.pop_front();
        if !payer.can_spend(now, price, 1) {
            payer.used.over_budget += 1;
            return true;
        }
        payer.begin(price);
        self.precache.running.insert((service, wanted.root), key);
        self.admit(now, (WorkKind::Precache, now + PRECACHE_TIMEOUT), new, Vec::new(), effects);
        true
    }

    /// A precache has its outcome.
    pub(crate) fn precache_ended(&mut self, key: RequestKey, outcome: Outcome) {
        let Some(request) = self.requests.get(&key) else { return };
        let (service, root, price, now) = (key.service, request.root, request.price, self.now());
        let settled = if let State::Settling { since, .. } = request.state { since } else { now };
        if self.precache.running.get(&(service, root)) == Some(&key) {
            self.precache.running.remove(&(service, root));
        }
        let payer = self.precache.payer(service);
        payer.end(price);
        match outcome {
            Outcome::Answered(answer) => {
                payer.spend(now, settled.day(), answer.charged);
                payer.used.computed += 1;
                payer.used.charged = [payer.used.charged, answer.charged].into_iter().sum();
                let ready = Ready { took_ms: answer.elapsed_ms };
                self.precache.ready.insert(now, now, (service, root), ready);
            }
            // What was withdrawn is counted where it was.
            Outcome::Refused(Refusal::Cancelled | Refusal::Draining) => {}
            Outcome::Refused(_) | Outcome::Unsettled => payer.used.failed += 1,
        }
        self.precache.is_due = true;
    }

    /// Nothing is computed ahead any more.
    pub(crate) fn end_all_precaches(&mut self, now: Timestamp, effects: &mut Effects) {
        let services: Vec<ServiceId> = self.precache.payers.keys().copied().collect();
        for service in services {
            self.precache.payer(service).waiting.clear();
            self.end_precaches_of(now, service, Refusal::Draining, effects);
        }
    }

    fn end_precaches_of(
        &mut self,
        now: Timestamp,
        service: ServiceId,
        refusal: Refusal,
        effects: &mut Effects,
    ) {
        let running = self.precache.running.iter().filter(|((payer, _), _)| *payer == service);
        let running: Vec<RequestKey> = running.map(|(_, key)| *key).collect();
        for key in running {
            self.end_unsettled(now, key, refusal, effects);
        }
    }

    /// Adds a service to those that are interested in an account; `false` where there are too many.
    fn start_watching(
        &mut self,
        now: Timestamp,
        service: ServiceId,
        account: Account,
        effects: &mut Effects,
    ) -> bool {
        let is_known = self.precache.accounts.contains_key(&account);
        let is_full = !is_known && self.precache.accounts.len() >= ACCOUNTS_MAX;
        if is_full || self.precache.payer(service).accounts >= ACCOUNTS_PER_SERVICE_MAX {
            return false;
        }
        let watched = self.precache.accounts.entry(account).or_default();
        let root = watched.next_root(account);
        if watched.users.insert(service, now).is_none() {
            self.precache.payer(service).accounts += 1;
        }
        if !is_known {
            self.precache.by_root.insert(root, account);
            effects.push(Effect::Watch { account, is_watched: true });
        }
        true
    }

    /// Takes a service off those that are interested in an account, and forgets the account with the last of them.
    fn stop_watching(&mut self, service: ServiceId, account: Account, effects: &mut Effects) {
        let Some(watched) = self.precache.accounts.get_mut(&account) else { return };
        if watched.users.remove(&service).is_none() {
            return;
        }
        let (root, is_last) = (watched.next_root(account), watched.users.is_empty());
        let payer = self.precache.payer(service);
        payer.accounts = payer.accounts.saturating_sub(1);
        payer.waiting.retain(|wanted| wanted.account != Some(account));
        effects.push(Effect::DropWatch { service, account });
        if is_last {
            self.precache.accounts.remove(&account);
            self.precache.by_root.remove(&root);
            effects.push(Effect::Watch { account, is_watched: false });
        }
    }

    fn users_of(&self, account: Account) -> Vec<ServiceId> {
        let watched = self.precache.accounts.get(&account);
        watched.map(|watched| watched.users.keys().copied().collect()).unwrap_or_default()
    }

    /// Has what is known of an account kept, for each service that is interested in it.
    fn keep(&self, account: Account, effects: &mut Effects) {
        let Some(watched) = self.precache.accounts.get(&account) else { return };
        for service in watched.users.keys() {
            effects.push(Effect::KeepWatch(watched.record(*service, account)));
        }
    }
}
