//! Fairness between services: a job is as old as it would be if its service had asked no faster than its part of all rates
//! allows. Who asks for more than its part waits behind others, and only while there are others.

use core::time::Duration;
use std::collections::BTreeMap;

use shared::{ServiceId, Timestamp};

/// By when the part of each service will have done what it has asked for. Those whose time has come are forgotten.
#[derive(Debug, Default)]
pub(super) struct Services {
    done_by: BTreeMap<ServiceId, Timestamp>,
}

impl Services {
    /// When a job that is asked for now counts as asked for.
    #[expect(clippy::cast_precision_loss, reason = "a number of services")]
    pub(super) fn due(&mut self, now: Timestamp, service: ServiceId, hashes: f64, rates: f64) -> Timestamp {
        if self.done_by.len() > 64 {
            self.done_by.retain(|_, done| *done > now);
        }
        let others = self.done_by.iter().filter(|(other, done)| **other != service && **done > now).count();
        let due = self.done_by.get(&service).map_or(now, |done| (*done).max(now));
        let takes = hashes * (1 + others) as f64 / rates.max(1.0);
        let takes = Duration::try_from_secs_f64(takes).unwrap_or(Duration::MAX);
        self.done_by.insert(service, due + takes.min(Duration::from_hours(1)));
        due
    }
}
