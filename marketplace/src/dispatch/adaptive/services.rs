//! Fairness between services: a job is as old as it would be if its service had asked no faster than its part of all rates
//! allows. Who asks for more than its part waits behind others, and only while there are others.

use core::time::Duration;
use std::collections::BTreeMap;

use shared::{ServiceId, Timestamp};

/// A job counts as asked for later by at most so many times what jobs of its kind take on average: whoever is that far behind comes
/// last in any case, and what was asked for while hardly a worker was there must not be held against anybody for long.
const LAG: f64 = 8.0;

/// By when the part of each service will have done what it has asked for. Those whose time has come are forgotten.
#[derive(Debug, Default)]
pub(super) struct Services {
    done_by: BTreeMap<ServiceId, Timestamp>,
}

impl Services {
    /// When a job of so many hashes that is asked for now counts as asked for, with so many hashes a second of all workers, where
    /// jobs of its kind take so many seconds.
    #[expect(clippy::cast_precision_loss, reason = "a number of services")]
    pub(super) fn due(
        &mut self,
        now: Timestamp,
        service: ServiceId,
        hashes: f64,
        (rates, latency): (f64, f64),
    ) -> Timestamp {
        if self.done_by.len() > 64 {
            self.done_by.retain(|_, done| *done > now);
        }
        let latest = now + Duration::try_from_secs_f64(LAG * latency).unwrap_or(Duration::MAX);
        let others = self.done_by.iter().filter(|(other, done)| **other != service && **done > now).count();
        let due = self.done_by.get(&service).map_or(now, |done| (*done).clamp(now, latest));
        let takes = hashes * (1 + others) as f64 / rates.max(1.0);
        let takes = Duration::try_from_secs_f64(takes).unwrap_or(Duration::MAX);
        self.done_by.insert(service, (due + takes).min(latest));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEND: f64 = 536_870_912.0;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000) + Duration::from_millis(millis)
    }

    fn service(name: &str) -> ServiceId {
        name.parse().expect("a name")
    }

    #[test]
    fn who_asks_for_more_than_its_part_counts_later_and_others_do_not() {
        let mut services = Services::default();
        // Each takes a tenth of a second of all rates.
        let known = (10.0 * SEND, 1.0);
        let dues: Vec<Timestamp> =
            (0..4).map(|_| services.due(at(0), service("wallet"), SEND, known)).collect();
        assert_eq!(dues, [at(0), at(100), at(200), at(300)]);
        assert_eq!(services.due(at(0), service("faucet"), SEND, known), at(0));
        // With another one there, its part is half as large.
        services.due(at(0), service("wallet"), SEND, known);
        assert_eq!(services.due(at(0), service("wallet"), SEND, known), at(600));
    }

    #[test]
    fn what_was_asked_for_before_anybody_came_is_not_held_against_its_service() {
        let mut services = Services::default();
        for _ in 0..100 {
            let due = services.due(at(0), service("wallet"), SEND, (0.0, 0.3));
            assert!(due <= at(2400), "{due:?}");
        }
        assert_eq!(services.due(at(2400), service("wallet"), SEND, (10.0 * SEND, 0.3)), at(2400));
    }
}
