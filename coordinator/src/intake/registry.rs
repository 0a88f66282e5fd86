//! Who may come in: keys, the states of services, and workers that are shut out. In memory, so that no login and no request
//! waits for the store; whoever changes the store changes this next.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use marketplace::Spender;
use shared::{KeyId, Payee, ServiceId, Timestamp, WorkerId};
use subtle::ConstantTimeEq;

use super::keys::{Pepper, parts_of};
use crate::store::{
    KeyLimits, KeyRecord, KnownKey, LimitedKey, ServiceState, Store, StoreError, WorkerBan, WorkerSubject,
};

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
    /// Whether it is for trying things out.
    pub(crate) is_test: bool,
}

#[derive(Debug, Default)]
struct Known {
    keys: BTreeMap<KeyId, Key>,
    /// What they may be used for, where that was said.
    limits: BTreeMap<KeyId, KeyLimits>,
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
        for LimitedKey { key, limits, .. } in store.key_limits().await? {
            registry.limit_key(key, limits);
        }
        for KnownKey { record, .. } in store.keys().await? {
            registry.add_key(record);
        }
        for ban in store.worker_bans().await? {
            registry.ban(&ban);
        }
        Ok(registry)
    }

    /// Whose key this is, if it is valid now, shown from there; the service may be suspended. Takes as long for an unknown id as for a
    /// wrong secret.
    pub(crate) fn prove(&self, text: &str, from: Option<IpAddr>, now: Timestamp) -> Option<Proven> {
        let parts = parts_of(text)?;
        let shown = self.pepper.mac(parts.secret);
        let known = self.read();
        let key = parts.id.parse().ok().and_then(|id: KeyId| known.keys.get(&id));
        let expected = key.map_or([0; 32], |key| key.record.mac);
        let is_equal = bool::from(shown.ct_eq(&expected));
        let record = key.filter(|_| is_equal).map(|key| &key.record)?;
        let (is_test, is_from_there) = match known.limits.get(&record.key) {
            Some(limits) => (limits.is_test, limits.allow.contain(from)),
            None => (false, true),
        };
        if !is_from_there {
            tracing::info!(key.id = %record.key, client.address = from.map(tracing::field::display), "a key was shown from where it is not valid");
        }
        let proven = Proven { key: record.key, service: record.service, is_test };
        // A text that calls itself the other kind is not the one that was issued.
        (is_from_there && is_test == parts.is_test && !record.is_over(now)).then_some(proven)
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

    /// When a key was used, if that has not been taken by [`Self::take_used`] since.
    pub(crate) fn last_used(&self, key: KeyId) -> Option<Timestamp> {
        let micros = self.read().keys.get(&key)?.used.load(Ordering::Relaxed);
        (micros > 0).then_some(Timestamp::from_micros(micros))
    }

    /// Which keys were used since this was last asked, and when.
    pub(crate) fn take_used(&self) -> Vec<(KeyId, Timestamp)> {
        let known = self.read();
        let used = known.keys.iter().map(|(id, key)| (*id, key.used.swap(0, Ordering::Relaxed)));
        used.filter(|(_, at)| *at > 0).map(|(id, at)| (id, Timestamp::from_micros(at))).collect()
    }

    /// Adds a key that the store has taken; one that is known already stays as it is.
    pub(crate) fn add_key(&self, record: KeyRecord) {
        let mut known = self.write();
        let Known { keys, endings, .. } = &mut *known;
        if let Entry::Vacant(place) = keys.entry(record.key) {
            endings.extend(record.expires.map(|at| (at, record.key)));
            place.insert(Key { record, used: AtomicU64::new(0) });
        }
    }

    /// Sets what a key may be used for.
    pub(crate) fn limit_key(&self, key: KeyId, limits: KeyLimits) {
        self.write().limits.insert(key, limits);
    }

    /// What a key may be used for.
    pub(crate) fn limits(&self, key: KeyId) -> KeyLimits {
        self.read().limits.get(&key).cloned().unwrap_or_default()
    }

    /// Whether a key is for trying things out.
    pub(crate) fn is_test(&self, key: KeyId) -> bool {
        self.read().limits.get(&key).is_some_and(|limits| limits.is_test)
    }

    /// A key whose requests may not cost all that its service has.
    pub(crate) fn spender(&self, key: KeyId) -> Option<Spender> {
        let per_day = self.read().limits.get(&key)?.spend_per_day?;
        Some(Spender { key, per_day })
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
        let holds =
            |subject| known.bans.get(&subject).is_some_and(|until| until.is_none_or(|until| now < until));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use zeroize::Zeroizing;

    use super::*;
    use crate::entropy;
    use crate::intake::keys::{KeyTerms, NewKey, issue};
    use crate::store::memory::MemoryStore;
    use crate::store::{Answer, Verb};

    const NOW: Timestamp = Timestamp::from_micros(1_000_000);

    fn pepper(text: &str) -> Pepper {
        Pepper::new(Zeroizing::new(text.into()))
    }

    fn key(expires: Option<Timestamp>) -> NewKey {
        let terms = KeyTerms { label: "test".parse().unwrap(), expires };
        issue(&pepper("p"), "wallet".parse().unwrap(), terms, NOW).unwrap()
    }

    /// A registry that knows these keys.
    async fn registry(pepper: Pepper, keys: &[&NewKey]) -> Registry {
        let registry = Registry::load(&MemoryStore::new(), pepper).await.unwrap();
        for key in keys {
            registry.add_key(key.record.clone());
        }
        registry
    }

    #[tokio::test]
    async fn a_key_opens_its_own_service_and_nothing_else_does() {
        let key = key(None);
        let KeyRecord { key: id, service, mac, .. } = key.record.clone();
        let known = registry(pepper("p"), &[&key]).await;
        assert_eq!(known.prove(&key.text, None, NOW), Some(Proven { key: id, service, is_test: false }));
        assert_eq!(key.text.len(), "dpow_live_".len() + KeyId::LENGTH + 1 + 52);
        let last = if key.text.ends_with('a') { "b" } else { "a" };
        let changed = format!("{}{last}", &key.text[..key.text.len() - 1]);
        let other_id = key.text.replacen(&id.to_string(), "aaaaaaaaaaaaa", 1);
        let stolen = format!("dpow_live_{id}_{}", entropy::base32(&mac));
        for wrong in [changed, other_id, stolen, String::new(), "dpow_live_".into(), "dpow_live__".into()] {
            assert_eq!(known.prove(&wrong, None, NOW), None, "{wrong}");
        }
        let elsewhere = registry(pepper("q"), &[&key]).await;
        assert_eq!(
            elsewhere.prove(&key.text, None, NOW),
            None,
            "a store without its pepper authenticates nobody"
        );
    }

    /// Rotation without an outage: the old key goes on until its end, beside the new one.
    #[tokio::test]
    async fn several_keys_are_valid_at_once_each_until_its_own_end() {
        let at = |seconds| NOW + Duration::from_secs(seconds);
        let (first, second, third) = (key(None), key(Some(at(5))), key(Some(at(9))));
        let known = registry(pepper("p"), &[&first, &second, &third]).await;
        let valid = |seconds| {
            [&first, &second, &third].map(|key| known.prove(&key.text, None, at(seconds)).is_some())
        };
        assert_eq!(
            [4, 5, 8, 9].map(valid),
            [[true; 3], [true, false, true], [true, false, true], [true, false, false]]
        );
        known.expire_key(first.record.key, at(3));
        known.expire_key(first.record.key, at(7));
        known.expire_key(third.record.key, at(9));
        assert_eq!([2, 3].map(valid), [[true; 3], [false, true, true]]);

        let ids = |keys: &[&NewKey]| keys.iter().map(|key| key.record.key).collect::<Vec<_>>();
        for (seconds, ended) in
            [(2, vec![]), (3, vec![&first]), (4, vec![]), (20, vec![&second, &third]), (30, vec![])]
        {
            assert_eq!(known.take_ended(at(seconds)), ids(&ended), "after {seconds} s");
        }
    }

    #[tokio::test]
    async fn a_key_is_good_for_what_was_said_and_no_more() {
        let key = key(None);
        let id = key.record.key;
        let known = registry(pepper("p"), &[&key]).await;
        let test = key.text.replacen("live", "test", 1);
        let from = |address: &str| Some(address.parse().unwrap());
        assert_eq!(known.prove(&test, None, NOW), None, "it was issued for real work");
        let allow = "10.0.0.0/8".parse().unwrap();
        let spend_per_day = Some(shared::Millicredits::new(7));
        known.limit_key(id, KeyLimits { is_test: false, spend_per_day, allow });
        let is_valid = |address| known.prove(&key.text, address, NOW).is_some();
        assert_eq!([from("10.1.1.1"), from("11.1.1.1"), None].map(is_valid), [true, false, false]);
        assert_eq!(known.spender(id).map(|spender| spender.per_day), spend_per_day);
        known.limit_key(id, KeyLimits { is_test: true, ..KeyLimits::default() });
        assert!(known.prove(&test, None, NOW).is_some_and(|proven| proven.is_test));
        assert_eq!((known.prove(&key.text, None, NOW), known.spender(id)), (None, None));
    }

    #[tokio::test]
    async fn a_use_is_told_once_and_a_refused_one_never() {
        let (first, second) = (key(None), key(None));
        let known = registry(pepper("p"), &[&first, &second]).await;
        let later = NOW + Duration::from_secs(1);
        let proven = known.prove(&first.text, None, NOW).unwrap();
        assert_eq!(known.take_used(), [], "to look at a key is not to use it");
        assert!(known.lets_in(proven, later) && known.lets_in(proven, NOW));
        assert_eq!(known.take_used(), [(first.record.key, later)]);
        assert_eq!(known.take_used(), []);
        known.set_state(proven.service, ServiceState::Suspended);
        assert!(!known.lets_in(proven, later));
        assert_eq!(known.take_used(), []);
    }

    #[tokio::test]
    async fn it_knows_what_the_store_keeps() {
        let (key, store) = (key(None), MemoryStore::new());
        let service = key.record.service;
        let (worker, other) = (WorkerId::from_bytes([1; 16]), WorkerId::from_bytes([2; 16]));
        let subject = WorkerSubject::Worker(worker);
        let verbs = vec![
            Verb::AddService { service, at: NOW },
            Verb::SetServiceState {
                service,
                state: ServiceState::Banned,
                reason: "test".parse().unwrap(),
                at: NOW,
            },
            Verb::AddKey(key.record.clone()),
            Verb::BanWorker(WorkerBan { subject, reason: "test".parse().unwrap(), at: NOW, until: None }),
        ];
        assert_eq!(store.execute(verbs).await.unwrap(), vec![Answer::Done; 4]);
        let known = Registry::load(&store, pepper("p")).await.unwrap();
        assert!(known.prove(&key.text, None, NOW).is_some_and(|proven| !known.lets_in(proven, NOW)));
        assert_eq!((known.state(service), known.shut_services()), (ServiceState::Banned, vec![service]));
        assert!(known.is_banned(worker, Payee::House, NOW) && !known.is_banned(other, Payee::House, NOW));
    }
}
