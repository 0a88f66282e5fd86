//! What the loop over a device needs of it.

use std::time::Instant;

use shared::pow::{Nonce, Root, Threshold};

use super::error::DeviceError;

/// A job, as a queue knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    /// Tells its hits from those of the jobs before. Not 0, and another one for each job.
    pub(super) number: u32,
    /// What is searched for.
    pub(super) root: Root,
    /// What a hit meets.
    pub(super) threshold: Threshold,
}

/// What a launch has come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// The first hit of the job, by this launch or by one before it. After a hit, launches of the job end at once.
    pub(super) hit: Option<Nonce>,
    /// When it was known that the launch had ended.
    pub(super) finished: Instant,
}

/// A device that takes launches and works them off one after the other.
pub(super) trait Queue {
    /// Takes up a job: what is enqueued from now on is for it.
    ///
    /// # Errors
    /// When the device can no longer be used; so for all of these.
    fn take_up(&mut self, job: &Job) -> Result<(), DeviceError>;

    /// Puts a launch behind those under way, over `size` nonces from `start` on, wrapping at 2^64. `size` is a positive multiple
    /// of [`granule`](Queue::granule).
    fn enqueue(&mut self, start: Nonce, size: u64) -> Result<(), DeviceError>;

    /// Waits for the oldest launch under way; there is one.
    fn wait(&mut self) -> Result<Outcome, DeviceError>;

    /// What the size of every launch is a multiple of. Positive.
    fn granule(&self) -> u64;
}
