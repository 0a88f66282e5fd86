//! Work ahead of demand: by workers for which nothing that somebody waits for is left to do, one worker for each, and it is put
//! back whenever there is.

use shared::{JobId, WorkerId};

use super::Adaptive;
use super::load::SAMPLE;
use super::worker::Place;
use crate::board::Board;

/// Seconds in which work ahead of demand should be found: with no haste, by a fast worker however far away it is.
const HORIZON: f64 = 10.0;

impl Adaptive {
    pub(super) fn ahead_opened(&mut self, id: JobId, board: &mut Board) {
        self.ahead.insert(id);
        let Some(job) = board.job(id) else { return };
        let mut idle = self.idle.best(HORIZON);
        let free = core::iter::from_fn(|| idle.next(0.0, true)).take(SAMPLE).find(|candidate| {
            board
                .worker(candidate.worker)
                .is_some_and(|worker| worker.list().is_empty() && worker.accepts(job))
        });
        if let Some(candidate) = free {
            self.give_ahead(candidate.worker, id, board);
        }
    }

    /// A worker has nothing else to do.
    pub(super) fn work_ahead(&mut self, worker: WorkerId, board: &mut Board) {
        let Some(entry) = board.worker(worker).filter(|entry| entry.list().is_empty()) else { return };
        let next = self
            .ahead
            .iter()
            .take(SAMPLE)
            .copied()
            .find(|job| board.job(*job).is_some_and(|job| entry.accepts(job)));
        if let Some(job) = next {
            self.give_ahead(worker, job, board);
        }
    }

    fn give_ahead(&mut self, worker: WorkerId, job: JobId, board: &mut Board) {
        if self.give(worker, job, Place::Last, board) {
            self.ahead.remove(&job);
        }
    }
}
