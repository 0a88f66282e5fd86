//! How long answers take that workers have to search for, by kind of work.

use core::time::Duration;

use hdrhistogram::Histogram;
use shared::Timestamp;
use shared::protocol::{AnswerTimes, SearchedTimes, WorkKind};

use crate::limits::STATISTICS_PERIOD;

/// What is asked for, as far as it decides how long an answer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkClass {
    /// Whether somebody waits.
    pub kind: WorkKind,
    /// Whether it is easier than a send.
    pub is_receive: bool,
}

impl WorkClass {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self { kind: WorkKind::OnDemand, is_receive: false },
        Self { kind: WorkKind::OnDemand, is_receive: true },
        Self { kind: WorkKind::Precache, is_receive: false },
        Self { kind: WorkKind::Precache, is_receive: true },
    ];

    /// The word for its threshold in metrics: `send` or `receive`.
    pub const fn subtype(self) -> &'static str {
        if self.is_receive { "receive" } else { "send" }
    }
}

/// Times of answers of the last one to two periods.
#[derive(Debug, Default)]
pub(crate) struct Searched {
    classes: [Recent; 4],
    since: Timestamp,
}

impl Searched {
    /// An answer has taken so long.
    pub(crate) fn add(&mut self, class: WorkClass, time: Duration) {
        if let Some(index) = WorkClass::ALL.iter().position(|known| *known == class) {
            self.classes[index].add(time);
        }
    }

    /// Forgets what is older than a period when one is over.
    pub(crate) fn turn(&mut self, now: Timestamp) {
        if now.since(self.since) < STATISTICS_PERIOD {
            return;
        }
        self.since = now;
        for recent in &mut self.classes {
            recent.turn();
        }
    }

    /// The figures.
    pub(crate) fn times(&self) -> SearchedTimes {
        let [ondemand_send, ondemand_receive, precache_send, precache_receive] =
            [0, 1, 2, 3].map(|index| self.classes[index].times());
        SearchedTimes { ondemand_send, ondemand_receive, precache_send, precache_receive }
    }
}

/// Longest time that is told from longer ones, in milliseconds: over an hour, and so longer than any request may take.
const TIME_MAX: u64 = 1 << 22;
/// Digits of a time that count.
const DIGITS: u8 = 2;

#[derive(Debug)]
struct Recent {
    now: Histogram<u32>,
    before: Histogram<u32>,
}

impl Default for Recent {
    fn default() -> Self {
        // It fails only for bounds that are too near to each other, and for more than five digits.
        let empty = || Histogram::new_with_bounds(1, TIME_MAX, DIGITS).expect("bounds and digits are good");
        Self { now: empty(), before: empty() }
    }
}

impl Recent {
    fn add(&mut self, time: Duration) {
        self.now.saturating_record(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }

    fn turn(&mut self) {
        std::mem::swap(&mut self.now, &mut self.before);
        self.now.reset();
    }

    fn times(&self) -> AnswerTimes {
        let mut both = self.now.clone();
        // Bounds are the same.
        both += &self.before;
        if both.is_empty() {
            return AnswerTimes::default();
        }
        let quantile = |share| u32::try_from(both.value_at_quantile(share)).unwrap_or(u32::MAX);
        AnswerTimes {
            works: both.len(),
            p50_ms: quantile(0.5),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEND: WorkClass = WorkClass::ALL[0];

    #[test]
    fn quantiles_are_of_the_last_two_periods_and_of_one_class() {
        let (mut searched, minute) =
            (Searched::default(), |minute: u64| Timestamp::from_micros(60_000_000 * minute));
        assert_eq!(searched.times(), SearchedTimes::default());
        for ms in 1..=100 {
            searched.add(SEND, Duration::from_millis(10 * ms));
        }
        let expected = AnswerTimes { works: 100, p50_ms: 501, p95_ms: 951, p99_ms: 991 };
        assert_eq!(searched.times().ondemand_send, expected);
        searched.turn(minute(1));
        searched.turn(minute(1));
        assert_eq!(searched.times().ondemand_send, expected);
        assert_eq!(searched.times().precache_send, AnswerTimes::default());
        searched.add(WorkClass::ALL[3], Duration::from_secs(1_000_000));
        searched.turn(minute(2));
        assert_eq!(searched.times().ondemand_send, AnswerTimes::default());
        assert_eq!(searched.times().precache_receive.works, 1);
    }
}
