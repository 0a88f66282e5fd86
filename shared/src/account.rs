//! Nano accounts and their text form.

use core::fmt;
use core::str::FromStr;

use blake2::digest::Digest;
use blake2::digest::consts::U5;
use thiserror::Error;

use crate::serde_as_text;

/// The digits of an address, by value.
const ALPHABET: &[u8; 32] = b"13456789abcdefghijkmnopqrstuwxyz";
/// Digits of the public key (260 bits, of which the first four are zero).
const KEY_DIGITS: usize = 52;
/// Digits of the checksum (40 bits).
const CHECKSUM_DIGITS: usize = 8;

/// A Nano account: a 32-byte public key. Its text form is the *address*: prefix, 52 digits of the key, 8 of its checksum.
/// `nano_…` and `xrb_…` with the same digits are the same account.
///
/// ```
/// use shared::Account;
///
/// let old: Account = "xrb_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3".parse().unwrap();
/// assert_eq!(old.to_string(), "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3");
/// ```
///
/// # Source
/// nanocurrency/nano-node `nano/lib/numbers.cpp`, `encode_account` and `decode_account`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account([u8; 32]);

/// The part of an address before the digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prefix {
    /// `nano_`
    Nano,
    /// `xrb_`, Nano's former prefix; read, never written.
    Xrb,
    /// `ban_`
    Ban,
}

/// Why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AccountError {
    /// It does not begin with a known prefix.
    #[error("an address begins with nano_ or xrb_ (ban_ on Banano)")]
    Prefix,
    /// It is too long or too short.
    #[error("an address has 60 characters after its prefix, found {found}")]
    Length {
        /// How many were there.
        found: usize,
    },
    /// A character is not a digit of addresses.
    #[error("character {position} of the address is wrong: {reason}")]
    Digit {
        /// Position in the whole text, counted from 1.
        position: usize,
        /// What is allowed there.
        reason: &'static str,
    },
    /// The digits are all legal, but one of them is not the one meant.
    #[error("the checksum of the address does not match: a character is mistyped or missing")]
    Checksum,
    /// It is an address of another network.
    #[error("this network's addresses begin with {expected}")]
    Network {
        /// The prefix wanted.
        expected: &'static str,
    },
}

impl Prefix {
    /// The text, with its underscore.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nano => "nano_",
            Self::Xrb => "xrb_",
            Self::Ban => "ban_",
        }
    }
}

impl Account {
    /// Wraps a public key.
    pub const fn from_public_key(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The public key.
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.0
    }

    /// Writes the address with this prefix.
    pub fn to_address(self, prefix: Prefix) -> String {
        let mut address = String::with_capacity(5 + KEY_DIGITS + CHECKSUM_DIGITS);
        address.push_str(prefix.as_str());
        let (high, low) = split(&self.0);
        for index in 0..KEY_DIGITS {
            address.push(digit(shift_right(high, low, 5 * (KEY_DIGITS - 1 - index))));
        }
        let checksum = checksum(&self.0);
        for index in 0..CHECKSUM_DIGITS {
            address.push(digit(checksum >> (5 * (CHECKSUM_DIGITS - 1 - index))));
        }
        address
    }

    /// Reads an address with any known prefix, and says which it was.
    ///
    /// # Errors
    /// [`AccountError`] with the position of the first wrong character where there is one.
    pub fn parse_with_prefix(text: &str) -> Result<(Self, Prefix), AccountError> {
        let prefix = [Prefix::Nano, Prefix::Xrb, Prefix::Ban]
            .into_iter()
            .find(|prefix| text.starts_with(prefix.as_str()))
            .ok_or(AccountError::Prefix)?;
        let start = prefix.as_str().len();
        let digits = &text.as_bytes()[start..];
        if digits.len() != KEY_DIGITS + CHECKSUM_DIGITS {
            return Err(AccountError::Length { found: text[start..].chars().count() });
        }
        let mut values = [0_u8; KEY_DIGITS + CHECKSUM_DIGITS];
        for (index, (value, byte)) in values.iter_mut().zip(digits).enumerate() {
            let found =
                ALPHABET.iter().position(|letter| letter == byte).and_then(|found| u8::try_from(found).ok());
            *value = found.ok_or(AccountError::Digit {
                position: start + index + 1,
                reason: "only 1, 3-9 and a-z without l and v are used",
            })?;
        }
        if values[0] > 1 {
            return Err(AccountError::Digit { position: start + 1, reason: "it must be 1 or 3 here" });
        }
        let key = join(&values[..KEY_DIGITS]);
        let given = values[KEY_DIGITS..].iter().fold(0_u64, |sum, value| (sum << 5) | u64::from(*value));
        if given == checksum(&key) { Ok((Self(key), prefix)) } else { Err(AccountError::Checksum) }
    }
}

/// The two halves of a key as big-endian integers.
fn split(key: &[u8; 32]) -> (u128, u128) {
    let half = |range: core::ops::Range<usize>| {
        key[range].iter().fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte))
    };
    (half(0..16), half(16..32))
}

/// The low 64 bits of `(high:low) >> bits`, for `bits` below 256.
#[expect(clippy::cast_possible_truncation, reason = "only the low bits are wanted")]
const fn shift_right(high: u128, low: u128, bits: usize) -> u64 {
    (match bits {
        0 => low,
        1..=127 => (low >> bits) | (high << (128 - bits)),
        _ => high >> (bits - 128),
    }) as u64
}

/// The digit for the low five bits.
const fn digit(value: u64) -> char {
    ALPHABET[(value & 31) as usize] as char
}

/// The key whose 52 five-bit digits these are; the four bits that overflow are zero by the check of the first digit.
fn join(values: &[u8]) -> [u8; 32] {
    let (mut high, mut low) = (0_u128, 0_u128);
    for value in values {
        high = (high << 5) | (low >> 123);
        low = (low << 5) | u128::from(*value);
    }
    let mut key = [0; 32];
    key[..16].copy_from_slice(&high.to_be_bytes());
    key[16..].copy_from_slice(&low.to_be_bytes());
    key
}

/// The 40-bit checksum: BLAKE2b with a 5-byte digest, its bytes reversed, read as a big-endian number.
fn checksum(key: &[u8; 32]) -> u64 {
    let digest: [u8; 5] = blake2::Blake2b::<U5>::digest(key).into();
    digest.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

impl FromStr for Account {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        Self::parse_with_prefix(text).map(|(account, _)| account)
    }
}

impl fmt::Display for Account {
    /// The address with the prefix `nano_`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_address(Prefix::Nano))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({self})")
    }
}

serde_as_text!(Account, binary [u8; 32]: |account| account.0, Account);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_single_wrong_character_is_noticed() {
        let address = "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3";
        for index in 0..address.len() {
            for byte in b"0123456789abcdefghijklmnopqrstuvwxyzABC_ " {
                let mut changed = address.as_bytes().to_vec();
                if changed[index] == *byte {
                    continue;
                }
                changed[index] = *byte;
                let changed = String::from_utf8(changed).unwrap();
                assert!(changed.parse::<Account>().is_err(), "{changed}");
            }
        }
    }

    #[test]
    fn an_error_points_at_the_character() {
        let error = "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohl3"
            .parse::<Account>()
            .unwrap_err();
        assert_eq!(
            error,
            AccountError::Digit { position: 64, reason: "only 1, 3-9 and a-z without l and v are used" }
        );
    }
}
