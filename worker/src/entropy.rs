//! Random numbers that need not be secret: where to begin a search, how long to wait.

use std::hash::{BuildHasher, RandomState};

/// A number that differs between threads, calls and processes. The standard library seeds its hash tables from the
/// system, which is all that is needed here; secrets come from `getrandom`.
pub(crate) fn random_u64() -> u64 {
    RandomState::new().hash_one(())
}

/// A fraction of `[0, 1)`.
#[expect(clippy::cast_precision_loss, reason = "53 bits are what a fraction holds")]
pub(crate) fn random_fraction() -> f64 {
    (random_u64() >> 11) as f64 / (1_u64 << 53) as f64
}
