//! Messages between workers and the coordinator, counted: how many lists leave is known only where they leave.

use std::collections::VecDeque;

use shared::protocol::NetworkStatistics;

/// Seconds over which messages are set against works.
const PERIOD: usize = 60;

/// Messages between workers and the coordinator.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    lists: u64,
    statuses: u64,
    /// What had been by the end of each of the last seconds, the oldest first.
    seconds: VecDeque<Mark>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    messages: u64,
    works: u64,
}

impl Traffic {
    /// A worker is sent a list.
    pub(super) const fn list_sent(&mut self) {
        self.lists += 1;
    }

    /// A worker has said how it does.
    pub(super) const fn status_received(&mut self) {
        self.statuses += 1;
    }

    /// A second is over, and the market says this.
    pub(super) fn second_over(&mut self, statistics: &NetworkStatistics) {
        self.seconds.push_back(self.mark(statistics));
        if self.seconds.len() > PERIOD {
            self.seconds.pop_front();
        }
    }

    /// What the market says, and what it cannot know.
    pub(super) fn complete(&self, statistics: NetworkStatistics) -> NetworkStatistics {
        let now = self.mark(&statistics);
        let before = self.seconds.front().copied().unwrap_or(Mark { messages: 0, works: 0 });
        let (messages, works) = (now.messages - before.messages, now.works - before.works);
        // Rounded.
        let per_work = (messages + works / 2).checked_div(works);
        NetworkStatistics {
            lists_sent: self.lists,
            messages_per_work: per_work.map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
            ..statistics
        }
    }

    /// Each result is a message, and so is its verdict.
    const fn mark(&self, statistics: &NetworkStatistics) -> Mark {
        Mark {
            messages: self.lists + self.statuses + 2 * statistics.results_received,
            works: statistics.results_accepted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(traffic: &Traffic, results_received: u64, results_accepted: u64) -> NetworkStatistics {
        traffic.complete(NetworkStatistics { results_received, results_accepted, ..Default::default() })
    }

    #[test]
    fn messages_are_set_against_the_works_of_the_last_minute() {
        let mut traffic = Traffic::default();
        assert_eq!(said(&traffic, 0, 0).messages_per_work, None);
        for _ in 0..10 {
            traffic.list_sent();
        }
        let statistics = said(&traffic, 5, 4);
        assert_eq!((statistics.lists_sent, statistics.messages_per_work), (10, Some(5)));
        for _ in 0..=PERIOD {
            traffic.second_over(&statistics);
        }
        assert_eq!(said(&traffic, 5, 4).messages_per_work, None, "nothing within the last minute");
        traffic.list_sent();
        traffic.status_received();
        assert_eq!(said(&traffic, 6, 5).messages_per_work, Some(4));
    }
}
