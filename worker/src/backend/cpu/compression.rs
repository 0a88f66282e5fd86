//! The work function for several nonces side by side.
//!
//! `BLAKE2b` with an 8-byte digest over one block: word 0 is the nonce, words 1 to 4 are the root, words 5 to 15 are
//! zero, 40 bytes are hashed, and the block is the last one. The difficulty is the first word of the state.
//!
//! Against a plain hash, three things are left out: additions of zero words, what is the same for all nonces of a root
//! ([`Job`]), and what nothing needs in the last round, which the compiler drops.
//!
//! # Source
//! RFC 7693 sections 2.6 to 3.2.
#![expect(
    clippy::inline_always,
    reason = "a lane is a register only where its instruction set is enabled: in the entry function"
)]

use shared::pow::{Root, Threshold};

use super::lanes::{Lanes, mix_freely};
use crate::backend::blake2b::{IV, PARAMETERS};

/// Which word of the message goes where in each round; rounds 10 and 11 repeat the first two (RFC 7693 section 2.7).
pub(super) const SIGMA: [[usize; 16]; 12] = [
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

/// Words of the message that are not zero: the nonce and the root.
pub(super) const WORDS: usize = 5;

/// Bytes hashed: a nonce and a root.
const LENGTH: u64 = 40;
/// The first word of the chained state.
const FIRST: u64 = IV[0] ^ PARAMETERS;
/// What the first addition of the first column adds to the nonce. A search counts in these sums: they are needed at once,
/// the nonces only from the second round on.
pub(super) const SUM: u64 = FIRST.wrapping_add(IV[4]);

/// The words of the state that one mixing function works on: `a`, `b`, `c` and `d` of RFC 7693 section 3.1.
type Place = [usize; 4];
/// The first half of a round.
pub(super) const COLUMNS: [Place; 4] = [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]];
/// The second half of a round.
pub(super) const DIAGONALS: [Place; 4] = [[0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]];

/// The state of a hash in each lane.
pub(super) type State<L> = [L; 16];

/// All of a search that is the same for each nonce, ready in registers' form.
pub(super) struct Job<L> {
    /// Words 1 to 4 of the message.
    pub(super) root: [L; 4],
    /// The state after columns 1 to 3 of the first round, with what its diagonals make of those alone: word 6 has been
    /// added to word 1, word 7 to word 2, and word 13 has been mixed with word 2.
    state: State<L>,
    /// What makes a nonce of a sum.
    minus_sum: L,
    first: L,
    bound: L,
}

impl<L: Lanes> Job<L> {
    #[inline(always)]
    pub(super) fn new(root: &Root, threshold: Threshold) -> Self {
        let (words, _) = root.as_bytes().as_chunks::<8>();
        let root: [u64; 4] = core::array::from_fn(|index| u64::from_le_bytes(words[index]));
        let mut state: State<u64> = core::array::from_fn(|index| IV[index % 8]);
        state[0] = FIRST;
        state[12] = IV[4] ^ LENGTH;
        state[14] = !IV[6];
        // Column 1 takes words 2 and 3 of the message, which are words 1 and 2 of the root.
        let [_, columns @ ..] = COLUMNS;
        half_round::<_, _, true>(&mut state, columns, |index, sum: u64| {
            root.get(index + 1).map_or(sum, |word| sum.wrapping_add(*word))
        });
        state[1] = state[1].wrapping_add(state[6]);
        state[2] = state[2].wrapping_add(state[7]);
        state[13] = (state[13] ^ state[2]).rotate_right(32);
        Self {
            root: splat_all(root),
            state: splat_all(state),
            minus_sum: L::splat(SUM.wrapping_neg()),
            first: L::splat(FIRST),
            bound: L::splat(threshold.as_u64()),
        }
    }

    #[inline(always)]
    pub(super) fn nonces(&self, sums: L) -> L {
        sums.add(self.minus_sum)
    }

