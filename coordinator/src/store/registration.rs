//! What is kept beside the money: services, their keys, and workers that an operator has shut out.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shared::link::AddressPrefix;
use shared::{Account, KeyId, Millicredits, Payee, ServiceId, Timestamp, WorkerId, serde_as_text};
use thiserror::Error;

use super::remark::{Label, Reason};

/// Whether a service may ask for work. Its credits stay its own in every state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// It may.
    #[default]
    Active,
    /// Not for now.
    Suspended,
    /// Not any more. To the service the same as suspended; an operator sees that it is meant for good.
    Banned,
}

impl ServiceState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Active, Self::Suspended, Self::Banned];

    /// The word for it, as stores keep it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Banned => "banned",
        }
    }
}

/// A text that is no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a service is active, suspended or banned")]
pub struct BadServiceState;

impl FromStr for ServiceState {
    type Err = BadServiceState;

    fn from_str(text: &str) -> Result<Self, BadServiceState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(BadServiceState)
    }
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A service that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRecord {
    /// Its name.
    pub service: ServiceId,
    /// When it was added.
    pub at: Timestamp,
    /// Whether it may ask.
    pub state: ServiceState,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Why, in an operator's words; empty if nobody has said so.
    pub reason: Reason,
}

/// A key as it is kept: no secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The public part of the key.
    pub key: KeyId,
    /// Whose key it is; must be known.
    pub service: ServiceId,
    /// Keyed hash of the secret part.
    pub mac: [u8; 32],
    /// What it is for, in an operator's words.
    pub label: Label,
    /// When it was issued.
    pub at: Timestamp,
    /// From when on it is no longer valid; `None`: until it is revoked.
    pub expires: Option<Timestamp>,
}

impl KeyRecord {
    /// Whether its time is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// What a key may be used for. By default it is one for real work, which is valid from everywhere and may spend all that its service
/// has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyLimits {
    /// Whether it is for trying things out: then its requests cost nothing, and never reach a worker.
    pub is_test: bool,
    /// Most that its requests may cost in a day (UTC), those under way included; `None`: as much as there is.
    pub spend_per_day: Option<Millicredits>,
    /// From where it is valid.
    pub allow: Addresses,
}

/// The limits of a key, as they are kept. They can be there before the key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitedKey {
    /// Which key.
    pub key: KeyId,
    /// Whose it is; must be known.
    pub service: ServiceId,
    /// What it may be used for.
    pub limits: KeyLimits,
}

/// Ranges of addresses; none stands for all addresses there are. Its text form has commas between them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Addresses(Vec<AddressPrefix>);

/// A text that is no list of address ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "addresses are given with a number of bits each and with commas between them, such as 192.0.2.0/24,2001:db8::/32; at most 16"
)]
pub struct BadAddresses;

impl Addresses {
    /// More is a sign that a network in front should decide.
    const COUNT_MAX: usize = 16;

    /// Whether these are all there are.
    pub const fn are_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address is one of them; one that is not known only if all are meant.
    pub fn contain(&self, address: Option<IpAddr>) -> bool {
        let is_in = |address| self.0.iter().any(|prefix| prefix.contains(address));
        self.are_all() || address.is_some_and(is_in)
    }
}

impl FromStr for Addresses {
    type Err = BadAddresses;

    fn from_str(text: &str) -> Result<Self, BadAddresses> {
        let ranges = text.split(',').map(str::trim).filter(|range| !range.is_empty());
        let ranges: Vec<AddressPrefix> =
            ranges.map(str::parse).collect::<Result<_, _>>().map_err(|_| BadAddresses)?;
        if ranges.len() > Self::COUNT_MAX { Err(BadAddresses) } else { Ok(Self(ranges)) }
    }
}

impl TryFrom<String> for Addresses {
    type Error = BadAddresses;

    fn try_from(text: String) -> Result<Self, BadAddresses> {
        text.parse()
    }
}

impl From<Addresses> for String {
    fn from(addresses: Addresses) -> Self {
        addresses.to_string()
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges: Vec<String> = self.0.iter().map(AddressPrefix::to_string).collect();
        f.write_str(&ranges.join(","))
    }
}

