//! Every instruction set of this processor against the plain function of `shared::pow`.

use proptest::prelude::*;
use shared::pow::{Difficulty, Nonce, Root, Threshold, difficulty};
use worker::backend::cpu::available;

const VECTORS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/tests/vectors/work.json"));

/// The specification of `Instructions::search`, by hashing one nonce after the other.
fn first_hit(root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
    let nonces = (0..u64::from(count)).map(|offset| Nonce::new(start.as_u64().wrapping_add(offset)));
    nonces.into_iter().find(|nonce| difficulty(root, *nonce).meets(threshold))
}

#[track_caller]
fn check(root: &Root, threshold: Threshold, start: Nonce, count: u32) {
    let expected = first_hit(root, threshold, start, count);
    for instructions in available() {
        let found = instructions.search(root, threshold, start, count);
        assert_eq!(
            found,
            expected,
            "{} root {root} threshold {threshold} start {start} count {count}",
            instructions.set()
        );
    }
}

fn exactly(difficulty: Difficulty) -> Threshold {
    Threshold::new(difficulty.as_u64())
}

#[test]
fn every_vector_is_found_and_nothing_is_found_one_above_it() {
    let vectors: serde_json::Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    assert!(vectors.len() > 10);
    for vector in vectors {
        let text = |key: &str| vector[key].as_str().unwrap();
        let root: Root = text("hash").parse().unwrap();
        let nonce: Nonce = text("work").parse().unwrap();
        let attained: Difficulty = text("difficulty").parse().unwrap();
        for instructions in available() {
            let name = instructions.set();
            assert_eq!(
                instructions.search(&root, exactly(attained), nonce, 1),
                Some(nonce),
                "{name} {vector}"
            );
            if let Some(above) = attained.as_u64().checked_add(1) {
                assert_eq!(
                    instructions.search(&root, Threshold::new(above), nonce, 1),
                    None,
                    "{name} {vector}"
                );
            }
        }
        for before in 0..20 {
            check(&root, exactly(attained), Nonce::new(nonce.as_u64().wrapping_sub(before)), 32);
        }
    }
}

/// The best nonce of a window is put into each lane of the first and second batch, at the end of the range and just past it.
#[test]
fn a_hit_is_found_in_every_lane_and_not_past_the_end() {
    for middle in [0_u64, 1 << 32, 1 << 63, u64::MAX, 0x0123_4567_89ab_cdef] {
        let root = Root::new([0x5a; 32]);
        let window = (0..64).map(|offset| Nonce::new(middle.wrapping_add(offset).wrapping_sub(32)));
        let best = window.max_by_key(|nonce| difficulty(&root, *nonce)).unwrap();
        let threshold = exactly(difficulty(&root, best));
        for lane in 0..33_u32 {
            let start = Nonce::new(best.as_u64().wrapping_sub(u64::from(lane)));
            for instructions in available() {
                let search = |count| instructions.search(&root, threshold, start, count);
                assert_eq!(search(lane), None, "{} lane {lane}", instructions.set());
                assert_eq!(search(lane + 1), Some(best), "{} lane {lane}", instructions.set());
                assert_eq!(search(lane + 40), Some(best), "{} lane {lane}", instructions.set());
            }
        }
    }
}

#[test]
fn zero_is_a_nonce_like_any_other() {
    let root = Root::new([7; 32]);
    let zero = Nonce::new(0);
    let threshold = exactly(difficulty(&root, zero));
    for instructions in available() {
        assert_eq!(instructions.search(&root, threshold, zero, 1), Some(zero), "{}", instructions.set());
    }
    for before in 0..33 {
        check(&root, threshold, Nonce::new(0_u64.wrapping_sub(before)), 34);
    }
}

#[test]
fn the_first_of_several_hits_is_taken_and_equal_is_enough() {
    let root = Root::new([9; 32]);
    for instructions in available() {
        for start in [0, 5, u64::MAX - 3] {
            let start = Nonce::new(start);
            assert_eq!(
                instructions.search(&root, Threshold::new(0), start, 100),
                Some(start),
                "{}",
                instructions.set()
            );
            assert_eq!(
                instructions.search(&root, Threshold::new(0), start, 0),
                None,
                "{}",
                instructions.set()
            );
            assert_eq!(
                instructions.search(&root, Threshold::new(u64::MAX), start, 100),
                None,
                "{}",
                instructions.set()
            );
        }
    }
}

/// Starts anywhere, and more often where a carry or the end of the numbers is near.
fn starts() -> impl Strategy<Value = u64> {
    let near = |edge: u64| (0..40_u64).prop_map(move |before| edge.wrapping_sub(before));
    prop_oneof![any::<u64>(), near(0), near(1 << 32), near(1 << 63), near(0xffff_ffff_0000_0000)]
}

/// From thresholds that most nonces meet, so that a batch has several hits, to such that few of a range do.
fn thresholds() -> impl Strategy<Value = u64> {
    (0..9_u32, any::<u64>()).prop_map(|(bits, rest)| !(u64::MAX >> bits) | (rest >> (bits + 1)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn all_find_what_the_plain_function_finds(
        root in any::<[u8; 32]>(), threshold in thresholds(), start in starts(), count in 0..100_u32,
    ) {
        check(&Root::new(root), Threshold::new(threshold), Nonce::new(start), count);
    }
}
