//! AVX-512: eight nonces at a time in registers of 512 bits, or four in registers of 256 bits. Both have a rotation of
//! their own, and 32 registers.
#![expect(unsafe_code, reason = "vector instructions are unsafe to call where the processor may lack them")]
#![expect(
    clippy::inline_always,
    reason = "a lane is a register only inside the entry function, which enables its instruction set"
)]

use core::arch::asm;
use core::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi64, _mm256_cmpge_epu64_mask, _mm256_ror_epi64, _mm256_set1_epi64x,
    _mm256_setr_epi64x, _mm256_xor_si256, _mm512_add_epi64, _mm512_cmpge_epu64_mask, _mm512_ror_epi64,
    _mm512_set1_epi64, _mm512_setr_epi64, _mm512_xor_si512,
};
use std::arch::is_x86_feature_detected;

use shared::pow::{Nonce, Root, Threshold};

use super::lanes::{Lanes, assert_distance};
use super::{InstructionSet, Instructions, rolled};

/// AVX-512 (foundation). A value exists only where the processor has it, so whoever holds one may call the entry function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512 {
    detected: (),
}

/// AVX-512 on registers of 256 bits, for processors that slow down when the wide ones are used. A value exists only where
/// the processor has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512Vl {
    detected: (),
}

impl Avx512 {
    /// The instructions, where the processor and the system support them.
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self { detected: () })
    }
}

impl Avx512Vl {
    /// The instructions, where the processor and the system support them.
    pub(super) fn detect() -> Option<Self> {
        let is_there = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
        is_there.then_some(Self { detected: () })
    }
}

impl Instructions for Avx512 {
    fn set(&self) -> InstructionSet {
        InstructionSet::Avx512
    }

    fn search(&self, root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
        let () = self.detected;
        // SAFETY: `self` was made by `detect`, so the processor has AVX-512F. Covered by `tests/instructions.rs`.
        unsafe { search_avx512(root, threshold, start, count) }
    }
}

impl Instructions for Avx512Vl {
    fn set(&self) -> InstructionSet {
        InstructionSet::Avx512Vl
    }

    fn search(&self, root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
        let () = self.detected;
        // SAFETY: `self` was made by `detect`, so the processor has AVX-512F and VL. Covered by `tests/instructions.rs`.
        unsafe { search_avx512vl(root, threshold, start, count) }
    }
}

#[target_feature(enable = "avx512f")]
fn search_avx512(root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
    rolled::search::<Lanes8>(root, threshold, start, count)
}

#[target_feature(enable = "avx512f,avx512vl")]
fn search_avx512vl(root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
    rolled::search::<Lanes4>(root, threshold, start, count)
}

