//! The 32 bytes that a worker's identity is derived from.

use core::fmt;
use core::str::FromStr;

use data_encoding::HEXLOWER;
use shared::WorkerId;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// A worker's secret: it is the password of the login, and the worker's id is a hash of it.
///
/// Always: shown by no `Debug`, and wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret([u8; 32]);

/// A text that is not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a secret is 64 lower-case hexadecimal digits")]
pub struct BadSecret;

impl Secret {
    /// A new one, from the system's random numbers.
    ///
    /// # Errors
    /// When the system has none.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut secret = Self([0; 32]);
        getrandom::fill(&mut secret.0)?;
        Ok(secret)
    }

    /// Wraps 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The id that belongs to it.
    pub fn worker_id(&self) -> WorkerId {
        WorkerId::of_secret(&self.0)
    }

    /// The 64 lower-case hexadecimal digits: the password, and the content of its file.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(HEXLOWER.encode(&self.0))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl FromStr for Secret {
    type Err = BadSecret;

    fn from_str(text: &str) -> Result<Self, BadSecret> {
        if text.len() != 64 {
            return Err(BadSecret);
        }
        let mut secret = Self([0; 32]);
        HEXLOWER.decode_mut(text.as_bytes(), &mut secret.0).map_err(|_| BadSecret)?;
        Ok(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
