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
    /// wrapping as the node's do. `None` when `value` is 0, where the node divides by zero.
    #[expect(clippy::cast_precision_loss, reason = "the node computes in doubles; so must we to print the same digits")]
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
