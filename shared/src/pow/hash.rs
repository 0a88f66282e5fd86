//! The work function itself. This scalar form is the oracle that every faster search is checked against.

use blake2::digest::Digest;
use blake2::digest::consts::U8;

use super::{Difficulty, Nonce, Root};

/// The difficulty that `nonce` attains for `root`.
///
/// `difficulty = u64_le(blake2b(digest_size = 8, no key, nonce as 8 bytes little-endian || root as 32 bytes))`. The digest
/// length is a parameter of BLAKE2b, so this is not a longer digest cut off.
///
/// # Source
/// nanocurrency/nano-node `nano/lib/config.cpp`, difficulty of `work_v1`.
pub fn difficulty(root: &Root, nonce: Nonce) -> Difficulty {
    let mut hasher = blake2::Blake2b::<U8>::new();
    hasher.update(nonce.as_u64().to_le_bytes());
    hasher.update(root.as_bytes());
    Difficulty::new(u64::from_le_bytes(hasher.finalize().into()))
}
