//! What a nonce attains.

use super::hexadecimal::hex_u64;
use super::threshold::Threshold;

/// What a nonce attains for a root: the 64-bit BLAKE2b of both. Higher is rarer. Not a requirement: that is a
/// [`Threshold`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Difficulty(u64);

hex_u64!(Difficulty);

impl Difficulty {
    /// Whether work of this difficulty is accepted where `threshold` is asked for. Equal is enough.
    pub const fn meets(self, threshold: Threshold) -> bool {
        self.0 >= threshold.as_u64()
    }
}
