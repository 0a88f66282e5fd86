//! Wrong keys and tokens: an address that sends too many is not listened to for a while.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shared::link::AddressPrefix;
use tokio::time::Instant;

/// After which time they are forgotten, from the first one on; until then the address is held back.
const WINDOW: Duration = Duration::from_mins(1);
/// Addresses that are remembered. When more come, the oldest is forgotten.
const ADDRESSES_MAX: usize = 1024;

/// Who has sent wrong ones.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// Wrong ones from one address that are answered as what they are.
    failures_max: u32,
    /// Addresses that are always listened to: many may come from each.
    trusted: Vec<AddressPrefix>,
    failures: Mutex<BTreeMap<IpAddr, Failures>>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    since: Instant,
}

impl Throttle {
    /// Listens to everybody so far.
    pub(crate) fn new(failures_max: u32, trusted: Vec<AddressPrefix>) -> Self {
        Self { failures_max, trusted, failures: Mutex::default() }
    }

    /// For how long this address is not listened to; `None` when it is.
    pub(crate) fn held_back(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let Failures { count, since } = *failures.get(&of_one_party(address))?;
        let left = WINDOW.saturating_sub(now.duration_since(since));
        (count >= self.failures_max && !left.is_zero()).then_some(left)
    }

    /// This address has sent a wrong one.
    pub(crate) fn failed(&self, address: IpAddr, now: Instant) {
        if self.trusted.iter().any(|prefix| prefix.contains(address)) {
            return;
        }
        let address = of_one_party(address);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|_, failures| now.duration_since(failures.since) < WINDOW);
        if failures.len() >= ADDRESSES_MAX
            && !failures.contains_key(&address)
            && let Some(oldest) =
                failures.iter().min_by_key(|(_, failures)| failures.since).map(|(key, _)| *key)
        {
            failures.remove(&oldest);
        }
        failures.entry(address).or_insert(Failures { count: 0, since: now }).count += 1;
    }
}

/// What stands for all addresses that one party usually has: the address of IPv4, the /64 of IPv6.
pub(crate) fn of_one_party(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILURES_MAX: u32 = 5;

    #[test]
    fn only_who_guesses_is_held_back_and_not_for_ever() {
        let throttle = Throttle::new(FAILURES_MAX, Vec::new());
        let (guesser, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let now = Instant::now();
        for _ in 1..FAILURES_MAX {
            throttle.failed(guesser, now);
            assert_eq!(throttle.held_back(guesser, now), None);
        }
        throttle.failed(guesser, now);
        assert_eq!(throttle.held_back(guesser, now), Some(WINDOW));
        assert_eq!(throttle.held_back(other, now), None);
        assert_eq!(throttle.held_back(guesser, now + WINDOW), None);
        throttle.failed(guesser, now + WINDOW);
        assert_eq!(throttle.held_back(guesser, now + WINDOW), None, "it begins anew");
    }

    #[test]
    fn a_network_of_ipv6_is_one_party_and_memory_is_bounded() {
        let throttle = Throttle::new(FAILURES_MAX, vec!["10.0.0.0/8".parse().unwrap()]);
        let now = Instant::now();
        for host in 0..FAILURES_MAX {
            throttle.failed(format!("2001:db8::{host}").parse().unwrap(), now);
        }
        assert!(throttle.held_back("2001:db8::ffff".parse().unwrap(), now).is_some());
        assert!(throttle.held_back("2001:db8:0:1::".parse().unwrap(), now).is_none());
        for _ in 0..=FAILURES_MAX {
            throttle.failed("10.0.0.1".parse().unwrap(), now);
        }
        assert!(throttle.held_back("10.0.0.1".parse().unwrap(), now).is_none(), "it is trusted");
        for address in 0..2 * u32::try_from(ADDRESSES_MAX).unwrap() {
            throttle.failed(IpAddr::V4(address.into()), now + Duration::from_secs(1));
        }
        assert_eq!(throttle.failures.lock().unwrap().len(), ADDRESSES_MAX);
    }
}
