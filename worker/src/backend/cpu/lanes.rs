//! The work function for several nonces side by side, one in each 64-bit lane of a register.
//!
//! `BLAKE2b` with an 8-byte digest over one block: word 0 is the nonce, words 1 to 4 are the root, words 5 to 15 are
//! zero, 40 bytes are hashed, and the block is the last one. The difficulty is the first word of the state.
//!
//! # Source
//! RFC 7693 sections 2.6 to 3.2.
#![expect(
    clippy::inline_always,
    reason = "a lane is a register only where its instruction set is enabled: in the entry function"
)]

use shared::pow::{Nonce, Root, Threshold};

/// The initial state (RFC 7693 section 2.6).
const IV: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// Which word of the message goes where in each round; rounds 10 and 11 repeat the first two (RFC 7693 section 2.7).
const SIGMA: [[usize; 16]; 12] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
];

/// Parameter block, first word: digest of 8 bytes, no key, fan-out and depth 1 (RFC 7693 section 2.5).
const PARAMETERS: u64 = 0x0101_0008;
/// Bytes hashed: a nonce and a root.
const LENGTH: u64 = 40;

/// Some 64-bit words that are computed on together, one for each nonce.
pub(super) trait Lanes: Copy {
    /// How many; at most 32.
    const COUNT: u32;

    /// The same word in each lane.
    fn splat(word: u64) -> Self;

    /// `start` in lane 0, and in each further lane one more than in the one before, wrapping.
    fn counting(start: u64) -> Self;

    /// Wrapping sum.
    fn add(self, other: Self) -> Self;

    /// Exclusive or.
    fn xor(self, other: Self) -> Self;

    /// Rotation by one of the four distances: 32, 24, 16 or 63.
    fn rotate_right<const BITS: i32>(self) -> Self;

    /// Bit `i` is set where lane `i` is at least lane `i` of `bound`, unsigned.
    fn at_least(self, bound: Self) -> u32;
}

/// The first nonce of `start`, `start + 1`, … (`count` of them, wrapping at 2^64) that meets `threshold` for `root`.
#[inline(always)]
pub(super) fn search<L: Lanes>(root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
    let root = root_words(root).map(L::splat);
    let bound = L::splat(threshold.as_u64());
    let mut done = 0;
    while done < u64::from(count) {
        let first = start.as_u64().wrapping_add(done);
        let hits = difficulty(L::counting(first), root).at_least(bound);
        if hits != 0 {
            // The last batch may reach past the range; its lowest hit decides, for lanes are in order.
            let lane = u64::from(hits.trailing_zeros());
            return (done + lane < u64::from(count)).then(|| Nonce::new(first.wrapping_add(lane)));
        }
        done += u64::from(L::COUNT);
    }
    None
}

/// The root as the message words 1 to 4.
fn root_words(root: &Root) -> [u64; 4] {
    let (words, _) = root.as_bytes().as_chunks::<8>();
    core::array::from_fn(|index| u64::from_le_bytes(words[index]))
}

/// What each nonce attains. What only the unused words of the last state need is dropped by the compiler.
#[inline(always)]
fn difficulty<L: Lanes>(nonce: L, [r0, r1, r2, r3]: [L; 4]) -> L {
    let message = [nonce, r0, r1, r2, r3];
    let first = L::splat(IV[0] ^ PARAMETERS);
    let mut state: [L; 16] = core::array::from_fn(|index| L::splat(IV[index % 8]));
    state[0] = first;
    state[12] = L::splat(IV[4] ^ LENGTH);
    state[14] = L::splat(!IV[6]);
    // Written out, so that every index is a constant and the state stays in registers.
    round::<L, 0>(&mut state, &message);
    round::<L, 1>(&mut state, &message);
    round::<L, 2>(&mut state, &message);
    round::<L, 3>(&mut state, &message);
    round::<L, 4>(&mut state, &message);
    round::<L, 5>(&mut state, &message);
    round::<L, 6>(&mut state, &message);
    round::<L, 7>(&mut state, &message);
    round::<L, 8>(&mut state, &message);
    round::<L, 9>(&mut state, &message);
    round::<L, 10>(&mut state, &message);
    round::<L, 11>(&mut state, &message);
    first.xor(state[0]).xor(state[8])
}

/// One round: four columns, then four diagonals.
#[inline(always)]
fn round<L: Lanes, const ROUND: usize>(state: &mut [L; 16], message: &[L; 5]) {
    mix::<L, ROUND, 0>(state, message, [0, 4, 8, 12]);
    mix::<L, ROUND, 1>(state, message, [1, 5, 9, 13]);
    mix::<L, ROUND, 2>(state, message, [2, 6, 10, 14]);
    mix::<L, ROUND, 3>(state, message, [3, 7, 11, 15]);
    mix::<L, ROUND, 4>(state, message, [0, 5, 10, 15]);
    mix::<L, ROUND, 5>(state, message, [1, 6, 11, 12]);
    mix::<L, ROUND, 6>(state, message, [2, 7, 8, 13]);
    mix::<L, ROUND, 7>(state, message, [3, 4, 9, 14]);
}

/// The mixing function `G` of RFC 7693 section 3.1.
#[inline(always)]
fn mix<L: Lanes, const ROUND: usize, const STEP: usize>(
    state: &mut [L; 16],
    message: &[L; 5],
    [a, b, c, d]: [usize; 4],
) {
    state[a] = add_word(state[a].add(state[b]), message, SIGMA[ROUND][2 * STEP]);
    state[d] = state[d].xor(state[a]).rotate_right::<32>();
    state[c] = state[c].add(state[d]);
    state[b] = state[b].xor(state[c]).rotate_right::<24>();
    state[a] = add_word(state[a].add(state[b]), message, SIGMA[ROUND][2 * STEP + 1]);
    state[d] = state[d].xor(state[a]).rotate_right::<16>();
    state[c] = state[c].add(state[d]);
    state[b] = state[b].xor(state[c]).rotate_right::<63>();
}

/// Adds a word of the message. Words 5 to 15 are zero, and 132 of 192 additions are of them.
#[inline(always)]
fn add_word<L: Lanes>(sum: L, message: &[L; 5], index: usize) -> L {
    match message.get(index) {
        Some(word) => sum.add(*word),
        None => sum,
    }
}
