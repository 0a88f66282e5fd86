//! Every job to every worker: the old way, kept as the baseline of comparisons. The cost of a job grows with the number of
//! workers, and at high load nearly all of them search for what another has just found.

use shared::{Timestamp, WorkerId};

use super::{Dispatch, Event, fill};
use crate::board::Board;

/// Offers every job to every worker that has room.
#[derive(Debug)]
pub struct Broadcast;

impl Dispatch for Broadcast {
    fn needs_ranks(&self) -> bool {
        true
    }

    fn react(&mut self, _now: Timestamp, event: Event, board: &mut Board) {
        match event {
            Event::JobOpened(job) => {
                let workers: Vec<WorkerId> = board.workers_with_room().collect();
                for worker in workers {
                    board.offer(worker, job);
                }
            }
            Event::JobClosed { workers, .. } => {
                for worker in workers {
                    fill(worker, board, usize::MAX);
                }
            }
            Event::WorkerReady(worker) => fill(worker, board, usize::MAX),
            // Whoever is still there has these jobs already, or no room for them.
            Event::JobsOrphaned { .. } | Event::Found { .. } | Event::WorkerHeard(_) => {}
        }
    }
}
