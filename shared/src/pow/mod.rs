//! Nano work: what is searched for, how it is checked, and how hard it is.
//!
//! A *nonce* has a *difficulty* for a *root*. Work is valid when that difficulty is at least the *threshold* asked for.
//! Expected tries for a threshold `t` are `2^64 / (2^64 - t)`.
//!
//! ```
//! use shared::pow::{Nonce, Root, Threshold, Work};
//!
//! let root: Root = "718CC2121C3E641059BC1C2CFC45666C99E8AE922F7A807B7D07B62C995D79E2".parse().unwrap();
//! let nonce: Nonce = "2b3d689bbcb21dca".parse().unwrap();
//! let threshold: Threshold = "fffffff800000000".parse().unwrap();
//! let work = Work::verify(root, nonce, threshold).expect("the genesis open block's work meets the send threshold");
//! assert_eq!(work.difficulty().to_string(), "fffffff93c41ec94");
//! ```

mod difficulty;
mod hash;
mod hexadecimal;
mod multiplier;
mod nonce;
mod root;
mod threshold;
mod work;

pub use difficulty::Difficulty;
pub use hash::difficulty;
pub use hexadecimal::HexError;
pub use multiplier::{BadMultiplier, Multiplier};
pub use nonce::Nonce;
pub use root::Root;
pub use threshold::Threshold;
pub use work::Work;
