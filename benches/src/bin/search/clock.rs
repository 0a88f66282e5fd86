//! Time of this thread alone, and how fast its core runs.

use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Steps of the loop that the clock is read off.
const STEPS: u64 = 10_000_000;
/// A step is a rotation and an addition, each of which waits for the one before and takes a cycle.
const CYCLES: u64 = 2;

/// Processor time of this thread so far. What others do on the machine is not in it, as long as they do not share the core itself.
pub(crate) fn thread_time() -> Duration {
    // It is never negative, so the conversion cannot fail.
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// Processor time of this thread since then.
pub(crate) fn since(start: Duration) -> Duration {
    thread_time().saturating_sub(start)
}

/// Cycles a second of this core.
#[expect(clippy::cast_precision_loss, reason = "a measurement")]
pub(crate) fn cycles_per_second() -> f64 {
    let (start, step) = (thread_time(), black_box(3_u64));
    let mut sum = black_box(1_u64);
    for _ in 0..STEPS {
        sum = sum.rotate_left(7).wrapping_add(step);
    }
    black_box(sum);
    (STEPS * CYCLES) as f64 / since(start).as_secs_f64()
}
