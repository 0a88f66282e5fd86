//! Workers that have not found anything yet. They are believed as far as strangers have kept their word lately: what all of them
//! together have found, over what they should have found if they were as fast as they say.
//!
//! Whether newcomers, who have hardly been tried, are given work is decided by what newcomers have done: else a few who promise
//! far too much, and never cease to owe it, would be held against everybody who comes.

use std::collections::{BTreeSet, VecDeque};

use shared::WorkerId;

/// Finds that strangers are trusted with in advance.
const CREDIT: f64 = 8.0;
/// Finds to be expected after which older ones count for half.
const EXPECTED_MAX: f64 = 400.0;
/// Who has not found anything where so many finds were to be expected is no newcomer any more.
const NEW: f64 = 3.0;
/// While less of their word was kept, strangers get work only out of their quota.
const WORD_MIN: f64 = 0.1;
/// Part of all assignments that strangers get even then, as one more worker on a job that has others.
const QUOTA: f64 = 0.004;
/// Assignments that the quota saves up at most.
const SAVED_MAX: f64 = 8.0;

/// Strangers that search at the same time, and how many more for each that has found something lately: so many ids at once
/// cannot take more before it is known what they are worth.
const TRIED_MIN: f64 = 16.0;
const TRIED_MORE: f64 = 8.0;
/// What is left of what is known of strangers each time that it fades: 0.98 after a second of eight times.
const MEMORY: f64 = 0.997_478;

/// Whether a stranger of whom so many finds were to be expected has hardly been tried.
pub(super) fn is_new(expected: f64) -> bool {
    expected < NEW
}

/// How far some strangers have kept their word.
#[derive(Debug, Clone, Copy)]
struct Word {
    found: f64,
    expected: f64,
}

/// What is known of strangers as such.
#[derive(Debug)]
pub(super) struct Strangers {
    all: Word,
    /// Of newcomers alone.
    new: Word,
    saved: f64,
    /// Those that search.
    trying: BTreeSet<WorkerId>,
    /// In the order in which they are tried.
    queue: VecDeque<WorkerId>,
}

impl Strangers {
    pub(super) const fn new() -> Self {
        let word = Word { found: CREDIT, expected: CREDIT };
        Self { all: word, new: word, saved: 0.0, trying: BTreeSet::new(), queue: VecDeque::new() }
    }

    /// A stranger has searched so long that it should have found something so often, besides so often before.
    pub(super) fn expected(&mut self, finds: f64, before: f64) {
        self.all.expected(finds);
        self.new.expected(finds.min(NEW - before).max(0.0));
    }

    /// A stranger has found something, and is none any more.
    pub(super) fn found(&mut self, is_new: bool) {
        self.all.found += 1.0;
        if is_new {
            self.new.found += 1.0;
        }
    }

    /// One has begun to search, or has ended.
    pub(super) fn tries(&mut self, worker: WorkerId, is_searching: bool) {
        if is_searching {
            self.trying.insert(worker);
        } else {
            self.trying.remove(&worker);
        }
    }

    /// How many more may begin to search.
    #[expect(clippy::cast_precision_loss, reason = "a number of workers")]
    pub(super) fn room(&self) -> f64 {
        self.tried_max() - self.trying.len() as f64
    }

    /// How many may search at the same time.
    pub(super) fn tried_max(&self) -> f64 {
        TRIED_MIN + TRIED_MORE * (self.all.found - CREDIT).max(0.0)
    }

    /// Time has passed: old experience counts for less.
    pub(super) fn forget(&mut self) {
        self.all.forget();
        self.new.forget();
    }

    /// How much of what they say is true, as far as all of them have shown.
    pub(super) fn word(&self) -> f64 {
        self.all.part()
    }

    /// Whether they, or newcomers among them, are given work like others.
    pub(super) fn are_trusted(&self, is_new: bool) -> bool {
        let word = if is_new { self.new } else { self.all };
        word.part() >= WORD_MIN
    }

    /// So many jobs were put on lists.
    pub(super) fn assigned(&mut self, count: f64) {
        self.saved = (self.saved + QUOTA * count).min(SAVED_MAX);
    }

    /// One has come, or is free again.
    pub(super) fn waits(&mut self, worker: WorkerId) {
        self.queue.push_back(worker);
    }

    /// The next one to be tried, if the quota allows it.
    pub(super) fn next(&mut self) -> Option<WorkerId> {
        if self.saved < 1.0 {
            return None;
        }
        let next = self.queue.pop_front()?;
        self.saved -= 1.0;
        Some(next)
    }
}

impl Word {
    fn part(self) -> f64 {
        (self.found / self.expected).min(1.0)
    }

    fn expected(&mut self, finds: f64) {
        self.expected += finds;
        if self.expected > EXPECTED_MAX {
            self.expected /= 2.0;
            self.found /= 2.0;
        }
    }

    fn forget(&mut self) {
        self.found = CREDIT + (self.found - CREDIT) * MEMORY;
        self.expected = CREDIT + (self.expected - CREDIT) * MEMORY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_never_finds_anything_is_not_held_against_newcomers_for_ever() {
        let mut strangers = Strangers::new();
        let mut tried = 0.0;
        for _ in 0..100 {
            strangers.expected(1.0, tried);
            tried += 1.0;
        }
        assert!(!is_new(tried));
        assert!(!strangers.are_trusted(false), "{strangers:?}");
        assert!(strangers.are_trusted(true), "{strangers:?}");
    }

    #[test]
    fn when_no_newcomer_finds_anything_none_is_trusted() {
        let mut strangers = Strangers::new();
        for _ in 0..30 {
            strangers.expected(2.0, 0.0);
            strangers.expected(2.0, 2.0);
        }
        assert!(!strangers.are_trusted(true), "{strangers:?}");
    }
}
