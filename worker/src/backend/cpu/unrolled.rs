//! The search with all rounds written out, one batch of nonces at a time: for instruction sets with few registers.
#![expect(clippy::inline_always, reason = "it becomes part of the entry function of each instruction set")]

use core::hint::black_box;

use shared::pow::{Nonce, Root, Threshold};

use super::compression::{Job, SUM, State, last_round, round};
use super::lanes::Lanes;

/// The first nonce of `start`, `start + 1`, … (`count` of them, wrapping at 2^64) that meets `threshold` for `root`.
#[inline(always)]
pub(super) fn search<L: Lanes>(root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
    // Behind a reference that the compiler cannot see through, what does not fit into registers is read from where it is,
    // instead of being copied to the stack first; and the stack is aligned to the size of a register.
    let job = &Job::<L>::new(root, threshold);
    let job = black_box(job);
    let mut sums = L::counting(start.as_u64().wrapping_add(SUM));
    let mut done = 0;
    while done < count {
        let hits = job.hits(&last_state(job, sums));
        if hits != 0 {
            // The last batch may reach past the range; its lowest hit decides, for lanes are in order.
            let offset = done.saturating_add(hits.trailing_zeros());
            return (offset < count).then(|| Nonce::new(start.as_u64().wrapping_add(offset.into())));
        }
        sums = sums.add(L::splat(L::COUNT.into()));
        done = done.saturating_add(L::COUNT);
    }
    None
}

/// The state after all rounds, as far as it is looked at.
#[inline(always)]
fn last_state<L: Lanes>(job: &Job<L>, sums: L) -> State<L> {
    let [r0, r1, r2, r3] = job.root;
    let message = [job.nonces(sums), r0, r1, r2, r3];
    let mut state = job.first_round(sums);
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
    last_round(&mut state, message.each_ref());
    state
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::pow::difficulty;

    use super::super::lanes::rotating_bytes;
    use super::*;

    /// Two lanes as NEON has them, step for step: halves that change places, bytes that are looked up, and a doubling with the bit
    /// that it loses.
    #[derive(Debug, Clone, Copy)]
    struct Pair([u64; 2]);

    impl Pair {
        fn look_up(self, from: [u8; 16]) -> Self {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&self.0[0].to_le_bytes());
            bytes[8..].copy_from_slice(&self.0[1].to_le_bytes());
            let moved = from.map(|place| bytes[usize::from(place)]);
            let (words, _) = moved.as_chunks::<8>();
            Self([u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])])
        }
    }

    impl Lanes for Pair {
        const COUNT: u32 = 2;

        fn splat(word: u64) -> Self {
            Self([word; 2])
        }

        fn counting(start: u64) -> Self {
            Self([start, start.wrapping_add(1)])
        }

        fn add(self, other: Self) -> Self {
            Self([0, 1].map(|lane| self.0[lane].wrapping_add(other.0[lane])))
        }

        fn xor(self, other: Self) -> Self {
            Self([0, 1].map(|lane| self.0[lane] ^ other.0[lane]))
        }

        fn xor_rotate<const BITS: i32>(self, other: Self) -> Self {
            let words = self.xor(other);
            match BITS {
                32 => Self(words.0.map(|word| word.rotate_right(32))),
                24 => words.look_up(rotating_bytes(3)),
                16 => words.look_up(rotating_bytes(2)),
                // The bit that a doubling loses comes back at the other end.
                _ => Self(words.0.map(|word| word.wrapping_add(word).wrapping_add(word >> 63))),
            }
        }

        fn at_least(self, bound: Self) -> u32 {
            u32::from(self.0[0] >= bound.0[0]) | u32::from(self.0[1] >= bound.0[1]) << 1
        }
    }

    proptest! {
        #[test]
        fn two_lanes_find_what_the_plain_function_finds(
            root in any::<[u8; 32]>(), bits in 0..8_u32,
            start in prop_oneof![any::<u64>(), (1 << 32) - 9..(1 << 32) + 9_u64, u64::MAX - 40..u64::MAX], count in 0..50_u32,
        ) {
            let (root, threshold) = (Root::new(root), Threshold::new(!(u64::MAX >> bits)));
            let nonces = (0..u64::from(count)).map(|offset| Nonce::new(start.wrapping_add(offset)));
            let expected = nonces.into_iter().find(|nonce| difficulty(&root, *nonce).meets(threshold));
            prop_assert_eq!(search::<Pair>(&root, threshold, Nonce::new(start), count), expected);
        }
    }
}
