//! What the requests of one key may cost in a day, for keys that have such a bound.
//!
//! Always: what a key's requests have cost since midnight (UTC), or since the start, and the prices of those that are open are at most
//! its bound at the time at which each was admitted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::{KeyId, Millicredits, Timestamp};

/// A day, in microseconds.
const DAY: u64 = 24 * 60 * 60 * 1_000_000;

/// A key with a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spender {
    /// Which key.
    pub key: KeyId,
    /// Most that its requests may cost in a day (UTC).
    pub per_day: Millicredits,
}

/// What keys with a bound have spent. Others are not here.
#[derive(Debug, Default)]
pub(crate) struct Spending {
    keys: BTreeMap<KeyId, Spent>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    /// The day of `settled`, counted from 1970.
    day: u64,
    settled: Millicredits,
    /// The prices of what is open.
    open: Millicredits,
}

impl Spending {
    /// Whether a request of this price is within the bound.
    pub(crate) fn allows(&self, now: Timestamp, spender: Spender, price: Millicredits) -> bool {
        let spent = self.keys.get(&spender.key).copied().unwrap_or_default().on(now);
        let sum: Millicredits = [spent.settled, spent.open, price].into_iter().sum();
        sum <= spender.per_day
    }

    /// A request of this price is open.
    pub(crate) fn begin(&mut self, now: Timestamp, key: KeyId, price: Millicredits) {
        let spent = self.on(now, key);
        spent.open = [spent.open, price].into_iter().sum();
    }

    /// A request of this price is no longer open, and has cost so much.
    pub(crate) fn end(&mut self, now: Timestamp, key: KeyId, price: Millicredits, charged: Millicredits) {
        let spent = self.on(now, key);
        spent.open = spent.open.saturating_sub(price);
        spent.settled = [spent.settled, charged].into_iter().sum();
    }

    fn on(&mut self, now: Timestamp, key: KeyId) -> &mut Spent {
        let spent = self.keys.entry(key).or_default();
        *spent = spent.on(now);
        spent
    }
}

impl Spent {
    /// What of it counts today.
    const fn on(self, now: Timestamp) -> Self {
        let day = now.as_micros() / DAY;
        let settled = if self.day == day { self.settled } else { Millicredits::ZERO };
        Self { day, settled, open: self.open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_and_what_was_spent_today_count() {
        let key = KeyId::from_bytes([1; 8]);
        let mc = Millicredits::new;
        let (mut spending, spender) = (Spending::default(), Spender { key, per_day: mc(100) });
        let (today, tomorrow) = (Timestamp::from_micros(DAY - 1), Timestamp::from_micros(DAY));
        assert!(spending.allows(today, spender, mc(100)) && !spending.allows(today, spender, mc(101)));
        spending.begin(today, key, mc(60));
        spending.begin(today, key, mc(30));
        assert!(spending.allows(today, spender, mc(10)) && !spending.allows(today, spender, mc(11)));
        spending.end(today, key, mc(60), mc(60));
        spending.end(today, key, mc(30), mc(0));
        assert!(spending.allows(today, spender, mc(40)) && !spending.allows(today, spender, mc(41)));
        spending.begin(today, key, mc(40));
        assert!(spending.allows(tomorrow, spender, mc(60)) && !spending.allows(tomorrow, spender, mc(61)));
        spending.end(tomorrow, key, mc(40), mc(40));
        assert!(spending.allows(tomorrow, spender, mc(60)) && !spending.allows(tomorrow, spender, mc(61)));
        let other = Spender { key: KeyId::from_bytes([2; 8]), per_day: mc(1) };
        assert!(spending.allows(today, other, mc(1)) && !spending.allows(today, other, mc(2)));
    }
}
