//! A search: how long it takes, and what it burns.

use shared::Timestamp;

use super::random::Random;

/// A worker that searches, or does not.
///
/// A search is memoryless: what has been hashed says nothing about what is still to be hashed. So the hashes that are left
/// until the next find, as a multiple of the mean, are drawn once and kept when the worker goes from one job to another; the
/// times of finds are distributed as if they had been drawn anew for each job.
#[derive(Debug, Clone)]
pub(super) struct Search {
    /// Hashes a second.
    rate: f64,
    /// Hashes until the next find, as a multiple of the mean of whatever is searched.
    left: f64,
    /// Since when, and for what mean number of hashes.
    running: Option<(Timestamp, f64)>,
    burnt: f64,
}

impl Search {
    pub(super) fn new(rate: f64, random: &mut Random) -> Self {
        Self { rate, left: random.exponential(), running: None, burnt: 0.0 }
    }

    pub(super) const fn rate(&self) -> f64 {
        self.rate
    }

    /// Hashes so far.
    pub(super) fn burnt(&self, now: Timestamp) -> f64 {
        self.burnt + self.running.map_or(0.0, |(since, _)| self.rate * now.since(since).as_secs_f64())
    }

    /// Searches for something of this mean number of hashes from now on, or rests. The time of the next find stays to the
    /// microsecond where the mean does.
    pub(super) fn turn_to(&mut self, now: Timestamp, hashes: Option<f64>) {
        if self.running.map(|(_, mean)| mean) == hashes {
            return;
        }
        if let Some((since, mean)) = self.running {
            let done = self.rate * now.since(since).as_secs_f64();
            self.burnt += done;
            self.left = (self.left - done / mean).max(0.0);
        }
        self.running = hashes.map(|hashes| (now, hashes));
    }

    /// When the next find is, unless something changes.
    pub(super) fn finds_at(&self) -> Option<Timestamp> {
        let (since, mean) = self.running?;
        // A worker of rate zero finds nothing in the time that a run may last.
        let time = core::time::Duration::try_from_secs_f64(self.left * mean / self.rate).ok()?;
        Some(since + time)
    }

    /// Something has been found: the next find is drawn.
    pub(super) fn found(&mut self, now: Timestamp, random: &mut Random) {
        self.turn_to(now, None);
        self.left = random.exponential();
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn a_search_that_changes_its_job_goes_on_where_it_was() {
        let mut search = Search::new(100.0, &mut Random::new(1));
        let start = Timestamp::from_micros(0);
        search.turn_to(start, Some(1000.0));
        let found = search.finds_at().expect("it searches");
        let half = start + found.since(start) / 2;
        search.turn_to(half, None);
        assert_eq!(search.finds_at(), None);
        // Twice as hard, after a rest: what was left takes twice as long.
        let later = half + Duration::from_secs(5);
        search.turn_to(later, Some(2000.0));
        let whole = found.since(start).as_secs_f64();
        let left = search.finds_at().expect("it searches").since(later).as_secs_f64();
        assert!((left - whole).abs() < 1e-5, "{left} {whole}");
        let burnt = search.burnt(later + Duration::from_secs(1));
        assert!((burnt - (50.0 * whole + 100.0)).abs() < 0.01, "{burnt}");
    }
}
