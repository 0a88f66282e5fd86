//! Workers as the policy knows them: what they search at present, and what that tells about them.

use core::time::Duration;

use shared::protocol::WorkKind;
use shared::{JobId, Timestamp, WorkerId};

use super::Adaptive;
use super::idle::Entry;
use super::measure::Gauge;
use super::silence::Silence;
use crate::board::{Board, Worker};

/// Proven workers from which on what others say is compared with them.
pub(super) const PROVEN_FEW: usize = 8;
/// A stranger is not believed to be faster than so many proven workers on average.
const STRANGER_RATE: f64 = 2.0;
/// Workers that have left are remembered up to this number.
const MEMBERS_MAX: usize = 100_000;

/// A worker.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) gauge: Gauge,
    /// Believed rate, as it is counted in the sum of all; zero while it cannot be given work.
    pub(super) rate: f64,
    /// Whether it is counted among the proven.
    pub(super) is_proven: bool,
    pub(super) head: Option<Head>,
    /// Hashes to be expected for what it has found, and what all had earned for each hash a second when it came.
    pub(super) earned: f64,
    pub(super) earned_since: f64,
    /// As it is filed among those without anything to do, and whether as a stranger.
    idle: Option<(Entry, bool)>,
    is_queued: bool,
    pub(super) silence: Silence,
}

/// What a worker searches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) job: JobId,
    pub(super) hashes: f64,
    /// When the list that began it was sent, or would have had to be sent.
    pub(super) begun: Timestamp,
    /// Its rate, as it is counted in the job's.
    pub(super) rate: f64,
    /// Whether it was begun by the first list that it stood on, so that the worker cannot have known of it before.
    pub(super) is_fresh: bool,
    /// Whether the worker has found it, so that it has gone on by itself.
    pub(super) is_found: bool,
    /// Whether it searches so that it earns something.
    pub(super) is_extra: bool,
    kind: WorkKind,
}

impl Member {
    /// Whether nobody waits for what it searches, if it searches anything.
    pub(super) fn is_free(&self) -> bool {
        self.head.is_none_or(|head| head.kind != WorkKind::OnDemand)
    }

    /// Whether it is left alone at present.
    pub(super) fn is_aside(&self, now: Timestamp) -> bool {
        self.silence.is_aside(now)
    }
}

impl Adaptive {
    /// A worker has said what it is, or goes on after a pause.
    pub(super) fn worker_ready(&mut self, worker: WorkerId, board: &mut Board) {
        let Some(entry) = board.worker(worker) else { return };
        let earned_since = self.earned;
        let member = self.members.entry(worker).or_insert_with(|| Member {
            gauge: Gauge::new(entry.rate),
            rate: 0.0,
            is_proven: false,
            head: None,
            earned: 0.0,
            earned_since,
            idle: None,
            is_queued: false,
            silence: Silence::default(),
        });
        member.gauge.announces(entry.rate);
        member.silence.begin();
        self.follow(worker, board);
    }

    /// The rate with which a worker counts.
    pub(super) fn believed(&self, member: &Member) -> f64 {
        if member.is_proven { member.rate } else { member.rate * self.strangers.word() }
    }

    /// Whether it is given work like others.
    pub(super) fn is_trusted(&self, member: &Member) -> bool {
        member.is_proven || self.strangers.are_trusted() || self.proven.0 == 0
    }

    /// Whether it gets only what nobody else could take.
    pub(super) fn is_benched(&self, member: &Member) -> bool {
        member.is_aside(self.now) || !self.is_trusted(member) || self.is_ahead(member)
    }

    /// A worker's list has changed, or the worker has: brings everything that is known of it up to date.
    pub(super) fn follow(&mut self, worker: WorkerId, board: &Board) {
        let entry = board.worker(worker).filter(|entry| entry.terms.is_some() && !entry.is_paused);
        self.follow_head(worker, entry, board);
        let is_aside = self.members.get(&worker).is_some_and(|member| member.is_aside(self.now));
        self.count(worker, entry.is_some() && !is_aside);
        self.follow_idle(worker, entry);
        if board.worker(worker).is_none() && self.members.len() > MEMBERS_MAX {
            self.members.remove(&worker);
        }
    }

