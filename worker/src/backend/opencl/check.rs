//! Whether a device computes what it should, tried before it is used.

use shared::pow::{Nonce, Root, Threshold, difficulty};

use super::error::DeviceError;
use super::queue::{Job, Queue};

/// Numbers of jobs that are not counted to within a worker's life.
pub(super) const JOBS: [u32; 3] = [u32::MAX, u32::MAX - 1, u32::MAX - 2];
/// The least number of nonces that are compared.
const NONCES_MIN: u64 = 4096;

/// Has the device search a range, the middle of which is 2^32, for the best nonce that is in it: it must find that one, and nothing
/// above it.
///
/// # Errors
/// [`DeviceError::Missed`] or [`DeviceError::Wrong`], or what the device's driver says.
pub(super) fn check(queue: &mut impl Queue) -> Result<(), DeviceError> {
    let root = Root::new(*b"the root that all are tried with");
    let size = NONCES_MIN.next_multiple_of(queue.granule());
    let start = Nonce::new((1 << 32) - size / 2);
    let nonces = (0..size).map(|offset| Nonce::new(start.as_u64() + offset));
    let Some(best) = nonces.max_by_key(|nonce| difficulty(&root, *nonce)) else { return Ok(()) };
    let attained = difficulty(&root, best).as_u64();
    let mut search = |number, threshold| {
        queue.take_up(&Job { number, root, threshold: Threshold::new(threshold) })?;
        queue.enqueue(start, size)?;
        Ok::<_, DeviceError>(queue.wait()?.hit)
    };
    match search(JOBS[0], attained)? {
        Some(found) if found == best => {}
        Some(nonce) => return Err(DeviceError::Wrong { nonce }),
        None => return Err(DeviceError::Missed { nonce: best }),
    }
    match search(JOBS[1], attained.saturating_add(1))? {
        Some(nonce) => Err(DeviceError::Wrong { nonce }),
        None => Ok(()),
    }
}
