//! Workers that have not found anything yet. They are believed as far as strangers have kept their word lately: what all of them
//! together have found, over what they should have found if they were as fast as they say.

use std::collections::{BTreeSet, VecDeque};

use shared::WorkerId;

/// Finds that strangers are trusted with in advance.
const CREDIT: f64 = 8.0;
/// Finds to be expected after which older ones count for half.
const EXPECTED_MAX: f64 = 400.0;
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

/// What is known of strangers as such.
#[derive(Debug)]
pub(super) struct Strangers {
    found: f64,
    expected: f64,
    saved: f64,
    /// Those that search.
    trying: BTreeSet<WorkerId>,
    /// In the order in which they are tried.
    queue: VecDeque<WorkerId>,
}

impl Strangers {
    pub(super) const fn new() -> Self {
        Self { found: CREDIT, expected: CREDIT, saved: 0.0, trying: BTreeSet::new(), queue: VecDeque::new() }
    }

    /// A stranger has searched so long that it should have found something so often.
    pub(super) fn expected(&mut self, finds: f64) {
        self.expected += finds;
        if self.expected > EXPECTED_MAX {
            self.expected /= 2.0;
            self.found /= 2.0;
        }
    }

    /// A stranger has found something, and is none any more.
    pub(super) fn found(&mut self) {
        self.found += 1.0;
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
        TRIED_MIN + TRIED_MORE * (self.found - CREDIT).max(0.0)
    }

    /// Time has passed: old experience counts for less.
    pub(super) fn forget(&mut self) {
        self.found = CREDIT + (self.found - CREDIT) * MEMORY;
        self.expected = CREDIT + (self.expected - CREDIT) * MEMORY;
    }

    /// How much of what they say is true.
    pub(super) fn word(&self) -> f64 {
        (self.found / self.expected).min(1.0)
    }

    /// Whether they are given work like others.
    pub(super) fn are_trusted(&self) -> bool {
        self.word() >= WORD_MIN
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
