//! Ratios to a base threshold, at the edges only.

use core::fmt;

use thiserror::Error;

use super::Threshold;

/// The ratio of expected hashes of a value to those of a base threshold. A float: it is read from and printed to people's
/// interfaces, and never stored, compared or priced from, because printing and reading it back is not exact.
///
/// Always: finite or infinite, and greater than zero; never NaN.
///
/// # Source
/// nanocurrency/nano-node `nano/lib/numbers.cpp`, `to_multiplier` and `from_multiplier`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Multiplier(f64);

/// A multiplier that is not a number greater than zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a multiplier is a decimal number greater than 0")]
pub struct BadMultiplier;

impl Multiplier {
    /// Checks a ratio.
    ///
    /// # Errors
    /// [`BadMultiplier`] for zero, negative numbers and NaN.
    pub fn try_new(ratio: f64) -> Result<Self, BadMultiplier> {
        if ratio > 0.0 { Ok(Self(ratio)) } else { Err(BadMultiplier) }
    }

    /// Reads a decimal number.
    ///
    /// # Errors
    /// [`BadMultiplier`] when the text is not a number, or not greater than zero.
    pub fn parse(text: &str) -> Result<Self, BadMultiplier> {
        text.parse().map_err(|_| BadMultiplier).and_then(Self::try_new)
    }

    /// The ratio of `value` (a difficulty or a threshold) to `base`: `(2^64 - base) / (2^64 - value)`, both subtractions
    /// wrapping as the node's do. `None` when `value` is 0, where the node divides by zero, and when `base` is 0, to which
    /// nothing has a ratio.
    #[expect(
        clippy::cast_precision_loss,
        reason = "the node computes in doubles; so must we to print the same digits"
    )]
    pub fn of(value: u64, base: Threshold) -> Option<Self> {
        if value == 0 {
            return None;
        }
        Self::try_new(base.as_u64().wrapping_neg() as f64 / value.wrapping_neg() as f64).ok()
    }

    /// The threshold that is this many times as hard as `base`, saturated at all ones. 0 where less than one tries would be
    /// needed: refuse that by range.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "truncation of a non-negative double is the node's rounding"
    )]
    pub fn to_threshold(self, base: Threshold) -> Threshold {
        let reversed = (base.as_u64().wrapping_neg() as f64 / self.0) as u128;
        Threshold::new(match u64::try_from(reversed) {
            Err(_) => 0,
            Ok(0) if base.as_u64() != 0 && self.0 >= 1.0 => u64::MAX,
            Ok(reversed) => reversed.wrapping_neg(),
        })
    }

    /// The ratio as a float.
    pub const fn as_f64(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Multiplier {
    /// Fixed notation with 15 decimals, as the node prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.15}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: Threshold = Threshold::new(0xffff_fff8_0000_0000);

    fn threshold_of(ratio: f64) -> Option<u64> {
        Multiplier::try_new(ratio).ok().map(|multiplier| multiplier.to_threshold(LIVE).as_u64())
    }

    #[test]
    fn only_numbers_above_zero_are_multipliers() {
        for text in ["0", "0.0", "-0", "-1", "NaN", "-inf", "", " 1", "1,5", "0x1p3", "1 "] {
            assert_eq!(Multiplier::parse(text), Err(BadMultiplier), "{text}");
        }
        for (text, ratio) in [("1", 1.0), ("0.015625", 0.015_625), ("1e3", 1000.0), ("inf", f64::INFINITY)] {
            assert_eq!(Multiplier::parse(text), Multiplier::try_new(ratio), "{text}");
        }
    }

    #[test]
    fn ratios_at_the_ends_of_the_range_saturate() {
        assert_eq!(threshold_of(f64::INFINITY), Some(u64::MAX));
        assert_eq!(threshold_of(f64::MAX), Some(u64::MAX));
        assert_eq!(threshold_of(f64::MIN_POSITIVE), Some(0));
        assert_eq!(threshold_of(f64::NAN), None);
        assert_eq!(Multiplier::of(0, LIVE), None);
        assert_eq!(Multiplier::of(1, Threshold::new(0)), None);
        assert_eq!(Multiplier::of(u64::MAX, LIVE).unwrap().to_string(), "34359738368.000000000000000");
    }

    /// What is printed and read back can ask for more than it was printed from, which is why only thresholds are compared.
    #[test]
    fn the_round_trip_is_not_exact() {
        let difficulty = 0xffff_fff9_3c41_ec94;
        let printed = Multiplier::of(difficulty, LIVE).unwrap().to_string();
        assert_eq!(printed, "1.182623871097636");
        assert_eq!(Multiplier::parse(&printed).unwrap().to_threshold(LIVE).as_u64(), difficulty + 1);
    }
}
