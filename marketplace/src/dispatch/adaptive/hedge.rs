//! Jobs that take longer than nineteen in twenty should: their lists are sent again, in case one was lost, and they get more workers.

use core::time::Duration;

use shared::{JobId, Timestamp, WorkerId};

use super::Adaptive;
use super::open::Open;
use crate::board::Board;

/// Twenty of twenty-one searches take less than so many mean ones.
const SEARCHES: f64 = 3.0;
/// Time for the way to a worker and back, however far away it is; seconds.
const ON_THE_WAY: f64 = 0.25;
/// Who has searched for so long is not believed to be faster than that so many finds were to be expected.
const DOUBT: f64 = 2.0;
/// Most times that the time is doubled.
const LATENESS_MAX: i32 = 6;
/// Longest time after which a job is looked at, in seconds.
const LOOK_MAX: f64 = 60.0;

impl Adaptive {
    /// Puts down when a job is to be looked at, unless it is already.
    pub(super) fn look_at(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(id).filter(|job| job.look_at.is_none() && job.heads > 0) else {
            return;
        };
        let at = late_at(job);
        self.jobs.with(id, |job| job.look_at = Some(at));
        self.looks.insert((at, id));
    }

    /// Looks at all jobs whose time has come.
    pub(super) fn look_at_late(&mut self, board: &mut Board) {
        while let Some((at, id)) = self.looks.first().copied().filter(|(at, _)| *at <= self.now) {
            self.looks.remove(&(at, id));
            self.jobs.with(id, |job| job.look_at = None);
            let Some(job) = self.jobs.get(id).filter(|job| job.heads > 0) else { continue };
            if late_at(job) <= self.now {
                self.hedge(id, board);
            }
            self.look_at(id);
        }
    }

    fn hedge(&mut self, id: JobId, board: &mut Board) {
        let now = self.now;
        self.jobs.with(id, |job| {
            let took = now.since(job.since).as_secs_f64().max(0.001);
            job.doubted = job.doubted.max(job.rate - DOUBT * job.hashes / took);
            job.since = now;
            job.lateness = (job.lateness + 1).min(LATENESS_MAX);
        });
        let workers: Vec<WorkerId> =
            board.job(id).map(|job| job.workers().iter().copied().collect()).unwrap_or_default();
        for worker in workers {
            let head = self.members.get(&worker).and_then(|member| member.head);
            if head.is_some_and(|head| head.job == id) {
                board.send_again(worker);
            }
        }
        self.add_idle(id, board);
        self.steal(id, board);
    }
}

/// When a job has taken longer than nineteen in twenty do.
fn late_at(job: &Open) -> Timestamp {
    let seconds = ON_THE_WAY + SEARCHES * job.hashes / job.rate.max(1.0);
    let seconds = (seconds * f64::from(job.lateness).exp2()).min(LOOK_MAX);
    job.since + Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
