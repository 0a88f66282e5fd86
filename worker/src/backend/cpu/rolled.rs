//! The search of two batches of nonces side by side, with two of its rounds as a loop: for instruction sets with 32 registers,
//! which hold the states of both.
//!
//! One batch alone waits for its own results much of the time, and two with all rounds written out are more instructions
//! than processors keep decoded. With one round in a loop that runs twice they are fewer than that. In the loop a word of
//! the message is added wherever either of the two rounds has one, so some of what is added is zero; rounds 7 and 8 are
//! those that are the most alike. All words of the message are read from memory: registers hold the states.
#![expect(clippy::inline_always, reason = "it becomes part of the entry function of each instruction set")]

use core::hint::black_box;

use shared::pow::{Nonce, Root, Threshold};

use super::compression::{COLUMNS, DIAGONALS, Job, SIGMA, SUM, State, WORDS, half_round, last_round};
use super::lanes::Lanes;

/// The first of the rounds in the loop.
const LOOPED: usize = 7;
/// How often the loop runs, and so how many rounds are in it.
const TIMES: usize = 2;

/// What is read from memory for one batch. The nonces are first, so that their address needs no instruction.
#[repr(C)]
struct Batch<L> {
    nonces: L,
    /// The words of the message as the loop adds them, each time that it runs: for each of the 16 additions of a round.
    looped: [[L; 16]; TIMES],
    job: Job<L>,
    /// From the nonces of a pass to those of the next one.
    step: L,
    sum: L,
}

impl<L: Lanes> Batch<L> {
    /// A batch of which the first pass is to begin at `start`.
    #[inline(always)]
    fn new(root: &Root, threshold: Threshold, start: u64) -> Self {
        let (zero, job) = (L::splat(0), Job::new(root, threshold));
        let message = message(&zero, job.root.each_ref());
        let mut looped = [[zero; 16]; TIMES];
        for (time, words) in looped.iter_mut().enumerate() {
            for (word, index) in words.iter_mut().zip(SIGMA[LOOPED + time]) {
                if let Some(known) = message.get(index) {
                    *word = **known;
                }
            }
        }
        let step = 2 * u64::from(L::COUNT);
        let nonces = L::counting(start.wrapping_sub(step));
        Self { nonces, looped, job, step: L::splat(step), sum: L::splat(SUM) }
    }

    /// Goes on to the next nonces, and does the first round with them.
    #[inline(always)]
    fn begin(&mut self) -> State<L> {
        let nonces = self.nonces.add(self.step);
        self.nonces = nonces;
        for (time, words) in self.looped.iter_mut().enumerate() {
            words[NONCE_ADDITION[LOOPED + time]] = nonces;
        }
        self.job.first_round(nonces.add(self.sum))
    }
}

/// The words of the message that are not zero, where they are.
#[inline(always)]
fn message<'a, L>(nonces: &'a L, [r0, r1, r2, r3]: [&'a L; 4]) -> [&'a L; WORDS] {
    [nonces, r0, r1, r2, r3]
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
    // Behind references that the compiler cannot see through, all of this stays in memory, and what both batches read is not
    // kept in a register from one to the other.
    let first = &mut Batch::<L>::new(root, threshold, start.as_u64());
    let second = &mut Batch::<L>::new(root, threshold, start.as_u64().wrapping_add(L::COUNT.into()));
    let (first, second) = (black_box(first), black_box(second));
    let [r0, r1, r2, r3] = &Job::<L>::new(root, threshold).root;
    let root = [black_box(r0), black_box(r1), black_box(r2), black_box(r3)];
    // Nor may it see how often the loop runs, or it would write it out.
    let times = black_box(TIMES);
    let mut done = 0;
    while done < count {
        let (mut state, mut other) = (first.begin(), second.begin());
        both::<L, 1>(&mut state, &mut other, first, second, root);
        both::<L, 2>(&mut state, &mut other, first, second, root);
        both::<L, 3>(&mut state, &mut other, first, second, root);
        both::<L, 4>(&mut state, &mut other, first, second, root);
        both::<L, 5>(&mut state, &mut other, first, second, root);
        both::<L, 6>(&mut state, &mut other, first, second, root);
        let mut time = 0;
        loop {
            looped(&mut state, &mut other, &first.looped[time % TIMES], &second.looped[time % TIMES]);
            time += 1;
            if time >= times {
                break;
            }
        }
        both::<L, 9>(&mut state, &mut other, first, second, root);
        both::<L, 10>(&mut state, &mut other, first, second, root);
        last_round(&mut state, message(&first.nonces, root));
        last_round(&mut other, message(&second.nonces, root));
        let hits = first.job.hits(&state) | second.job.hits(&other) << L::COUNT;
        if hits != 0 {
            // The last batches may reach past the range; their lowest hit decides, for lanes are in order.
            let offset = done.saturating_add(hits.trailing_zeros());
            return (offset < count).then(|| Nonce::new(start.as_u64().wrapping_add(offset.into())));
        }
        done = done.saturating_add(2 * L::COUNT);
    }
    None
}

/// Round `ROUND` on both states.
#[inline(always)]
fn both<L: Lanes, const ROUND: usize>(
    state: &mut State<L>,
    other: &mut State<L>,
    first: &Batch<L>,
    second: &Batch<L>,
    root: [&L; 4],
) {
    let (message, other_message) = (message(&first.nonces, root), message(&second.nonces, root));
    let add_word =
        |index: usize, sum: L| message.get(SIGMA[ROUND][index]).map_or(sum, |word| sum.add_from(word));
    let add_other =
        |index: usize, sum: L| other_message.get(SIGMA[ROUND][index]).map_or(sum, |word| sum.add_from(word));
    both_halves(state, other, add_word, add_other);
}

/// Either of the rounds in the loop, on both states.
#[inline(always)]
fn looped<L: Lanes>(state: &mut State<L>, other: &mut State<L>, words: &[L; 16], other_words: &[L; 16]) {
    let is_added = |index: usize| SIGMA[LOOPED..LOOPED + TIMES].iter().any(|round| round[index] < WORDS);
    let add_word = |index: usize, sum: L| if is_added(index) { sum.add(words[index]) } else { sum };
    let add_other = |index: usize, sum: L| if is_added(index) { sum.add(other_words[index]) } else { sum };
    both_halves(state, other, add_word, add_other);
}

#[inline(always)]
fn both_halves<L: Lanes>(
    state: &mut State<L>,
    other: &mut State<L>,
    add_word: impl Fn(usize, L) -> L,
    add_other: impl Fn(usize, L) -> L,
) {
    half_round::<_, _, true>(state, COLUMNS, &add_word);
    half_round::<_, _, true>(other, COLUMNS, &add_other);
    half_round::<_, _, true>(state, DIAGONALS, |index, sum| add_word(8 + index, sum));
    half_round::<_, _, true>(other, DIAGONALS, |index, sum| add_other(8 + index, sum));
}
