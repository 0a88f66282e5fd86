//! AVX2: four nonces at a time.
#![expect(unsafe_code, reason = "vector instructions are unsafe to call where the processor may lack them")]
#![expect(
    clippy::inline_always,
    reason = "a lane is a register only inside the entry function, which enables its instruction set"
)]

use core::arch::x86_64::{
    __m256i, _mm256_add_epi64, _mm256_castsi256_pd, _mm256_cmpgt_epi64, _mm256_movemask_pd, _mm256_or_si256,
    _mm256_set1_epi64x, _mm256_setr_epi64x, _mm256_shuffle_epi8, _mm256_srli_epi64, _mm256_xor_si256,
};
use std::arch::is_x86_feature_detected;

use shared::pow::{Nonce, Root, Threshold};

use super::lanes::{Lanes, assert_distance, rotating_bytes};
use super::{InstructionSet, Instructions, unrolled};

/// AVX2. A value exists only where the processor has it, so whoever holds one may call the entry function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2 {
    detected: (),
}

impl Avx2 {
    /// The instructions, where the processor and the system support them.
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self { detected: () })
    }
}

impl Instructions for Avx2 {
    fn set(&self) -> InstructionSet {
        InstructionSet::Avx2
    }

    fn search(&self, root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
        let () = self.detected;
        // SAFETY: `self` was made by `detect`, so the processor has AVX2. Covered by `tests/instructions.rs`.
        unsafe { search_avx2(root, threshold, start, count) }
    }
}

#[target_feature(enable = "avx2")]
fn search_avx2(root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
    unrolled::search::<Lanes4>(root, threshold, start, count)
}

/// Four lanes. Used by [`search_avx2`] alone, which is what makes each of its operations sound.
#[derive(Clone, Copy)]
struct Lanes4(__m256i);

/// Which byte comes from where when both words of a half register rotate; AVX2 shuffles its halves apart.
#[derive(Clone, Copy)]
struct Shuffle(__m256i);

impl Shuffle {
    /// For words that rotate right by this many bytes.
    const fn rotating(bytes: u8) -> Self {
        let half = rotating_bytes(bytes);
        let mut from = [0; 32];
        let mut place = 0;
        while place < 32 {
            from[place] = half[place % 16];
            place += 1;
        }
        // SAFETY: a register is 32 bytes, of any value.
        Self(unsafe { core::mem::transmute::<[u8; 32], __m256i>(from) })
    }
}

static ROTATE_32: Shuffle = Shuffle::rotating(4);
static ROTATE_24: Shuffle = Shuffle::rotating(3);
static ROTATE_16: Shuffle = Shuffle::rotating(2);

/// Rotates each word by whole bytes.
///
/// The shuffle is read anew each time, which the processor does for nothing as part of the instruction. Were it known to
/// the compiler, some would become two instructions; were it kept, it would take a register from the state.
#[inline(always)]
fn rotate_bytes(words: __m256i, shuffle: &'static Shuffle) -> __m256i {
    // SAFETY: it is read through a reference. Of the instruction: as in `Lanes4::splat`.
    unsafe { _mm256_shuffle_epi8(words, core::ptr::from_ref(shuffle).read_volatile().0) }
}

impl Lanes for Lanes4 {
    const COUNT: u32 = 4;

    #[inline(always)]
    fn splat(word: u64) -> Self {
        // SAFETY: only `search_avx2` uses this type, and it runs where AVX2 is.
        Self(unsafe { _mm256_set1_epi64x(word.cast_signed()) })
    }

    #[inline(always)]
    fn counting(start: u64) -> Self {
        // SAFETY: as in `splat`.
        Self::splat(start).add(Self(unsafe { _mm256_setr_epi64x(0, 1, 2, 3) }))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        Self(unsafe { _mm256_add_epi64(self.0, other.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        Self(unsafe { _mm256_xor_si256(self.0, other.0) })
    }

    /// Whole bytes move by one shuffle; 63 is a doubling and the bit that it loses.
    #[inline(always)]
    fn xor_rotate<const BITS: i32>(self, other: Self) -> Self {
        assert_distance::<BITS>();
        let words = self.xor(other).0;
        Self(match BITS {
            32 => rotate_bytes(words, &ROTATE_32),
            24 => rotate_bytes(words, &ROTATE_24),
            16 => rotate_bytes(words, &ROTATE_16),
            // SAFETY: as in `splat`.
            _ => unsafe { _mm256_or_si256(_mm256_add_epi64(words, words), _mm256_srli_epi64::<63>(words)) },
        })
    }

    /// AVX2 compares signed numbers only: with the top bits flipped, their order is the unsigned one.
    #[inline(always)]
    fn at_least(self, bound: Self) -> u32 {
        // SAFETY: as in `splat`.
        let below = unsafe {
            let flip = _mm256_set1_epi64x(i64::MIN);
            let below = _mm256_cmpgt_epi64(_mm256_xor_si256(bound.0, flip), _mm256_xor_si256(self.0, flip));
            _mm256_movemask_pd(_mm256_castsi256_pd(below))
        };
        !below.cast_unsigned() & 0b1111
    }
}
