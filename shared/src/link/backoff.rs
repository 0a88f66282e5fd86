//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// The longest wait after a first failure.
const DELAY_FIRST: Duration = Duration::from_secs(1);
/// The longest wait after many failures: however long a server was away, its workers are back soon after it is.
const DELAY_MAX: Duration = Duration::from_secs(10);
/// The least wait after the server has refused the login: a person has to do something first.
const DELAY_REFUSED: Duration = Duration::from_mins(1);
/// A connection that lasted this long was a good one.
const STABLE_AFTER: Duration = Duration::from_secs(30);
/// How many failures a shorter connection leaves at most. The server is there, so there is no reason to wait for long; but it may
/// have been closed by another program with the same login: the two would otherwise take turns twice a second.
const FAILURES_AFTER_CONNECTION: u32 = 2;

/// Waits that double with each failure. Half of each is random, so that the clients of a server that comes back do not all
/// arrive at once.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after a connection that lasted for `lasted` (zero when there was none) and ended for whatever reason.
    /// `fraction` is a random number of `[0, 1)`.
    pub fn after(&mut self, lasted: Duration, is_refused: bool, fraction: f64) -> Duration {
        if lasted >= STABLE_AFTER {
            self.failures = 0;
        } else if !lasted.is_zero() {
            self.failures = self.failures.min(FAILURES_AFTER_CONNECTION);
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
    fn waits_double_up_to_ten_seconds_and_are_spread() {
        let (mut low, mut high) = (Backoff::default(), Backoff::default());
        let waits = |backoff: &mut Backoff, fraction| -> Vec<u128> {
            (0..6).map(|_| backoff.after(Duration::ZERO, false, fraction).as_millis()).collect()
        };
        assert_eq!(waits(&mut low, 0.0), [500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        assert_eq!(waits(&mut high, 1.0), [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    }

    #[test]
    fn a_short_connection_shortens_the_wait_and_a_lasting_one_ends_it() {
        let mut backoff = Backoff::default();
        let mut after = |lasted| backoff.after(Duration::from_millis(lasted), false, 1.0).as_secs();
        assert_eq!([0, 0, 0, 0, 0].map(&mut after), [1, 2, 4, 8, 10]);
        assert_eq!([200, 200, 0, 200].map(&mut after), [4, 4, 8, 4]);
        assert_eq!([31_000, 0].map(&mut after), [1, 2]);
    }

    #[test]
    fn a_refused_login_is_not_tried_again_within_a_minute() {
        let delay = Backoff::default().after(Duration::ZERO, true, 0.0);
        assert!(delay >= DELAY_REFUSED);
    }
}
