//! The only reader of the system's clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use shared::Timestamp;
use tokio::time::Instant;

/// A clock that starts at the wall's time and then runs with the monotonic one, so that a jump of the wall's clock can neither
/// end requests early nor keep them open.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    epoch: Timestamp,
}

impl Clock {
    /// Starts now.
    pub fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let epoch = Timestamp::from_micros(u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX));
        Self { started: Instant::now(), epoch }
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.epoch + self.started.elapsed()
    }

    /// The moment at which this clock shows `at`.
    pub fn instant_of(&self, at: Timestamp) -> Instant {
        self.started + at.since(self.epoch)
    }
}
