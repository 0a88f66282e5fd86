//! How long answers take that workers have to search for, by kind of work.

use core::time::Duration;

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
            self.classes[index].now.add(time);
        }
    }

    /// Forgets what is older than a period when one is over.
    pub(crate) fn turn(&mut self, now: Timestamp) {
        if now.since(self.since) < STATISTICS_PERIOD {
            return;
        }
        self.since = now;
        for recent in &mut self.classes {
            recent.before = std::mem::take(&mut recent.now);
        }
    }

    /// The figures.
    pub(crate) fn times(&self) -> SearchedTimes {
        let [ondemand_send, ondemand_receive, precache_send, precache_receive] =
            [0, 1, 2, 3].map(|index| self.classes[index].times());
        SearchedTimes { ondemand_send, ondemand_receive, precache_send, precache_receive }
    }
}

#[derive(Debug, Default)]
struct Recent {
    now: Histogram,
    before: Histogram,
}

impl Recent {
    fn times(&self) -> AnswerTimes {
        let works = self.now.count + self.before.count;
        let quantile = |percent: u64| {
            // The smallest time that at least so many do not exceed.
            let mut left = (works * percent).div_ceil(100);
            for bucket in 0..BUCKETS {
                let count = self.now.of(bucket) + self.before.of(bucket);
                if count >= left {
                    return highest_of(bucket);
                }
                left -= count;
            }
            0
        };
        match works {
            0 => AnswerTimes::default(),
            works => AnswerTimes { works, p50_ms: quantile(50), p95_ms: quantile(95), p99_ms: quantile(99) },
        }
    }
}

/// Buckets for each doubling of the time.
const STEPS: u32 = 16;
/// For times up to 2^22 ms, over an hour: longer than any request may take.
const BUCKETS: usize = 19 * STEPS as usize;

/// Counts of times, in buckets that are a sixteenth wide, and a millisecond where that is more.
#[derive(Debug, Default)]
struct Histogram {
    /// As far as they are needed.
    counts: Vec<u64>,
    count: u64,
}

impl Histogram {
    fn add(&mut self, time: Duration) {
        let bucket = bucket_of(u32::try_from(time.as_millis()).unwrap_or(u32::MAX)).min(BUCKETS - 1);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.count += 1;
    }

    fn of(&self, bucket: usize) -> u64 {
        self.counts.get(bucket).copied().unwrap_or(0)
    }
}

/// Below 16 each has a bucket of its own; then the bits after the first choose one of 16 for each doubling.
const fn bucket_of(ms: u32) -> usize {
    if ms < STEPS {
        return ms as usize;
    }
    let doublings = ms.ilog2() - STEPS.ilog2();
    (doublings * STEPS + (ms >> doublings)) as usize
}

/// The longest time that falls into a bucket, in milliseconds.
fn highest_of(bucket: usize) -> u32 {
    let bucket = u32::try_from(bucket).unwrap_or(u32::MAX);
    if bucket < STEPS {
        return bucket;
    }
    let doublings = bucket / STEPS - 1;
    ((bucket % STEPS + STEPS + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEND: WorkClass = WorkClass::ALL[0];

    #[test]
    fn each_time_is_at_most_a_sixteenth_below_the_end_of_its_bucket() {
        let mut last = 0;
        for ms in (0..5000).chain((5000..4_000_000).step_by(997)) {
            let bucket = bucket_of(ms);
            assert!(bucket < BUCKETS && bucket >= last, "{ms}");
            last = bucket;
            let highest = highest_of(bucket);
            assert!(
                highest >= ms && bucket_of(highest) == bucket && highest - ms <= ms / 16,
                "{ms}: {highest}"
            );
        }
    }

    #[test]
    fn quantiles_are_of_the_last_two_periods_and_of_one_class() {
        let (mut searched, minute) =
            (Searched::default(), |minute: u64| Timestamp::from_micros(60_000_000 * minute));
        assert_eq!(searched.times(), SearchedTimes::default());
        for ms in 1..=100 {
            searched.add(SEND, Duration::from_millis(10 * ms));
        }
        let expected = AnswerTimes { works: 100, p50_ms: 511, p95_ms: 959, p99_ms: 991 };
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
