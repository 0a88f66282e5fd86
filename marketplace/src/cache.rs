//! Finished work: what was found, for whoever asks next, and what each service has paid for, so that asking again is free.

use std::collections::{BTreeMap, BTreeSet};

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

/// Values by key, bounded in number and age; the oldest go first.
#[derive(Debug)]
struct Aging<K, V> {
    values: BTreeMap<K, (Timestamp, V)>,
    ages: BTreeSet<(Timestamp, K)>,
    count_max: usize,
}

impl<K: Copy + Ord, V> Aging<K, V> {
    const fn new(count_max: usize) -> Self {
        Self { values: BTreeMap::new(), ages: BTreeSet::new(), count_max }
    }

    fn get(&self, now: Timestamp, key: K) -> Option<&V> {
        self.values.get(&key).filter(|(at, _)| now.since(*at) < WORK_KEPT).map(|(_, value)| value)
    }

    /// Keeps a value as of `at`, and forgets what is too old at `now` or too much.
    fn insert(&mut self, now: Timestamp, at: Timestamp, key: K, value: V) {
        if let Some((before, _)) = self.values.insert(key, (at, value)) {
            self.ages.remove(&(before, key));
        }
        self.ages.insert((at, key));
        while let Some((oldest, key)) = self.ages.first().copied() {
            if self.values.len() <= self.count_max && now.since(oldest) < WORK_KEPT {
                break;
            }
            self.ages.pop_first();
            self.values.remove(&key);
        }
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
        self.works.values.len()
    }

    /// Work for this root that meets the threshold.
    pub(crate) fn find(&self, now: Timestamp, root: Root, threshold: Threshold) -> Option<Found> {
        self.works.get(now, root).filter(|found| found.work.meets(threshold)).copied()
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
        &self,
        now: Timestamp,
        service: ServiceId,
        root: Root,
        threshold: Threshold,
    ) -> Option<Work> {
        self.settled.get(now, (service, root)).filter(|work| work.meets(threshold)).copied()
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
    fn the_oldest_go_first_and_nothing_outlives_its_time() {
        let mut aging = Aging::new(2);
        let at = Timestamp::from_micros;
        for (time, key) in [(1, 'a'), (2, 'b'), (3, 'c')] {
            aging.insert(at(time), at(time), key, ());
        }
        assert!(aging.get(at(3), 'a').is_none());
        assert!(aging.get(at(3), 'b').is_some());
        assert!(aging.get(at(2) + WORK_KEPT, 'b').is_none());
        assert!(aging.get(at(2) + WORK_KEPT, 'c').is_some());
        aging.insert(at(3) + WORK_KEPT, at(3) + WORK_KEPT, 'd', ());
        assert_eq!((aging.values.len(), aging.ages.len()), (1, 1));
    }
}
