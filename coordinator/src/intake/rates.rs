//! How fast services may ask: a bucket of requests for each, which fills again steadily.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bridge::source::Quota;
use governor::RateLimiter;
use governor::clock::{Clock as Ticks, Reference};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use shared::ServiceId;

use crate::clock::Clock;

/// What every service may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Requests a second that it may go on with for ever.
    pub(crate) per_second: NonZeroU32,
    /// Requests that may come at once.
    pub(crate) burst: NonZeroU32,
}

/// The buckets. What they go by is the coordinator's clock; tests turn one by hand.
pub(crate) struct Rates<C: Ticks = Clock> {
    rate: Rate,
    clock: C,
    buckets: RateLimiter<ServiceId, HashMapStateStore<ServiceId>, C, StateInformationMiddleware>,
    /// What each bucket held when something was last taken out of it, or refused.
    seen: Mutex<BTreeMap<ServiceId, Seen<C::Instant>>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen<I> {
    at: I,
    left: u32,
    /// From when on there is one again, if it was empty.
    next: Option<Nanos>,
}

/// A service has used up what it may ask for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooFast;

impl Ticks for Clock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(Self::now(self).as_micros().saturating_mul(1000))
    }
}

impl<C: Ticks> std::fmt::Debug for Rates<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rates").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl<C: Ticks + Clone> Rates<C> {
    /// Full buckets for everybody.
    pub(crate) fn new(rate: Rate, clock: C) -> Self {
        let quota = governor::Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let buckets = RateLimiter::new(quota, HashMapStateStore::default(), clock.clone());
        Self { rate, clock, buckets, seen: Mutex::default() }
    }

    /// Takes one request out of a service's bucket.
    ///
    /// # Errors
    /// [`TooFast`] when it is empty; nothing has changed then.
    pub(crate) fn take(&self, service: ServiceId) -> Result<(), TooFast> {
        let (seen, taken) = match self.buckets.check_key(&service) {
            Ok(state) => {
                let left = state.remaining_burst_capacity();
                (Seen { at: self.clock.now(), left, next: None }, Ok(()))
            }
            Err(refused) => {
                let at = self.clock.now();
                let next = Some(refused.wait_time_from(at).into());
                (Seen { at, left: 0, next }, Err(TooFast))
            }
        };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(service, seen);
        taken
    }

    /// What a service may still ask for now.
    pub(crate) fn left(&self, service: ServiceId) -> Quota {
        let (burst, per_second) = (self.rate.burst.get(), self.rate.per_second.get());
        let window = Duration::from_secs(1) * burst / per_second;
        let full = Quota { burst, window, left: burst, full_in: Duration::ZERO, wait: None };
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&service).copied();
        let Some(seen) = seen else { return full };
        let elapsed: Duration = self.clock.now().duration_since(seen.at).into();
        let filled = elapsed.as_nanos().saturating_mul(per_second.into()) / 1_000_000_000;
        let left = u32::try_from(filled).unwrap_or(u32::MAX).saturating_add(seen.left).min(burst);
        let missing = burst - left;
        let wait = seen.next.map(|next| Duration::from(next).saturating_sub(elapsed));
        Quota { left, full_in: Duration::from_secs(1) * missing / per_second, wait, ..full }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn services() -> (ServiceId, ServiceId) {
        ("wallet".parse().unwrap(), "exchange".parse().unwrap())
    }

    #[test]
    fn a_bucket_is_emptied_at_once_and_fills_steadily() {
        let ((service, other), clock) = (services(), FakeRelativeClock::default());
        let rate = Rate { per_second: 10.try_into().unwrap(), burst: 20.try_into().unwrap() };
        let rates = Rates::new(rate, clock.clone());
        let second = Duration::from_secs(1);
        let full = Quota { burst: 20, window: 2 * second, left: 20, full_in: Duration::ZERO, wait: None };
        assert_eq!(rates.left(service), full);
        for left in (0..20).rev() {
            assert_eq!(rates.take(service), Ok(()));
            assert_eq!(rates.left(service).left, left);
        }
        assert_eq!(rates.take(service), Err(TooFast));
        let tenth = second / 10;
        let empty = Quota { left: 0, full_in: 2 * second, wait: Some(tenth), ..full };
        assert_eq!(rates.left(service), empty);
        assert_eq!((rates.left(other), rates.take(other)), (full, Ok(())), "each has its own");

        clock.advance(tenth);
        assert_eq!(rates.left(service).left, 1);
        assert_eq!((rates.take(service), rates.take(service)), (Ok(()), Err(TooFast)));
        clock.advance(Duration::from_hours(1));
        assert_eq!(rates.left(service).left, 20);
        assert_eq!((0..30).filter(|_| rates.take(service).is_ok()).count(), 20, "never more than the burst");
    }
}
