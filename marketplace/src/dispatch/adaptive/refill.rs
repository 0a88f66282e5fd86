//! What freed workers do next.

use shared::{JobId, WorkerId};

use super::load::{SAMPLE, TEAM_MAX, is_as_good_as_found};
use super::open::Open;
use super::worker::Place;
use super::{Adaptive, Draws};
use crate::board::{Board, Worker};

/// Jobs that wait on a list, at most.
const WAITING_MAX: usize = 7;
/// Lists on which a job waits, at most.
const PLACES_MAX: usize = 3;
/// The oldest jobs without a worker that are looked at besides.
const OLDEST: usize = 8;
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
        let Some(member) = self.members.get(&worker) else { return };
        let (Some(head), rate, trip) = (member.head, member.rate, member.gauge.trip()) else { return };
        let Some(job) = self.jobs.get(head.job) else { return };
        if !member.is_proven || self.is_ahead(member) || rate < MAIN * job.rate {
            return;
        }
        // What waits is to last for so many round trips.
        let made = TRIPS * trip * rate;
        let mut left = made - self.waiting_hashes(worker, board);
        if trip * rate < WORTH * job.hashes {
            return;
        }
        let mut waiting = board.worker(worker).map_or(0, |entry| entry.list().len() - 1);
        while waiting < WAITING_MAX && (waiting == 0 || left > 0.0) {
            let Some(entry) = board.worker(worker).filter(|entry| entry.has_room()) else { return };
            let mut draws = std::mem::replace(&mut self.draws, Draws::new());
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let next = self
                .jobs
                .sample(SAMPLE, &mut draws)
                .chain(self.jobs.headless().take(OLDEST).filter_map(|job| self.jobs.get(job)))
                .filter(|job| job.waiting() < places_max(job))
                .filter(|job| entry.does(job.threshold) && !entry.list().contains(&job.id))
                .map(|job| (self.wealth(job) * (1.0 + job.waiting() as f64), job.id, job.hashes))
                .min_by(|one, other| one.0.total_cmp(&other.0));
            self.draws = draws;
            let Some((_, job, hashes)) = next else { return };
            if !self.give(worker, job, Place::Last, board) {
                return;
            }
            waiting += 1;
            left -= hashes;
        }
    }

    /// Mean number of hashes of what waits on a list.
    fn waiting_hashes(&self, worker: WorkerId, board: &Board) -> f64 {
        let list = board.worker(worker).map(Worker::list).unwrap_or_default();
        list.iter().skip(1).filter_map(|job| self.jobs.get(*job)).map(|job| job.hashes).sum()
    }
}

/// Lists on which a job may wait.
fn places_max(job: &Open) -> usize {
    if is_as_good_as_found(job) { 1 } else { PLACES_MAX }
}
