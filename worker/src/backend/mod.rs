//! How nonces are searched: one trait, an implementation for each instruction set, and the threads that run it.

mod lanes;
mod pool;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod simd;

use core::fmt;
use std::sync::Arc;

use shared::pow::{Nonce, Root, Threshold};

pub use pool::{Found, Pool, Search};
pub use scalar::Scalar;
#[cfg(target_arch = "x86_64")]
pub use simd::{Avx2, Avx512};

/// A way to search nonces on one thread.
pub trait Backend: fmt::Debug + Send + Sync {
    /// The instruction set, for people.
    fn name(&self) -> &'static str;

    /// Hashes `start`, `start + 1`, … (`count` of them, wrapping at 2^64) and returns the first nonce that meets
    /// `threshold` for `root`. Nonces after that one need not have been hashed.
    fn search(&self, root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce>;
}

/// Every backend that this processor can run, the fastest first. Never empty.
pub fn available() -> Vec<Arc<dyn Backend>> {
    let mut backends: Vec<Arc<dyn Backend>> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        backends.extend(Avx512::detect().map(|backend| Arc::new(backend) as _));
        backends.extend(Avx2::detect().map(|backend| Arc::new(backend) as _));
    }
    backends.push(Arc::new(Scalar));
    backends
}

/// The fastest backend that this processor can run.
pub fn fastest() -> Arc<dyn Backend> {
    available().swap_remove(0)
}
