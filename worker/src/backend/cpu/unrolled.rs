//! The search with all rounds written out, one batch of nonces at a time: for instruction sets with few registers.
#![expect(clippy::inline_always, reason = "it becomes part of the entry function of each instruction set")]

use core::hint::black_box;

use shared::pow::{Nonce, Root, Threshold};

use super::compression::{Job, SUM, State, round};
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
    round::<L, 11>(&mut state, &message);
    state
}
