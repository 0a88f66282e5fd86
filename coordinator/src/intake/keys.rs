//! API keys: how they look, how they are kept, and whose they are.
//!
//! A key is `dpow_live_<id>_<secret>`: the prefix lets secret scanners recognise it, the id (13 characters of base32) finds its
//! record, the secret has 256 random bits. Kept are the id and a keyed hash of the secret; the key of that hash, the pepper, is
//! not in the store, so that a stolen store authenticates nobody. A slow hash would add nothing to 256 random bits.

use std::collections::BTreeMap;

use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{KeyInit, Mac};
use shared::{ServiceId, Timestamp};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::entropy;
use crate::store::KeyRecord;

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
    fn mac(&self, secret: &str) -> [u8; 32] {
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

/// Makes a key for a service.
///
/// # Errors
/// When the system gives no random numbers.
pub(crate) fn issue(pepper: &Pepper, service: ServiceId, at: Timestamp) -> Result<NewKey, getrandom::Error> {
    let id = entropy::base32(&entropy::bytes::<8>()?);
    let secret = entropy::secret_text()?;
    let text = Zeroizing::new(format!("{PREFIX}{id}_{}", *secret));
    Ok(NewKey { text, record: KeyRecord { mac: pepper.mac(&secret), key: id, service, at } })
}

/// All keys that are valid.
#[derive(Debug)]
pub(crate) struct Keys {
    pepper: Pepper,
    by_id: BTreeMap<String, (ServiceId, [u8; 32])>,
}

impl Keys {
    /// From what the store keeps.
    pub(crate) fn new(pepper: Pepper, records: Vec<KeyRecord>) -> Self {
        let by_id = records.into_iter().map(|record| (record.key, (record.service, record.mac))).collect();
        Self { pepper, by_id }
    }

    /// Adds a key that the store has taken.
    pub(crate) fn add(&mut self, record: KeyRecord) {
        self.by_id.insert(record.key, (record.service, record.mac));
    }

    /// Whose key this is. Takes as long for an unknown id as for a wrong secret.
    pub(crate) fn service_of(&self, text: &str) -> Option<ServiceId> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let known = self.by_id.get(id);
        let expected = known.map_or([0; 32], |(_, mac)| *mac);
        let is_equal = bool::from(self.pepper.mac(secret).ct_eq(&expected));
        known.filter(|_| is_equal).map(|(service, _)| *service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pepper(text: &str) -> Pepper {
        Pepper::new(Zeroizing::new(text.into()))
    }

    #[test]
    fn a_key_opens_its_own_service_and_nothing_else_does() {
        let service: ServiceId = "wallet".parse().unwrap();
        let key = issue(&pepper("p"), service, Timestamp::default()).unwrap();
        let mac = key.record.mac;
        let keys = Keys::new(pepper("p"), vec![key.record.clone()]);
        assert_eq!(keys.service_of(&key.text), Some(service));
        assert_eq!(key.text.len(), PREFIX.len() + 13 + 1 + 52);
        let last = if key.text.ends_with('a') { "b" } else { "a" };
        let changed = format!("{}{last}", &key.text[..key.text.len() - 1]);
        let other_id = key.text.replacen(&key.record.key, "aaaaaaaaaaaaa", 1);
        let stolen = format!("{PREFIX}{}_{}", key.record.key, entropy::base32(&mac));
        for wrong in [changed, other_id, stolen, String::new(), PREFIX.into(), format!("{PREFIX}_")] {
            assert_eq!(keys.service_of(&wrong), None, "{wrong}");
        }
        let elsewhere = Keys::new(pepper("q"), vec![key.record]);
        assert_eq!(elsewhere.service_of(&key.text), None, "a store without its pepper authenticates nobody");
    }
}