    fn follow_head(&mut self, worker: WorkerId, entry: Option<&Worker>, board: &Board) {
        let first = entry.and_then(|entry| entry.list().first().copied());
        let Some(member) = self.members.get_mut(&worker) else { return };
        if member.head.map(|head| head.job) == first {
            return;
        }
        member.silence.has_list(self.now, first.is_some());
        let before = member.head.take();
        if let Some(head) = before {
            if !head.is_found {
                let seconds = self.now.since(head.begun).as_secs_f64();
                self.searched(worker, seconds, head.hashes);
            }
            self.jobs.with(head.job, |open| {
                open.rate -= head.rate;
                open.heads = open.heads.saturating_sub(1);
                open.extras = open.extras.saturating_sub(usize::from(head.is_extra));
            });
        }
        let is_stranger = self.members.get(&worker).is_some_and(|member| !member.gauge.is_proven());
        self.strangers.tries(worker, is_stranger && first.is_some());
        let Some(job) = first.and_then(|job| board.job(job)) else { return };
        let Some(rate) = self.members.get(&worker).map(|member| {
            let rate = member.gauge.rate();
            match (member.is_aside(self.now), member.is_proven) {
                (true, _) => 0.0,
                (false, true) => rate,
                (false, false) => rate.min(member.rate) * self.strangers.word(),
            }
        }) else {
            return;
        };
        let Some(member) = self.members.get_mut(&worker) else { return };
        // What came next on its list it has begun when it had found the one before.
        let trip = Duration::from_secs_f64(member.gauge.trip());
        let begun = if before.is_some_and(|head| head.is_found) { self.now - trip } else { self.now };
        member.head = Some(Head {
            job: job.id,
            hashes: job.hashes,
            begun,
            rate,
            is_fresh: false,
            is_found: false,
            is_extra: false,
            kind: job.kind,
        });
        let now = self.now;
        self.jobs.with(job.id, |open| {
            if open.heads == 0 {
                open.since = now;
            }
            open.rate += rate;
            open.heads += 1;
        });
        self.look_at(job.id);
    }

    /// A worker has searched for so long.
    fn searched(&mut self, worker: WorkerId, seconds: f64, hashes: f64) {
        let Some(member) = self.members.get_mut(&worker) else { return };
        if !member.is_proven {
            self.strangers.expected(member.rate * seconds / hashes);
        }
        self.burnt += member.gauge.rate() * seconds;
        member.gauge.searched(seconds, hashes);
    }

    /// Counts a worker's rate in the sums.
    fn count(&mut self, worker: WorkerId, is_ready: bool) {
        let limit = if self.proven.0 >= PROVEN_FEW {
            #[expect(clippy::cast_precision_loss, reason = "a number of workers")]
            let mean = self.proven.1 / self.proven.0 as f64;
            STRANGER_RATE * mean
        } else {
            f64::INFINITY
        };
        let Some(member) = self.members.get_mut(&worker) else { return };
        let was = (member.rate > 0.0, member.is_proven, member.rate);
        member.is_proven = member.gauge.is_proven();
        let rate = member.gauge.rate();
        member.rate = match (is_ready, member.is_proven) {
            (false, _) => 0.0,
            (true, true) => rate,
            (true, false) => rate.min(limit),
        };
        for ((counts, is_proven, rate), by) in [(was, -1.0), ((is_ready, member.is_proven, member.rate), 1.0)]
        {
            let sums = if is_proven { &mut self.proven } else { &mut self.unproven };
            if counts {
                sums.0 = if by > 0.0 { sums.0 + 1 } else { sums.0 - 1 };
                // Rounding must not add up.
                sums.1 = if sums.0 == 0 { 0.0 } else { (sums.1 + by * rate).max(0.0) };
            }
        }
    }

    fn follow_idle(&mut self, worker: WorkerId, entry: Option<&Worker>) {
        let Some(member) = self.members.get(&worker) else { return };
        let is_free = entry.is_some_and(Worker::has_room) && member.is_free();
        let is_trusted = self.is_trusted(member);
        let is_benched = self.is_benched(member);
        if is_free && is_benched {
            self.bench.insert(worker);
        } else {
            self.bench.remove(&worker);
        }
        let is_aside = member.is_aside(self.now);
        let trip = (member.gauge.trip() + self.handicap(member)).max(0.0);
        let idle = (is_free && !is_benched)
            .then(|| (idle_entry(worker, self.believed(member), trip), !member.is_proven));
        let is_owed = idle.is_some() && self.is_owed(member);
        let Some(member) = self.members.get_mut(&worker) else { return };
        if idle != member.idle {
            if let Some((before, was_stranger)) = member.idle.take() {
                self.idle.remove(before, was_stranger);
            }
            if let Some((entry, is_stranger)) = idle {
                self.idle.insert(entry, is_stranger);
            }
            member.idle = idle;
        }
        if is_owed {
            self.owed.insert(worker);
        } else {
            self.owed.remove(&worker);
        }
        if is_free && !is_aside && !is_trusted && !member.is_queued {
            member.is_queued = true;
            self.strangers.waits(worker);
        }
    }

