//! Jobs whose time runs out: the less of it is left, the more they get.

use core::time::Duration;

use shared::{JobId, WorkerId};

use super::load::{SAMPLE, TRIP};
use super::open::Open;
use super::worker::Place;
use super::{Adaptive, Draws};
use crate::board::Board;

/// Part of a job's time after which it is urgent.
const GONE: f64 = 0.5;
/// Finds to be expected in what is left of an urgent job's time.
const FINDS: f64 = 4.0;
/// No job is helped by being found in less time than this, in seconds.
const LEFT_MIN: f64 = 0.2;
/// An urgent job is looked at again after this part of what is left.
const AGAIN: u32 = 4;
/// Workers that change over to an urgent job at a time.
const CALLED_MAX: usize = 8;
/// Nobody is called from a job that is not so many times as well off.
const RICHER: f64 = 1.2;

impl Adaptive {
    /// The rate that a job needs to be found in time; nothing while it is not urgent.
    pub(super) fn urgent_rate(&self, job: &Open) -> f64 {
        let left = job.until.since(self.now);
        if left > job.until.since(job.opened).mul_f64(GONE) {
            return 0.0;
        }
        FINDS * job.hashes / (left.as_secs_f64() - TRIP).max(LEFT_MIN)
    }

    /// Puts down when a job will be urgent, or needs another look because it is.
    pub(super) fn hurry_later(&mut self, id: JobId) {
        let now = self.now;
        let Some(job) = self.jobs.get(id) else { return };
        let left = job.until.since(now);
        let urgent_at = job.opened + job.until.since(job.opened).mul_f64(GONE);
        let at = if now < urgent_at { urgent_at } else { now + left / AGAIN };
        let is_worth = left > Duration::from_secs_f64(LEFT_MIN);
        self.jobs.with(id, |job| job.hurry_at = is_worth.then_some(at));
        if is_worth {
            self.hurries.insert((at, id));
        }
    }

    /// Gives to all jobs whose time runs out what they need.
    pub(super) fn hurry(&mut self, board: &mut Board) {
        while let Some((at, id)) = self.hurries.first().copied().filter(|(at, _)| *at <= self.now) {
            self.hurries.remove(&(at, id));
            self.add_idle(id, board);
            for _ in 0..CALLED_MAX {
                if !self.call(id, board) {
                    break;
                }
            }
            self.hurry_later(id);
        }
    }

    /// One worker of the job that is best off turns to this one first, unless this one has enough.
    fn call(&mut self, id: JobId, board: &mut Board) -> bool {
        let Some(job) = self.jobs.get(id).filter(|job| !self.is_served(job)) else { return false };
        let (wealth, wants) = (self.wealth(job), self.urgent_rate(job) - job.likely_rate());
        let mut draws = std::mem::replace(&mut self.draws, Draws::new());
        let richest = self
            .jobs
            .sample(SAMPLE, &mut draws)
            .filter(|other| other.heads > 0 && other.id != id)
            .map(|other| (self.wealth(other), other.id))
            .filter(|(other, _)| *other > RICHER * wealth)
            .max_by(|one, other| one.0.total_cmp(&other.0));
        self.draws = draws;
        let Some(worker) = richest.and_then(|(_, from)| self.nearest_for(wants, from, id, board)) else {
            return false;
        };
        if board.bring_forward(worker, id) {
            self.follow(worker, board);
            return true;
        }
        self.give(worker, id, Place::First, board)
    }

    /// Of those that search for one job and could turn to another, the one whose rate is nearest to what that one wants.
    fn nearest_for(&self, wants: f64, from: JobId, to: JobId, board: &Board) -> Option<WorkerId> {
        let (from, to) = (board.job(from)?, board.job(to)?);
        let searching = from.workers().iter().filter_map(|worker| {
            let head = self.members.get(worker)?.head.filter(|head| head.job == from.id)?;
            let entry = board.worker(*worker).filter(|entry| entry.accepts(to))?;
            (entry.has_room() || entry.list().contains(&to.id)).then_some((head.rate, *worker))
        });
        let nearest =
            searching.min_by(|one, other| (one.0 - wants).abs().total_cmp(&(other.0 - wants).abs()));
        nearest.map(|(_, worker)| worker)
    }
}
