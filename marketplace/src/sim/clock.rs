//! The driver's clock: it may jump, and what it tells never goes back.

use core::time::Duration;

use shared::Timestamp;

/// A clock beside the true time of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct DriverClock {
    ahead: Duration,
    behind: Duration,
    told: Timestamp,
}

impl DriverClock {
    pub(super) const fn new(start: Timestamp) -> Self {
        Self { ahead: Duration::ZERO, behind: Duration::ZERO, told: start }
    }

    /// What it tells at a true time: it stands still where it would have to go back.
    pub(super) fn tell(&mut self, truth: Timestamp) -> Timestamp {
        self.told = self.told.max(truth + self.ahead - self.behind);
        self.told
    }

    /// The first true time at which it tells `at` or later.
    pub(super) fn truth_of(&self, at: Timestamp) -> Timestamp {
        at + self.behind - self.ahead
    }

    pub(super) const fn jump_forward(&mut self, by: Duration) {
        self.ahead = self.ahead.saturating_add(by);
    }

    pub(super) const fn jump_back(&mut self, by: Duration) {
        self.behind = self.behind.saturating_add(by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_jumps_and_never_goes_back() {
        let at = Timestamp::from_micros;
        let mut clock = DriverClock::new(at(100));
        assert_eq!(clock.tell(at(150)), at(150));
        clock.jump_forward(Duration::from_micros(50));
        assert_eq!(clock.tell(at(160)), at(210));
        clock.jump_back(Duration::from_micros(100));
        assert_eq!(clock.tell(at(170)), at(210));
        assert_eq!(clock.truth_of(at(300)), at(350));
        assert_eq!(clock.tell(at(350)), at(300));
    }
}
