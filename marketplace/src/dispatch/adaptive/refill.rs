//! What freed workers do next.

use shared::{JobId, WorkerId};

use super::load::{SAMPLE, TEAM_MAX, is_as_good_as_found};
use super::open::Open;
use super::worker::Place;
use super::{Adaptive, Draws};
use crate::board::{Board, Job, Worker};

/// Jobs that wait on a list, at most.
const WAITING_MAX: usize = 7;
/// Lists on which a job waits, at most.
const PLACES_MAX: usize = 3;
/// The oldest jobs without a worker that are looked at besides.
const OLDEST: usize = 8;
/// Jobs among whose workers a place is looked for where a job could wait: in a large fleet there is seldom one.
const LOOKED_AT: usize = 8;
/// What waits lasts for so many round trips on average.
const TRIPS: f64 = 3.0;
/// A worker gets something to wait for it where it would idle for more than this part of a search.
const WORTH: f64 = 0.03;
/// And where it makes at least this part of its job's rate, so that it is likely to be the one to find it.
const MAIN: f64 = 0.3;

impl Adaptive {
    /// Gives these workers something to do, the fastest first, and then something to go on with.
    pub(super) fn refill(&mut self, workers: &[WorkerId], board: &mut Board) {
        let mut by_rate: Vec<(f64, WorkerId)> = workers
            .iter()
            .filter_map(|worker| self.members.get(worker).map(|member| (member.rate, *worker)))
            .collect();
        by_rate.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        for (_, worker) in &by_rate {
            self.join_poorest(*worker, board);
        }
        for (_, worker) in by_rate {
            self.fill_waiting(worker, board);
        }
    }

    /// A worker without anything to do joins the job that is worst off, if one needs it.
    fn join_poorest(&mut self, worker: WorkerId, board: &mut Board) {
        let Some(member) = self.members.get(&worker) else { return };
        if !member.is_free() {
            return;
        }
        let Some(entry) = board.worker(worker).filter(|entry| entry.has_room()) else { return };
        let (rate, is_owed) = (self.believed(member), self.is_owed(member));
        let can = |job: &Open| entry.does(job.threshold) && !entry.list().contains(&job.id);
        let can_id = |job: &JobId| self.jobs.get(*job).is_some_and(can);
        let unplaced = board.unplaced().take(SAMPLE).map(|job| job.id).find(can_id);
        if self.is_benched(member) || (!member.is_proven && self.room_for_strangers() < 1.0) {
            if let Some(job) = unplaced.filter(|_| self.may_stand_in(worker)) {
                self.give(worker, job, Place::Extra, board);
            }
            return;
        }
        let headless = self.jobs.headless().take(OLDEST).find(can_id);
        let mut draws = std::mem::replace(&mut self.draws, Draws::new());
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let poorest = unplaced.or_else(|| {
            let oldest = headless.and_then(|job| self.jobs.get(job));
            self.jobs
                .sample(SAMPLE, &mut draws)
                .chain(oldest)
                .filter(|job| (job.needed() as f64) < TEAM_MAX && !self.is_served(job))
                .filter(|job| rate >= self.floor(job) && can(job))
                .min_by(|one, other| self.wealth(one).total_cmp(&self.wealth(other)))
                .map(|job| job.id)
        });
        let job = match poorest {
            Some(job) => {
                let is_slow = self.jobs.get(job).is_some_and(|job| rate < self.floor(job));
                Some((job, if is_slow { Place::Extra } else { Place::Last }))
            }
            None if is_owed => {
                let any = self.jobs.sample(SAMPLE, &mut draws).find(|job| can(job));
                any.map(|job| (job.id, Place::Extra))
            }
            None => None,
        };
        self.draws = draws;
        match job {
            Some((job, place)) => {
                self.give(worker, job, place, board);
            }
            None => self.work_ahead(worker, board),
        }
    }

    /// Jobs behind the one that a worker searches, so that it can go on without asking.
    pub(super) fn fill_waiting(&mut self, worker: WorkerId, board: &mut Board) {
        while let Some(entry) = board.worker(worker).filter(|_| self.has_waiting_room(worker, board)) {
            let mut draws = std::mem::replace(&mut self.draws, Draws::new());
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let next = self
                .jobs
                .sample(SAMPLE, &mut draws)
                .chain(self.jobs.headless().take(OLDEST).filter_map(|job| self.jobs.get(job)))
                .filter(|job| job.waiting() < places_max(job))
                .filter(|job| entry.does(job.threshold) && !entry.list().contains(&job.id))
                .map(|job| (self.wealth(job) * (1.0 + job.waiting() as f64), job.id))
                .min_by(|one, other| one.0.total_cmp(&other.0));
            self.draws = draws;
            let Some((_, job)) = next else { return };
            if !self.give(worker, job, Place::Last, board) {
                return;
            }
        }
    }

    /// A job that nobody could begin waits where its turn comes first.
    pub(super) fn wait(&mut self, id: JobId, board: &mut Board) {
        let Some(job) = board.job(id).filter(|job| job.workers().is_empty()) else { return };
        let mut draws = std::mem::replace(&mut self.draws, Draws::new());
        let soonest = self
            .jobs
            .sample(LOOKED_AT, &mut draws)
            .filter_map(|other| board.job(other.id))
            .flat_map(Job::workers)
            .filter(|worker| board.worker(**worker).is_some_and(|entry| entry.accepts(job)))
            .filter(|worker| self.has_waiting_room(**worker, board))
            .map(|worker| (self.busy_for(*worker, board), *worker))
            .min_by(|one, other| one.0.total_cmp(&other.0));
        self.draws = draws;
        if let Some((_, worker)) = soonest {
            self.give(worker, id, Place::Last, board);
        }
    }

    /// Whether one more job is to wait on a worker's list.
    fn has_waiting_room(&self, worker: WorkerId, board: &Board) -> bool {
        let (Some(member), Some(entry)) = (self.members.get(&worker), board.worker(worker)) else {
            return false;
        };
        let Some(job) = member.head.and_then(|head| self.jobs.get(head.job)) else { return false };
        let (rate, trip) = (member.rate, member.gauge.trip());
        if !member.is_proven || self.is_ahead(member) || !entry.has_room() || rate < MAIN * job.rate {
            return false;
        }
        let waiting = entry.list().iter().skip(1).count();
        trip * rate >= WORTH * job.hashes
            && waiting < WAITING_MAX
            && (waiting == 0 || self.waiting_hashes(entry) < TRIPS * trip * rate)
    }

    /// Mean number of seconds until a worker has found all that stands on its list.
    fn busy_for(&self, worker: WorkerId, board: &Board) -> f64 {
        let (Some(member), Some(entry)) = (self.members.get(&worker), board.worker(worker)) else {
            return f64::INFINITY;
        };
        let head = member.head.and_then(|head| self.jobs.get(head.job));
        head.map_or(0.0, |job| job.hashes / job.rate.max(1.0))
            + self.waiting_hashes(entry) / member.rate.max(1.0)
    }

    /// Mean number of hashes of what waits on a list.
    fn waiting_hashes(&self, entry: &Worker) -> f64 {
        entry.list().iter().skip(1).filter_map(|job| self.jobs.get(*job)).map(|job| job.hashes).sum()
    }
}

/// Lists on which a job may wait.
fn places_max(job: &Open) -> usize {
    if is_as_good_as_found(job) { 1 } else { PLACES_MAX }
}
