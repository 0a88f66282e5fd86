//! Who is offered what. A policy hears what has happened and changes lists on the [`Board`]; the market sends every list that
//! has changed. Nothing else decides who searches for what.

mod broadcast;
mod fastest;

use core::fmt;
use core::num::NonZeroUsize;

use serde::{Deserialize, Serialize};
use shared::{JobId, Timestamp, WorkerId};

pub use broadcast::Broadcast;
pub use fastest::FastestK;

use crate::board::Board;

/// What a policy hears of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A job has been opened and stands on no list; or it is open, and the policy is new.
    JobOpened(JobId),
    /// Jobs were closed; these workers have room that they did not have before.
    WorkersFreed(Vec<WorkerId>),
    /// A worker has said what it is willing to do, or has gone on after a pause.
    WorkerReady(WorkerId),
    /// A worker has left or paused; these jobs are no longer on its list.
    JobsOrphaned(Vec<JobId>),
}

/// A way to share jobs out among workers. Pure: the same events on the same board give the same lists.
pub trait Dispatch: fmt::Debug + Send {
    /// Changes lists in answer to what has happened.
    fn react(&mut self, now: Timestamp, event: Event, board: &mut Board);
}

/// The policy by name, as in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DispatchPolicy {
    /// Every job to every worker.
    Broadcast,
    /// Every job to some workers, the fastest among those with the shortest lists.
    FastestK {
        /// To how many.
        k: NonZeroUsize,
    },
}

impl DispatchPolicy {
    /// The policy itself.
    pub fn build(self) -> Box<dyn Dispatch> {
        match self {
            Self::Broadcast => Box::new(Broadcast),
            Self::FastestK { k } => Box::new(FastestK::new(k)),
        }
    }
}

/// Fills a worker's list with jobs that stand on fewer than `lists_max` lists, those on fewest first.
fn fill(worker: WorkerId, board: &mut Board, lists_max: usize) {
    while let Some(entry) = board.worker(worker).filter(|entry| entry.has_room()) {
        let next = board
            .jobs_by_workers()
            // They come in this order, so none is looked at in vain however many are open.
            .take_while(|job| job.workers().len() < lists_max)
            .find(|job| entry.accepts(job) && !job.workers().contains(&worker))
            .map(|job| job.id);
        let Some(job) = next else { return };
        board.offer(worker, job);
    }
}