/// [`Lanes::mix`] at one place, in exactly these instructions: each result takes the place of an operand. The compiler by itself uses
/// more registers than there are, and keeps words on the stack.
#[target_feature(enable = "avx512f")]
#[inline]
fn mix_512<const D: i32, const B: i32>([mut a, mut b, mut c, mut d]: [__m512i; 4]) -> [__m512i; 4] {
    // SAFETY: it does nothing but arithmetic on its operands.
    unsafe {
        asm!(
            "vpaddq {a}, {a}, {b}",
            "vpxorq {d}, {d}, {a}",
            "vprorq {d}, {d}, {D}",
            "vpaddq {c}, {c}, {d}",
            "vpxorq {b}, {b}, {c}",
            "vprorq {b}, {b}, {B}",
            a = inout(zmm_reg) a,
            b = inout(zmm_reg) b,
            c = inout(zmm_reg) c,
            d = inout(zmm_reg) d,
            D = const D,
            B = const B,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    [a, b, c, d]
}

/// [`Lanes::add_from`], in exactly this instruction.
#[target_feature(enable = "avx512f")]
#[inline]
fn add_from_512(mut sum: __m512i, word: &__m512i) -> __m512i {
    // SAFETY: it reads what the reference points to.
    unsafe {
        asm!(
            "vpaddq {sum}, {sum}, [{word}]",
            sum = inout(zmm_reg) sum,
            word = in(reg) word,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    sum
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
    fn add_from(self, word: &Self) -> Self {
        // SAFETY: as in `splat`.
        Self(unsafe { add_from_512(self.0, &word.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        Self(unsafe { _mm512_xor_si512(self.0, other.0) })
    }

    #[inline(always)]
    fn xor_rotate<const BITS: i32>(self, other: Self) -> Self {
        assert_distance::<BITS>();
        // SAFETY: as in `splat`.
        Self(unsafe { _mm512_ror_epi64::<BITS>(self.xor(other).0) })
    }

    #[inline(always)]
    fn mix<const N: usize, const D: i32, const B: i32>(quartets: &mut [[Self; 4]; N]) {
        for quartet in quartets {
            let [a, b, c, d] = *quartet;
            // SAFETY: as in `splat`.
            let [a, b, c, d] = unsafe { mix_512::<D, B>([a.0, b.0, c.0, d.0]) };
            *quartet = [Self(a), Self(b), Self(c), Self(d)];
        }
    }

    #[inline(always)]
    fn at_least(self, bound: Self) -> u32 {
        // SAFETY: as in `splat`.
        u32::from(unsafe { _mm512_cmpge_epu64_mask(self.0, bound.0) })
    }
}

/// [`Lanes::mix`] at one place, in exactly these instructions: each result takes the place of an operand. The compiler by itself uses
/// more registers than there are, and keeps words on the stack.
#[target_feature(enable = "avx512f,avx512vl")]
#[inline]
fn mix_256<const D: i32, const B: i32>([mut a, mut b, mut c, mut d]: [__m256i; 4]) -> [__m256i; 4] {
    // SAFETY: it does nothing but arithmetic on its operands.
    unsafe {
        asm!(
            "vpaddq {a:y}, {a:y}, {b:y}",
            "vpxorq {d:y}, {d:y}, {a:y}",
            "vprorq {d:y}, {d:y}, {D}",
            "vpaddq {c:y}, {c:y}, {d:y}",
            "vpxorq {b:y}, {b:y}, {c:y}",
            "vprorq {b:y}, {b:y}, {B}",
            a = inout(zmm_reg) a,
            b = inout(zmm_reg) b,
            c = inout(zmm_reg) c,
            d = inout(zmm_reg) d,
            D = const D,
            B = const B,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    [a, b, c, d]
}

/// [`Lanes::add_from`], in exactly this instruction.
#[target_feature(enable = "avx512f,avx512vl")]
#[inline]
fn add_from_256(mut sum: __m256i, word: &__m256i) -> __m256i {
    // SAFETY: it reads what the reference points to.
    unsafe {
        asm!(
            "vpaddq {sum:y}, {sum:y}, [{word}]",
            sum = inout(zmm_reg) sum,
            word = in(reg) word,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    sum
}

/// Four lanes. Used by [`search_avx512vl`] alone, which is what makes each of its operations sound.
#[derive(Clone, Copy)]
struct Lanes4(__m256i);

impl Lanes for Lanes4 {
    const COUNT: u32 = 4;

    #[inline(always)]
    fn splat(word: u64) -> Self {
        // SAFETY: only `search_avx512vl` uses this type, and it runs where AVX-512F and VL are.
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
    fn add_from(self, word: &Self) -> Self {
        // SAFETY: as in `splat`.
        Self(unsafe { add_from_256(self.0, &word.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        Self(unsafe { _mm256_xor_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn xor_rotate<const BITS: i32>(self, other: Self) -> Self {
        assert_distance::<BITS>();
        // SAFETY: as in `splat`.
        Self(unsafe { _mm256_ror_epi64::<BITS>(self.xor(other).0) })
    }

    #[inline(always)]
    fn mix<const N: usize, const D: i32, const B: i32>(quartets: &mut [[Self; 4]; N]) {
        for quartet in quartets {
            let [a, b, c, d] = *quartet;
            // SAFETY: as in `splat`.
            let [a, b, c, d] = unsafe { mix_256::<D, B>([a.0, b.0, c.0, d.0]) };
            *quartet = [Self(a), Self(b), Self(c), Self(d)];
        }
    }

    #[inline(always)]
    fn at_least(self, bound: Self) -> u32 {
        // SAFETY: as in `splat`.
        u32::from(unsafe { _mm256_cmpge_epu64_mask(self.0, bound.0) })
    }
}
