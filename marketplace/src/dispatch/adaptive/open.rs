//! Jobs that are open, with what decides which of them is worst off.

use std::collections::{BTreeMap, BTreeSet};

use shared::pow::Threshold;
use shared::{JobId, Timestamp};

use crate::board::Job;

/// A job that is open.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) id: JobId,
    /// Mean number of hashes.
    pub(super) hashes: f64,
    pub(super) threshold: Threshold,
    /// The power of two of its hashes.
    pub(super) class: usize,
    /// Its part of all rates is in proportion to this: the square root of its hashes, which makes the sum of all times least.
    pub(super) size: f64,
    pub(super) opened: Timestamp,
    /// When it counts as asked for.
    pub(super) due: Timestamp,
    /// When nobody waits for it any more.
    pub(super) until: Timestamp,
    /// When its present workers were last given a chance, and how often it was late since.
    pub(super) since: Timestamp,
    pub(super) lateness: i32,
    /// When it is looked at again.
    pub(super) look_at: Option<Timestamp>,
    /// When it is looked at because its time runs out.
    pub(super) hurry_at: Option<Timestamp>,
    /// Believed rates of those who search for it.
    pub(super) rate: f64,
    /// Of this, what cannot be true: it would have been found.
    pub(super) doubted: f64,
    /// How many search for it.
    pub(super) heads: usize,
    /// Of these, those that search for it so that they earn something, and not because it needs them.
    pub(super) extras: usize,
    /// On how many lists it stands.
    pub(super) listed: usize,
}

impl Open {
    pub(super) fn new(job: &Job) -> Self {
        Self {
            id: job.id,
            hashes: job.hashes,
            threshold: job.threshold,
            class: class(job.hashes),
            size: job.hashes.sqrt(),
            opened: job.opened,
            due: job.opened,
            until: job.until,
            since: job.opened,
            lateness: 0,
            look_at: None,
            hurry_at: None,
            rate: 0.0,
            doubted: 0.0,
            heads: 0,
            extras: 0,
            listed: job.workers().len(),
        }
    }

    /// Those that search for it because it needs them.
    pub(super) const fn needed(&self) -> usize {
        self.heads.saturating_sub(self.extras)
    }

    /// What its rate must be taken for, since it has not been found for so long.
    pub(super) fn likely_rate(&self) -> f64 {
        (self.rate - self.doubted).max(0.0)
    }

    /// On how many lists it stands without being searched.
    pub(super) const fn waiting(&self) -> usize {
        self.listed.saturating_sub(self.heads)
    }
}

/// Kinds of work by how hard they are.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 63")]
fn class(hashes: f64) -> usize {
    hashes.log2().clamp(0.0, 63.0) as usize
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    open: Vec<Open>,
    places: BTreeMap<JobId, usize>,
    /// Those that nobody searches for but extras.
    headless: BTreeSet<(Timestamp, JobId)>,
    sizes: f64,
    hashes: f64,
}

impl Jobs {
    pub(super) fn insert(&mut self, job: Open) {
        self.places.insert(job.id, self.open.len());
        self.headless.insert((job.due, job.id));
        self.sizes += job.size;
        self.hashes += job.hashes;
        self.open.push(job);
    }

    pub(super) fn remove(&mut self, id: JobId) -> Option<Open> {
        let place = self.places.remove(&id)?;
        let removed = self.open.swap_remove(place);
        if let Some(moved) = self.open.get(place) {
            self.places.insert(moved.id, place);
        }
        self.headless.remove(&(removed.due, id));
        // Rounding must not add up.
        self.sizes = if self.open.is_empty() { 0.0 } else { self.sizes - removed.size };
        self.hashes = if self.open.is_empty() { 0.0 } else { self.hashes - removed.hashes };
        Some(removed)
    }

    pub(super) fn get(&self, id: JobId) -> Option<&Open> {
        self.open.get(*self.places.get(&id)?)
    }

    /// Changes a job, if it is open.
    pub(super) fn with(&mut self, id: JobId, change: impl FnOnce(&mut Open)) {
        let Some(job) = self.places.get(&id).and_then(|place| self.open.get_mut(*place)) else { return };
        let before = job.needed();
        change(job);
        if job.heads == 0 {
            (job.rate, job.doubted) = (0.0, 0.0);
        }
        if job.needed() == 0 {
            self.headless.insert((job.due, id));
        } else if before == 0 {
            self.headless.remove(&(job.due, id));
        }
    }

    /// Those that nobody searches for but extras, oldest first.
    pub(super) fn headless(&self) -> impl Iterator<Item = JobId> {
        self.headless.iter().map(|(_, job)| *job)
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// The sum of their hashes.
    pub(super) const fn hashes(&self) -> f64 {
        self.hashes
    }

    /// The sum of their sizes.
    pub(super) const fn sizes(&self) -> f64 {
        self.sizes
    }

    /// Some of them at random, or all when there are no more than that.
    pub(super) fn sample(&self, count: usize, draws: &mut Draws) -> impl Iterator<Item = &Open> {
        let is_all = self.open.len() <= count;
        (0..count.min(self.open.len()))
            .map(move |index| if is_all { index } else { draws.below(self.open.len()) })
            .filter_map(|place| self.open.get(place))
    }
}

/// Numbers that are spread evenly and always the same: a policy has no chance of its own.
#[derive(Debug)]
pub(super) struct Draws(u64);

impl Draws {
    pub(super) const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// The next number below `bound`, which is not zero.
    #[expect(clippy::cast_possible_truncation, reason = "below a bound of this type")]
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * bound as u128) >> 64) as usize
    }
}
