//! The kernel, and what the host computes for it.

use shared::pow::{Nonce, Root};

use crate::backend::blake2b::{IV, PARAMETERS};

/// The text of the kernel.
pub(super) const TEXT: &str = include_str!("search.cl");
/// Its function.
pub(super) const NAME: &str = "search";

/// How the kernel rotates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rotation {
    /// 64 bits at once.
    Whole,
    /// 32 bits at a time, which is faster where only those can be rotated in one instruction.
    Halves,
}

/// How the kernel is compiled.
pub(super) fn options(work_group: u32, rotation: Rotation) -> String {
    let rotation = match rotation {
        Rotation::Whole => "",
        Rotation::Halves => " -D ROTATE_HALVES",
    };
    format!("-D WORK_GROUP={work_group}{rotation}")
}

/// What the kernel needs to know about a root: the root as words 1 to 4 of the message, and the state after those columns of
/// the first round that the nonce does not touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Constants {
    /// In the order of the kernel's arguments: m1 to m4, then the words of the state.
    pub(super) words: [u64; 16],
}

impl Constants {
    /// Those of a root.
    pub(super) fn of(root: &Root) -> Self {
        let (words, _) = root.as_bytes().as_chunks::<8>();
        let [m1, m2, m3, m4] = core::array::from_fn(|index| u64::from_le_bytes(words[index]));
        let [s1, s5, s9, s13] = mix([IV[1], IV[5], IV[1], IV[5]], [m2, m3]);
        let [s2, s6, s10, s14] = mix([IV[2], IV[6], IV[2], !IV[6]], [m4, 0]);
        let [s3, s7, s11, s15] = mix([IV[3], IV[7], IV[3], IV[7]], [0, 0]);
        // The diagonals 1 and 2 begin with these sums, and the latter goes on with a word that the nonce has not touched.
        let (s1, s2) = (s1.wrapping_add(s6), s2.wrapping_add(s7));
        let s13 = (s13 ^ s2).rotate_right(32);
        Self { words: [m1, m2, m3, m4, s1, s2, s3, s5, s6, s7, s9, s10, s11, s13, s14, s15] }
    }
}

/// The sum that the kernel counts from for a first nonce: words 0 and 4 of the state and the nonce.
pub(super) fn first_sum(start: Nonce) -> u64 {
    (IV[0] ^ PARAMETERS).wrapping_add(IV[4]).wrapping_add(start.as_u64())
}

/// The mixing function `G` of RFC 7693 section 3.1.
fn mix([mut a, mut b, mut c, mut d]: [u64; 4], message: [u64; 2]) -> [u64; 4] {
    for (word, [turn_d, turn_b]) in message.into_iter().zip([[32, 24], [16, 63]]) {
        a = a.wrapping_add(b).wrapping_add(word);
        d = (d ^ a).rotate_right(turn_d);
        c = c.wrapping_add(d);
        b = (b ^ c).rotate_right(turn_b);
    }
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compilers need not take anything else.
    #[test]
    fn the_text_is_ascii_and_ends_with_a_line() {
        assert!(TEXT.is_ascii() && TEXT.ends_with('\n') && !TEXT.contains('\r'));
        assert_eq!(TEXT.matches(&format!("void {NAME}(")).count(), 1);
    }

    #[test]
    fn options_are_those_that_the_text_asks_for() {
        assert_eq!(options(64, Rotation::Whole), "-D WORK_GROUP=64");
        for define in options(256, Rotation::Halves).split("-D ").skip(1) {
            let name = define.split(['=', ' ']).next().unwrap();
            assert!(TEXT.contains(name), "{name}");
        }
    }
}
