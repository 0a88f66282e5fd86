//! Hexadecimal text of fixed-width values, as the Nano node reads and writes it.

use thiserror::Error;

/// Why a text is not the hexadecimal value that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HexError {
    /// The number of digits is not the one required.
    #[error("expected {expected} hexadecimal digits, found {found} characters")]
    Length {
        /// How many digits the value has.
        expected: usize,
        /// How many characters were there.
        found: usize,
    },
    /// A character is not one of `0-9 a-f A-F`.
    #[error("character {position} is not a hexadecimal digit")]
    Digit {
        /// Position of the first wrong character, counted from 1.
        position: usize,
    },
}

/// Refuses anything but hexadecimal digits. `u64::from_str_radix` alone would accept a sign.
pub(super) fn check_digits(text: &str) -> Result<(), HexError> {
    match text.bytes().position(|byte| !byte.is_ascii_hexdigit()) {
        Some(index) => Err(HexError::Digit { position: index + 1 }),
        None => Ok(()),
    }
}

/// Reads 1 to 16 digits of any case; short text is zero-extended on the left.
pub(super) fn parse_u64_padded(text: &str) -> Result<u64, HexError> {
    if text.is_empty() || text.len() > 16 {
        return Err(HexError::Length { expected: 16, found: text.len() });
    }
    check_digits(text)?;
    u64::from_str_radix(text, 16).map_err(|_| HexError::Digit { position: 1 })
}

/// Reads exactly 16 digits of any case.
pub(super) fn parse_u64(text: &str) -> Result<u64, HexError> {
    if text.len() == 16 {
        parse_u64_padded(text)
    } else {
        Err(HexError::Length { expected: 16, found: text.len() })
    }
}

/// Gives a 64-bit newtype its text form (16 lower-case digits, zero padded) and its wire form: that text where the
/// format is human-readable (JSON), the integer elsewhere (postcard).
macro_rules! hex_u64 {
    ($name:ident) => {
        impl $name {
            /// Wraps the integer.
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The integer.
            pub const fn as_u64(self) -> u64 {
                self.0
            }

            /// Reads 1 to 16 hexadecimal digits of any case, zero-extended on the left, as the node's RPC does.
            ///
            /// # Errors
            /// [`HexError`](crate::pow::HexError) when the text is empty, longer than 16 digits or not hexadecimal.
            pub fn parse_padded(text: &str) -> Result<Self, $crate::pow::HexError> {
                $crate::pow::hexadecimal::parse_u64_padded(text).map(Self)
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::pow::HexError;

            /// Reads exactly 16 hexadecimal digits of any case.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::pow::hexadecimal::parse_u64(text).map(Self)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({:016x})"), self.0)
            }
        }

        $crate::serde_as_text!($name, binary u64: |value| value.0, $name);
    };
}
pub(super) use hex_u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_padded_only_where_the_node_pads_it() {
        for (text, value) in [
            ("0", 0),
            ("aB", 0xab),
            ("FFFFFFFFFFFFFFFF", u64::MAX),
            ("fffffff800000000", 0xffff_fff8_0000_0000),
        ] {
            assert_eq!(parse_u64_padded(text), Ok(value));
            let exact = if text.len() == 16 {
                Ok(value)
            } else {
                Err(HexError::Length { expected: 16, found: text.len() })
            };
            assert_eq!(parse_u64(text), exact, "{text}");
        }
    }

    #[test]
    fn anything_but_digits_is_refused_with_its_position() {
        for (text, position) in [
            ("+ffffff800000000", 1),
            ("-000000000000001", 1),
            ("0xfffff800000000", 2),
            ("fffffff80000000 ", 16),
            ("fffffff8_0000000", 9),
            ("fffffff80000000g", 16),
            ("ffffffé80000000", 7),
        ] {
            assert_eq!(parse_u64_padded(text), Err(HexError::Digit { position }), "{text}");
            assert_eq!(parse_u64(text), Err(HexError::Digit { position }), "{text}");
        }
        for text in ["", "00000000000000000"] {
            assert_eq!(
                parse_u64_padded(text),
                Err(HexError::Length { expected: 16, found: text.len() }),
                "{text}"
            );
        }
    }
}
