//! Where a new job goes.

use shared::{JobId, WorkerId};

use super::idle::Candidate;
use super::load::{EASY, SAMPLE, TEAM_MAX, TRIP};
use super::open::Open;
use super::worker::Place;
use super::{Adaptive, Draws};
use crate::board::{Board, Job};

/// Time in which an idle team is first taken to find a job, in seconds.
const HORIZON: f64 = 0.3;
/// Workers that are not relied upon and are looked at for a job without any.
const STAND_INS: usize = 256;
/// A worker is moved to a new job from one that is so many times as well off.
const STEAL: f64 = 1.2;
/// A worker that is moved has at most so much more than half of the difference between two jobs.
const MOVED_MAX: f64 = 1.9;
/// By how much that must be faster.
const FASTER: f64 = 1.2;
/// A job goes in front of others that are so many times as hard.
const HARDER: f64 = 4.0;
/// Workers that are behind and are put on one new job.
const OWED_MAX: usize = 32;

impl Adaptive {
    pub(super) fn place(&mut self, id: JobId, board: &mut Board) {
        let (chosen, takes) = self.idle_for(id, board);
        let touched = match self.best_first(id, board).filter(|(best, _)| best * FASTER < takes) {
            Some((_, worker)) => {
                self.give(worker, id, Place::First, board);
                vec![worker]
            }
            None => self.give_all(&chosen, id, board),
        };
        self.steal(id, board);
        self.add_stand_in(id, board);
        self.add_extras(id, board);
        self.wait(id, board);
        for worker in touched {
            self.fill_waiting(worker, board);
        }
    }

    /// Puts idle workers on a job, as many as it is worth.
    pub(super) fn add_idle(&mut self, id: JobId, board: &mut Board) {
        let (chosen, _) = self.idle_for(id, board);
        self.give_all(&chosen, id, board);
    }

    fn give_all(&mut self, chosen: &[Candidate], id: JobId, board: &mut Board) -> Vec<WorkerId> {
        let floor = self.jobs.get(id).map_or(0.0, |job| self.floor(job));
        for candidate in chosen {
            let place = if candidate.rate < floor { Place::Extra } else { Place::Last };
            self.give(candidate.worker, id, place, board);
        }
        chosen.iter().map(|candidate| candidate.worker).collect()
    }

    /// The idle workers that a job is worth, and in how many seconds they should find it.
    fn idle_for(&mut self, id: JobId, board: &Board) -> (Vec<Candidate>, f64) {
        let mut chosen = (Vec::new(), f64::INFINITY);
        // Some that are filed as idle may be known better meanwhile.
        for _ in 0..4 {
            let Some(job) = self.jobs.get(id) else { break };
            chosen = self.choose_idle(job, board);
            let stale: Vec<WorkerId> = chosen
                .0
                .iter()
                .map(|candidate| candidate.worker)
                .filter(|worker| self.is_stale(*worker))
                .collect();
            if stale.is_empty() {
                break;
            }
            for worker in stale {
                self.follow(worker, board);
            }
        }
        chosen
    }

    /// The idle workers that this job is worth: those that make most hashes until it should be found.
    fn choose_idle(&self, job: &Open, board: &Board) -> (Vec<Candidate>, f64) {
        let enough = self.enough(job);
        let floor = self.floor(job);
        let mut horizon = HORIZON;
        let mut chosen: Vec<Candidate> = Vec::new();
        let entry = board.job(job.id);
        let can = |worker: WorkerId| {
            entry
                .zip(board.worker(worker))
                .is_some_and(|(job, listed)| listed.accepts(job) && !job.workers().contains(&worker))
        };
        for round in 0..3 {
            chosen.clear();
            let (mut rate, mut workers_max, mut room) =
                (job.likely_rate(), TEAM_MAX, self.room_for_strangers());
            let mut idle = self.idle.best(horizon);
            loop {
                let is_first = chosen.is_empty() && job.heads == 0;
                let floor = if is_first { 0.0 } else { floor };
                let Some(candidate) = idle.next(floor, room >= 1.0) else { break };
                #[expect(clippy::cast_precision_loss, reason = "a small number")]
                let workers = (chosen.len() + job.needed()) as f64;
                if chosen.is_empty() && job.lateness == 0 && job.hashes / candidate.rate < EASY * TRIP {
                    workers_max = 2.0;
                }
                if rate >= enough || workers >= workers_max || (candidate.trip >= horizon && !is_first) {
                    break;
                }
                if round == 2 && !can(candidate.worker) {
                    continue;
                }
                if candidate.is_stranger {
                    room -= 1.0;
                }
                rate += candidate.rate;
                chosen.push(candidate);
            }
            let (rates, hashes) =
                chosen.iter().fold((job.likely_rate(), job.hashes), |(rates, hashes), candidate| {
                    (rates + candidate.rate, hashes + candidate.rate * candidate.trip)
                });
            horizon = if rates > 0.0 { hashes / rates } else { f64::INFINITY };
        }
        (chosen, horizon)
    }

