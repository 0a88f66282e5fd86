//! Every job to a fixed number of workers: the fastest among those with the shortest lists. A message count that does not
//! depend on how many are connected, at the price of one number that has to suit the load.

use core::num::NonZeroUsize;

use shared::{JobId, Timestamp, WorkerId};

use super::{Dispatch, Event, fill};
use crate::board::Board;

/// Offers every job to up to `k` workers.
#[derive(Debug)]
pub struct FastestK {
    k: usize,
}

impl FastestK {
    /// Offers every job to up to `k` workers.
    pub const fn new(k: NonZeroUsize) -> Self {
        Self { k: k.get() }
    }

    /// Offers a job to further workers until it stands on `k` lists or nobody is left who could take it.
    fn place(&self, job: JobId, board: &mut Board) {
        let Some(entry) = board.job(job) else { return };
        let missing = self.k.saturating_sub(entry.workers().len());
        let candidates: Vec<WorkerId> = board
            .workers_with_room()
            .filter(|worker| !entry.workers().contains(worker))
            .filter(|worker| board.worker(*worker).is_some_and(|worker| worker.accepts(entry)))
            .take(missing)
            .collect();
        for worker in candidates {
            board.offer(worker, job);
        }
    }
}

impl Dispatch for FastestK {
    fn needs_ranks(&self) -> bool {
        true
    }

    fn react(&mut self, _now: Timestamp, event: Event, board: &mut Board) {
        match event {
            Event::JobOpened(job) => self.place(job, board),
            Event::JobClosed { workers, .. } => {
                for worker in workers {
                    fill(worker, board, self.k);
                }
            }
            Event::WorkerReady(worker) => fill(worker, board, self.k),
            Event::JobsOrphaned { jobs, .. } => {
                for job in jobs {
                    self.place(job, board);
                }
            }
            Event::Found { .. } | Event::WorkerHeard(_) => {}
        }
    }
}
