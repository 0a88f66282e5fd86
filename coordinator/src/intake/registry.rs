//! Who may come in: keys, the states of services, and workers that are shut out. In memory, so that no login and no request
//! waits for the store; whoever changes the store changes this next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use shared::{KeyId, Payee, ServiceId, Timestamp, WorkerId};
use subtle::ConstantTimeEq;

use super::keys::{Pepper, parts_of};
use crate::store::{KeyRecord, KnownKey, ServiceState, Store, StoreError, WorkerBan, WorkerSubject};

/// What of the store decides who may come in. All clones are one.
///
/// Always: what it refuses, it refuses from the moment at which a change has returned.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    pepper: Pepper,
    known: Arc<RwLock<Known>>,
}

/// A key that was shown, and is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proven {
    /// Which key.
    pub(crate) key: KeyId,
    /// Whose it is.
    pub(crate) service: ServiceId,
}

#[derive(Debug, Default)]
struct Known {
    keys: BTreeMap<KeyId, Key>,
    /// When which key's time will be over, as far as that has not been told yet.
    endings: BTreeSet<(Timestamp, KeyId)>,
    /// Services that may not ask, and why.
    shut: BTreeMap<ServiceId, ServiceState>,
    /// Workers that are shut out, and until when.
    bans: BTreeMap<WorkerSubject, Option<Timestamp>>,
}

#[derive(Debug)]
struct Key {
    record: KeyRecord,
    /// In microseconds since 1970; zero: not since the start.
    used: AtomicU64,
}

impl Registry {
    /// Reads what the store keeps.
    ///
    /// # Errors
    /// As the store's.
    pub(crate) async fn load(store: &dyn Store, pepper: Pepper) -> Result<Self, StoreError> {
        let registry = Self { pepper, known: Arc::default() };
        for service in store.services().await? {
            registry.set_state(service.service, service.state);
        }
        for KnownKey { record, .. } in store.keys().await? {
            registry.add_key(record);
        }
        for ban in store.worker_bans().await? {
            registry.ban(&ban);
        }
        Ok(registry)
    }

    /// Whose key this is, if it is valid now; the service may be suspended. Takes as long for an unknown id as for a wrong secret.
    pub(crate) fn prove(&self, text: &str, now: Timestamp) -> Option<Proven> {
        let (id, secret) = parts_of(text)?;
        let shown = self.pepper.mac(secret);
        let known = self.read();
        let key = id.parse().ok().and_then(|id: KeyId| known.keys.get(&id));
        let expected = key.map_or([0; 32], |key| key.record.mac);
        let is_equal = bool::from(shown.ct_eq(&expected));
        let record = key.filter(|_| is_equal).map(|key| &key.record)?;
        let proven = Proven { key: record.key, service: record.service };
        (!record.is_over(now)).then_some(proven)
    }

    /// Whether the service of a key may ask. If so, the key has been used.
    pub(crate) fn lets_in(&self, proven: Proven, now: Timestamp) -> bool {
        let may_ask = self.state(proven.service) == ServiceState::Active;
        if may_ask {
            self.used(proven.key, now);
        }
        may_ask
    }

    /// A key is in use.
    pub(crate) fn used(&self, key: KeyId, now: Timestamp) {
        if let Some(key) = self.read().keys.get(&key) {
            key.used.fetch_max(now.as_micros(), Ordering::Relaxed);
        }
    }

    /// Which keys were used since this was last asked, and when.
    pub(crate) fn take_used(&self) -> Vec<(KeyId, Timestamp)> {
        let known = self.read();
        let used = known.keys.iter().map(|(id, key)| (*id, key.used.swap(0, Ordering::Relaxed)));
        used.filter(|(_, at)| *at > 0).map(|(id, at)| (id, Timestamp::from_micros(at))).collect()
    }

    /// Adds a key that the store has taken.
    pub(crate) fn add_key(&self, record: KeyRecord) {
        let mut known = self.write();
        known.endings.extend(record.expires.map(|at| (at, record.key)));
        known.keys.insert(record.key, Key { record, used: AtomicU64::new(0) });
    }

    /// Sets when a key's time is over, or brings it forward.
    pub(crate) fn expire_key(&self, key: KeyId, at: Timestamp) {
        let mut known = self.write();
        let Some(entry) = known.keys.get_mut(&key) else { return };
        let earlier = entry.record.expires;
        if earlier.is_none_or(|earlier| at < earlier) {
            entry.record.expires = Some(at);
            if let Some(earlier) = earlier {
                known.endings.remove(&(earlier, key));
            }
            known.endings.insert((at, key));
        }
    }

    /// Keys whose time has come to be over since this was last asked. Cheap while there are none.
    pub(crate) fn take_ended(&self, now: Timestamp) -> Vec<KeyId> {
        let is_due = |known: &Known| known.endings.first().is_some_and(|(at, _)| *at <= now);
        if !is_due(&self.read()) {
            return Vec::new();
        }
        let mut known = self.write();
        let mut ended = Vec::new();
        while is_due(&known)
            && let Some((_, key)) = known.endings.pop_first()
        {
            ended.push(key);
        }
        ended
    }

    /// Whether a service may ask.
    pub(crate) fn state(&self, service: ServiceId) -> ServiceState {
        self.read().shut.get(&service).copied().unwrap_or_default()
    }

    /// Services that may not ask.
    pub(crate) fn shut_services(&self) -> Vec<ServiceId> {
        self.read().shut.keys().copied().collect()
    }

    /// Allows or forbids a service to ask.
    pub(crate) fn set_state(&self, service: ServiceId, state: ServiceState) {
        let mut known = self.write();
        match state {
            ServiceState::Active => known.shut.remove(&service),
            ServiceState::Suspended | ServiceState::Banned => known.shut.insert(service, state),
        };
    }

    /// Whether a worker is shut out, by its id or its payee.
    pub(crate) fn is_banned(&self, worker: WorkerId, payee: Payee, now: Timestamp) -> bool {
        let account = match payee {
            Payee::Account(account) => Some(WorkerSubject::Account(account)),
            Payee::House => None,
        };
        let known = self.read();
        let holds = |subject| known.bans.get(&subject).is_some_and(|until| until.is_none_or(|until| now < until));
        [Some(WorkerSubject::Worker(worker)), account].into_iter().flatten().any(holds)
    }

    /// Shuts workers out.
    pub(crate) fn ban(&self, ban: &WorkerBan) {
        self.write().bans.insert(ban.subject, ban.until);
    }

    /// Lets them in again.
    pub(crate) fn unban(&self, subject: WorkerSubject) {
        self.write().bans.remove(&subject);
    }

    /// A poisoned lock guards maps that no panic leaves half changed.
    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}
