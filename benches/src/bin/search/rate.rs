//! Nonces a second of each instruction set, beside one hash per call of `blake2b_simd`, on one thread.

use std::hint::black_box;
use std::time::Duration;

use benches::figures::{Figures, Unit};
use blake2b_simd::Params;
use shared::pow::{Nonce, Root, Threshold};
use worker::backend::cpu::{Instructions, available};

use crate::clock::{cycles_per_second, since, thread_time};

/// How long each side is measured before it is the other's turn.
const SLICE: Duration = Duration::from_millis(30);
/// What no nonce meets, so that no hit ends a slice.
const NEVER: Threshold = Threshold::new(u64::MAX);
/// Nonces between two looks at the clock.
const CHUNK: u32 = 8192;

/// In each round, each instruction set in turn, and the yardstick before and after it: a ratio is that of a slice to the mean of its
/// two neighbours.
pub(crate) fn measure(rounds: u32, figures: &mut Figures) {
    let sets = available();
    // Caches, clocks and pages as they will be.
    yardstick();
    for set in &sets {
        search(set.as_ref());
    }
    for round in 1..=rounds {
        let mut before = yardstick();
        let clock = cycles_per_second();
        for set in &sets {
            let rate = search(set.as_ref());
            let after = yardstick();
            figures.begin(round, set.set().name());
            figures.add("nonces, one thread", Unit::PerSecond, rate);
            figures.add("over `blake2b_simd`, one hash per call", Unit::Ratio, 2.0 * rate / (before + after));
            figures.add("cycles per nonce", Unit::Count, clock / rate);
            before = after;
        }
        figures.begin(round, "blake2b_simd");
        figures.add("nonces, one thread", Unit::PerSecond, before);
        figures.add("cycles per nonce", Unit::Count, clock / before);
    }
}

/// Nonces a second.
fn search(instructions: &dyn Instructions) -> f64 {
    let root = Root::new([0x5a; 32]);
    let mut start = 0_u64;
    per_second(|| {
        black_box(instructions.search(black_box(&root), NEVER, Nonce::new(start), CHUNK));
        start = start.wrapping_add(CHUNK.into());
    })
}

/// Hashes a second of the yardstick: 40 bytes to 8, compared as a search would.
fn yardstick() -> f64 {
    let mut input = [0x5a; 40];
    let mut parameters = Params::new();
    parameters.hash_length(8);
    let mut start = 0_u64;
    per_second(|| {
        for nonce in start..start + u64::from(CHUNK) {
            input[..8].copy_from_slice(&nonce.to_le_bytes());
            let hash = parameters.hash(black_box(&input));
            let (word, _) = hash.as_bytes().split_first_chunk::<8>().expect("it has 8 bytes");
            black_box(u64::from_le_bytes(*word) >= NEVER.as_u64());
        }
        start += u64::from(CHUNK);
    })
}

/// Does it for a slice of this thread's own time, and returns nonces a second.
#[expect(clippy::cast_precision_loss, reason = "a measurement")]
fn per_second(mut chunk: impl FnMut()) -> f64 {
    let (start, mut chunks) = (thread_time(), 0_u64);
    loop {
        chunk();
        chunks += 1;
        let elapsed = since(start);
        if elapsed >= SLICE {
            return (chunks * u64::from(CHUNK)) as f64 / elapsed.as_secs_f64();
        }
    }
}
