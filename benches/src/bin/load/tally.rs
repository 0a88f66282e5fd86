//! What became of the requests.
//!
//! A latency runs from the time when a request was to be sent. In an open loop that is a time of the schedule: a request that
//! waited for a free connection has waited for the server, and its wait is in the figure (else the slower the server, the fewer
//! slow requests would be counted: coordinated omission).

use std::collections::BTreeMap;
use std::time::Instant;

use benches::report::{Ended, Latency};
use hdrhistogram::Histogram;

/// The longest latency that is told from longer ones, in microseconds: five minutes.
const LATENCY_MAX_US: u64 = 300_000_000;
/// Ways of failing that are told apart; a server that makes up a new text each time is not followed.
const KINDS_MAX: usize = 32;
/// Under what further ways of failing are counted.
const OTHER: &str = "other";

/// The measured time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) begin: Instant,
    /// Open where the number of requests ends the run.
    pub(crate) end: Option<Instant>,
}

impl Window {
    fn contains(&self, at: Instant) -> bool {
        at >= self.begin && self.end.is_none_or(|end| at < end)
    }
}

/// One way in which requests end.
#[derive(Debug)]
struct Way {
    microseconds: Histogram<u64>,
    in_all: u64,
}

impl Way {
    fn new() -> Self {
        // Three digits; bounds that the library accepts.
        let microseconds =
            Histogram::new_with_max(LATENCY_MAX_US, 3).expect("three digits of five minutes are possible");
        Self { microseconds, in_all: 0 }
    }

    fn ended(&self) -> Ended {
        Ended { count: self.microseconds.len(), latency: Latency::of(&self.microseconds) }
    }
}

/// The count of all requests.
#[derive(Debug)]
pub(crate) struct Tally {
    window: Window,
    answered: Way,
    failed: BTreeMap<String, Way>,
    answers_in_window: u64,
    ends_in_window: u64,
}

impl Tally {
    pub(crate) fn new(window: Window) -> Self {
        Self {
            window,
            answered: Way::new(),
            failed: BTreeMap::new(),
            answers_in_window: 0,
            ends_in_window: 0,
        }
    }

    /// A request that was to be sent at `intended` has ended at `ended`, with work or with what came instead.
    pub(crate) fn record(&mut self, intended: Instant, ended: Instant, outcome: Result<(), String>) {
        if self.window.contains(ended) {
            self.ends_in_window += 1;
            self.answers_in_window += u64::from(outcome.is_ok());
        }
        let way = match outcome {
            Ok(()) => &mut self.answered,
            Err(kind) => {
                let is_known = self.failed.contains_key(&kind) || self.failed.len() < KINDS_MAX;
                let kind = if is_known { kind } else { OTHER.into() };
                self.failed.entry(kind).or_insert_with(Way::new)
            }
        };
        way.in_all += 1;
        if self.window.contains(intended) {
            let latency = ended.saturating_duration_since(intended).as_micros();
            way.microseconds.saturating_record(u64::try_from(latency).unwrap_or(u64::MAX));
        }
    }

    /// Requests that have ended in the measured time, and those of them that ended with work.
    pub(crate) const fn in_window(&self) -> (u64, u64) {
        (self.ends_in_window, self.answers_in_window)
    }

    /// Those that were answered with work.
    pub(crate) fn answered(&self) -> Ended {
        self.answered.ended()
    }

    /// The others that were to be sent in the measured time.
    pub(crate) fn failed(&self) -> BTreeMap<String, Ended> {
        let failed = self.failed.iter().filter(|(_, way)| !way.microseconds.is_empty());
        failed.map(|(kind, way)| (kind.clone(), way.ended())).collect()
    }

    /// Works and failures of the whole run.
    pub(crate) fn in_all(&self) -> (u64, BTreeMap<String, u64>) {
        let failed = self.failed.iter().map(|(kind, way)| (kind.clone(), way.in_all));
        (self.answered.in_all, failed.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn window() -> Window {
        let begin = Instant::now() + 10 * SECOND;
        Window { begin, end: Some(begin + 10 * SECOND) }
    }

    /// A server that stops for five seconds in the middle of ten: a request is due each 100 ms, and one connection sends them.
    /// Counted from its sending, only one request would have been slow.
    #[test]
    fn a_server_that_stops_is_felt_by_all_requests_that_were_due() {
        let window = window();
        let mut tally = Tally::new(window);
        let mut free = window.begin;
        let stop = window.begin + 2 * SECOND;
        for slot in 0..100 {
            let intended = window.begin + slot * SECOND / 10;
            let sent = free.max(intended);
            let mut ended = sent + SECOND / 1000;
            if sent <= stop && ended > stop {
                ended += 5 * SECOND;
            }
            tally.record(intended, ended, Ok(()));
            free = ended;
        }
        let Ended { count, latency } = tally.answered();
        assert_eq!(count, 100);
        assert!(latency.p50_ms > 1.0 && latency.p50_ms < 1200.0, "{latency:?}");
        assert!(latency.p99_ms > 4_500.0, "{latency:?}");
        assert!((5_000.0..5_010.0).contains(&latency.max_ms), "{latency:?}");
    }

    #[test]
    fn what_lies_outside_of_the_measured_time_is_in_all_but_in_no_latency() {
        let window = window();
        let start = Instant::now();
        let (begin, end) = (window.begin, window.begin + 10 * SECOND);
        let mut tally = Tally::new(window);
        tally.record(start, start + SECOND, Ok(()));
        tally.record(start, begin + SECOND, Ok(()));
        tally.record(begin + 9 * SECOND, end + SECOND, Ok(()));
        tally.record(begin, begin + SECOND, Err("503 overloaded".into()));
        tally.record(end, end + SECOND, Err("timeout".into()));
        assert_eq!(tally.in_window(), (2, 1));
        assert_eq!(tally.answered().count, 1);
        assert!((tally.answered().latency.p50_ms - 2000.0).abs() < 2.0);
        assert_eq!(tally.failed().keys().collect::<Vec<_>>(), ["503 overloaded"]);
        let (answered, failed) = tally.in_all();
        assert_eq!((answered, failed["503 overloaded"], failed["timeout"]), (3, 1, 1));
    }

    #[test]
    fn ever_new_ways_of_failing_are_counted_as_one() {
        let window = Window { end: None, ..window() };
        let mut tally = Tally::new(window);
        for number in 0..100 {
            tally.record(window.begin, window.begin, Err(format!("at {number} o'clock")));
        }
        let (_, failed) = tally.in_all();
        assert_eq!((failed.len(), failed[OTHER]), (KINDS_MAX + 1, 68));
    }
}
