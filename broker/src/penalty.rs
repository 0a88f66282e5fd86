//! What results that count against a worker cost it. Pure: the time comes with every question.
//!
//! Only results that an honest program cannot send are counted (below the threshold, or for a root that the worker was never
//! given), for the worker id and for the address they came from. Three of them within a minute shut the worker out for half a
//! minute, each further three for twice as long. The tenth shuts out for a day, either the worker or, since a new worker id
//! costs nothing, all workers of the address. An hour without any clears the record. Never the payout account: a login name
//! proves nothing, and anybody could have another's account banned.

use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use shared::WorkerId;
use tokio::time::Instant;

use crate::bounded::BoundedMap;

/// Results within [`WINDOW`] that shut out for a while.
const RESULTS_PER_WINDOW: usize = 3;
const WINDOW: Duration = Duration::from_mins(1);
/// How long the first time; each further time is twice as long as the one before.
const FIRST_BACK_OFF: Duration = Duration::from_secs(30);
/// Results that shut out for [`BAN`].
const RESULTS_PER_BAN: u32 = 10;
const BAN: Duration = Duration::from_hours(24);
/// Without a further result for so long, the earlier ones are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(1);
/// Records that are kept at most, of each kind. Further offenders are not recorded; each costs a login.
const RECORDS_MAX: usize = 64 * 1024;

/// What a result that counts against somebody leads to. Ordered by severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sentence {
    /// It is remembered.
    Counted,
    /// Shut out for some time.
    Suspended,
    /// Shut out for a day.
    Banned,
}

impl Sentence {
    /// All of them, for metrics.
    pub(crate) const ALL: [Self; 3] = [Self::Counted, Self::Suspended, Self::Banned];

    /// As it is written in logs and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Suspended => "suspended",
            Self::Banned => "banned",
        }
    }
}

/// Who has sent what counts against them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offender {
    pub(crate) worker: WorkerId,
    /// The address that connections are counted by; `None` for trusted ones, which are never shut out.
    pub(crate) address: Option<IpAddr>,
}

/// What a result leads to, for each of the two that it counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sentences {
    pub(crate) worker: Sentence,
    pub(crate) address: Sentence,
}

/// The records of all offenders.
#[derive(Debug, Default)]
pub(crate) struct Penalties {
    workers: Records<WorkerId>,
    addresses: Records<IpAddr>,
}

impl Penalties {
    /// Counts a result against its worker and its address.
    pub(crate) fn record(&mut self, offender: Offender, now: Instant) -> Sentences {
        let Offender { worker, address } = offender;
        Sentences {
            worker: self.workers.record(worker, now, true),
            // Honest workers may share the address: a short suspension of all of them would hurt them alone.
            address: address.map_or(Sentence::Counted, |address| self.addresses.record(address, now, false)),
        }
    }

    /// Whether this worker is shut out, or its address.
    pub(crate) fn shuts_out(&self, offender: Offender, now: Instant) -> bool {
        let Offender { worker, address } = offender;
        self.workers.shuts_out(&worker, now)
            || address.is_some_and(|address| self.addresses.shuts_out(&address, now))
    }
}

#[derive(Debug)]
struct Records<K>(BoundedMap<K, Record>);

#[derive(Debug)]
struct Record {
    /// The last results, oldest first, since the last time they were acted on.
    recent: Vec<Instant>,
    count: u32,
    suspensions: u32,
    last: Instant,
    shut_out_until: Option<Instant>,
}

impl<K: Eq + Hash> Default for Records<K> {
    fn default() -> Self {
        Self(BoundedMap::new(RECORDS_MAX))
    }
}

impl<K: Eq + Hash> Records<K> {
    fn record(&mut self, key: K, now: Instant, suspends: bool) -> Sentence {
        let is_forgotten = |record: &Record| record.is_forgotten(now);
        let Some(record) = self.0.entry(key, now, is_forgotten, || Record::new(now)) else {
            return Sentence::Counted;
        };
        if record.is_forgotten(now) {
            *record = Record::new(now);
        }
        record.count(now, suspends)
    }