    /// Easy work goes in front of what another worker searches where that is faster than any idle one: it takes next to nothing
    /// from the other. In how many seconds it would be found so, and by whom.
    fn best_first(&mut self, id: JobId, board: &Board) -> Option<(f64, WorkerId)> {
        let job = self.jobs.get(id)?;
        let entry = board.job(id)?;
        let hashes = job.hashes;
        let mut draws = std::mem::replace(&mut self.draws, Draws::new());
        let best = self
            .jobs
            .sample(SAMPLE, &mut draws)
            .filter(|other| other.hashes >= HARDER * hashes)
            .filter_map(|other| board.job(other.id))
            .flat_map(Job::workers)
            .filter_map(|worker| {
                let (member, listed) = (self.members.get(worker)?, board.worker(*worker)?);
                let can = listed.accepts(entry) && listed.has_room() && !entry.workers().contains(worker);
                let before = listed.list().iter().filter_map(|job| self.jobs.get(*job));
                let before: f64 =
                    before.map(|job| job.hashes).take_while(|before| *before < HARDER * hashes).sum();
                let takes = member.gauge.trip() + (hashes + before) / self.believed(member).max(1.0);
                can.then_some((takes, *worker))
            })
            .min_by(|one, other| one.0.total_cmp(&other.0));
        self.draws = draws;
        best
    }

    /// Once: if a job is much better off than this one, one of its workers changes over.
    pub(super) fn steal(&mut self, id: JobId, board: &mut Board) {
        let Some(poor) = self.jobs.get(id).filter(|job| !self.is_served(job)) else { return };
        let (poor_wealth, poor_rate) = (self.wealth(poor), poor.rate);
        let mut draws = std::mem::replace(&mut self.draws, Draws::new());
        let rich = self
            .jobs
            .sample(SAMPLE, &mut draws)
            .filter(|job| job.heads >= 2 && job.id != id)
            .map(|job| (self.wealth(job), job.id, job.rate))
            .max_by(|one, other| one.0.total_cmp(&other.0));
        self.draws = draws;
        let Some((wealth, rich, rate)) = rich else { return };
        if wealth <= STEAL * poor_wealth {
            return;
        }
        let half = (rate - poor_rate) / 2.0;
        let Some(worker) = self.nearest_to(half, rich, id, board) else { return };
        // The old one goes first, since the list may be full.
        self.take(worker, rich, board);
        self.give(worker, id, Place::First, board);
    }

    /// Of those that search for one job and could search for another, the one whose rate is nearest to this one.
    fn nearest_to(&self, half: f64, from: JobId, to: JobId, board: &Board) -> Option<WorkerId> {
        let (from, to) = (board.job(from)?, board.job(to)?);
        let searching = from.workers().iter().filter_map(|worker| {
            let head = self.members.get(worker)?.head.filter(|head| head.job == from.id)?;
            Some((head.rate, *worker))
        });
        searching
            .filter(|(rate, worker)| {
                let can = board.worker(*worker).is_some_and(|entry| entry.accepts(to));
                *rate <= MOVED_MAX * half && can && !to.workers().contains(worker)
            })
            .min_by(|one, other| (one.0 - half).abs().total_cmp(&(other.0 - half).abs()))
            .map(|(_, worker)| worker)
    }

    /// Better somebody who is not relied upon than nobody.
    fn add_stand_in(&mut self, id: JobId, board: &mut Board) {
        let Some(job) = board.job(id).filter(|job| job.workers().is_empty()) else { return };
        let can = |worker: &WorkerId| {
            self.may_stand_in(*worker) && board.worker(*worker).is_some_and(|worker| worker.accepts(job))
        };
        if let Some(worker) = self.bench.iter().copied().take(STAND_INS).find(can) {
            self.give(worker, id, Place::Extra, board);
        }
    }

    /// Workers that a job does not need: those that have earned too little, and now and then a stranger, to be known.
    fn add_extras(&mut self, id: JobId, board: &mut Board) {
        let owed: Vec<WorkerId> = self.owed.iter().copied().take(OWED_MAX).collect();
        for worker in owed {
            if !self.give(worker, id, Place::Extra, board) {
                self.follow(worker, board);
            }
        }
        let is_searched = self.jobs.get(id).is_some_and(|job| job.heads > 0);
        if let Some(stranger) = is_searched.then(|| self.next_stranger()).flatten() {
            self.give(stranger, id, Place::Extra, board);
        }
    }
}
