//! Which instruction sets there are, and which of them this processor has.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use super::Instructions;
#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use super::avx512::{Avx512, Avx512Vl};
#[cfg(target_arch = "aarch64")]
use super::neon::{Neon, NeonSha3};
use super::portable::Portable;

/// An instruction set that this worker knows, whether or not this processor has it. In the order of their speed, where a
/// processor has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstructionSet {
    /// AVX-512 in registers of 512 bits.
    Avx512,
    /// AVX-512 in registers of 256 bits.
    Avx512Vl,
    /// AVX2.
    Avx2,
    /// NEON with the SHA-3 extension.
    NeonSha3,
    /// NEON.
    Neon,
    /// What every processor has.
    Portable,
}

/// A word that names no instruction set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no instruction set: avx512, avx512vl, avx2, neon-sha3, neon and portable are")]
pub struct UnknownInstructionSet(String);

impl InstructionSet {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Avx512, Self::Avx512Vl, Self::Avx2, Self::NeonSha3, Self::Neon, Self::Portable];

    /// The word in settings and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx512Vl => "avx512vl",
            Self::Avx2 => "avx2",
            Self::NeonSha3 => "neon-sha3",
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }

    /// The name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "AVX-512",
            Self::Avx512Vl => "AVX-512VL",
            Self::Avx2 => "AVX2",
            Self::NeonSha3 => "NEON with SHA-3",
            Self::Neon => "NEON",
            Self::Portable => "portable",
        }
    }

    /// The way to search with it, where this processor has it.
    pub fn detect(self) -> Option<Arc<dyn Instructions>> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => shared(Avx512::detect()),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vl => shared(Avx512Vl::detect()),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => shared(Avx2::detect()),
            #[cfg(target_arch = "aarch64")]
            Self::NeonSha3 => shared(NeonSha3::detect()),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => shared(Neon::detect()),
            Self::Portable => shared(Some(Portable)),
            // Of another architecture.
            _ => None,
        }
    }
}

fn shared<I: Instructions + 'static>(instructions: Option<I>) -> Option<Arc<dyn Instructions>> {
    instructions.map(|instructions| Arc::new(instructions) as _)
}

/// Every instruction set that this processor has, the fastest first. Never empty.
pub fn available() -> Vec<Arc<dyn Instructions>> {
    InstructionSet::ALL.into_iter().filter_map(InstructionSet::detect).collect()
}

/// The fastest instruction set that this processor has.
pub fn fastest() -> Arc<dyn Instructions> {
    available().swap_remove(0)
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for InstructionSet {
    type Err = UnknownInstructionSet;

    fn from_str(text: &str) -> Result<Self, UnknownInstructionSet> {
        let is_meant = |set: &Self| set.as_str() == text;
        Self::ALL.into_iter().find(is_meant).ok_or_else(|| UnknownInstructionSet(text.into()))
    }
}
