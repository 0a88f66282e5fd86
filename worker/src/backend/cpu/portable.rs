//! One nonce at a time, for every processor.
#![expect(clippy::inline_always, reason = "these are single instructions of the search loop")]

use shared::pow::{Nonce, Root, Threshold};

use super::lanes::{Lanes, assert_distance};
use super::{InstructionSet, Instructions, unrolled};

/// Plain 64-bit arithmetic: what is left where no vector instructions are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portable;

impl Instructions for Portable {
    fn set(&self) -> InstructionSet {
        InstructionSet::Portable
    }

    fn search(&self, root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
        search_portable(root, threshold, start, count)
    }
}

#[inline(never)]
fn search_portable(root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
    unrolled::search::<u64>(root, threshold, start, count)
}

impl Lanes for u64 {
    const COUNT: u32 = 1;

    #[inline(always)]
    fn splat(word: u64) -> Self {
        word
    }

    #[inline(always)]
    fn counting(start: u64) -> Self {
        start
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self ^ other
    }

    #[inline(always)]
    fn xor_rotate<const BITS: i32>(self, other: Self) -> Self {
        assert_distance::<BITS>();
        (self ^ other).rotate_right(BITS.unsigned_abs())
    }

    #[inline(always)]
    fn at_least(self, bound: Self) -> u32 {
        u32::from(self >= bound)
    }
}
