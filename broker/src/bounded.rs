//! A map with a bound, whose entries say nothing any more after some time.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Entries that are kept before the stale ones are looked for.
const PRUNE_AT: usize = 1024;
/// How often a full map is looked through.
const FULL_PRUNE_INTERVAL: Duration = Duration::from_secs(1);

/// The map. Always: it is looked through only when its entries have doubled since the last time, or, once it is full, once a
/// second, so that whoever adds to it cannot make others pay.
#[derive(Debug)]
pub(crate) struct BoundedMap<K, V> {
    entries: HashMap<K, V>,
    entries_max: usize,
    prune_at: usize,
    prune_after: Option<Instant>,
}

impl<K: Eq + Hash, V> BoundedMap<K, V> {
    /// An empty map for this many entries.
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { entries: HashMap::new(), entries_max, prune_at: PRUNE_AT.min(entries_max), prune_after: None }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    /// The entry of a key, new if there is none; `None` if there is no room for a new one. Stale entries may go.
    pub(crate) fn entry(
        &mut self,
        key: K,
        now: Instant,
        is_stale: impl Fn(&V) -> bool,
        new: impl FnOnce() -> V,
    ) -> Option<&mut V> {
        if self.entries.len() >= self.prune_at && self.prune_after.is_none_or(|after| now >= after) {
            self.entries.retain(|_, value| !is_stale(value));
            self.prune_at = (self.entries.len() * 2).clamp(PRUNE_AT.min(self.entries_max), self.entries_max);
            self.prune_after = (self.entries.len() >= self.entries_max).then(|| now + FULL_PRUNE_INTERVAL);
        }
        if self.entries.len() >= self.entries_max && !self.entries.contains_key(&key) {
            return None;
        }
        Some(self.entries.entry(key).or_insert_with(new))
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_map_takes_nothing_new_until_something_is_stale() {
        let start = Instant::now();
        let mut map = BoundedMap::new(2000);
        let is_stale_at = |now| move |until: &Instant| *until <= now;
        let until = start + Duration::from_millis(1500);
        for key in 0..2000 {
            assert!(map.entry(key, start, is_stale_at(start), || until).is_some());
        }
        assert_eq!(map.entry(2000, start, is_stale_at(start), || until), None);
        assert!(map.entry(7, start, is_stale_at(start), || until).is_some(), "known keys are still found");
        let later = start + Duration::from_secs(2);
        assert!(map.entry(2000, later, is_stale_at(later), || later).is_some());
        assert_eq!(map.entries.len(), 1);
    }
}
