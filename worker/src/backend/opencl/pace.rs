//! How large a launch is.

use std::time::Duration;

/// The first launch of a job on a fast device: a receive needs 2^23 nonces on average, and its result is seen when a launch ends.
const FIRST_MAX: u64 = 1 << 22;
/// No launch is larger, whatever the rate seems to be.
const LAUNCH_MAX: u64 = 1 << 34;
/// How much the last launch counts in the average.
const NEWEST: f64 = 0.25;
/// A launch that takes so many times what it should is no accident of the moment.
const FAR_TOO_LONG: u32 = 3;

/// Sizes launches so that each takes about the same time, from what the launches before have taken.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    target: Duration,
    granule: u64,
    /// Seconds for a nonce, on average; unknown before the first launch. Times and not rates are averaged: when the end of a launch
    /// is seen late, the next one seems to have taken next to nothing.
    seconds: Option<f64>,
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes stay below 2^53, and a conversion to an integer stops at its ends"
)]
impl Pace {
    /// Launches that take `target`, in multiples of `granule`, on a device of unknown rate.
    pub(super) fn new(target: Duration, granule: u64) -> Self {
        Self { target, granule, seconds: None }
    }

    /// The size of a launch that `before` launches of its job precede: small at first, doubling, until it takes the time that it
    /// is to take. A multiple of the granule, and at least one.
    pub(super) fn size(&self, before: u32) -> u64 {
        let wanted = self.seconds.map_or(0, |seconds| (self.target.as_secs_f64() / seconds) as u64);
        let most =
            FIRST_MAX.checked_shl(before).filter(|most| *most != 0).unwrap_or(LAUNCH_MAX).min(LAUNCH_MAX);
        (wanted.min(most) / self.granule).max(1) * self.granule
    }

    /// Takes note of a launch that went to its end.
    pub(super) fn observe(&mut self, size: u64, took: Duration) {
        // A clock may stand still for the length of a tiny launch.
        let newest = took.as_secs_f64().max(1e-9) / size as f64;
        self.seconds = Some(match self.seconds {
            Some(seconds) if took < FAR_TOO_LONG * self.target => seconds + NEWEST * (newest - seconds),
            _ => newest,
        });
    }

    /// How many nonces of a launch have been hashed that ended early after this time.
    pub(super) fn hashed(&self, size: u64, took: Duration) -> u64 {
        self.seconds.map_or(0, |seconds| (took.as_secs_f64() / seconds) as u64).min(size)
    }
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "sizes stay below 2^53")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TARGET: Duration = Duration::from_millis(5);

    /// Runs launches on a device of this rate with this much time lost for each, and returns the last size and what it took.
    fn run(pace: &mut Pace, rate: f64, overhead: Duration, launches: u32) -> (u64, Duration) {
        let mut last = (0, Duration::ZERO);
        for before in 0..launches {
            let size = pace.size(before);
            let took = overhead + Duration::from_secs_f64(size as f64 / rate);
            pace.observe(size, took);
            last = (size, took);
        }
        last
    }

    #[test]
    fn launches_come_to_take_the_time_that_they_are_to_take() {
        for rate in [1e6, 5e6, 400e6, 10e9] {
            let mut pace = Pace::new(TARGET, 1024);
            let (_, took) = run(&mut pace, rate, Duration::from_micros(20), 60);
            assert!(took > TARGET / 2 && took < TARGET * 3 / 2, "{rate} {took:?}");
        }
    }

    #[test]
    fn the_first_launches_of_a_job_are_small_on_a_fast_device() {
        let mut pace = Pace::new(TARGET, 1024);
        run(&mut pace, 10e9, Duration::ZERO, 60);
        assert_eq!([0, 1, 2].map(|before| pace.size(before)), [1 << 22, 1 << 23, 1 << 24]);
        assert!(pace.size(u32::MAX) > 1 << 25);
    }

    /// The end of every other launch is seen late.
    #[test]
    fn a_launch_that_seems_to_take_no_time_does_not_make_the_next_ones_large() {
        let mut pace = Pace::new(TARGET, 1024);
        run(&mut pace, 400e6, Duration::ZERO, 60);
        for _ in 0..100 {
            let size = pace.size(60);
            pace.observe(size, Duration::from_secs_f64(2.0 * size as f64 / 400e6));
            pace.observe(size, Duration::ZERO);
            let took = Duration::from_secs_f64(pace.size(60) as f64 / 400e6);
            assert!(took < 2 * TARGET, "{took:?}");
        }
    }

    /// Two launches under way are then 10 ms at most.
    #[test]
    fn a_slow_device_gets_launches_that_a_cancel_can_wait_for() {
        let mut pace = Pace::new(TARGET, 64);
        let (size, _) = run(&mut pace, 1e6, Duration::ZERO, 60);
        assert_eq!(size, 4992);
        pace.observe(size, 8 * TARGET);
        assert_eq!(pace.size(60), 576, "it has become eight times slower at once");
    }

    proptest! {
        #[test]
        fn a_size_is_a_multiple_of_the_granule_and_bounded(
            granule in 1..100_000_u64, before: u32, sizes in prop::collection::vec((1..1_u64 << 40, 0..10_000_000_u64), 0..20),
        ) {
            let mut pace = Pace::new(TARGET, granule);
            for (size, took) in sizes {
                pace.observe(size, Duration::from_micros(took));
                let next = pace.size(before);
                prop_assert!(next >= granule && next.is_multiple_of(granule) && next <= LAUNCH_MAX);
                prop_assert!(pace.hashed(next, Duration::from_secs(1)) <= next);
            }
        }
    }
}
