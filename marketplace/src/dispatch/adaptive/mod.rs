//! Every job to as many workers as it is worth: many while workers are idle, one when there is more to do than workers.

mod ahead;
mod deadline;
mod fairness;
mod hedge;
mod idle;
mod load;
mod measure;
mod open;
mod place;
mod refill;
mod services;
mod silence;
mod strangers;
mod worker;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use shared::protocol::WorkKind;
use shared::{JobId, Timestamp, WorkerId};

use self::idle::Idle;
use self::open::{Draws, Jobs, Open};
use self::services::Services;
use self::strangers::Strangers;
use self::worker::Member;
use super::{Dispatch, Event, Figures};
use crate::board::Board;
use crate::limits::{BACKLOG_MIN, BACKLOG_PART};

/// How often a part of all workers is looked at, and how many parts there are: each worker once a second, and never all at a
/// time, which would hold up results.
const TICK: Duration = Duration::from_millis(125);
const PARTS: usize = 8;
/// When that comes so late, nothing has been heard of anybody for a while.
const DEAF: Duration = Duration::from_millis(500);
/// When nothing has happened for so long, not even that, the clock has jumped.
const JUMP: Duration = Duration::from_secs(4);
/// Time that a job takes as long as nothing is known of its kind, in seconds.
const LATENCY: f64 = 0.3;
/// By how much hashes that were made count less after each part: half of them after a minute.
const BURNT_FADES: f64 = 0.998_555;
/// Jobs over which latencies and hashes are averaged.
const AVERAGE: f64 = 128.0;

/// Offers every job to as many workers as it is worth.
#[derive(Debug)]
pub struct Adaptive {
    /// 0 for latency alone, 1 for fairness between workers first.
    fairness: f64,
    members: BTreeMap<WorkerId, Member>,
    idle: Idle,
    /// Idle workers that have earned too little.
    owed: BTreeSet<WorkerId>,
    /// Workers that have nothing to do and are not relied upon: for jobs that nobody else could take.
    bench: BTreeSet<WorkerId>,
    strangers: Strangers,
    /// Number of those that can be given work and the sum of their rates: proven and others.
    proven: (usize, f64),
    unproven: (usize, f64),
    jobs: Jobs,
    /// Work ahead of demand that nobody searches for.
    ahead: BTreeSet<JobId>,
    services: Services,
    /// When jobs are to be looked at.
    looks: BTreeSet<(Timestamp, JobId)>,
    /// When jobs are, because their time runs out.
    hurries: BTreeSet<(Timestamp, JobId)>,
    /// When a part of all workers is, and the last one that was.
    tick_at: Option<Timestamp>,
    looked_at: Option<WorkerId>,
    draws: Draws,
    /// Mean time from opening to end of jobs, by the power of two of their hashes; seconds.
    latencies: [f64; 64],
    mean_hashes: f64,
    /// Hashes to be expected for what was found, for each hash a second of all workers.
    earned: f64,
    /// Hashes to be expected for what was found, and hashes that workers have made, of the last minutes.
    worth: f64,
    burnt: f64,
    now: Timestamp,
}

impl Adaptive {
    /// Nothing is known of anybody. Fairness in percent, at most 100.
    pub fn new(fairness: u8) -> Self {
        Self {
            fairness: f64::from(fairness.min(100)) / 100.0,
            members: BTreeMap::new(),
            idle: Idle::new(),
            owed: BTreeSet::new(),
            bench: BTreeSet::new(),
            strangers: Strangers::new(),
            proven: (0, 0.0),
            unproven: (0, 0.0),
            jobs: Jobs::default(),
            ahead: BTreeSet::new(),
            services: Services::default(),
            looks: BTreeSet::new(),
            hurries: BTreeSet::new(),
            tick_at: None,
            looked_at: None,
            draws: Draws::new(),
            latencies: [LATENCY; 64],
            mean_hashes: 0.0,
            earned: 0.0,
            worth: 0.0,
            burnt: 0.0,
            now: Timestamp::default(),
        }
    }

    /// Time has passed, or has jumped.
    fn advance(&mut self, now: Timestamp) {
        let is_jump = self.tick_at.is_some() && now.since(self.now) > JUMP;
        self.now = now;
        if is_jump {
            self.forget_beginnings();
        }
    }

