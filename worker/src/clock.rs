//! The worker's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shared::Timestamp;

/// Time that never goes back, whatever is done to the system's clock, and that goes on while the machine sleeps: nobody has waited
/// for the jobs of before when it wakes up. On other systems than Linux the time of sleep is not counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Reading,
    origin: Timestamp,
}

impl Clock {
    pub(crate) fn start() -> Self {
        // A clock before 1970 is as good as any other: only differences are used.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Reading::now(), origin: Timestamp::default() + since_1970 }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.origin + self.started.elapsed()
    }

    /// Ready at `deadline`; never, if there is none. Sleep of the machine delays it.
    pub(crate) async fn sleep_until(&self, deadline: Option<Timestamp>) {
        match deadline {
            // One millisecond more: the timer's own resolution, so that it does not wake before its time.
            Some(deadline) => tokio::time::sleep(deadline.since(self.now()) + Duration::from_millis(1)).await,
            None => core::future::pending().await,
        }
    }
}

/// Time since the machine started, its sleep included.
#[cfg(target_os = "linux")]
#[derive(Debug, Clone, Copy)]
struct Reading(Duration);

#[cfg(target_os = "linux")]
impl Reading {
    fn now() -> Self {
        use rustix::time::{ClockId, clock_gettime};

        // It is never negative, so the conversion cannot fail.
        Self(clock_gettime(ClockId::Boottime).try_into().unwrap_or_default())
    }

    fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

#[cfg(not(target_os = "linux"))]
use std::time::Instant as Reading;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_and_never_back() {
        let clock = Clock::start();
        let (mut last, start) = (clock.now(), std::time::Instant::now());
        while start.elapsed() < Duration::from_millis(5) {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
        assert!(clock.now().since(clock.origin) >= Duration::from_millis(4));
    }

    #[tokio::test]
    async fn it_does_not_wake_before_its_time() {
        let clock = Clock::start();
        let deadline = clock.now() + Duration::from_millis(3);
        clock.sleep_until(Some(deadline)).await;
        assert!(clock.now() >= deadline);
    }
}
