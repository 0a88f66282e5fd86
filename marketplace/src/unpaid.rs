//! Work that was searched for and never paid, because its request expired or was withdrawn: how much of it a service may cause.
//!
//! Always: what is searched in vain for a service in an hour is at most the share of what it settled, plus twice the allowance and
//! one work for each of its requests that are open.

use core::time::Duration;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::{ServiceId, Timestamp};

/// In this time the allowance grows back.
const PERIOD: Duration = Duration::from_hours(1);

/// How much may be searched in vain for one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpaidMax {
    /// Of the expected hashes of what it settles, in percent.
    pub share_percent: u32,
    /// Expected hashes in an hour beside that.
    pub allowance: u64,
}

impl UnpaidMax {
    /// As much as anybody likes.
    pub const NONE: Self = Self { share_percent: 0, allowance: u64::MAX };

    /// The most that a service can have left: what it has settled long ago is no licence for ever.
    const fn left_max(self) -> u64 {
        self.allowance.saturating_mul(2)
    }
}

/// What each service has left. A service that is not here has its whole allowance.
#[derive(Debug, Default)]
pub(crate) struct Unpaid {
    left: BTreeMap<ServiceId, Left>,
}

#[derive(Debug, Clone, Copy)]
struct Left {
    /// Expected hashes that may still be searched in vain.
    hashes: u64,
    /// When that was so.
    at: Timestamp,
}

impl Unpaid {
    /// Whether a service has nothing left.
    pub(crate) fn is_used_up(&self, now: Timestamp, service: ServiceId, max: UnpaidMax) -> bool {
        self.left.get(&service).is_some_and(|left| left.grown(now, max).hashes == 0)
    }

    /// A work of so many expected hashes was searched for, and is not paid.
    pub(crate) fn searched_in_vain(
        &mut self,
        now: Timestamp,
        service: ServiceId,
        hashes: f64,
        max: UnpaidMax,
    ) {
        self.change(now, service, max, |left| left.saturating_sub(whole(hashes)));
    }

    /// A work of so many expected hashes was paid.
    pub(crate) fn settled(&mut self, now: Timestamp, service: ServiceId, hashes: f64, max: UnpaidMax) {
        // Whoever has its whole allowance gains nothing that would have to be remembered.
        if self.left.contains_key(&service) {
            let gained = whole(hashes * f64::from(max.share_percent) / 100.0);
            self.change(now, service, max, |left| left.saturating_add(gained).min(max.left_max()));
        }
    }

    fn change(&mut self, now: Timestamp, service: ServiceId, max: UnpaidMax, change: impl Fn(u64) -> u64) {
        let known = self.left.get(&service).map(|left| left.grown(now, max));
        let left = known.unwrap_or(Left { hashes: max.allowance, at: now });
        self.left.insert(service, Left { hashes: change(left.hashes), at: now });
    }
}

impl Left {
    /// What has become of it by now: the allowance grows back, what was gained beyond it stays.
    fn grown(self, now: Timestamp, max: UnpaidMax) -> Self {
        let elapsed = now.since(self.at).as_micros().min(PERIOD.as_micros());
        let grown = u128::from(max.allowance) * elapsed / PERIOD.as_micros();
        let full = max.allowance.max(self.hashes);
        let grown = u64::try_from(grown).unwrap_or(u64::MAX);
        Self { hashes: self.hashes.saturating_add(grown).min(full).min(max.left_max()), at: now }
    }
}

/// Expected hashes as a whole number; there are at most 2^64.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is never negative, and saturates"
)]
const fn whole(hashes: f64) -> u64 {
    hashes as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: UnpaidMax = UnpaidMax { share_percent: 50, allowance: 1000 };

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000) + Duration::from_mins(minutes)
    }

    fn services() -> (ServiceId, ServiceId) {
        ("wallet".parse().unwrap(), "exchange".parse().unwrap())
    }

    #[test]
    fn the_allowance_is_used_up_and_grows_back() {
        let ((service, other), mut unpaid) = (services(), Unpaid::default());
        unpaid.searched_in_vain(at(0), service, 999.0, MAX);
        assert!(!unpaid.is_used_up(at(0), service, MAX));
        unpaid.searched_in_vain(at(0), service, 500.0, MAX);
        assert!(unpaid.is_used_up(at(0), service, MAX) && !unpaid.is_used_up(at(0), other, MAX));
        assert!(!unpaid.is_used_up(at(1), service, MAX), "a sixtieth has grown back");
        unpaid.searched_in_vain(at(1), service, 16.0, MAX);
        assert!(unpaid.is_used_up(at(1), service, MAX));
        unpaid.searched_in_vain(at(600), service, 999.0, MAX);
        assert!(!unpaid.is_used_up(at(600), service, MAX), "it is never more than the whole");
        unpaid.searched_in_vain(at(600), service, 1.0, MAX);
        assert!(unpaid.is_used_up(at(600), service, MAX));
    }

    #[test]
    fn what_is_settled_gives_a_share_but_no_licence_for_ever() {
        let ((service, _), mut unpaid) = (services(), Unpaid::default());
        unpaid.searched_in_vain(at(0), service, 1000.0, MAX);
        unpaid.settled(at(0), service, 100.0, MAX);
        unpaid.searched_in_vain(at(0), service, 49.0, MAX);
        assert!(!unpaid.is_used_up(at(0), service, MAX));
        unpaid.searched_in_vain(at(0), service, 1.0, MAX);
        assert!(unpaid.is_used_up(at(0), service, MAX), "half of what was settled");
        unpaid.settled(at(0), service, 1e30, MAX);
        unpaid.searched_in_vain(at(0), service, 2000.0, MAX);
        assert!(unpaid.is_used_up(at(0), service, MAX), "twice the allowance");
    }

    #[test]
    fn without_a_bound_nothing_is_used_up() {
        let ((service, _), mut unpaid) = (services(), Unpaid::default());
        for _ in 0..10 {
            unpaid.searched_in_vain(at(0), service, 1e15, UnpaidMax::NONE);
        }
        assert!(!unpaid.is_used_up(at(0), service, UnpaidMax::NONE));
    }
}
