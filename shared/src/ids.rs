//! Identifiers. Those with time or randomness in them are made by the programs and only carried here.

use core::fmt;
use core::str::FromStr;

use blake2::digest::Digest;
use blake2::digest::consts::U16;
use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::account::{Account, AccountError};
use crate::serde_as_text;

/// A text that is not an identifier of the kind wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{kind} is {form}")]
pub struct BadId {
    kind: &'static str,
    form: &'static str,
}

/// A service's name: 1 to 32 characters of `a-z`, `0-9` and `-`, not beginning with `-`. It is a level of MQTT topics, a part
/// of store keys and a user name, which is why nothing else is allowed in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId {
    bytes: [u8; Self::LENGTH_MAX],
    length: u8,
}

impl ServiceId {
    /// Longest name, in characters.
    pub const LENGTH_MAX: usize = 32;

    /// The name.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl FromStr for ServiceId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = BadId { kind: "a service id", form: "1 to 32 of a-z, 0-9 and -, not beginning with -" };
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty() || text.starts_with('-') || !text.bytes().all(allowed) {
            return Err(bad);
        }
        let mut bytes = [0; Self::LENGTH_MAX];
        bytes.get_mut(..text.len()).ok_or(bad)?.copy_from_slice(text.as_bytes());
        Ok(Self { bytes, length: u8::try_from(text.len()).map_err(|_| bad)? })
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceId({self})")
    }
}

serde_as_text!(ServiceId);

/// A worker's identity: BLAKE2b-128 of `"dpow-worker"` and its 32-byte secret, written as 26 characters of lower-case
/// unpadded base32 (RFC 4648 section 6). It is a function of the secret, so no registry is needed and nobody can take
/// another's. In the binary protocol its 16 bytes as they stand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId([u8; 16]);

impl WorkerId {
    /// Characters of the text form.
    pub const LENGTH: usize = 26;

    /// The id that belongs to a secret.
    pub fn of_secret(secret: &[u8; 32]) -> Self {
        let mut hasher = blake2::Blake2b::<U16>::new();
        hasher.update(b"dpow-worker");
        hasher.update(secret);
        Self(hasher.finalize().into())
    }

    /// Wraps the 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for WorkerId {
    type Err = BadId;

    /// Reads the canonical form only: the bits that pad the last character must be zero.
    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = BadId { kind: "a worker id", form: "26 characters of lower-case unpadded base32" };
        parse_base32(text).map(Self).ok_or(bad)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkerId({self})")
    }
}

serde_as_text!(WorkerId, binary [u8; 16]: |id| id.0, WorkerId);

/// The public part of an API key, which finds its record: 8 random bytes, written as 13 characters of lower-case unpadded base32
/// (RFC 4648 section 6). It is no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// Characters of the text form.
    pub const LENGTH: usize = 13;

    /// Wraps the 8 bytes.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

impl FromStr for KeyId {
    type Err = BadId;

    /// Reads the canonical form only, as for [`WorkerId`].
    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = BadId { kind: "a key id", form: "13 characters of lower-case unpadded base32" };
        parse_base32(text).map(Self).ok_or(bad)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

serde_as_text!(KeyId);

/// Reads bytes from lower-case unpadded base32, in the one spelling that they have.
fn parse_base32<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).ok()?.try_into().ok()
}

/// Who is paid for a worker's results. It comes from the session's login, never from a message. In JSON its text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Payee {
    /// A volunteer's account.
    Account(Account),
    /// The operator's own built-in worker: earns nothing payable.
    House,
}

impl fmt::Display for Payee {
    /// The address, or `house`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => account.fmt(f),
            Self::House => f.write_str("house"),
        }
    }
}

impl FromStr for Payee {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        if text == "house" { Ok(Self::House) } else { text.parse().map(Self::Account) }
    }
}

serde_as_text!(Payee);

/// A connection to a gate, numbered by the gate and never used twice in a process. The session is the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(u64);

impl SessionId {
    /// Wraps the number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A service's name for one request: 128 random bits, written as 32 lower-case hexadecimal digits. Repeating it with the same
/// root and threshold joins the request or fetches its answer again. In the binary protocol 16 bytes, most significant first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u128);

/// A unit of dispatch: the number of the coordinator's run, and a counter within it. Never used twice. Written as 32
/// hexadecimal digits, in the binary protocol as 16 bytes: both numbers most significant byte first, the run before the
/// counter. A worker repeats it and need not understand it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// Drawn at random at each start of a coordinator.
    pub instance: u64,
    /// Counts from 1 within that run, so it tells the age.
    pub counter: u64,
}

/// A hold on a service's credits: the admission that caused it. Its settlement carries the same number, so a repeated
/// settlement is the same settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId {
    /// The run of the coordinator, as in [`JobId`].
    pub instance: u64,
    /// Counts from 1 within that run.
    pub counter: u64,
}

