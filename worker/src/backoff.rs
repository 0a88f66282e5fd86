//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// The longest wait after a first failure.
const DELAY_FIRST: Duration = Duration::from_secs(1);
/// The longest wait after many failures.
const DELAY_MAX: Duration = Duration::from_mins(1);
/// The least wait after the server has refused the login: a person has to do something first.
const DELAY_REFUSED: Duration = Duration::from_mins(1);
/// A connection that lasted this long was a good one. A shorter one may have been closed by another worker with the same
/// secret: the two would otherwise take turns twice a second.
const STABLE_AFTER: Duration = Duration::from_secs(30);

/// Waits that double with each failure. Half of each is random, so that the workers of a server that comes back do not all
/// arrive at once.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after a connection that lasted for `lasted` (zero when there was none) and ended for whatever reason.
    /// `fraction` is a random number of `[0, 1)`.
    pub(crate) fn after(&mut self, lasted: Duration, is_refused: bool, fraction: f64) -> Duration {
        if lasted >= STABLE_AFTER {
            self.failures = 0;
        }
        let delay = DELAY_FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(DELAY_MAX);
        self.failures = self.failures.saturating_add(1);
        let delay = delay.mul_f64(0.5 + fraction / 2.0);
        if is_refused { DELAY_REFUSED + delay } else { delay }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_are_spread() {
        let (mut low, mut high) = (Backoff::default(), Backoff::default());
        let waits = |backoff: &mut Backoff, fraction| -> Vec<u128> {
            (0..8).map(|_| backoff.after(Duration::ZERO, false, fraction).as_millis()).collect()
        };
        assert_eq!(waits(&mut low, 0.0), [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(waits(&mut high, 1.0), [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    }

    #[test]
    fn only_a_lasting_connection_counts_as_success() {
        let mut backoff = Backoff::default();
        for _ in 0..4 {
            backoff.after(Duration::from_secs(1), false, 1.0);
        }
        assert_eq!(backoff.after(Duration::from_secs(1), false, 1.0), Duration::from_secs(16));
        assert_eq!(backoff.after(Duration::from_secs(31), false, 1.0), DELAY_FIRST);
    }

    #[test]
    fn a_refused_login_is_not_tried_again_within_a_minute() {
        let delay = Backoff::default().after(Duration::ZERO, true, 0.0);
        assert!(delay >= DELAY_REFUSED);
    }
}
