//! `stats/network`: the state of the market, each second, always as JSON.

use serde::{Deserialize, Serialize};

use super::codec::Message;
use super::messages::DOWNLINK_MAX;

/// `stats/network`. What is counted is counted since the start, what is measured is of the last minute or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkStatistics {
    /// Workers connected.
    pub workers: u64,
    /// Sum of their rates, in hashes a second.
    pub hashes_per_second: u64,
    /// Jobs being searched.
    pub jobs_open: u64,
    /// Jobs that wait for a place on a list.
    pub jobs_unplaced: u64,
    /// Requests that have no outcome yet.
    pub requests_open: u64,
    /// Requests answered with work since the start.
    pub requests_answered: u64,
    /// Requests refused since the start.
    pub requests_refused: u64,
    /// Results accepted since the start.
    pub results_accepted: u64,
    /// Works kept for further requests.
    pub works_cached: u64,
    /// Results received since the start, of any kind; each gets a verdict.
    pub results_received: u64,
    /// Lists sent to workers since the start.
    pub lists_sent: u64,
    /// Lists, results, verdicts and statuses for each accepted result; `None` without one.
    pub messages_per_work: Option<u32>,
    /// Hashes that were to be expected for what was found, over the hashes that were made for it as far as the coordinator can
    /// tell; `None` where it cannot.
    pub efficiency_percent: Option<u8>,
    /// Jain's index of what workers have earned over their measured rate: 100 when all have the same. `None` while nobody has
    /// earned.
    pub fairness_percent: Option<u8>,
    /// How long answers took that workers had to search for.
    pub searched: SearchedTimes,
}

/// From a request's arrival to its answer, where workers had to search, by kind of work. A receive is what is below the network's
/// threshold of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchedTimes {
    /// A service waits, for a send.
    pub ondemand_send: AnswerTimes,
    /// A service waits, for a receive.
    pub ondemand_receive: AnswerTimes,
    /// Ahead of demand, for a send.
    pub precache_send: AnswerTimes,
    /// Ahead of demand, for a receive.
    pub precache_receive: AnswerTimes,
}

/// Times of answers: those that half, 95 and 99 of a hundred did not exceed, within a hundredth; 0 without any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerTimes {
    /// How many.
    pub works: u64,
    /// In milliseconds.
    pub p50_ms: u32,
    /// In milliseconds.
    pub p95_ms: u32,
    /// In milliseconds.
    pub p99_ms: u32,
}

impl Message for NetworkStatistics {
    const SIZE_MAX: usize = DOWNLINK_MAX;
}
