//! Who may connect at all: limits on connections as such, before a byte is read.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::bucket::TokenBucket;
use crate::ending::Refused;
use crate::limits::Limits;

/// What a refused login costs, in connections of its address; the connection itself has paid for one.
const LOGIN_REFUSED_COST: u32 = 4;
/// Addresses that are remembered before the idle ones are looked for.
const PRUNE_AT: usize = 1024;

/// Counts connections, in all and by address.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Arc<Limits>,
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    connections: usize,
    unauthenticated: usize,
    addresses: HashMap<IpAddr, AddressCount>,
    prune_at: usize,
}

#[derive(Debug)]
struct AddressCount {
    connections: usize,
    rate: TokenBucket,
}

/// A connection that has been let in; it is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    /// `None` for addresses that are trusted.
    address: Option<IpAddr>,
    authenticated: bool,
}

impl Admission {
    pub(crate) fn new(limits: Arc<Limits>) -> Self {
        let counts =
            Counts { connections: 0, unauthenticated: 0, addresses: HashMap::new(), prune_at: PRUNE_AT };
        Self { limits, counts: Mutex::new(counts) }
    }

    /// Lets a connection in, or says what it is one too many of.
    pub(crate) fn admit(self: &Arc<Self>, remote: IpAddr, now: Instant) -> Result<Admitted, Refused> {
        let trusted = self.limits.trusted_prefixes.iter().any(|prefix| prefix.contains(remote));
        let address = (!trusted).then(|| counted_address(remote));
        let mut counts = self.counts();
        if counts.connections >= self.limits.connections_max {
            return Err(Refused::Connections);
        }
        if counts.unauthenticated >= self.limits.unauthenticated_max {
            return Err(Refused::Unauthenticated);
        }
        if let Some(address) = address {
            counts.prune(now);
            counts.admit_address(address, &self.limits, now)?;
        }
        counts.connections += 1;
        counts.unauthenticated += 1;
        Ok(Admitted { admission: Arc::clone(self), address, authenticated: false })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn admit_address(&mut self, address: IpAddr, limits: &Limits, now: Instant) -> Result<(), Refused> {
        let rate = || TokenBucket::new(limits.connect_rate_per_address, now);
        let count =
            self.addresses.entry(address).or_insert_with(|| AddressCount { connections: 0, rate: rate() });
        if count.connections >= limits.connections_per_address_max {
            return Err(Refused::AddressConnections);
        }
        count.rate.try_take(now).map_err(|_| Refused::AddressRate)?;
        count.connections += 1;
        Ok(())
    }

    /// Forgets addresses about which nothing is left to know. Looks only when their number has doubled, so that the cost of
    /// looking is shared by as many connections.
    fn prune(&mut self, now: Instant) {
        if self.addresses.len() >= self.prune_at {
            self.addresses.retain(|_, count| count.connections > 0 || !count.rate.is_full(now));
            self.prune_at = PRUNE_AT.max(self.addresses.len() * 2);
        }
    }
}

impl Admitted {
    /// What it is counted by; `None` for addresses that are trusted.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// It has logged in, and is no stranger any more.
    pub(crate) fn authenticated(&mut self) {
        if !std::mem::replace(&mut self.authenticated, true) {
            self.admission.counts().unauthenticated -= 1;
        }
    }

    /// Its login was refused: the next attempts from its address are put off.
    pub(crate) fn login_refused(&self, now: Instant) {
        if let Some(address) = self.address
            && let Some(count) = self.admission.counts().addresses.get_mut(&address)
        {
            count.rate.spend(LOGIN_REFUSED_COST, now);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.admission.counts();
        counts.connections -= 1;
        if !self.authenticated {
            counts.unauthenticated -= 1;
        }
        if let Some(count) = self.address.and_then(|address| counts.addresses.get_mut(&address)) {
            count.connections -= 1;
        }
    }
}

/// What connections are counted by: the address, or for IPv6 the /64 that one customer is given.
pub(crate) fn counted_address(remote: IpAddr) -> IpAddr {
    match remote.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::Rate;

    const LOOPBACK: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    fn admission(change: impl FnOnce(&mut Limits)) -> Arc<Admission> {
        let mut limits = Limits::default();
        change(&mut limits);
        Arc::new(Admission::new(Arc::new(limits)))
    }

    fn stranger(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn the_total_and_the_strangers_are_limited_separately() {
        let admission = admission(|limits| (limits.connections_max, limits.unauthenticated_max) = (3, 2));
        let now = Instant::now();
        let mut first = admission.admit(LOOPBACK, now).unwrap();
        let second = admission.admit(LOOPBACK, now).unwrap();
        assert_eq!(admission.admit(LOOPBACK, now).unwrap_err(), Refused::Unauthenticated);
        first.authenticated();
        let _third = admission.admit(LOOPBACK, now).unwrap();
        assert_eq!(admission.admit(LOOPBACK, now).unwrap_err(), Refused::Connections);
        drop(second);
        admission.admit(LOOPBACK, now).unwrap();
    }

    #[test]
    fn an_address_is_limited_unless_it_is_trusted() {
        let admission = admission(|limits| limits.connections_per_address_max = 2);
        let now = Instant::now();
        let held: Vec<_> = (0..2).map(|_| admission.admit(stranger(1), now).unwrap()).collect();
        assert_eq!(admission.admit(stranger(1), now).unwrap_err(), Refused::AddressConnections);
        admission.admit(stranger(2), now).unwrap();
        let _many: Vec<_> = (0..100).map(|_| admission.admit(LOOPBACK, now).unwrap()).collect();
        drop(held);
        admission.admit(stranger(1), now).unwrap();
    }

    #[test]
    fn one_ipv6_network_counts_as_one_address() {
        let admission = admission(|limits| limits.connections_per_address_max = 1);
        let now = Instant::now();
        let _held = admission.admit("2001:db8::1".parse().unwrap(), now).unwrap();
        let same = admission.admit("2001:db8::ffff:1".parse().unwrap(), now);
        assert_eq!(same.unwrap_err(), Refused::AddressConnections);
        admission.admit("2001:db8:0:1::1".parse().unwrap(), now).unwrap();
    }

    #[test]
    fn refused_logins_use_up_the_rate_of_their_address() {
        let rate = Rate { per_second: 1, burst: 10 };
        let admission = admission(|limits| limits.connect_rate_per_address = rate);
        let now = Instant::now();
        for _ in 0..2 {
            admission.admit(stranger(1), now).unwrap().login_refused(now);
        }
        assert_eq!(admission.admit(stranger(1), now).unwrap_err(), Refused::AddressRate);
        admission.admit(stranger(1), now + Duration::from_secs(1)).unwrap();
    }

    #[test]
    fn idle_addresses_are_forgotten() {
        let admission = admission(|_| {});
        let now = Instant::now();
        for index in (0_u32..).take(PRUNE_AT) {
            admission.admit(IpAddr::V4(index.into()), now).unwrap();
        }
        let later = now + Duration::from_secs(10);
        admission.admit(stranger(1), later).unwrap();
        assert_eq!(admission.counts().addresses.len(), 1);
    }
}
