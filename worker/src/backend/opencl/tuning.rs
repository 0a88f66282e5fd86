//! How a launch is divided among a device's units, tried out once for each device and driver.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use shared::pow::{Nonce, Root, Threshold};

use super::check::JOBS;
use super::error::DeviceError;
use super::pace::Pace;
use super::queue::{Job, Queue};
use crate::backend::rate;

/// Sizes of a work group that are tried.
pub(super) const WORK_GROUPS: [u32; 3] = [64, 128, 256];
/// Nonces for each item that are tried, in ascending order.
pub(super) const NONCES_PER_ITEM: [u32; 3] = [16, 64, 256];
/// How long each pair of them is tried, once launches take their time.
const TRIAL: Duration = Duration::from_millis(30);
/// Launches after which it is tried in any case.
const WARM_UP_MAX: u32 = 60;

/// How a launch is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tuning {
    /// Items in a work group.
    pub(super) work_group: u32,
    /// Nonces that an item hashes.
    pub(super) nonces_per_item: u32,
}

/// As it is remembered: both numbers with a space between them.
impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.work_group, self.nonces_per_item)
    }
}

/// What is remembered may be of another version: only what could have been tried is taken.
impl FromStr for Tuning {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (work_group, nonces_per_item) = text.split_once(' ').ok_or(())?;
        let number = |text: &str, choices: &[u32]| {
            text.parse().ok().filter(|number| choices.contains(number)).ok_or(())
        };
        Ok(Self {
            work_group: number(work_group, &WORK_GROUPS)?,
            nonces_per_item: number(nonces_per_item, &NONCES_PER_ITEM)?,
        })
    }
}

/// Has the device search what cannot be found, as it will search jobs, and returns nonces per second.
pub(super) fn measure(queue: &mut impl Queue, launch: Duration) -> Result<u64, DeviceError> {
    let threshold = Threshold::new(u64::MAX);
    queue.take_up(&Job { number: JOBS[2], root: Root::new([0; 32]), threshold })?;
    let mut pace = Pace::new(launch, queue.granule());
    let mut next = Nonce::new(0);
    let mut begin = |queue: &mut _, size| {
        Queue::enqueue(queue, next, size)?;
        next = Nonce::new(next.as_u64().wrapping_add(size));
        Ok::<_, DeviceError>(size)
    };
    let (mut last_end, mut launches, mut trial) = (Instant::now(), 0, None);
    let mut under_way = begin(queue, pace.size(0))?;
    loop {
        let size = std::mem::replace(&mut under_way, begin(queue, pace.size(u32::MAX))?);
        let finished = queue.wait()?.finished;
        let took = finished.saturating_duration_since(last_end);
        pace.observe(size, took);
        (last_end, launches) = (finished, launches + 1);
        let (began, nonces) = match &mut trial {
            Some(trial) => trial,
            None if took > launch / 2 || launches > WARM_UP_MAX => trial.insert((finished, 0)),
            None => continue,
        };
        let tried = finished.saturating_duration_since(*began);
        if tried > Duration::ZERO {
            *nonces += size;
        }
        if tried >= TRIAL {
            let rate = rate(*nonces, tried);
            queue.wait()?;
            return Ok(rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuning_is_remembered_as_text_and_nothing_else_is_taken_for_one() {
        for work_group in WORK_GROUPS {
            for nonces_per_item in NONCES_PER_ITEM {
                let tuning = Tuning { work_group, nonces_per_item };
                assert_eq!(tuning.to_string().parse(), Ok(tuning));
            }
        }
        for text in ["", "64", "64 ", " 16", "64 16 1", "0 16", "64 0", "65 16", "-64 16", "64\n16", "64  16"]
        {
            assert_eq!(text.parse::<Tuning>(), Err(()), "{text:?}");
        }
    }
}
