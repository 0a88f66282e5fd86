//! The only source of randomness.

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

/// Random bytes from the operating system.
///
/// # Errors
/// When it has none to give, which on a running system it always has.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A text of 256 random bits: 52 characters of lower-case base32.
///
/// # Errors
/// As [`bytes()`].
pub(crate) fn secret_text() -> Result<Zeroizing<String>, getrandom::Error> {
    let secret = Zeroizing::new(bytes::<32>()?);
    Ok(Zeroizing::new(base32(secret.as_slice())))
}

/// Lower-case unpadded base32 (RFC 4648 section 6).
pub(crate) fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}