    fn job_opened(&mut self, id: JobId, board: &mut Board) {
        let Some(job) = board.job(id) else { return };
        if job.kind == WorkKind::Precache {
            return self.ahead_opened(id, board);
        }
        let mut open = Open::new(job);
        if let Some(service) = job.service() {
            let known = (self.rates(), self.latencies[open.class]);
            open.due = self.services.due(job.opened, service, job.hashes, known);
        }
        self.jobs.insert(open);
        self.place(id, board);
        self.hurry_later(id);
    }

    fn job_closed(&mut self, id: JobId, workers: &[WorkerId], board: &mut Board) {
        self.ahead.remove(&id);
        if let Some(job) = self.jobs.remove(id) {
            job.look_at.map(|at| self.looks.remove(&(at, id)));
            job.hurry_at.map(|at| self.hurries.remove(&(at, id)));
        }
        for worker in workers {
            self.follow(*worker, board);
        }
        self.refill(workers, board);
    }

    fn found(&mut self, worker: WorkerId, id: JobId, late: Option<Duration>) {
        self.measure(worker, id, late);
        let Some(job) = self.jobs.get(id).filter(|_| late.is_none()) else { return };
        let latency = &mut self.latencies[job.class];
        *latency += (self.now.since(job.opened).as_secs_f64() - *latency) / AVERAGE;
        let hashes = job.hashes;
        self.mean_hashes =
            if self.worth > 0.0 { self.mean_hashes + (hashes - self.mean_hashes) / AVERAGE } else { hashes };
        self.worth += hashes;
        self.earned += hashes / self.rates().max(1.0);
        if let Some(member) = self.members.get_mut(&worker) {
            member.earned += hashes;
        }
    }

    /// No longer on that worker's list.
    fn orphaned(&mut self, worker: WorkerId, jobs: &[JobId], board: &mut Board) {
        for job in jobs {
            self.jobs.with(*job, |open| open.listed = open.listed.saturating_sub(1));
        }
        self.follow(worker, board);
        self.replace(jobs, board);
    }

    /// These may have lost their last worker.
    fn replace(&mut self, jobs: &[JobId], board: &mut Board) {
        for job in jobs {
            if self.jobs.get(*job).is_some_and(|open| open.needed() == 0) {
                self.place(*job, board);
            } else if board
                .job(*job)
                .is_some_and(|open| open.kind == WorkKind::Precache && open.workers().is_empty())
            {
                self.ahead_opened(*job, board);
            }
        }
    }
}

impl Dispatch for Adaptive {
    fn react(&mut self, now: Timestamp, event: Event, board: &mut Board) {
        self.advance(now);
        match event {
            Event::JobOpened(job) => self.job_opened(job, board),
            Event::Found { worker, job, late } => self.found(worker, job, late),
            Event::JobClosed { job, workers } => self.job_closed(job, &workers, board),
            Event::WorkerReady(worker) => {
                self.tick_at.get_or_insert(now + TICK);
                self.worker_ready(worker, board);
                self.refill(&[worker], board);
            }
            Event::WorkerHeard(worker) => self.heard(worker, board),
            Event::JobsOrphaned { worker, jobs } => self.orphaned(worker, &jobs, board),
        }
    }

    fn wakes_at(&self) -> Option<Timestamp> {
        let look = self.looks.first().map(|(at, _)| *at);
        let hurry = self.hurries.first().map(|(at, _)| *at);
        [look, hurry, self.tick_at].into_iter().flatten().min()
    }

    fn wake(&mut self, now: Timestamp, board: &mut Board) {
        self.advance(now);
        if let Some(due) = self.tick_at.filter(|due| *due <= now) {
            if now.since(due) > DEAF {
                self.excuse_all();
            }
            self.strangers.forget();
            self.worth *= BURNT_FADES;
            self.burnt *= BURNT_FADES;
            self.look_at_some(board);
            let is_needed = self.proven.0 + self.unproven.0 > 0;
            self.tick_at = is_needed.then(|| now + TICK);
        }
        self.look_at_late(board);
        self.hurry(board);
    }

    fn can_do(&self, hashes: f64, within: Duration) -> bool {
        let is_busy = self.jobs.len() >= (self.proven.0 + self.unproven.0).max(BACKLOG_MIN);
        let waits = (self.jobs.hashes() + hashes) / self.rates_soon().max(1.0);
        !is_busy || waits <= within.as_secs_f64() * BACKLOG_PART
    }

    fn figures(&self) -> Figures {
        let efficiency = (self.burnt > 0.0).then(|| (self.worth / self.burnt).min(1.0));
        Figures { efficiency, fairness: self.jain() }
    }
}