/// A key as a store gives it back, also one whose time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// What was added; its expiry as it was last brought forward.
    pub record: KeyRecord,
    /// When it was last used, as far as the store was told: to about a minute, and not what was not yet told at a crash.
    pub last_used: Option<Timestamp>,
}

/// Which workers are meant: one, or all that are paid to one account. Its text form is the id or the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkerSubject {
    /// One worker.
    Worker(WorkerId),
    /// All workers that are paid to this account.
    Account(Account),
}

impl WorkerSubject {
    /// Whether this worker, paid to this payee, is meant.
    pub fn covers(self, worker: WorkerId, payee: Payee) -> bool {
        match self {
            Self::Worker(subject) => subject == worker,
            Self::Account(subject) => Payee::Account(subject) == payee,
        }
    }
}

/// A text that is neither a worker's id nor an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a worker is named by its id of 26 characters, or by the address that it is paid to")]
pub struct BadWorkerSubject;

impl FromStr for WorkerSubject {
    type Err = BadWorkerSubject;

    fn from_str(text: &str) -> Result<Self, BadWorkerSubject> {
        let worker = text.parse().map(Self::Worker);
        worker.or_else(|_| text.parse().map(Self::Account)).map_err(|_| BadWorkerSubject)
    }
}

impl fmt::Display for WorkerSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(worker) => worker.fmt(f),
            Self::Account(account) => account.fmt(f),
        }
    }
}

serde_as_text!(WorkerSubject);

/// Workers that an operator has shut out. What they have earned stays theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerBan {
    /// Who.
    pub subject: WorkerSubject,
    /// Why, in an operator's words.
    pub reason: Reason,
    /// Since when.
    pub at: Timestamp,
    /// From when on they may come back; `None`: until the ban is lifted.
    pub until: Option<Timestamp>,
}

impl WorkerBan {
    /// Whether it has ended by itself.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// What a worker's results have come to, over all time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerTotal {
    /// Which worker.
    pub worker: WorkerId,
    /// To whom it was paid. A worker that has changed its payout account has a total for each.
    pub payee: Payee,
    /// Works that it has earned with. Each is paid for once.
    pub works: u64,
    /// What they earned, payable or not.
    pub earned: Millicredits,
    /// When the last one was settled.
    pub last: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_reads_back_and_covers_its_own() {
        let (worker, account) = (WorkerId::of_secret(&[1; 32]), Account::from_public_key([7; 32]));
        let (one, all) = (WorkerSubject::Worker(worker), WorkerSubject::Account(account));
        for subject in [one, all] {
            assert_eq!(subject.to_string().parse(), Ok(subject));
        }
        for bad in ["", "house", "nano_1", "aaaaaaaaaaaaa"] {
            assert_eq!(bad.parse::<WorkerSubject>(), Err(BadWorkerSubject), "{bad}");
        }
        let (other, payee) = (WorkerId::of_secret(&[2; 32]), Payee::Account(account));
        assert!(one.covers(worker, payee) && one.covers(worker, Payee::House) && !one.covers(other, payee));
        assert!(all.covers(worker, payee) && all.covers(other, payee) && !all.covers(worker, Payee::House));
    }

    #[test]
    fn addresses_read_back_and_contain_their_own() {
        let some: Addresses = "10.0.0.0/8, 2001:db8::/32".parse().unwrap();
        assert_eq!(some.to_string(), "10.0.0.0/8,2001:db8::/32");
        assert_eq!(some.to_string().parse(), Ok(some.clone()));
        for (address, is_in) in
            [("10.9.9.9", true), ("::ffff:10.9.9.9", true), ("11.0.0.1", false), ("2001:db8::1", true)]
        {
            assert_eq!(some.contain(Some(address.parse().unwrap())), is_in, "{address}");
        }
        let all: Addresses = "".parse().unwrap();
        assert!(all.are_all() && all.contain(None) && !some.contain(None));
        for bad in ["10.0.0.1", "10.0.0.0/33", "all", &["10.0.0.0/8"; 17].join(",")] {
            assert_eq!(bad.parse::<Addresses>(), Err(BadAddresses), "{bad}");
        }
    }

    #[test]
    fn a_state_reads_back() {
        for state in ServiceState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(serde_json::json!(state), state.as_str());
        }
        assert_eq!("Active".parse::<ServiceState>(), Err(BadServiceState));
    }
}
