//! Vector instructions of x86-64: four nonces at a time with AVX2, eight with AVX-512.
//!
//! A value of [`Avx2`] or [`Avx512`] exists only where the processor has those instructions, so whoever holds one may
//! call their entry function; lanes live only inside it.
#![expect(unsafe_code, reason = "vector instructions are unsafe to call where the processor may lack them")]
#![expect(
    clippy::inline_always,
    reason = "a lane is a register only inside the entry function, which enables its instruction set"
)]

use core::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi64, _mm256_castsi256_pd, _mm256_cmpgt_epi64, _mm256_movemask_pd,
    _mm256_or_si256, _mm256_set1_epi64x, _mm256_setr_epi8, _mm256_setr_epi64x, _mm256_shuffle_epi8,
    _mm256_shuffle_epi32, _mm256_srli_epi64, _mm256_xor_si256, _mm512_add_epi64, _mm512_cmpge_epu64_mask,
    _mm512_ror_epi64, _mm512_set1_epi64, _mm512_setr_epi64, _mm512_xor_si512,
};
use std::arch::is_x86_feature_detected;

use shared::pow::{Nonce, Root, Threshold};

use super::Instructions;
use super::lanes::{self, Lanes};

/// AVX2: four nonces at a time.
#[derive(Debug, Clone, Copy)]
pub struct Avx2 {
    detected: (),
}

/// AVX-512 (foundation): eight nonces at a time, with a rotation of its own.
#[derive(Debug, Clone, Copy)]
pub struct Avx512 {
    detected: (),
}

impl Avx2 {
    /// The backend, where the processor and the system support it.
    pub fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self { detected: () })
    }
}

impl Avx512 {
    /// The backend, where the processor and the system support it.
    pub fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self { detected: () })
    }
}

impl Instructions for Avx2 {
    fn name(&self) -> &'static str {
        "AVX2"
    }

    fn search(&self, root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
        let () = self.detected;
        // SAFETY: `self` was made by `detect`, so the processor has AVX2. Covered by the tests of `backend`.
        unsafe { search_avx2(root, threshold, start, count) }
    }
}

impl Instructions for Avx512 {
    fn name(&self) -> &'static str {
        "AVX-512"
    }

    fn search(&self, root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
        let () = self.detected;
        // SAFETY: `self` was made by `detect`, so the processor has AVX-512F. Covered by the tests of `backend`.
        unsafe { search_avx512(root, threshold, start, count) }
    }
}

#[target_feature(enable = "avx2")]
fn search_avx2(root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
    lanes::search::<Lanes4>(root, threshold, start, count)
}

#[target_feature(enable = "avx512f")]
fn search_avx512(root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
    lanes::search::<Lanes8>(root, threshold, start, count)
}

/// Four lanes. Used by [`search_avx2`] alone, which is what makes each of its operations sound.
#[derive(Clone, Copy)]
struct Lanes4(__m256i);

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
    fn rotate_right<const BITS: i32>(self) -> Self {
        const { assert!(matches!(BITS, 32 | 24 | 16 | 63), "BLAKE2b rotates by no other distance") }
        // SAFETY: as in `splat`.
        Self(unsafe {
            match BITS {
                32 => _mm256_shuffle_epi32::<0b10_11_00_01>(self.0),
                24 => _mm256_shuffle_epi8(
                    self.0,
                    _mm256_setr_epi8(
                        3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10, //
                        3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10,
                    ),
                ),
                16 => _mm256_shuffle_epi8(
                    self.0,
                    _mm256_setr_epi8(
                        2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9, //
                        2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9,
                    ),
                ),
                _ => _mm256_or_si256(_mm256_add_epi64(self.0, self.0), _mm256_srli_epi64::<63>(self.0)),
            }
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

/// Eight lanes. Used by [`search_avx512`] alone, which is what makes each of its operations sound.
#[derive(Clone, Copy)]
struct Lanes8(__m512i);

impl Lanes for Lanes8 {
    const COUNT: u32 = 8;

    #[inline(always)]
    fn splat(word: u64) -> Self {
        // SAFETY: only `search_avx512` uses this type, and it runs where AVX-512F is.
        Self(unsafe { _mm512_set1_epi64(word.cast_signed()) })
    }

    #[inline(always)]
    fn counting(start: u64) -> Self {
        // SAFETY: as in `splat`.
        Self::splat(start).add(Self(unsafe { _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7) }))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        Self(unsafe { _mm512_add_epi64(self.0, other.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        Self(unsafe { _mm512_xor_si512(self.0, other.0) })
    }

    #[inline(always)]
    fn rotate_right<const BITS: i32>(self) -> Self {
        // SAFETY: as in `splat`.
        Self(unsafe { _mm512_ror_epi64::<BITS>(self.0) })
    }

    #[inline(always)]
    fn at_least(self, bound: Self) -> u32 {
        // SAFETY: as in `splat`.
        u32::from(unsafe { _mm512_cmpge_epu64_mask(self.0, bound.0) })
    }
}
