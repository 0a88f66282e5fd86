//! Finished work: what was found, for whoever asks next, and what each service has paid for, so that asking again is free.

use std::collections::BTreeMap;

use shared::pow::{Root, Threshold, Work};
use shared::{Payee, ServiceId, Timestamp, WorkerId};

use crate::limits::{SETTLED_MAX, WORK_KEPT, WORKS_MAX};

/// A work and who found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What was found.
    pub work: Work,
    /// By whom.
    pub worker: WorkerId,
    /// Whom that worker's results pay.
    pub payee: Payee,
}

/// Values by key, bounded in number and age. Those that were not used for longest go first.
#[derive(Debug)]
pub(crate) struct Aging<K, V> {
    values: BTreeMap<K, Aged<V>>,
    /// By last use. The number tells apart what was used at the same time, and keeps the keys from being compared.
    uses: BTreeMap<(Timestamp, u64), K>,
    uses_count: u64,
    count_max: usize,
}

#[derive(Debug)]
struct Aged<V> {
    since: Timestamp,
    used: (Timestamp, u64),
    value: V,
}

impl<K: Copy + Ord, V> Aging<K, V> {
    pub(crate) const fn new(count_max: usize) -> Self {
        Self { values: BTreeMap::new(), uses: BTreeMap::new(), uses_count: 0, count_max }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Looks without using.
    pub(crate) fn get(&self, now: Timestamp, key: K) -> Option<&V> {
        self.values.get(&key).filter(|aged| now.since(aged.since) < WORK_KEPT).map(|aged| &aged.value)
    }

    /// Looks, and keeps what is found from being the next to go.
    fn use_value(&mut self, now: Timestamp, key: K) -> Option<&V> {
        let used = (now, self.next_use());
        let aged = self.values.get_mut(&key).filter(|aged| now.since(aged.since) < WORK_KEPT)?;
        self.uses.remove(&aged.used);
        self.uses.insert(used, key);
        aged.used = used;
        Some(&aged.value)
    }

    /// Keeps a value as of `since`, and forgets what is too old at `now` or too much.
    pub(crate) fn insert(&mut self, now: Timestamp, since: Timestamp, key: K, value: V) {
        let used = (since, self.next_use());
        if let Some(before) = self.values.insert(key, Aged { since, used, value }) {
            self.uses.remove(&before.used);
        }
        self.uses.insert(used, key);
        while let Some((at, _)) = self.uses.first_key_value().map(|(used, _)| *used) {
            if self.values.len() <= self.count_max && now.since(at) < WORK_KEPT {
                break;
            }
            if let Some((_, key)) = self.uses.pop_first() {
                self.values.remove(&key);
            }
        }
    }

    /// Takes a value out, also one that is too old.
    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let aged = self.values.remove(&key)?;
        self.uses.remove(&aged.used);
        Some(aged.value)
    }

    const fn next_use(&mut self) -> u64 {
        self.uses_count += 1;
        self.uses_count
    }
}

/// Finished work.
#[derive(Debug)]
pub(crate) struct Cache {
    /// The strongest work known for a root.
    works: Aging<Root, Found>,
    /// The strongest work for a root that a service has settled.
    settled: Aging<(ServiceId, Root), Work>,
}

impl Cache {
    pub(crate) const fn new() -> Self {
        Self { works: Aging::new(WORKS_MAX), settled: Aging::new(SETTLED_MAX) }
    }

    /// Number of roots with work.
    pub(crate) fn len(&self) -> usize {
        self.works.len()
    }

    /// Work for this root that meets the threshold.
    pub(crate) fn find(&mut self, now: Timestamp, root: Root, threshold: Threshold) -> Option<Found> {
        self.works.use_value(now, root).filter(|found| found.work.meets(threshold)).copied()
    }

    /// Whether there is such work; looking does not keep it.
    pub(crate) fn knows(&self, now: Timestamp, root: Root, threshold: Threshold) -> bool {
        self.works.get(now, root).is_some_and(|found| found.work.meets(threshold))
    }

    /// Keeps work unless as strong a one is known for its root: whoever came first is the one to be paid.
    pub(crate) fn keep(&mut self, now: Timestamp, at: Timestamp, found: Found) {
        let root = found.work.root();
        let known = self.works.get(now, root);
        if known.is_none_or(|known| known.work.difficulty() < found.work.difficulty()) {
            self.works.insert(now, at, root, found);
        }
    }

    /// Work for this root that the service has paid for and that meets the threshold.
    pub(crate) fn find_settled(
        &mut self,
        now: Timestamp,
        service: ServiceId,
        root: Root,
        threshold: Threshold,
    ) -> Option<Work> {
        self.settled.use_value(now, (service, root)).filter(|work| work.meets(threshold)).copied()
    }

    /// Remembers that the service has paid for this work. A weaker one than it has already leaves its 24 hours alone.
    pub(crate) fn settle(&mut self, now: Timestamp, at: Timestamp, service: ServiceId, work: Work) {
        let key = (service, work.root());
        if self.settled.get(now, key).is_none_or(|known| known.difficulty() < work.difficulty()) {
            self.settled.insert(now, at, key, work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_least_lately_goes_first_and_nothing_outlives_its_time() {
        let mut aging = Aging::new(2);
        let at = Timestamp::from_micros;
        for (time, key) in [(1, 'a'), (2, 'b'), (3, 'c')] {
            aging.insert(at(time), at(time), key, ());
        }
        assert!(aging.get(at(3), 'a').is_none());
        assert!(aging.use_value(at(4), 'b').is_some());
        aging.insert(at(5), at(5), 'd', ());
        assert!(aging.get(at(5), 'c').is_none(), "b was used since");
        assert!(aging.get(at(5), 'b').is_some());
        assert!(aging.use_value(at(2) + WORK_KEPT, 'b').is_none(), "using it does not prolong it");
        assert!(aging.get(at(2) + WORK_KEPT, 'd').is_some());
        aging.insert(at(5) + WORK_KEPT, at(5) + WORK_KEPT, 'e', ());
        assert_eq!((aging.values.len(), aging.uses.len()), (1, 1));
        assert!(aging.remove('e').is_some() && aging.remove('e').is_none());
        assert_eq!((aging.values.len(), aging.uses.len()), (0, 0));
    }
}
