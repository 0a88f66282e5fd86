//! Verified work.

use super::{Difficulty, Nonce, Root, Threshold, difficulty};

/// A nonce that has been hashed for its root and found to meet a threshold. Only [`Work::verify`] constructs it, so holding
/// one is the proof; anything that arrives from outside is a root and a nonce until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Work {
    root: Root,
    nonce: Nonce,
    difficulty: Difficulty,
}

impl Work {
    /// Hashes `nonce` for `root` and returns the work if it meets `threshold`.
    pub fn verify(root: Root, nonce: Nonce, threshold: Threshold) -> Option<Self> {
        let difficulty = difficulty(&root, nonce);
        difficulty.meets(threshold).then_some(Self { root, nonce, difficulty })
    }

    /// The root it is valid for.
    pub const fn root(&self) -> Root {
        self.root
    }

    /// The nonce.
    pub const fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// What the nonce attains; may be far above the threshold that was asked for.
    pub const fn difficulty(&self) -> Difficulty {
        self.difficulty
    }

    /// Whether it answers a demand for `threshold`.
    pub const fn meets(&self, threshold: Threshold) -> bool {
        self.difficulty.meets(threshold)
    }
}
