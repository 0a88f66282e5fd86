//! Which worker was given which root: what tells an honest late result from one that nobody asked for.

use std::collections::{BTreeMap, BTreeSet};

use shared::pow::{Nonce, Root, Threshold};
use shared::{Timestamp, WorkerId};

use crate::limits::{GIVEN_KEPT, GIVEN_MAX};

/// What a worker was told about a root, and what it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GivenTo {
    /// The lowest threshold it was given.
    pub(crate) threshold: Threshold,
    /// The nonce it sent last.
    pub(crate) answered: Option<Nonce>,
}

/// All that is remembered of a root.
#[derive(Debug, Default)]
struct RootGiven {
    /// In ascending order. Mostly a few: a list takes less memory than a tree, and there are up to [`GIVEN_MAX`].
    workers: Vec<(WorkerId, GivenTo)>,
    /// Newest job for this root.
    counter: u64,
    /// When the last job for it ended; `None` while one is open.
    ended: Option<Timestamp>,
    /// When it was first solved.
    solved: Option<Timestamp>,
}

impl RootGiven {
    /// Where this worker stands, or would stand.
    fn place_of(&self, worker: WorkerId) -> Result<usize, usize> {
        self.workers.binary_search_by_key(&worker, |(known, _)| *known)
    }
}

/// The memory, bounded: the roots that ended first are forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Given {
    roots: BTreeMap<Root, RootGiven>,
    ended: BTreeSet<(Timestamp, Root)>,
    pairs: usize,
    /// Jobs up to this counter may have been forgotten.
    forgotten: u64,
}

impl Given {
    /// A worker's list with this job leaves.
    pub(crate) fn note(&mut self, worker: WorkerId, root: Root, threshold: Threshold, counter: u64) {
        let given = self.roots.entry(root).or_default();
        given.counter = given.counter.max(counter);
        match given.place_of(worker) {
            Ok(place) => {
                let to = &mut given.workers[place].1;
                to.threshold = to.threshold.min(threshold);
            }
            Err(place) => {
                given.workers.insert(place, (worker, GivenTo { threshold, answered: None }));
                self.pairs += 1;
            }
        }
    }

    /// A job for this root has opened.
    pub(crate) fn opened(&mut self, root: Root) {
        if let Some(given) = self.roots.get_mut(&root)
            && let Some(ended) = given.ended.take()
        {
            self.ended.remove(&(ended, root));
        }
    }

    /// No job for this root is open any more.
    pub(crate) fn ended(&mut self, now: Timestamp, root: Root) {
        if let Some(given) = self.roots.get_mut(&root) {
            if let Some(before) = given.ended.replace(now) {
                self.ended.remove(&(before, root));
            }
            self.ended.insert((now, root));
        }
        self.forget(now);
    }

    /// The root has been solved.
    pub(crate) fn solved(&mut self, now: Timestamp, root: Root) {
        if let Some(given) = self.roots.get_mut(&root) {
            given.solved.get_or_insert(now);
        }
    }

    /// When the root was first solved, as far as that is remembered.
    pub(crate) fn solved_at(&self, root: Root) -> Option<Timestamp> {
        self.roots.get(&root)?.solved
    }

    /// What this worker was given for this root.
    pub(crate) fn to(&mut self, worker: WorkerId, root: Root) -> Option<&mut GivenTo> {
        let given = self.roots.get_mut(&root)?;
        let place = given.place_of(worker).ok()?;
        Some(&mut given.workers[place].1)
    }

    /// Whether a job of this run with that counter may have been forgotten.
    pub(crate) const fn may_have_forgotten(&self, counter: u64) -> bool {
        counter <= self.forgotten
    }

    fn forget(&mut self, now: Timestamp) {
        while let Some((ended, root)) = self.ended.first().copied() {
            if self.pairs <= GIVEN_MAX && now.since(ended) < GIVEN_KEPT {
                break;
            }
            self.ended.pop_first();
            if let Some(given) = self.roots.remove(&root) {
                self.pairs -= given.workers.len();
                self.forgotten = self.forgotten.max(given.counter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKER: WorkerId = WorkerId::from_bytes([1; 16]);
    const ROOT: Root = Root::new([2; 32]);

    #[test]
    fn a_root_is_remembered_five_minutes_after_its_end() {
        let mut given = Given::default();
        let at = Timestamp::from_micros(1);
        given.note(WORKER, ROOT, Threshold::new(9), 4);
        given.note(WORKER, ROOT, Threshold::new(7), 5);
        given.ended(at, ROOT);
        given.forget(at + GIVEN_KEPT - core::time::Duration::from_micros(1));
        assert_eq!(given.to(WORKER, ROOT).map(|to| to.threshold), Some(Threshold::new(7)));
        assert!(!given.may_have_forgotten(5));
        given.forget(at + GIVEN_KEPT);
        assert!(given.to(WORKER, ROOT).is_none());
        assert!(given.may_have_forgotten(5) && !given.may_have_forgotten(6));
        assert_eq!(given.pairs, 0);
    }

    #[test]
    fn a_root_that_opens_again_is_not_forgotten() {
        let mut given = Given::default();
        let at = Timestamp::from_micros(1);
        given.note(WORKER, ROOT, Threshold::new(9), 4);
        given.ended(at, ROOT);
        given.opened(ROOT);
        given.forget(at + 2 * GIVEN_KEPT);
        assert!(given.to(WORKER, ROOT).is_some());
    }
}
