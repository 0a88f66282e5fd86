//! The value that is searched for.

use super::hexadecimal::hex_u64;

/// The 8 bytes searched for. Hashed little-endian; written as the 16 hexadecimal digits of the integer, so the text reads
/// the hashed bytes backwards. The node's API calls it `work`. Zero is a legal nonce.
///
/// # Source
/// nanocurrency/nano-node `nano/lib/config.cpp`, difficulty of `work_v1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(u64);

hex_u64!(Nonce);
