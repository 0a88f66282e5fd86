//! NEON: two nonces at a time. With the SHA-3 extension, exclusive or and rotation are one instruction.
//!
//! On other architectures the tests of `unrolled` run the same search over two lanes that are made of plain words in the same way.
#![expect(unsafe_code, reason = "vector instructions are unsafe to call where the processor may lack them")]
#![expect(
    clippy::inline_always,
    reason = "a lane is a register only inside the entry function, which enables its instruction set"
)]

use core::arch::aarch64::{
    uint64x2_t, vaddq_u64, vcgeq_u64, vdupq_n_u64, veorq_u64, vgetq_lane_u64, vld1q_u8, vqtbl1q_u8,
    vreinterpretq_u8_u64, vreinterpretq_u32_u64, vreinterpretq_u64_u8, vreinterpretq_u64_u32, vrev64q_u32,
    vsetq_lane_u64, vsraq_n_u64, vxarq_u64,
};
use std::arch::is_aarch64_feature_detected;

use shared::pow::{Nonce, Root, Threshold};

use super::lanes::{Lanes, assert_distance, rotating_bytes};
use super::{InstructionSet, Instructions, unrolled};

/// NEON. A value exists only where the processor has it, so whoever holds one may call the entry function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Neon {
    detected: (),
}

/// NEON with the SHA-3 extension. A value exists only where the processor has both.
#[derive(Debug, Clone, Copy)]
pub(super) struct NeonSha3 {
    detected: (),
}

impl Neon {
    /// The instructions, where the processor and the system support them.
    pub(super) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Self { detected: () })
    }
}

impl NeonSha3 {
    /// The instructions, where the processor and the system support them.
    pub(super) fn detect() -> Option<Self> {
        let is_there = is_aarch64_feature_detected!("neon") && is_aarch64_feature_detected!("sha3");
        is_there.then_some(Self { detected: () })
    }
}

impl Instructions for Neon {
    fn set(&self) -> InstructionSet {
        InstructionSet::Neon
    }

    fn search(&self, root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
        let () = self.detected;
        // SAFETY: `self` was made by `detect`, so the processor has NEON. Covered by `tests/instructions.rs`.
        unsafe { search_neon(root, threshold, start, count) }
    }
}

impl Instructions for NeonSha3 {
    fn set(&self) -> InstructionSet {
        InstructionSet::NeonSha3
    }

    fn search(&self, root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
        let () = self.detected;
        // SAFETY: `self` was made by `detect`, so the processor has both. Covered by `tests/instructions.rs`.
        unsafe { search_neon_sha3(root, threshold, start, count) }
    }
}

#[target_feature(enable = "neon")]
fn search_neon(root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
    unrolled::search::<Lanes2>(root, threshold, start, count)
}

#[target_feature(enable = "neon,sha3")]
fn search_neon_sha3(root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
    unrolled::search::<Lanes2Sha3>(root, threshold, start, count)
}

/// Two lanes. Used by the entry functions alone, which is what makes each of its operations sound.
#[derive(Clone, Copy)]
struct Lanes2(uint64x2_t);

static ROTATE_24: [u8; 16] = rotating_bytes(3);
static ROTATE_16: [u8; 16] = rotating_bytes(2);

impl Lanes for Lanes2 {
    const COUNT: u32 = 2;

    #[inline(always)]
    fn splat(word: u64) -> Self {
        // SAFETY: only the entry functions use this type, and they run where NEON is.
        Self(unsafe { vdupq_n_u64(word) })
    }

    #[inline(always)]
    fn counting(start: u64) -> Self {
        // SAFETY: as in `splat`.
        Self(unsafe { vsetq_lane_u64::<1>(start.wrapping_add(1), Self::splat(start).0) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        Self(unsafe { vaddq_u64(self.0, other.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        Self(unsafe { veorq_u64(self.0, other.0) })
    }

    /// Halves change places, whole bytes are looked up; 63 is a doubling and the bit that it loses.
    #[inline(always)]
    fn xor_rotate<const BITS: i32>(self, other: Self) -> Self {
        assert_distance::<BITS>();
        let words = self.xor(other).0;
        // SAFETY: as in `splat`; both tables have the 16 bytes that are read.
        Self(unsafe {
            let look_up = |table: &[u8; 16]| {
                vreinterpretq_u64_u8(vqtbl1q_u8(vreinterpretq_u8_u64(words), vld1q_u8(table.as_ptr())))
            };
            match BITS {
                32 => vreinterpretq_u64_u32(vrev64q_u32(vreinterpretq_u32_u64(words))),
                24 => look_up(&ROTATE_24),
                16 => look_up(&ROTATE_16),
                _ => vsraq_n_u64::<63>(vaddq_u64(words, words), words),
            }
        })
    }

    #[inline(always)]
    fn at_least(self, bound: Self) -> u32 {
        // SAFETY: as in `splat`.
        let (first, second) = unsafe {
            let is_at_least = vcgeq_u64(self.0, bound.0);
            (vgetq_lane_u64::<0>(is_at_least), vgetq_lane_u64::<1>(is_at_least))
        };
        u32::from(first != 0) | u32::from(second != 0) << 1
    }
}

/// Two lanes. Used by [`search_neon_sha3`] alone, which is what makes each of its operations sound.
#[derive(Clone, Copy)]
struct Lanes2Sha3(Lanes2);

impl Lanes for Lanes2Sha3 {
    const COUNT: u32 = Lanes2::COUNT;

    #[inline(always)]
    fn splat(word: u64) -> Self {
        Self(Lanes2::splat(word))
    }

    #[inline(always)]
    fn counting(start: u64) -> Self {
        Self(Lanes2::counting(start))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0.add(other.0))
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self(self.0.xor(other.0))
    }

    #[inline(always)]
    #[expect(
        inline_always_mismatching_target_features,
        reason = "they match once this is in the entry function"
    )]
    fn xor_rotate<const BITS: i32>(self, other: Self) -> Self {
        assert_distance::<BITS>();
        // SAFETY: only `search_neon_sha3` uses this type, and it runs where the extension is.
        Self(Lanes2(unsafe { vxarq_u64::<BITS>(self.0.0, other.0.0) }))
    }

    #[inline(always)]
    fn at_least(self, bound: Self) -> u32 {
        self.0.at_least(bound.0)
    }
}