    /// The state after the first round. The sums stand where the first addition of the first column is done.
    #[inline(always)]
    pub(super) fn first_round(&self, sums: L) -> State<L> {
        let mut state = self.state;
        state[0] = sums;
        state[12] = state[12].xor_rotate::<32>(state[0]);
        state[8] = state[8].add(state[12]);
        state[4] = state[4].xor_rotate::<24>(state[8]);
        state[0] = state[0].add(self.root[0]);
        mix::<_, _, 16, 63, true>(&mut state, [COLUMNS[0]]);
        // Of the diagonals, the first additions to words 1 and 2 and the first rotation of word 13 are done.
        state[0] = state[0].add(state[5]);
        state[3] = state[3].add(state[4]);
        state[15] = state[15].xor_rotate::<32>(state[0]);
        state[12] = state[12].xor_rotate::<32>(state[1]);
        state[14] = state[14].xor_rotate::<32>(state[3]);
        for [_, _, c, d] in DIAGONALS {
            state[c] = state[c].add(state[d]);
        }
        for [_, b, c, _] in DIAGONALS {
            state[b] = state[b].xor_rotate::<24>(state[c]);
        }
        mix::<_, _, 16, 63, true>(&mut state, DIAGONALS);
        state
    }

    /// Bit `i` is set where the nonce in lane `i`, of which this is the last state, meets the threshold.
    #[inline(always)]
    pub(super) fn hits(&self, state: &State<L>) -> u32 {
        self.first.xor(state[0]).xor(state[8]).at_least(self.bound)
    }
}

/// Round `ROUND` with the words of the message where they are known to be other than zero.
#[inline(always)]
pub(super) fn round<L: Lanes, const ROUND: usize>(state: &mut State<L>, message: &[L; WORDS]) {
    let add_word = |index: usize, sum: L| message.get(SIGMA[ROUND][index]).map_or(sum, |word| sum.add(*word));
    half_round::<_, _, true>(state, COLUMNS, add_word);
    half_round::<_, _, true>(state, DIAGONALS, |index, sum| add_word(8 + index, sum));
}

/// The last round, of which only words 0 and 8 are looked at.
#[inline(always)]
pub(super) fn last_round<L: Lanes>(state: &mut State<L>, message: [&L; WORDS]) {
    let add_word =
        |index: usize, sum: L| message.get(SIGMA[11][index]).map_or(sum, |word| sum.add_from(word));
    half_round::<_, _, false>(state, COLUMNS, add_word);
    half_round::<_, _, false>(state, DIAGONALS, |index, sum| add_word(8 + index, sum));
}

/// The mixing function of RFC 7693 section 3.1 at several places. `add_word` adds a word of the message, at first (even numbers) and
/// later (odd numbers) at each place, and nothing where that is zero. Without `ALL`, what nobody looks at is left out.
#[inline(always)]
pub(super) fn half_round<L: Lanes, const N: usize, const ALL: bool>(
    state: &mut State<L>,
    places: [Place; N],
    add_word: impl Fn(usize, L) -> L,
) {
    // The word comes before what was computed last, for which it need not wait.
    for (index, [a, _, _, _]) in places.into_iter().enumerate() {
        state[a] = add_word(2 * index, state[a]);
    }
    mix::<L, N, 32, 24, ALL>(state, places);
    for (index, [a, _, _, _]) in places.into_iter().enumerate() {
        state[a] = add_word(2 * index + 1, state[a]);
    }
    mix::<L, N, 16, 63, ALL>(state, places);
}

/// What the mixing function does twice, with distances of its own each time. `ALL` as in [`half_round`].
#[inline(always)]
fn mix<L: Lanes, const N: usize, const D: i32, const B: i32, const ALL: bool>(
    state: &mut State<L>,
    places: [Place; N],
) {
    // By loops: the methods of arrays are calls, which do not take vectors in registers.
    let mut quartets = [[state[0]; 4]; N];
    for (place, quartet) in places.iter().zip(&mut quartets) {
        for (word, mixed) in place.iter().zip(quartet) {
            *mixed = state[*word];
        }
    }
    // What is written in instructions is kept whole by the compiler.
    if ALL {
        L::mix::<N, D, B>(&mut quartets);
    } else {
        mix_freely::<L, N, D, B>(&mut quartets);
    }
    for (place, quartet) in places.iter().zip(&quartets) {
        for (word, mixed) in place.iter().zip(quartet) {
            state[*word] = *mixed;
        }
    }
}

#[inline(always)]
fn splat_all<L: Lanes, const N: usize>(words: [u64; N]) -> [L; N] {
    let mut lanes = [L::splat(0); N];
    for index in 0..N {
        lanes[index] = L::splat(words[index]);
    }
    lanes
}
