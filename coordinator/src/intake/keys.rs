//! API keys: how they look, and how they are kept. Whose they are is in `registry`.
//!
//! A key is `dpow_live_<id>_<secret>`, or `dpow_test_…` if it is for trying things out: the prefix lets secret scanners recognise it, the id (13 characters of base32) finds its
//! record, the secret has 256 random bits. Kept are the id and a keyed hash of the secret; the key of that hash, the pepper, is
//! not in the store, so that a stolen store authenticates nobody. A slow hash would add nothing to 256 random bits.

use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shared::{KeyId, ServiceId, Timestamp};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::entropy;
use crate::store::{KeyRecord, Label};

const LIVE: &str = "dpow_live_";
const TEST: &str = "dpow_test_";
/// Characters of base32 that 256 bits take.
const SECRET_LENGTH: usize = 52;

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

/// The whole text of a key, secret part included. Shown to its owner once, and kept nowhere.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KeyText {
    text: Zeroizing<String>,
    key: KeyId,
    is_test: bool,
}

/// A text that is no key. It is not repeated: it may be one that was mistyped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a key is `dpow_live_` or `dpow_test_`, 13 characters, `_` and 52 characters of lower-case base32")]
pub(crate) struct BadKeyText;

impl KeyText {
    /// Draws a new one, for real work or for trying things out.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub(crate) fn draw(is_test: bool) -> Result<Self, getrandom::Error> {
        let (key, prefix) = (KeyId::from_bytes(entropy::bytes()?), if is_test { TEST } else { LIVE });
        let text = Zeroizing::new(format!("{prefix}{key}_{}", *entropy::secret_text()?));
        Ok(Self { text, key, is_test })
    }

    /// Its public part.
    pub(crate) const fn key(&self) -> KeyId {
        self.key
    }

    /// Whether it is for trying things out.
    pub(crate) const fn is_test(&self) -> bool {
        self.is_test
    }

    /// All of it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// What is kept of it.
    pub(crate) fn record(
        &self,
        pepper: &Pepper,
        service: ServiceId,
        terms: KeyTerms,
        at: Timestamp,
    ) -> KeyRecord {
        let secret = parts_of(&self.text).map_or("", |parts| parts.secret);
        let KeyTerms { label, expires } = terms;
        KeyRecord { key: self.key, service, mac: pepper.mac(secret), label, at, expires }
    }
}

impl std::fmt::Debug for KeyText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyText({}_…)", self.key)
    }
}

impl TryFrom<String> for KeyText {
    type Error = BadKeyText;

    /// Takes nothing with less than 256 bits of secret.
    fn try_from(text: String) -> Result<Self, BadKeyText> {
        let text = Zeroizing::new(text);
        let Parts { is_test, id, secret } = parts_of(&text).ok_or(BadKeyText)?;
        let key = id.parse().map_err(|_| BadKeyText)?;
        let is_whole = secret.len() == SECRET_LENGTH
            && secret.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
        if is_whole { Ok(Self { text, key, is_test }) } else { Err(BadKeyText) }
    }
}

impl Serialize for KeyText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
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
    let text = KeyText::draw(false)?;
    let record = text.record(pepper, service, terms, at);
    Ok(NewKey { text: text.text, record })
}

/// What the text of a key is made of.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// Whether it says that it is for trying things out.
    pub(crate) is_test: bool,
    /// What finds its record.
    pub(crate) id: &'a str,
    /// What proves it.
    pub(crate) secret: &'a str,
}

/// Takes the text of a key apart.
pub(crate) fn parts_of(text: &str) -> Option<Parts<'_>> {
    let live = text.strip_prefix(LIVE).map(|rest| (false, rest));
    let (is_test, rest) = live.or_else(|| text.strip_prefix(TEST).map(|rest| (true, rest)))?;
    let (id, secret) = rest.split_once('_')?;
    Some(Parts { is_test, id, secret })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_key_reads_back_and_is_never_shown() {
        assert!(KeyText::draw(true).unwrap().as_str().starts_with(TEST));
        let text = KeyText::draw(false).unwrap();
        let json = serde_json::to_string(&text).unwrap();
        assert_eq!(serde_json::from_str::<KeyText>(&json).unwrap(), text);
        let secret = parts_of(text.as_str()).unwrap().secret;
        assert!(!format!("{text:?}").contains(secret));
        let whole = text.as_str();
        for bad in [
            whole[..whole.len() - 1].to_owned(),
            format!("{whole}a"),
            whole.to_uppercase(),
            whole.replacen("live", "best", 1),
            format!("{}1", &whole[..whole.len() - 1]),
            format!("{LIVE}_{secret}"),
            String::new(),
        ] {
            assert_eq!(KeyText::try_from(bad.clone()), Err(BadKeyText), "{bad}");
        }
    }
}
