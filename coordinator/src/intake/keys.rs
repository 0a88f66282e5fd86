//! API keys: how they look, and how they are kept. Whose they are is in `registry`.
//!
//! A key is `dpow_live_<id>_<secret>`: the prefix lets secret scanners recognise it, the id (13 characters of base32) finds its
//! record, the secret has 256 random bits. Kept are the id and a keyed hash of the secret; the key of that hash, the pepper, is
//! not in the store, so that a stolen store authenticates nobody. A slow hash would add nothing to 256 random bits.

use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{KeyInit, Mac};
use shared::{KeyId, ServiceId, Timestamp};
use zeroize::Zeroizing;

use crate::entropy;
use crate::store::{KeyRecord, Label};

const PREFIX: &str = "dpow_live_";

/// What keys are hashed with. Kept in a file beside the store.
#[derive(Clone)]
pub(crate) struct Pepper(Zeroizing<String>);

impl std::fmt::Debug for Pepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pepper")
    }
}

impl Pepper {
    /// Wraps the text of its file.
    pub(crate) const fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// BLAKE2b-256 of a key's secret part, keyed with the pepper. A pepper of 52 characters is within BLAKE2b's 64.
    pub(crate) fn mac(&self, secret: &str) -> [u8; 32] {
        let key: Vec<u8> = self.0.bytes().take(64).collect();
        let mut mac =
            <Blake2bMac<U32> as KeyInit>::new_from_slice(&key).expect("BLAKE2b takes keys of up to 64 bytes");
        mac.update(secret.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// A key that was just made: the only moment at which its text is known.
pub(crate) struct NewKey {
    /// To be shown to its owner, once.
    pub(crate) text: Zeroizing<String>,
    /// To be kept.
    pub(crate) record: KeyRecord,
}

/// What a new key is to be like.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyTerms {
    /// What it is for.
    pub(crate) label: Label,
    /// From when on it is no longer valid, if ever.
    pub(crate) expires: Option<Timestamp>,
}

/// Makes a key for a service.
///
/// # Errors
/// When the system gives no random numbers.
pub(crate) fn issue(
    pepper: &Pepper,
    service: ServiceId,
    terms: KeyTerms,
    at: Timestamp,
) -> Result<NewKey, getrandom::Error> {
    let key = KeyId::from_bytes(entropy::bytes()?);
    let secret = entropy::secret_text()?;
    let text = Zeroizing::new(format!("{PREFIX}{key}_{}", *secret));
    let KeyTerms { label, expires } = terms;
    Ok(NewKey { text, record: KeyRecord { key, service, mac: pepper.mac(&secret), label, at, expires } })
}

/// The id and the secret in the text of a key.
pub(crate) fn parts_of(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix(PREFIX)?.split_once('_')
}
