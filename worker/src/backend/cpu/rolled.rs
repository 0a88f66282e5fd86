//! The search with rounds 1 to 5 and 6 to 10 as one loop, two batches of nonces side by side: for instruction sets with 32
//! registers, which hold the states of both.
//!
//! One batch alone waits for its own results much of the time, and two with all rounds written out are more instructions
//! than processors keep decoded. In a loop both fit. What it costs: a word of the message is added wherever either round
//! of a pair has one, so some of what is added is zero; and the words are read from memory.
#![expect(clippy::inline_always, reason = "it becomes part of the entry function of each instruction set")]

use core::hint::black_box;

use shared::pow::{Nonce, Root, Threshold};

use super::compression::{COLUMNS, DIAGONALS, Job, SIGMA, SUM, State, WORDS, half_round, round};
use super::lanes::Lanes;

/// Rounds in the body of the loop.
const BODY: usize = 5;
/// How often it runs: rounds 1 to 10, without the first and the last one.
const TIMES: usize = 2;

/// The words of the message as the body adds them, for each time that it runs. Those that it does not read are zero.
struct Schedule<L>([Words<L>; TIMES]);

/// For each round of the body, and each of the 16 additions of a round.
type Words<L> = [[L; 16]; BODY];

impl<L: Lanes> Schedule<L> {
    #[inline(always)]
    fn new(message: &[L; WORDS]) -> Self {
        let mut schedule = Self([[[L::splat(0); 16]; BODY]; TIMES]);
        for (round, words) in schedule.0.as_flattened_mut().iter_mut().enumerate() {
            for (word, index) in words.iter_mut().zip(SIGMA[1 + round]) {
                if let Some(known) = message.get(index) {
                    *word = *known;
                }
            }
        }
        schedule
    }

    /// The nonce is the one word that changes, and each round adds it once.
    #[inline(always)]
    fn set_nonces(&mut self, nonces: L) {
        for round in 0..BODY {
            self.0[0][round][NONCE_ADDITION[1 + round]] = nonces;
            self.0[1][round][NONCE_ADDITION[1 + BODY + round]] = nonces;
        }
    }
}

/// Which addition of each round is that of the nonce.
const NONCE_ADDITION: [usize; 12] = {
    let mut additions = [0; 12];
    let mut round = 0;
    while round < 12 {
        while SIGMA[round][additions[round]] != 0 {
            additions[round] += 1;
        }
        round += 1;
    }
    additions
};

/// The first nonce of `start`, `start + 1`, … (`count` of them, wrapping at 2^64) that meets `threshold` for `root`.
#[inline(always)]
pub(super) fn search<L: Lanes>(root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
    // Behind references that the compiler cannot see through, all of this stays in memory: registers hold the states.
    let job = &Job::<L>::new(root, threshold);
    let job = black_box(job);
    let [r0, r1, r2, r3] = job.root;
    let message = [L::splat(0), r0, r1, r2, r3];
    let (mut first, mut second) = (Schedule::new(&message), Schedule::new(&message));
    let (first, second) = (black_box(&mut first), black_box(&mut second));
    // Nor may it see how often the loop runs, or it would write it out.
    let times = black_box(TIMES);
    let mut sums = L::counting(start.as_u64().wrapping_add(SUM));
    let mut done = 0;
    while done < count {
        let more = sums.add(L::splat(L::COUNT.into()));
        let (nonces, more_nonces) = (job.nonces(sums), job.nonces(more));
        first.set_nonces(nonces);
        second.set_nonces(more_nonces);
        let (mut state, mut other) = (job.first_round(sums), job.first_round(more));
        let mut time = 0;
        loop {
            body(&mut state, &mut other, &first.0[time % TIMES], &second.0[time % TIMES]);
            time += 1;
            if time >= times {
                break;
            }
        }
        round::<L, 11>(&mut state, &[nonces, r0, r1, r2, r3]);
        round::<L, 11>(&mut other, &[more_nonces, r0, r1, r2, r3]);
        let hits = job.hits(&state) | job.hits(&other) << L::COUNT;
        if hits != 0 {
            // The last batches may reach past the range; their lowest hit decides, for lanes are in order.
            let offset = done.saturating_add(hits.trailing_zeros());
            return (offset < count).then(|| Nonce::new(start.as_u64().wrapping_add(offset.into())));
        }
        sums = more.add(L::splat(L::COUNT.into()));
        done = done.saturating_add(2 * L::COUNT);
    }
    None
}

/// Five rounds on both states.
#[inline(always)]
fn body<L: Lanes>(state: &mut State<L>, other: &mut State<L>, words: &Words<L>, other_words: &Words<L>) {
    both::<L, 1>(state, other, words, other_words);
    both::<L, 2>(state, other, words, other_words);
    both::<L, 3>(state, other, words, other_words);
    both::<L, 4>(state, other, words, other_words);
    both::<L, 5>(state, other, words, other_words);
}

#[inline(always)]
fn both<L: Lanes, const ROUND: usize>(
    state: &mut State<L>,
    other: &mut State<L>,
    words: &Words<L>,
    other_words: &Words<L>,
) {
    let is_added = |addition: usize| SIGMA[ROUND][addition] < WORDS || SIGMA[ROUND + BODY][addition] < WORDS;
    let word = |addition| is_added(addition).then(|| words[ROUND - 1][addition]);
    let other_word = |addition| is_added(addition).then(|| other_words[ROUND - 1][addition]);
    half_round(state, COLUMNS, word);
    half_round(other, COLUMNS, other_word);
    half_round(state, DIAGONALS, |addition| word(8 + addition));
    half_round(other, DIAGONALS, |addition| other_word(8 + addition));
}
