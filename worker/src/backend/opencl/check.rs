//! Whether a device computes what it should, tried before it is used.

use shared::pow::{Nonce, Root, Threshold, difficulty};

use super::error::DeviceError;
use super::queue::{Job, Queue};

/// Numbers of jobs that are not counted to within a worker's life.
pub(super) const JOBS: [u32; 5] = [u32::MAX, u32::MAX - 1, u32::MAX - 2, u32::MAX - 3, u32::MAX - 4];
/// Where carries are: from the low half of a nonce to the high one, and from the last nonce to the first.
const MIDDLES: [u64; 2] = [1 << 32, 0];
/// The least number of nonces that are compared around each.
const NONCES_MIN: u64 = 4096;

/// Has the device search ranges over each carry for the best nonce that is in them: it must find that one, and nothing above it.
///
/// # Errors
/// [`DeviceError::Missed`] or [`DeviceError::Wrong`], or what the device's driver says.
pub(super) fn check(queue: &mut impl Queue) -> Result<(), DeviceError> {
    let jobs = [[JOBS[0], JOBS[1]], [JOBS[3], JOBS[4]]];
    MIDDLES.into_iter().zip(jobs).try_for_each(|(middle, jobs)| check_around(queue, middle, jobs))
}

fn check_around(queue: &mut impl Queue, middle: u64, jobs: [u32; 2]) -> Result<(), DeviceError> {
    let root = Root::new(*b"the root that all are tried with");
    let size = NONCES_MIN.next_multiple_of(queue.granule());
    let start = Nonce::new(middle.wrapping_sub(size / 2));
    let nonces = (0..size).map(|offset| Nonce::new(start.as_u64().wrapping_add(offset)));
    let Some(best) = nonces.max_by_key(|nonce| difficulty(&root, *nonce)) else { return Ok(()) };
    let attained = difficulty(&root, best).as_u64();
    let mut search = |number, threshold| {
        queue.take_up(&Job { number, root, threshold: Threshold::new(threshold) })?;
        queue.enqueue(start, size)?;
        Ok::<_, DeviceError>(queue.wait()?.hit)
    };
    match search(jobs[0], attained)? {
        Some(found) if found == best => {}
        Some(nonce) => return Err(DeviceError::Wrong { nonce }),
        None => return Err(DeviceError::Missed { nonce: best }),
    }
    match search(jobs[1], attained.saturating_add(1))? {
        Some(nonce) => Err(DeviceError::Wrong { nonce }),
        None => Ok(()),
    }
}