    /// How many more strangers may begin to search: as many as there are while hardly anybody has been proven.
    pub(super) fn room_for_strangers(&self) -> f64 {
        if self.proven.0 < PROVEN_FEW { f64::INFINITY } else { self.strangers.room() }
    }

    /// The next stranger whose turn it is, if it is still there and free.
    pub(super) fn next_stranger(&mut self) -> Option<WorkerId> {
        let worker = self.strangers.next()?;
        let member = self.members.get_mut(&worker)?;
        member.is_queued = false;
        let is_free = member.rate > 0.0 && member.head.is_none() && !member.is_aside(self.now);
        is_free.then_some(worker)
    }

    /// Whether a worker that is not relied upon may have a job that has nobody else: not while there are many such.
    pub(super) fn may_stand_in(&self, worker: WorkerId) -> bool {
        let is_crowd = self.unproven.0 > self.proven.0.max(PROVEN_FEW);
        !is_crowd || self.members.get(&worker).is_some_and(|member| self.is_trusted(member))
    }

    /// Whether what is known of an idle worker has changed since it was filed.
    pub(super) fn is_stale(&self, worker: WorkerId) -> bool {
        self.members.get(&worker).is_none_or(|member| {
            let filed = member.idle.map_or(0, |((rate, ..), _)| rate);
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            let ratio = self.believed(member) / (filed as f64).max(1.0);
            self.is_benched(member) || !(0.8..1.25).contains(&ratio)
        })
    }

    /// Puts a job on a worker's list, at the end or in front.
    pub(super) fn give(&mut self, worker: WorkerId, job: JobId, place: Place, board: &mut Board) -> bool {
        let is_given = match place {
            Place::First => board.offer_first(worker, job),
            Place::Last | Place::Extra => board.offer(worker, job),
        };
        if !is_given {
            return false;
        }
        self.strangers.assigned(1.0);
        self.jobs.with(job, |open| open.listed += 1);
        self.follow(worker, board);
        let head = self.members.get_mut(&worker).and_then(|member| member.head.as_mut());
        if let Some(head) = head.filter(|head| head.job == job) {
            head.begun = self.now;
            head.is_fresh = true;
            if place == Place::Extra {
                head.is_extra = true;
                self.jobs.with(job, |open| open.extras += 1);
            }
        }
        true
    }

    /// Takes a job off a worker's list.
    pub(super) fn take(&mut self, worker: WorkerId, job: JobId, board: &mut Board) {
        board.withdraw(worker, job);
        self.jobs.with(job, |open| open.listed = open.listed.saturating_sub(1));
        self.follow(worker, board);
    }

    /// A valid result says something about its worker.
    pub(super) fn measure(&mut self, worker: WorkerId, job: JobId, late: Option<Duration>) {
        let now = self.now;
        let Some(member) = self.members.get_mut(&worker) else { return };
        if !member.gauge.is_proven() {
            self.strangers.found();
        }
        member.gauge.found();
        member.silence.answered(now);
        let trip = member.gauge.trip();
        match &mut member.head {
            Some(head) if head.job == job && !head.is_found => {
                let after = self.now.since(head.begun).as_secs_f64();
                head.is_found = true;
                if head.is_fresh {
                    let rate = self.jobs.get(job).map_or(head.rate, |open| open.rate);
                    member.gauge.trip_mut().answered(after, rate / head.hashes);
                }
                let hashes = head.hashes;
                member.gauge.forgive();
                self.searched(worker, (after - trip).max(0.0), hashes);
                if let Some(member) = self.members.get_mut(&worker) {
                    member.gauge.forgive();
                }
            }
            _ => {
                if let Some(by) = late {
                    member.gauge.trip_mut().late(by.as_secs_f64());
                }
            }
        }
    }
}

/// Where on a list a job goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    First,
    Last,
    /// Last, so that the worker earns something.
    Extra,
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and saturated")]
fn idle_entry(worker: WorkerId, rate: f64, trip: f64) -> Entry {
    (rate as u64, (trip * 1e6) as u32, worker)
}
