//! What work is computed for.

use core::fmt;
use core::str::FromStr;

use data_encoding::{HEXLOWER_PERMISSIVE, HEXUPPER};

use super::hexadecimal::{HexError, check_digits};
use crate::serde_as_text;

/// The 32 bytes that work is computed for: the hash of the account's previous block, or its public key for the first block.
/// Bytes stand in the order in which the text reads. The node's API calls it `hash`.
///
/// # Source
/// nanocurrency/nano-node `nano/lib/blocks.cpp`, `root` of each block type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Root([u8; 32]);

impl Root {
    /// Wraps 32 bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 1 to 64 hexadecimal digits of any case, zero-extended on the left, as the node's RPC does.
    ///
    /// # Errors
    /// [`HexError`] when the text is empty, longer than 64 digits or not hexadecimal.
    pub fn parse_padded(text: &str) -> Result<Self, HexError> {
        if text.is_empty() || text.len() > 64 {
            return Err(HexError::Length { expected: 64, found: text.len() });
        }
        check_digits(text)?;
        format!("{text:0>64}").parse()
    }
}

impl FromStr for Root {
    type Err = HexError;

    /// Reads exactly 64 hexadecimal digits of any case.
    fn from_str(text: &str) -> Result<Self, HexError> {
        if text.len() != 64 {
            return Err(HexError::Length { expected: 64, found: text.len() });
        }
        check_digits(text)?;
        let mut bytes = [0; 32];
        HEXLOWER_PERMISSIVE
            .decode_mut(text.as_bytes(), &mut bytes)
            .map_err(|partial| HexError::Digit { position: partial.error.position + 1 })?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Root {
    /// 64 upper-case hexadecimal digits, as the node writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXUPPER.encode(&self.0))
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({self})")
    }
}

serde_as_text!(Root, binary [u8; 32]: |root| root.0, Root);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_zero_extended_on_the_left() {
        let root = Root::parse_padded("aB").unwrap();
        assert_eq!(root.as_bytes()[31], 0xab);
        assert_eq!(root.to_string(), format!("{:0>64}", "AB"));
    }

    #[test]
    fn wrong_text_is_refused_with_its_position() {
        assert_eq!(Root::parse_padded(""), Err(HexError::Length { expected: 64, found: 0 }));
        assert_eq!(Root::parse_padded(&"0".repeat(65)), Err(HexError::Length { expected: 64, found: 65 }));
        assert_eq!(Root::parse_padded("+1"), Err(HexError::Digit { position: 1 }));
        assert_eq!(format!("{}g", "0".repeat(63)).parse::<Root>(), Err(HexError::Digit { position: 64 }));
        assert_eq!("é".repeat(32).parse::<Root>(), Err(HexError::Digit { position: 1 }));
    }
}
