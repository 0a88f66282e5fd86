//! A token bucket that is one instant: the moment at which it will be full again.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::Rate;

/// Tokens of a [`Rate`].
///
/// Always: with `d` the time until `full_at` and `i` the time one token takes to come back, `burst - d / i` tokens are there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenBucket {
    interval: Duration,
    /// The time in which an empty bucket fills, less one token.
    slack: Duration,
    full_at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        let interval = Duration::from_secs(1) / rate.per_second.max(1);
        Self { interval, slack: interval * (rate.burst.max(1) - 1), full_at: now }
    }

    /// Takes one token, or says how long to wait for it.
    pub(crate) fn try_take(&mut self, now: Instant) -> Result<(), Duration> {
        let missing = self.full_at.saturating_duration_since(now);
        let wait = missing.saturating_sub(self.slack);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.full_at = self.full_at.max(now) + self.interval;
        Ok(())
    }

    /// Takes tokens that need not be there, down to none.
    pub(crate) fn spend(&mut self, tokens: u32, now: Instant) {
        let empty = now + self.slack + self.interval;
        self.full_at = (self.full_at.max(now) + self.interval * tokens).min(empty);
    }

    /// Puts tokens in; those beyond the burst are lost.
    pub(crate) fn refund(&mut self, tokens: u32, now: Instant) {
        self.full_at =
            self.full_at.checked_sub(self.interval * tokens).map_or(now, |earlier| earlier.max(now));
    }

    /// Whether there is no token.
    pub(crate) fn is_empty(&self, now: Instant) -> bool {
        self.full_at.saturating_duration_since(now) > self.slack
    }

    /// Whether no token is missing.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_rate_then_full_again() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(Rate { per_second: 10, burst: 3 }, start);
        for _ in 0..3 {
            assert_eq!(bucket.try_take(start), Ok(()));
        }
        assert_eq!(bucket.try_take(start), Err(Duration::from_millis(100)));
        let later = start + Duration::from_millis(100);
        assert_eq!(bucket.try_take(later), Ok(()));
        assert!(bucket.try_take(later).is_err());
        assert!(bucket.is_empty(later) && !bucket.is_full(later));
        assert!(bucket.is_full(later + Duration::from_millis(300)));
    }

    #[test]
    fn refunds_stop_at_the_burst_and_spending_at_nothing() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(Rate { per_second: 1, burst: 2 }, now);
        bucket.refund(100, now);
        assert_eq!(bucket.try_take(now), Ok(()));
        assert_eq!(bucket.try_take(now), Ok(()));
        assert!(bucket.try_take(now).is_err());
        bucket.refund(1, now);
        assert_eq!(bucket.try_take(now), Ok(()));
        bucket.spend(1000, now);
        assert_eq!(bucket.try_take(now), Err(Duration::from_secs(1)));
    }
}