    fn shuts_out(&self, key: &K, now: Instant) -> bool {
        self.0.get(key).is_some_and(|record| record.shuts_out(now))
    }
}

impl Record {
    fn new(now: Instant) -> Self {
        Self { recent: Vec::new(), count: 0, suspensions: 0, last: now, shut_out_until: None }
    }

    fn count(&mut self, now: Instant, suspends: bool) -> Sentence {
        self.last = now;
        self.count += 1;
        self.recent.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        self.recent.push(now);
        if self.count >= RESULTS_PER_BAN {
            self.shut_out_until = Some(now + BAN);
            // What follows belongs to the same ban, and is not remembered one by one.
            self.recent.clear();
            return Sentence::Banned;
        }
        if !suspends || self.recent.len() < RESULTS_PER_WINDOW {
            return Sentence::Counted;
        }
        self.recent.clear();
        // At most three suspensions fit before the ban.
        self.shut_out_until = Some(now + FIRST_BACK_OFF * 2_u32.pow(self.suspensions));
        self.suspensions += 1;
        Sentence::Suspended
    }

    fn shuts_out(&self, now: Instant) -> bool {
        self.shut_out_until.is_some_and(|until| now < until)
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        !self.shuts_out(now) && now.saturating_duration_since(self.last) >= FORGOTTEN_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(seed: u8) -> WorkerId {
        WorkerId::of_secret(&[seed; 32])
    }

    fn offender(seed: u8, address: Option<[u8; 4]>) -> Offender {
        Offender { worker: worker(seed), address: address.map(IpAddr::from) }
    }

    #[test]
    fn three_in_a_minute_suspend_for_twice_as_long_each_time_and_ten_ban() {
        use Sentence::{Banned, Counted, Suspended};
        let (mut penalties, somebody) = (Penalties::default(), offender(1, None));
        let mut now = Instant::now();
        for seconds in [30, 60, 120] {
            for expected in [Counted, Counted, Suspended] {
                assert!(!penalties.shuts_out(somebody, now));
                assert_eq!(penalties.record(somebody, now).worker, expected);
            }
            now += Duration::from_millis(seconds * 1000 - 1);
            assert!(penalties.shuts_out(somebody, now), "{seconds} s");
            now += Duration::from_millis(1);
            assert!(!penalties.shuts_out(somebody, now), "{seconds} s");
        }
        assert_eq!(penalties.record(somebody, now).worker, Banned);
        let just_before = now + BAN.saturating_sub(Duration::from_millis(1));
        assert!(penalties.shuts_out(somebody, just_before));
        now += BAN;
        assert!(!penalties.shuts_out(somebody, now));
        assert_eq!(penalties.record(somebody, now).worker, Counted, "all is forgotten after the ban");
    }

    #[test]
    fn few_and_far_between_are_forgiven() {
        let (mut penalties, somebody) = (Penalties::default(), offender(1, None));
        let mut now = Instant::now();
        for _ in 0..9 {
            assert_eq!(penalties.record(somebody, now).worker, Sentence::Counted);
            now += Duration::from_secs(31);
        }
        now += FORGOTTEN_AFTER;
        assert_eq!(penalties.record(somebody, now).worker, Sentence::Counted);
    }

    /// A new worker id costs nothing, so the address is counted as well.
    #[test]
    fn many_workers_behind_one_address_are_counted_together_unless_it_is_trusted() {
        let mut penalties = Penalties::default();
        let now = Instant::now();
        for seed in 0..9 {
            let sentences = penalties.record(offender(seed, Some([192, 0, 2, 1])), now);
            assert_eq!((sentences.worker, sentences.address), (Sentence::Counted, Sentence::Counted));
        }
        let sentences = penalties.record(offender(9, Some([192, 0, 2, 1])), now);
        assert_eq!(sentences.address, Sentence::Banned);
        assert!(penalties.shuts_out(offender(50, Some([192, 0, 2, 1])), now));
        assert!(!penalties.shuts_out(offender(50, Some([192, 0, 2, 2])), now));
        for seed in 0..20 {
            let sentences = penalties.record(offender(100 + seed, None), now);
            assert_eq!(sentences.address, Sentence::Counted);
        }
    }
}
