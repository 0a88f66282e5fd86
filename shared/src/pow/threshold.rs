//! What is asked for.

use super::hexadecimal::hex_u64;

/// The least difficulty that is accepted. Valid means `difficulty >= threshold`, unsigned.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Threshold(u64);

hex_u64!(Threshold);

impl Threshold {
    /// `2^64 - threshold`: of all 2^64 nonces, this many meet the threshold on average. At least 1; 2^64 at threshold 0.
    pub const fn nonces_meeting(self) -> u128 {
        (1_u128 << 64) - self.0 as u128
    }

    /// Mean number of hashes until a nonce meets this threshold, `2^64 / (2^64 - threshold)`, rounded to the nearest `f64`.
    ///
    /// For estimates of time only: prices are computed in integers from [`nonces_meeting`](Self::nonces_meeting).
    #[expect(clippy::cast_precision_loss, reason = "an estimate; 53 bits are more than it needs")]
    pub fn expected_hashes(self) -> f64 {
        (1_u128 << 64) as f64 / self.nonces_meeting() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_thresholds_need_the_documented_number_of_hashes() {
        for (threshold, hashes) in [
            (0xffff_fff8_0000_0000, 536_870_912.0),
            (0xffff_ffc0_0000_0000, 67_108_864.0),
            (0xffff_fe00_0000_0000, 8_388_608.0),
            (0, 1.0),
        ] {
            assert_eq!(Threshold::new(threshold).expected_hashes().to_bits(), f64::to_bits(hashes));
        }
    }
}
