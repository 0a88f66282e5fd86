//! How often a user name may be guessed at.
//!
//! User names are no secrets: those of workers are payout addresses. A limit by name alone would let anybody lock out anybody by
//! failing in their name. So it holds for strangers only: an address from which the name has logged in lately is always heard.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

use crate::admission::counted_address;
use crate::bounded::BoundedMap;
use crate::bucket::TokenBucket;
use crate::limits::Rate;

/// Entries that are kept at most, of each kind.
const ENTRIES_MAX: usize = 64 * 1024;
/// How long an address is remembered that has logged in.
const KNOWN_FOR: Duration = Duration::from_hours(24);

/// A user name, as a number that only this process can make of it, so that names of any length cost the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Account(u64);

/// Failed logins by account.
#[derive(Debug)]
pub(super) struct AccountThrottle {
    rate: Rate,
    failures: BoundedMap<Account, TokenBucket>,
    /// When each was last there.
    known: BoundedMap<(Account, IpAddr), Instant>,
}

impl Account {
    pub(super) fn of_user(user: &str) -> Self {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(HASHER.hash_one(user))
    }
}

impl AccountThrottle {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, failures: BoundedMap::new(ENTRIES_MAX), known: BoundedMap::new(ENTRIES_MAX) }
    }

    /// Whether the account may be tried from this address.
    pub(super) fn may_try(&self, account: Account, remote: IpAddr, now: Instant) -> bool {
        let is_used_up = self.failures.get(&account).is_some_and(|bucket| bucket.is_empty(now));
        !is_used_up || self.is_known(account, remote, now)
    }

    /// A login of this account was wrong.
    pub(super) fn failed(&mut self, account: Account, now: Instant) {
        let new = || TokenBucket::new(self.rate, now);
        if let Some(bucket) = self.failures.entry(account, now, |bucket| bucket.is_full(now), new) {
            bucket.spend(1, now);
        }
    }

    /// A login of this account was right.
    pub(super) fn succeeded(&mut self, account: Account, remote: IpAddr, now: Instant) {
        let key = (account, counted_address(remote));
        if let Some(since) = self.known.entry(key, now, |since| *since + KNOWN_FOR <= now, || now) {
            *since = now;
        }
    }

    fn is_known(&self, account: Account, remote: IpAddr, now: Instant) -> bool {
        let since = self.known.get(&(account, counted_address(remote)));
        since.is_some_and(|since| now < *since + KNOWN_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 1, burst: 3 };

    #[test]
    fn guessing_is_slowed_down_for_strangers_alone() {
        let (owner, stranger) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([198, 51, 100, 1]));
        let (account, other) = (Account::of_user("wallet"), Account::of_user("exchange"));
        let mut throttle = AccountThrottle::new(RATE);
        let now = Instant::now();
        throttle.succeeded(account, owner, now);
        for _ in 0..3 {
            assert!(throttle.may_try(account, stranger, now));
            throttle.failed(account, now);
        }
        assert!(!throttle.may_try(account, stranger, now));
        assert!(throttle.may_try(account, owner, now), "nobody can lock the owner out");
        assert!(throttle.may_try(other, stranger, now));
        assert!(throttle.may_try(account, stranger, now + Duration::from_secs(1)));
        let later = now + KNOWN_FOR;
        (0..3).for_each(|_| throttle.failed(account, later));
        assert!(!throttle.may_try(account, owner, later), "it was a day ago");
    }
}
