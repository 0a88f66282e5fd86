//! The kernel against the plain function of `shared::pow`.

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use shared::pow::{Difficulty, Nonce, Root, Threshold, difficulty};

use super::pocl::{Range, pocl};
use crate::backend::opencl::kernel::Rotation;

const VECTORS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/tests/vectors/work.json"));
const ROTATIONS: [Rotation; 2] = [Rotation::Whole, Rotation::Halves];

fn exactly(difficulty: Difficulty) -> Threshold {
    Threshold::new(difficulty.as_u64())
}

/// The nonces from `start` on.
fn nonces(start: Nonce, size: u64) -> impl Iterator<Item = Nonce> {
    (0..size).map(move |offset| Nonce::new(start.as_u64().wrapping_add(offset)))
}

/// The best nonce of a range, and the threshold that it alone meets.
fn best(root: &Root, start: Nonce, size: u64) -> (Nonce, Threshold) {
    let best = nonces(start, size).max_by_key(|nonce| difficulty(root, *nonce)).unwrap();
    (best, exactly(difficulty(root, best)))
}

#[test]
fn every_vector_is_found_and_nothing_is_found_one_above_it() {
    let Some(device) = pocl("every vector") else { return };
    let vectors: serde_json::Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    assert!(vectors.len() > 10);
    for rotation in ROTATIONS {
        let mut range = Range::open(&device, 1, 1, rotation);
        for vector in vectors {
            let text = |key: &str| vector[key].as_str().unwrap();
            let (root, nonce): (Root, Nonce) = (text("hash").parse().unwrap(), text("work").parse().unwrap());
            let attained: Difficulty = text("difficulty").parse().unwrap();
            assert_eq!(
                range.search(&root, exactly(attained), nonce, 1),
                Some(nonce),
                "{rotation:?} {vector}"
            );
            if let Some(above) = attained.as_u64().checked_add(1) {
                let found = range.search(&root, Threshold::new(above), nonce, 1);
                assert_eq!(found, None, "{rotation:?} {vector}");
            }
        }
    }
}

/// The best nonce of a window is put into the place of each nonce of each item, just before the range and just past it; around
/// carries into the upper half, the end of the numbers and nonce 0.
#[test]
fn a_hit_is_found_in_every_place_of_every_item_and_nowhere_else() {
    let Some(device) = pocl("hits in every item") else { return };
    let mut range = Range::open(&device, 4, 3, Rotation::Whole);
    let size = 2 * range.granule();
    for middle in [0_u64, 1 << 32, 1 << 63, u64::MAX, 0x0123_4567_89ab_cdef] {
        let root = Root::new([0x5a; 32]);
        let (best, threshold) = best(&root, Nonce::new(middle.wrapping_sub(32)), 64);
        for place in 0..=size {
            let start = Nonce::new(best.as_u64().wrapping_sub(place));
            let expected = (place < size).then_some(best);
            // The window does not reach as far as some of these ranges, in which there may then be a better one.
            let is_alone =
                nonces(start, size).all(|nonce| nonce == best || !difficulty(&root, nonce).meets(threshold));
            if is_alone {
                assert_eq!(range.search(&root, threshold, start, size), expected, "{middle:x} {place}");
            }
        }
        let start = Nonce::new(best.as_u64().wrapping_add(1));
        if nonces(start, size).all(|nonce| !difficulty(&root, nonce).meets(threshold)) {
            assert_eq!(range.search(&root, threshold, start, size), None, "{middle:x} before");
        }
    }
}

#[test]
fn zero_is_a_nonce_like_any_other() {
    let Some(device) = pocl("nonce 0") else { return };
    let mut range = Range::open(&device, 4, 4, Rotation::Whole);
    let (root, zero) = (Root::new([7; 32]), Nonce::new(0));
    // Of a job that finds it first, of one that finds it in the midst of the range, and of one in whose range it is not.
    let threshold = exactly(difficulty(&root, zero));
    for before in [0, 1, 15] {
        let start = Nonce::new(0_u64.wrapping_sub(before));
        let found = range.search(&root, threshold, start, 16).unwrap();
        assert!(difficulty(&root, found).meets(threshold));
    }
    assert_eq!(range.search(&root, Threshold::new(u64::MAX), zero, 16), None);
    let mut single = Range::open(&device, 1, 1, Rotation::Whole);
    assert_eq!(single.search(&root, threshold, zero, 1), Some(zero));
}

/// All nonces are hits: one of them is reported, whole. Then none is, although the result of the job before still stands there.
#[test]
fn of_several_hits_one_is_reported_and_the_next_job_knows_nothing_of_it() {
    let Some(device) = pocl("several hits in one launch") else { return };
    let mut range = Range::open(&device, 64, 16, Rotation::Whole);
    let size = 4 * range.granule();
    for start in [0, u64::MAX - 5, 0x0123_4567_ffff_fff0] {
        let (root, start) = (Root::new([9; 32]), Nonce::new(start));
        for bits in [0, 1, 6] {
            let threshold = Threshold::new(!(u64::MAX >> bits));
            let found = range.search(&root, threshold, start, size).unwrap();
            assert!(found.as_u64().wrapping_sub(start.as_u64()) < size, "{found}");
            assert!(difficulty(&root, found).meets(threshold), "{found}");
            assert_eq!(range.search(&root, Threshold::new(u64::MAX), start, size), None);
        }
    }
}

/// A range is found to have a hit exactly when it has one, wherever it begins.
#[test]
fn the_kernel_finds_what_the_plain_function_finds() {
    let Some(device) = pocl("random ranges") else { return };
    let range = RefCell::new(Range::open(&device, 8, 16, Rotation::Halves));
    let size = range.borrow().granule();
    let near = |edge: u64| (0..200_u64).prop_map(move |before| edge.wrapping_sub(before));
    let starts =
        prop_oneof![any::<u64>(), near(0), near(1 << 32), near(1 << 63), near(0xffff_ffff_0000_0000)];
    let cases = (any::<[u8; 32]>(), starts, 0..12_u32);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) };
    TestRunner::new(config)
        .run(&cases, |(root, start, bits)| {
            let (root, start, threshold) =
                (Root::new(root), Nonce::new(start), Threshold::new(!(u64::MAX >> bits)));
            let found = range.borrow_mut().search(&root, threshold, start, size);
            let hits: Vec<_> =
                nonces(start, size).filter(|nonce| difficulty(&root, *nonce).meets(threshold)).collect();
            prop_assert_eq!(found.is_some(), !hits.is_empty());
            prop_assert!(found.is_none_or(|nonce| hits.contains(&nonce)));
            Ok(())
        })
        .unwrap();
}
