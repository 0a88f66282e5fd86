//! Who is offered what. A policy hears what has happened and changes lists on the [`Board`]; the market sends every list that
//! has changed. Nothing else decides who searches for what.

mod adaptive;
mod broadcast;
mod fastest;

use core::fmt;
use core::num::NonZeroUsize;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{JobId, Timestamp, WorkerId};

pub use adaptive::Adaptive;
pub use broadcast::Broadcast;
pub use fastest::FastestK;

use crate::board::Board;

/// What a policy hears of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A job has been opened and stands on no list; or it is open, and the policy is new.
    JobOpened(JobId),
    /// A worker has sent a valid result for a root that it was given. What it ends is still open.
    Found {
        /// Who.
        worker: WorkerId,
        /// For which job, by its own word.
        job: JobId,
        /// How long ago the job had been solved by another; `None` for a result that ends it.
        late: Option<Duration>,
    },
    /// A job is closed.
    JobClosed {
        /// Which.
        job: JobId,
        /// On whose lists it stood: these have room that they did not have before.
        workers: Vec<WorkerId>,
    },
    /// A worker has said what it is willing to do, or has gone on after a pause.
    WorkerReady(WorkerId),
    /// A worker has sent a sign of life: it is there, and does not pause.
    WorkerHeard(WorkerId),
    /// A worker has left, has paused, or has other terms than before.
    JobsOrphaned {
        /// Who.
        worker: WorkerId,
        /// What is no longer on its list.
        jobs: Vec<JobId>,
    },
}

/// How well a policy does, as far as it can tell.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// Hashes to be expected for what was found, over hashes that workers are believed to have made for it, of the last minutes.
    /// `None` where it is not known.
    pub efficiency: Option<f64>,
    /// Jain's index of what workers have earned over their rate: 1 when all have the same. `None` while nobody has earned.
    pub fairness: Option<f64>,
}

/// A way to share jobs out among workers. Pure: the same events on the same board give the same lists.
pub trait Dispatch: fmt::Debug + Send {
    /// Changes lists in answer to what has happened.
    fn react(&mut self, now: Timestamp, event: Event, board: &mut Board);

    /// Whether it chooses by the orders that a board can keep.
    fn needs_ranks(&self) -> bool {
        false
    }

    /// When it wants to be woken, if it wants to.
    fn wakes_at(&self) -> Option<Timestamp> {
        None
    }

    /// Does what is due.
    fn wake(&mut self, _now: Timestamp, _board: &mut Board) {}

    /// How well it does.
    fn figures(&self) -> Figures {
        Figures::default()
    }

    /// Whether a job of so many hashes could be done within this time, with all that is open already.
    fn can_do(&self, _hashes: f64, _within: Duration) -> bool {
        true
    }
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
    /// Every job to as many workers as it is worth, by what is known of them and of the load.
    Adaptive {
        /// How much fairness between workers counts beside latency, in percent.
        fairness: u8,
    },
}

impl DispatchPolicy {
    /// The policy itself.
    pub fn build(self) -> Box<dyn Dispatch> {
        match self {
            Self::Broadcast => Box::new(Broadcast),
            Self::FastestK { k } => Box::new(FastestK::new(k)),
            Self::Adaptive { fairness } => Box::new(Adaptive::new(fairness)),
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