impl HoldId {
    /// Set in the counter of a hold that pays for work computed ahead of demand. So the journal itself tells what was precached,
    /// and what a service's budget has paid for is read from there.
    const PRECACHE: u64 = 1 << 63;

    /// The hold of a precached work.
    pub const fn of_precache(instance: u64, counter: u64) -> Self {
        Self { instance, counter: counter | Self::PRECACHE }
    }

    /// Whether it pays for work that nobody had asked for yet.
    pub const fn is_precache(self) -> bool {
        self.counter & Self::PRECACHE != 0
    }
}

/// One movement of the ledger, named by its cause; repeating it changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(u128);

impl TransferId {
    /// The settlement of a hold.
    pub const fn of_hold(hold: HoldId) -> Self {
        Self(hold.as_u128())
    }

    /// The id of a cause that has a unique text, such as `demo-grant`: BLAKE2b-128 of `"dpow-transfer"` and it.
    pub fn of_cause(cause: &str) -> Self {
        let mut hasher = blake2::Blake2b::<U16>::new();
        hasher.update(b"dpow-transfer");
        hasher.update(cause.as_bytes());
        Self(u128::from_be_bytes(hasher.finalize().into()))
    }
}

macro_rules! id_128 {
    ($name:ident, $kind:literal) => {
        impl $name {
            /// The 128 bits.
            pub const fn as_u128(self) -> u128 {
                self.0
            }
        }

        id_128!(@text $name, $kind, |value| Self(value));
    };
    (pair $name:ident, $kind:literal) => {
        impl $name {
            /// Both numbers, the run in the upper half.
            pub const fn as_u128(self) -> u128 {
                ((self.instance as u128) << 64) | self.counter as u128
            }
        }

        #[expect(clippy::cast_possible_truncation, reason = "the two halves of the number")]
        const _: () = {
            id_128!(@text $name, $kind, |value| Self { instance: (value >> 64) as u64, counter: value as u64 });
        };
    };
    (@text $name:ident, $kind:literal, |$value:ident| $make:expr) => {
        impl $name {
            /// Wraps 128 bits.
            pub const fn from_u128($value: u128) -> Self {
                $make
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            /// Reads exactly 32 hexadecimal digits of any case.
            fn from_str(text: &str) -> Result<Self, BadId> {
                let bad = BadId { kind: $kind, form: "32 hexadecimal digits" };
                let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| bad)?;
                bytes.try_into().map(|bytes| Self::from_u128(u128::from_be_bytes(bytes))).map_err(|_| bad)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.as_u128().to_be_bytes()))
            }
        }

        serde_as_text!(
            $name,
            binary [u8; 16]: |id| id.as_u128().to_be_bytes(), |bytes| $name::from_u128(u128::from_be_bytes(bytes))
        );
    };
}

id_128!(RequestId, "a request id");
id_128!(TransferId, "a transfer id");
id_128!(pair JobId, "a job id");
id_128!(pair HoldId, "a hold id");

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

impl fmt::Debug for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransferId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_ids_cannot_smuggle_topic_levels() {
        for good in ["a", "my-wallet-2", &"x".repeat(32)] {
            assert_eq!(good.parse::<ServiceId>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "A", "a/b", "a#", "+", "a b", "ä", "a_b", &"x".repeat(33)] {
            assert!(bad.parse::<ServiceId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_worker_id_has_one_spelling() {
        let id = WorkerId::of_secret(&[7; 32]);
        let text = id.to_string();
        assert_eq!(text.len(), WorkerId::LENGTH);
        assert_eq!(text.parse::<WorkerId>().unwrap(), id);
        assert!(text.to_uppercase().parse::<WorkerId>().is_err());
        // The last character carries three bits of the id; one with more set is another spelling of the same bytes.
        let other = format!("{}7", &text[..25]);
        assert!(other == text || other.parse::<WorkerId>().is_err());
    }

    #[test]
    fn a_key_id_has_one_spelling() {
        let id = KeyId::from_bytes([0xff; 8]);
        let text = id.to_string();
        assert_eq!((text.as_str(), text.parse()), ("7777777777776", Ok(id)));
        for bad in ["7777777777777", "777777777777", "77777777777766", "AAAAAAAAAAAAA", "aaaaaaaaaaaa1", ""] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_payee_reads_back() {
        let account = Payee::Account(Account::from_public_key([7; 32]));
        for payee in [account, Payee::House] {
            assert_eq!(payee.to_string().parse(), Ok(payee));
            assert_eq!(serde_json::from_value::<Payee>(serde_json::json!(payee)).unwrap(), payee);
        }
        assert!("nobody".parse::<Payee>().is_err());
    }

    #[test]
    fn pairs_and_numbers_are_the_same_text() {
        let job = JobId { instance: 1, counter: 0xab };
        assert_eq!(job.to_string(), "000000000000000100000000000000ab");
        assert_eq!(job.to_string().parse::<JobId>().unwrap(), job);
        assert!("00".parse::<JobId>().is_err());
    }
}
