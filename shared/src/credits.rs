//! Integer money and prices.

use core::fmt;
use core::iter::Sum;

use serde::{Deserialize, Serialize};

use crate::pow::Threshold;

/// An amount of the ledger's unit, the millicredit (mc): a thousandth of what one work at the base send threshold costs.
/// Never negative; a balance that may be is an `i64` of the ledger. Below 2^53 in every sum that the ledger accepts, so that
/// stores which compute in doubles stay exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Millicredits(u64);

impl Millicredits {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One credit: one work at the base send threshold.
    pub const CREDIT: Self = Self(1000);
    /// The largest amount that any single movement or balance may have, 2^53 - 1.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// From millicredits.
    pub const fn new(millicredits: u64) -> Self {
        Self(millicredits)
    }

    /// From whole credits; `None` when more than [`Millicredits::MAX`].
    pub fn from_credits(credits: u64) -> Option<Self> {
        credits.checked_mul(1000).map(Self).filter(|amount| *amount <= Self::MAX)
    }

    /// The number of millicredits.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number of millicredits, for signed sums.
    ///
    /// # Panics
    /// Never for amounts up to [`Millicredits::MAX`], which is all that the ledger holds.
    pub fn as_i64(self) -> i64 {
        i64::try_from(self.0).expect("amounts of the ledger are below 2^53")
    }

    /// The sum, or `None` above [`Millicredits::MAX`].
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self).filter(|sum| *sum <= Self::MAX)
    }

    /// The difference, or `None` when `other` is more.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The difference, or zero when `other` is more.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for Millicredits {
    /// Saturates, so that a sum past the end of the range is refused by a comparison with [`Millicredits::MAX`].
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        Self(amounts.fold(0, |sum, amount| sum.saturating_add(amount.0)))
    }
}

impl fmt::Display for Millicredits {
    /// Credits with three decimals: `1.016`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// What a work at `threshold` costs where `base` is the base send threshold, in proportion to the expected hashes:
///
/// `ceil(1000 mc x (2^64 - base) / (2^64 - threshold))`, at least 1 mc.
///
/// ```
/// use shared::{Millicredits, Network, credits::price};
///
/// let live = Network::Live;
/// assert_eq!(price(live.send_threshold(), live.send_threshold()), Millicredits::new(1000));
/// assert_eq!(price(live.receive_threshold(), live.send_threshold()), Millicredits::new(16));
/// ```
pub fn price(threshold: Threshold, base: Threshold) -> Millicredits {
    let price = (1000 * base.nonces_meeting()).div_ceil(threshold.nonces_meeting());
    Millicredits(u64::try_from(price).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Network;

    #[test]
    fn the_hardest_threshold_has_a_price_that_no_ledger_holds() {
        assert!(price(Threshold::new(u64::MAX), Network::Dev.send_threshold()) > Millicredits::MAX);
        assert_eq!(price(Threshold::new(0), Network::Live.send_threshold()), Millicredits::new(1));
    }

    #[test]
    fn amounts_print_as_credits() {
        assert_eq!(Millicredits::new(1_016).to_string(), "1.016");
        assert_eq!(Millicredits::new(16).to_string(), "0.016");
    }
}
