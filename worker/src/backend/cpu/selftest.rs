//! Whether an instruction set computes what it should.

use shared::pow::{Nonce, Root, Threshold, difficulty};
use thiserror::Error;

use super::Instructions;

/// The nonces of a window; as many on either side of its middle.
const WINDOW: u64 = 64;
/// More than a batch of any instruction set, so that the best nonce of a window comes to be in every lane of it.
const PLACES: u64 = 33;
/// Where carries are: from the low half of a nonce to the high one, into the top bit, and from the last nonce to the first.
const MIDDLES: [u64; 3] = [1 << 32, 1 << 63, 0];

/// A known work of the network: a root, and a nonce that somebody has used for it.
const WORK: (&str, u64) =
    ("718CC2121C3E641059BC1C2CFC45666C99E8AE922F7A807B7D07B62C995D79E2", 0x2b3d_689b_bcb2_1dca);

/// An instruction set has not found what the plain function finds: a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "it computes wrong results: of {count} nonces from {start} on it finds {}, and the plain function {}",
    describe(*.found),
    describe(*.expected)
)]
pub struct Fault {
    /// Where the search began.
    pub start: Nonce,
    /// How many nonces it was over.
    pub count: u32,
    /// What the plain function of `shared::pow` finds there.
    pub expected: Option<Nonce>,
    /// What was found.
    pub found: Option<Nonce>,
}

fn describe(nonce: Option<Nonce>) -> String {
    nonce.map_or_else(|| "nothing".into(), |nonce| nonce.to_string())
}

/// Has the instruction set search what is known: a work of the network, and the best nonce of windows over each carry, in every
/// lane; and one above each, which must not be found. Always the same, and done in a millisecond.
///
/// # Errors
/// [`Fault`], the first one.
pub fn selftest(instructions: &dyn Instructions) -> Result<(), Fault> {
    let (root, nonce) = WORK;
    if let Ok(root) = root.parse() {
        try_range(instructions, &root, Nonce::new(nonce), 1, Nonce::new(nonce))?;
    }
    for middle in MIDDLES {
        let root = Root::new(*b"the root that all are tried with");
        let first = middle.wrapping_sub(WINDOW / 2);
        let nonces = (0..WINDOW).map(|offset| Nonce::new(first.wrapping_add(offset)));
        let Some(best) = nonces.max_by_key(|nonce| difficulty(&root, *nonce)) else { continue };
        for place in 0..PLACES {
            // Up to the best nonce and not one further: what lies behind it has not been compared with it.
            let start = Nonce::new(best.as_u64().wrapping_sub(place));
            try_range(instructions, &root, start, place + 1, best)?;
        }
    }
    Ok(())
}

/// Has `count` nonces searched for what the one at their end attains, and for one above that.
fn try_range(
    instructions: &dyn Instructions,
    root: &Root,
    start: Nonce,
    count: u64,
    last: Nonce,
) -> Result<(), Fault> {
    let attained = difficulty(root, last).as_u64();
    let nonces = (0..count).map(|offset| Nonce::new(start.as_u64().wrapping_add(offset)));
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    for threshold in [Some(attained), attained.checked_add(1)].into_iter().flatten().map(Threshold::new) {
        let expected = nonces.clone().find(|nonce| difficulty(root, *nonce).meets(threshold));
        let found = instructions.search(root, threshold, start, count);
        if found != expected {
            return Err(Fault { start, count, expected, found });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::backend::cpu::{InstructionSet, available};

    #[test]
    fn every_instruction_set_of_this_processor_passes() {
        for instructions in available() {
            assert_eq!(selftest(instructions.as_ref()), Ok(()), "{}", instructions.set());
        }
    }

    /// The known work attains more than a send needs: it is not just any nonce.
    #[test]
    fn the_known_work_is_one() {
        let (root, nonce) = WORK;
        let attained = difficulty(&root.parse().unwrap(), Nonce::new(nonce));
        assert!(attained.meets(shared::Network::Live.receive_threshold()), "{attained}");
    }

    /// What a processor with a fault may do to one search of all.
    #[derive(Debug)]
    struct Broken {
        sound: std::sync::Arc<dyn Instructions>,
        calls: AtomicU32,
        fails: u32,
    }

    impl Instructions for Broken {
        fn set(&self) -> InstructionSet {
            self.sound.set()
        }

        fn search(&self, root: &Root, threshold: Threshold, start: Nonce, count: u32) -> Option<Nonce> {
            let found = self.sound.search(root, threshold, start, count);
            if self.calls.fetch_add(1, Ordering::Relaxed) != self.fails {
                return found;
            }
            match found {
                Some(_) => None,
                None => Some(start),
            }
        }
    }

    #[test]
    fn a_single_fault_anywhere_is_found() {
        let calls = 2 * (1 + 3 * 33);
        for fails in 0..=calls {
            let broken = Broken { sound: crate::backend::cpu::fastest(), calls: AtomicU32::new(0), fails };
            let result = selftest(&broken);
            assert_eq!(result.is_err(), fails < calls, "{fails} {result:?}");
        }
    }

    #[test]
    fn a_fault_is_a_sentence() {
        let fault = Fault { start: Nonce::new(5), count: 3, expected: Some(Nonce::new(7)), found: None };
        assert_eq!(
            fault.to_string(),
            "it computes wrong results: of 3 nonces from 0000000000000005 on it finds nothing, and the plain function \
             0000000000000007"
        );
    }
}
