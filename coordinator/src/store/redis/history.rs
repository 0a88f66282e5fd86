//! What a coordinator has seen acknowledged lately, so that a server that comes back without its last changes gets them again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use marketplace::ledger::Split;

use crate::store::{Answer, Verb};

/// Changes that are kept at most: some 40 MB.
const CHANGES_MAX: usize = 100_000;
/// How long a change is kept: far longer than a server that syncs each second may keep one from its disk.
const KEPT_FOR: Duration = Duration::from_mins(1);

/// A verb that has changed the ledger.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// The revision that it has led to.
    pub(super) revision: u64,
    pub(super) verb: Verb,
    /// Of the hold, if it was a settlement.
    pub(super) parts: Split,
    /// What was answered.
    pub(super) answer: Answer,
    at: Instant,
}

/// The last changes, without a gap.
#[derive(Debug, Default)]
pub(super) struct History {
    changes: VecDeque<Change>,
}

impl History {
    /// A change was acknowledged.
    pub(super) fn push(&mut self, revision: u64, verb: Verb, parts: Split, answer: Answer) {
        let at = Instant::now();
        while self.changes.front().is_some_and(|change| at.duration_since(change.at) > KEPT_FOR)
            || self.changes.len() >= CHANGES_MAX
        {
            self.changes.pop_front();
        }
        self.changes.push_back(Change { revision, verb, parts, answer, at });
    }

    /// Forgets everything: something has happened that is not in it.
    pub(super) fn clear(&mut self) {
        self.changes.clear();
    }

    /// What a ledger lacks that is at this revision.
    pub(super) fn after(&self, revision: u64) -> Vec<Change> {
        self.changes.iter().filter(|change| change.revision > revision).cloned().collect()
    }
}
