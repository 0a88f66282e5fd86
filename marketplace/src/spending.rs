//! What the requests of one key may cost in a day, for keys that have such a bound.
//!
//! Always: what a key's requests have cost since midnight (UTC), also in earlier runs, and the prices of those that are open are at
//! most its bound at the time at which each was admitted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::{KeyId, Millicredits, Timestamp};

use crate::ledger::{DaySpent, Purse};

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
    /// With what earlier runs have spent.
    pub(crate) fn new(spent: &[DaySpent]) -> Self {
        let of_key = |spent: &DaySpent| match spent.purse {
            Purse::Key(key) => {
                Some((key, Spent { day: spent.day, settled: spent.amount, open: Millicredits::ZERO }))
            }
            Purse::Precache(_) => None,
        };
        Self { keys: spent.iter().filter_map(of_key).collect() }
    }

    /// What a key may still spend today.
    pub(crate) fn left(&self, now: Timestamp, spender: Spender) -> Millicredits {
        let spent = self.keys.get(&spender.key).copied().unwrap_or_default().on(now);
        spender.per_day.saturating_sub(spent.settled).saturating_sub(spent.open)
    }

    /// Whether a request of this price is within the bound.
    pub(crate) fn allows(&self, now: Timestamp, spender: Spender, price: Millicredits) -> bool {
        price <= self.left(now, spender)
    }

    /// A request of this price is open.
    pub(crate) fn begin(&mut self, now: Timestamp, key: KeyId, price: Millicredits) {
        let spent = self.on(now, key);
        spent.open = [spent.open, price].into_iter().sum();
    }

    /// A request of this price is no longer open.
    pub(crate) fn end(&mut self, now: Timestamp, key: KeyId, price: Millicredits) {
        let spent = self.on(now, key);
        spent.open = spent.open.saturating_sub(price);
    }

    /// A settlement that was asked for at this time has charged so much. The ledger counts it on the day of that time as well.
    pub(crate) fn charged(&mut self, now: Timestamp, key: KeyId, at: Timestamp, charged: Millicredits) {
        let spent = self.on(now, key);
        if at.day() == spent.day {
            spent.settled = [spent.settled, charged].into_iter().sum();
        }
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
        let day = now.day();
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
        let (today, tomorrow) =
            (Timestamp::from_micros(86_399_999_999), Timestamp::from_micros(86_400_000_000));
        assert!(spending.allows(today, spender, mc(100)) && !spending.allows(today, spender, mc(101)));
        spending.begin(today, key, mc(60));
        spending.begin(today, key, mc(30));
        assert!(spending.allows(today, spender, mc(10)) && !spending.allows(today, spender, mc(11)));
        spending.charged(today, key, today, mc(60));
        spending.end(today, key, mc(60));
        spending.end(today, key, mc(30));
        assert_eq!(spending.left(today, spender), mc(40));
        assert!(spending.allows(today, spender, mc(40)) && !spending.allows(today, spender, mc(41)));
        spending.begin(today, key, mc(40));
        assert!(spending.allows(tomorrow, spender, mc(60)) && !spending.allows(tomorrow, spender, mc(61)));
        spending.charged(tomorrow, key, tomorrow, mc(40));
        spending.end(tomorrow, key, mc(40));
        assert!(spending.allows(tomorrow, spender, mc(60)) && !spending.allows(tomorrow, spender, mc(61)));
        spending.charged(tomorrow, key, today, mc(9));
        assert_eq!(spending.left(tomorrow, spender), mc(60), "what was asked for yesterday is yesterday's");
        let other = Spender { key: KeyId::from_bytes([2; 8]), per_day: mc(1) };
        assert!(spending.allows(today, other, mc(1)) && !spending.allows(today, other, mc(2)));
    }

    #[test]
    fn what_an_earlier_run_has_spent_today_counts() {
        let (key, mc) = (KeyId::from_bytes([1; 8]), Millicredits::new);
        let spender = Spender { key, per_day: mc(100) };
        let spent = |purse, amount| DaySpent { purse, day: 0, amount: mc(amount) };
        let earlier = [spent(Purse::Key(key), 60), spent(Purse::Precache("wallet".parse().unwrap()), 90)];
        let (today, tomorrow) =
            (Timestamp::from_micros(86_399_999_999), Timestamp::from_micros(86_400_000_000));
        let spending = Spending::new(&earlier);
        assert_eq!([today, tomorrow].map(|now| spending.left(now, spender)), [mc(40), mc(100)]);
        assert!(spending.allows(today, spender, mc(40)) && !spending.allows(today, spender, mc(41)));
        assert!(spending.allows(tomorrow, spender, mc(100)));
    }
}
