//! Holders of credits.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use shared::{Account, Payee, ServiceId, serde_as_text};
use thiserror::Error;

/// Who holds credits. Its balance is what it was credited less what it was debited, in millicredits.
///
/// Always: only [`Party::Issuance`] may be below zero. The built-in worker's payee has no payable party, by construction.
///
/// The text form (`granted:my-wallet`, `payable:nano_…`) is what stores keep and auditors read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// Where credits come from: minus the sum of all that were ever given out.
    Issuance,
    /// The operator: fees, and works that were sold again.
    House,
    /// A service's credits that were given to it.
    Granted(ServiceId),
    /// A service's credits that it bought.
    Paid(ServiceId),
    /// Earnings that will be paid out to this account.
    Payable(Account),
    /// Earnings from granted credits, and all that the built-in worker earns: counted, never paid out.
    NonPayable(Payee),
}

/// Which of a service's credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bucket {
    /// Given away: spent first, and earnings from them are not payable.
    Granted,
    /// Bought.
    Paid,
}

/// A text that names no party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a party is issuance, house, granted:<service>, paid:<service>, payable:<address> or nonpayable:<address or house>"
)]
pub struct BadParty;

impl Party {
    /// The party that holds this kind of credits for a service.
    pub const fn of_service(service: ServiceId, bucket: Bucket) -> Self {
        match bucket {
            Bucket::Granted => Self::Granted(service),
            Bucket::Paid => Self::Paid(service),
        }
    }

    /// Whether its balance may be below zero.
    pub const fn may_owe(self) -> bool {
        matches!(self, Self::Issuance)
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuance => f.write_str("issuance"),
            Self::House => f.write_str("house"),
            Self::Granted(service) => write!(f, "granted:{service}"),
            Self::Paid(service) => write!(f, "paid:{service}"),
            Self::Payable(account) => write!(f, "payable:{account}"),
            Self::NonPayable(payee) => write!(f, "nonpayable:{payee}"),
        }
    }
}

impl FromStr for Party {
    type Err = BadParty;

    fn from_str(text: &str) -> Result<Self, BadParty> {
        let service = |name: &str| name.parse().map_err(|_| BadParty);
        let account = |address: &str| address.parse().map_err(|_| BadParty);
        match text.split_once(':') {
            None if text == "issuance" => Ok(Self::Issuance),
            None if text == "house" => Ok(Self::House),
            Some(("granted", name)) => service(name).map(Self::Granted),
            Some(("paid", name)) => service(name).map(Self::Paid),
            Some(("payable", address)) => account(address).map(Self::Payable),
            Some(("nonpayable", "house")) => Ok(Self::NonPayable(Payee::House)),
            Some(("nonpayable", address)) => {
                account(address).map(|account| Self::NonPayable(Payee::Account(account)))
            }
            _ => Err(BadParty),
        }
    }
}

serde_as_text!(Party);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_reads_back() {
        let service: ServiceId = "my-wallet".parse().unwrap();
        let account = Account::from_public_key([7; 32]);
        for party in [
            Party::Issuance,
            Party::House,
            Party::Granted(service),
            Party::Paid(service),
            Party::Payable(account),
            Party::NonPayable(Payee::Account(account)),
            Party::NonPayable(Payee::House),
        ] {
            assert_eq!(party.to_string().parse(), Ok(party));
        }
    }

    #[test]
    fn the_built_in_worker_has_no_payable_party() {
        for bad in [
            "payable:house",
            "",
            "issuance:",
            "house:x",
            "granted:",
            "granted:A",
            "paid",
            "payable:nano_1",
            "other:x",
        ] {
            assert_eq!(bad.parse::<Party>(), Err(BadParty), "{bad}");
        }
    }
}
