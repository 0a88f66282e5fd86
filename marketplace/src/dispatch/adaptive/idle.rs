//! Workers without anything to do, so that the best for a job are found without looking at all of them.

use core::iter::{Peekable, Rev};
use std::collections::BTreeSet;
use std::collections::btree_set::Iter;

use shared::WorkerId;

/// Width of a group in microseconds of round trip.
const GROUP_MICROS: u32 = 10_000;
/// Number of groups; the last has all that are further away.
const GROUPS: usize = 32;

/// By rate in hashes a second, round trip in microseconds, worker.
pub(super) type Entry = (u64, u32, WorkerId);

/// Workers without anything to do, grouped by round trip and ordered by rate; those that have never found anything are kept
/// apart, since only some of them are looked for.
#[derive(Debug)]
pub(super) struct Idle {
    proven: [BTreeSet<Entry>; GROUPS],
    strangers: [BTreeSet<Entry>; GROUPS],
}

/// A worker that has been chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) worker: WorkerId,
    /// Hashes a second.
    pub(super) rate: f64,
    /// Round trip in seconds.
    pub(super) trip: f64,
    pub(super) is_stranger: bool,
}

/// Workers from the best to the worst.
pub(super) struct Ranked<'a> {
    horizon: f64,
    groups: Vec<(bool, Peekable<Rev<Iter<'a, Entry>>>)>,
}

impl Idle {
    pub(super) fn new() -> Self {
        let groups = || core::array::from_fn(|_| BTreeSet::new());
        Self { proven: groups(), strangers: groups() }
    }

    pub(super) fn insert(&mut self, entry: Entry, is_stranger: bool) {
        self.group(entry, is_stranger).insert(entry);
    }

    pub(super) fn remove(&mut self, entry: Entry, is_stranger: bool) {
        self.group(entry, is_stranger).remove(&entry);
    }

    fn group(&mut self, entry: Entry, is_stranger: bool) -> &mut BTreeSet<Entry> {
        let groups = if is_stranger { &mut self.strangers } else { &mut self.proven };
        &mut groups[group(entry.1)]
    }

    /// Workers from the best to the worst, by the hashes that they have made `horizon` seconds after they were asked.
    pub(super) fn best(&self, horizon: f64) -> Ranked<'_> {
        let proven = self.proven.iter().map(|group| (false, group));
        let strangers = self.strangers.iter().map(|group| (true, group));
        let groups = proven
            .chain(strangers)
            .filter(|(_, group)| !group.is_empty())
            .map(|(is_stranger, group)| (is_stranger, group.iter().rev().peekable()))
            .collect();
        Ranked { horizon, groups }
    }
}

impl Ranked<'_> {
    /// The next one that has at least this rate. All that are slower are passed over at once, and so are strangers from the
    /// first time that none is wanted.
    pub(super) fn next(&mut self, floor: f64, wants_strangers: bool) -> Option<Candidate> {
        let horizon = self.horizon;
        let mut best: Option<(f64, usize)> = None;
        self.groups.retain_mut(|(is_stranger, group)| {
            group.peek().is_some_and(|entry| rate(entry) >= floor) && (wants_strangers || !*is_stranger)
        });
        for (index, (_, group)) in self.groups.iter_mut().enumerate() {
            let Some(entry) = group.peek() else { continue };
            let score = rate(entry) * (horizon - trip(entry));
            if best.is_none_or(|(most, _)| score >= most) {
                best = Some((score, index));
            }
        }
        let (is_stranger, group) = self.groups.get_mut(best?.1)?;
        let entry = group.next()?;
        Some(Candidate { worker: entry.2, rate: rate(entry), trip: trip(entry), is_stranger: *is_stranger })
    }
}

fn group(micros: u32) -> usize {
    usize::try_from(micros / GROUP_MICROS).map_or(GROUPS - 1, |group| group.min(GROUPS - 1))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
const fn rate(entry: &Entry) -> f64 {
    entry.0 as f64
}

fn trip(entry: &Entry) -> f64 {
    f64::from(entry.1) / 1e6
}
