//! Workers without anything to do, so that the best for a job are found without looking at all of them.

use std::collections::BTreeSet;

use shared::WorkerId;

/// Width of a group in microseconds of round trip.
const GROUP_MICROS: u32 = 10_000;
/// Number of groups; the last has all that are further away.
const GROUPS: usize = 32;

/// By rate in hashes a second, round trip in microseconds, worker.
pub(super) type Entry = (u64, u32, WorkerId);

/// Workers without anything to do, grouped by round trip and ordered by rate.
#[derive(Debug)]
pub(super) struct Idle {
    groups: [BTreeSet<Entry>; GROUPS],
}

/// A worker that has been chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) worker: WorkerId,
    /// Hashes a second.
    pub(super) rate: f64,
    /// Round trip in seconds.
    pub(super) trip: f64,
}

impl Idle {
    pub(super) fn new() -> Self {
        Self { groups: core::array::from_fn(|_| BTreeSet::new()) }
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        self.groups[group(entry.1)].insert(entry);
    }

    pub(super) fn remove(&mut self, entry: Entry) {
        self.groups[group(entry.1)].remove(&entry);
    }

    /// Workers from the best to the worst, by the hashes that they have made `horizon` seconds after they were asked.
    pub(super) fn best(&self, horizon: f64) -> impl Iterator<Item = Candidate> {
        let mut groups: Vec<_> = self
            .groups
            .iter()
            .map(|group| group.iter().rev().peekable())
            .filter_map(|mut group| group.peek().is_some().then_some(group))
            .collect();
        core::iter::from_fn(move || {
            let score = |entry: &Entry| {
                let candidate = candidate(*entry);
                candidate.rate * (horizon - candidate.trip)
            };
            let (best, _) = groups
                .iter_mut()
                .enumerate()
                .filter_map(|(index, group)| group.peek().map(|entry| (index, score(entry))))
                .max_by(|one, other| one.1.total_cmp(&other.1))?;
            groups[best].next().map(|entry| candidate(*entry))
        })
    }
}

fn group(micros: u32) -> usize {
    usize::try_from(micros / GROUP_MICROS).map_or(GROUPS - 1, |group| group.min(GROUPS - 1))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn candidate((rate, micros, worker): Entry) -> Candidate {
    Candidate { worker, rate: rate as f64, trip: f64::from(micros) / 1e6 }
}
