//! What all sessions together have done.

use std::sync::atomic::{AtomicU64, Ordering};

use benches::report::FleetReport;
use shared::protocol::Verdict;

/// Counters; all but `connected` only grow.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) connected: Count,
    pub(crate) lost: Count,
    pub(crate) refused: Count,
    pub(crate) lists: Count,
    pub(crate) jobs: Count,
    pub(crate) results: Count,
    pub(crate) statuses: Count,
    verdicts: [Count; Verdict::NAMES.len()],
}

/// One of them.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, number: usize) {
        self.0.fetch_add(number as u64, Ordering::Relaxed);
    }

    pub(crate) fn take_one(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counts {
    /// A verdict has come.
    pub(crate) fn judged(&self, verdict: Verdict) {
        let word = verdict.as_str();
        if let Some(index) = Verdict::NAMES.iter().position(|name| *name == word) {
            self.verdicts[index].add(1);
        }
    }

    /// All of it.
    pub(crate) fn report(&self) -> FleetReport {
        let verdicts = Verdict::NAMES.into_iter().zip(&self.verdicts);
        FleetReport {
            connected: self.connected.now(),
            lost: self.lost.now(),
            refused: self.refused.now(),
            lists: self.lists.now(),
            jobs: self.jobs.now(),
            results: self.results.now(),
            statuses: self.statuses.now(),
            verdicts: verdicts.map(|(name, count)| (name.to_owned(), count.now())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_counted_by_their_word() {
        let counts = Counts::default();
        counts.judged(Verdict::Accepted);
        counts.judged(Verdict::Late { by_ms: 1 });
        counts.judged(Verdict::Late { by_ms: 2 });
        let verdicts = counts.report().verdicts;
        assert_eq!(verdicts.len(), Verdict::NAMES.len());
        assert_eq!((verdicts["accepted"], verdicts["late"], verdicts["never_given"]), (1, 2, 0));
    }
}
