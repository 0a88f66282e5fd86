//! The cores of the processor: one way to search for each instruction set, and the threads that run it.
//!
//! `compression` is the work function over some `lanes`, and there are two ways to run it: `unrolled` and
//! `rolled`. Each instruction set has a file with its lanes and its entry function, which uses one of the two.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod compression;
mod instruction_set;
mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
mod place;
mod pool;
mod portable;
#[cfg(target_arch = "x86_64")]
mod rolled;
mod selftest;
mod settings;
mod unrolled;

use core::fmt;

use shared::pow::{Nonce, Root, Threshold};

pub use instruction_set::{InstructionSet, UnknownInstructionSet, available, fastest};
pub use pool::Pool;
pub use selftest::{Fault, selftest};
pub use settings::Settings;

/// A way to search nonces on one thread. A value exists only where the processor has the instructions.
pub trait Instructions: fmt::Debug + Send + Sync {
    /// Which instruction set it uses.
    fn set(&self) -> InstructionSet;

    /// Hashes `start`, `start + 1`, … (`count` of them, wrapping at 2^64) and returns the first nonce that meets
    /// `threshold` for `root`. Nonces after that one need not have been hashed.
    fn search(&self, root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce>;
}
