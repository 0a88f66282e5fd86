//! Workers that say nothing any more, or find nothing: they lose their jobs and are left alone for a while.
//!
//! A worker that searches sends something once a second (`docs/protocol.md`), so one that does not is not there. That it sends
//! something proves only that it is there, so one that never finds what it should have found loses its jobs as well.

use core::ops::Bound;
use core::time::Duration;

use shared::{Timestamp, WorkerId};

use super::{Adaptive, PARTS};
use crate::board::Board;

/// Time without a word, besides the way there and back, after which a worker that searches is not there: it sends one a second.
const MUTE_AFTER: f64 = 1.5;
/// Finds that a worker may owe in a row: a worker that is there gets so far once in 1,100 finds.
const OWED_MAX: f64 = 7.0;
/// A machine that has something else to do may keep a search waiting for so many seconds, in which a fast worker would have found
/// much that is easy.
const STALL: f64 = 0.25;
/// How long a silent worker is left alone the first time; each further time twice as long, up to the longest.
const ASIDE_S: (f64, f64) = (1.0, 256.0);

/// What is known of a worker's silence.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// Until when it is left alone, and how often that has happened since it last found something.
    aside: Option<Timestamp>,
    asides: i32,
    /// Whether it is left alone for want of a word, so that a word will do.
    is_mute: bool,
    /// Its last word, if it is one of those that send signs of life.
    heard: Option<Timestamp>,
    /// Since when it has had something to search.
    busy: Option<Timestamp>,
}

impl Silence {
    /// A connection begins. Whether signs of life will come is not known yet.
    pub(super) const fn begin(&mut self) {
        self.heard = None;
    }

    /// Whether it is left alone at present.
    pub(super) fn is_aside(&self, now: Timestamp) -> bool {
        self.aside.is_some_and(|until| until > now)
    }

    /// It has something to search, or nothing.
    pub(super) fn has_list(&mut self, now: Timestamp, is_any: bool) {
        self.busy = is_any.then(|| self.busy.unwrap_or(now));
    }

    /// A valid result has come, which makes up for all.
    pub(super) fn answered(&mut self, now: Timestamp) {
        (self.aside, self.asides) = (None, 0);
        self.heard = self.heard.map(|_| now);
    }

    /// A sign of life has come. Says whether it ends the time in which the worker is left alone.
    fn spoke(&mut self, now: Timestamp) -> bool {
        self.heard = Some(now);
        self.aside.take_if(|_| self.is_mute).is_some()
    }

    /// Whether there should have been a word long ago, from one whose messages take so many seconds there and back.
    fn is_mute(&self, now: Timestamp, trip: f64) -> bool {
        let (Some(heard), Some(busy)) = (self.heard, self.busy) else { return false };
        now.since(heard.max(busy)).as_secs_f64() > MUTE_AFTER + trip
    }

    fn put_aside(&mut self, now: Timestamp, is_mute: bool) {
        let seconds = (ASIDE_S.0 * f64::from(self.asides.min(10)).exp2()).min(ASIDE_S.1);
        self.aside = Some(now + Duration::from_secs_f64(seconds));
        self.asides += 1;
        self.is_mute = is_mute;
    }

    /// As if it had spoken just now.
    fn excuse(&mut self, now: Timestamp) {
        self.heard = self.heard.map(|_| now);
    }
}

impl Adaptive {
    /// A sign of life.
    pub(super) fn heard(&mut self, worker: WorkerId, board: &mut Board) {
        let now = self.now;
        if self.members.get_mut(&worker).is_some_and(|member| member.silence.spoke(now)) {
            self.follow(worker, board);
            self.refill(&[worker], board);
        }
    }

    /// Brings the next part of all workers up to date, and takes their jobs from those that are silent.
    pub(super) fn look_at_some(&mut self, board: &mut Board) {
        let after = self.looked_at.map_or(Bound::Unbounded, Bound::Excluded);
        let count = self.members.len().div_ceil(PARTS);
        let next = self.members.range((after, Bound::Unbounded));
        let workers: Vec<WorkerId> = next.take(count).map(|(worker, _)| *worker).collect();
        self.looked_at = workers.last().copied().filter(|_| workers.len() == count);
        let now = self.now;
        for worker in workers {
            let Some(member) = self.members.get_mut(&worker) else { continue };
            let is_back = member.silence.aside.take_if(|until| *until <= now).is_some();
            let is_mute = member.silence.is_mute(now, member.gauge.trip());
            if is_mute || self.owes_much(worker) {
                self.put_aside(worker, is_mute, board);
            } else if board.worker(worker).is_some() {
                self.follow(worker, board);
                if is_back {
                    self.refill(&[worker], board);
                }
            }
        }
    }

    /// Whether a worker should have found so much that it cannot be searching.
    fn owes_much(&self, worker: WorkerId) -> bool {
        let Some(member) = self.members.get(&worker) else { return false };
        // Of one that has never found anything it is not known that it searches at all.
        let excused = if member.is_proven { STALL + member.gauge.trip() } else { 0.0 };
        let owed = member.head.filter(|head| !head.is_found).map_or(0.0, |head| {
            let seconds = self.now.since(head.begun).as_secs_f64() - excused;
            member.gauge.unrewarded(seconds.max(0.0), head.hashes)
        });
        owed > OWED_MAX
    }

    fn put_aside(&mut self, worker: WorkerId, is_mute: bool, board: &mut Board) {
        let Some(member) = self.members.get_mut(&worker) else { return };
        member.silence.put_aside(self.now, is_mute);
        let listed = board.worker(worker).map(|entry| entry.list().to_vec()).unwrap_or_default();
        for job in &listed {
            self.take(worker, *job, board);
        }
        // What it owes is forgiven when that is why it lost them; by saying nothing for a while nobody gets rid of it.
        if let Some(member) = self.members.get_mut(&worker).filter(|_| !is_mute) {
            member.gauge.forgive();
        }
        self.replace(&listed, board);
        // Better this one than nobody, for what it had not.
        self.refill(&[worker], board);
    }

    /// Nothing could be heard for a while, which says nothing about anybody.
    pub(super) fn excuse_all(&mut self) {
        for member in self.members.values_mut() {
            member.silence.excuse(self.now);
        }
    }

    /// Forgets when searches began: the clock has jumped, so nothing can be told from them.
    pub(super) fn forget_beginnings(&mut self) {
        for member in self.members.values_mut() {
            if let Some(head) = &mut member.head {
                head.begun = self.now;
                head.is_fresh = false;
            }
        }
    }
}
