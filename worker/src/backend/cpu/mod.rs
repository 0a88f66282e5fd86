//! The cores of the processor: one way to search for each instruction set, and the threads that run it.

mod lanes;
mod pool;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use core::fmt;
use std::sync::Arc;

use shared::pow::{Nonce, Root, Threshold};

pub use pool::Pool;
pub use scalar::Scalar;
#[cfg(target_arch = "x86_64")]
pub use x86_64::{Avx2, Avx512};

/// A way to search nonces on one thread.
pub trait Instructions: fmt::Debug + Send + Sync {
    /// The instruction set, for people.
    fn name(&self) -> &'static str;

    /// Hashes `start`, `start + 1`, … (`count` of them, wrapping at 2^64) and returns the first nonce that meets
    /// `threshold` for `root`. Nonces after that one need not have been hashed.
    fn search(&self, root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce>;
}

/// Every instruction set that this processor has, the fastest first. Never empty.
pub fn available() -> Vec<Arc<dyn Instructions>> {
    let mut available: Vec<Arc<dyn Instructions>> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        available.extend(Avx512::detect().map(|instructions| Arc::new(instructions) as _));
        available.extend(Avx2::detect().map(|instructions| Arc::new(instructions) as _));
    }
    available.push(Arc::new(Scalar));
    available
}

/// The fastest instruction set that this processor has.
pub fn fastest() -> Arc<dyn Instructions> {
    available().swap_remove(0)
}
