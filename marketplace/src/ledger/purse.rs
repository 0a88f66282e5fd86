//! What a service has bounded by the day, and what has been spent of it.
//!
//! Always: what is kept as spent of a purse on a day is the sum of what settlements of holds for this purse have charged on that day.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use shared::{KeyId, Millicredits, ServiceId, serde_as_text};
use thiserror::Error;

/// A bound on what may be spent in a day (UTC). A hold is opened for one of them or for none, and what its settlement charges counts
/// there.
///
/// The text form (`key:<id>`, `precache:<service>`) is what stores keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purse {
    /// What the requests of a key may cost.
    Key(KeyId),
    /// What may be computed ahead for a service.
    Precache(ServiceId),
}

/// What was spent of a purse on the last day on which anything was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DaySpent {
    /// Of which.
    pub purse: Purse,
    /// On which day (UTC), counted from 1970.
    pub day: u64,
    /// How much; at least 1 mc.
    pub amount: Millicredits,
}

/// A text that names no purse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a purse is key:<id> or precache:<service>")]
pub struct BadPurse;

impl fmt::Display for Purse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "key:{key}"),
            Self::Precache(service) => write!(f, "precache:{service}"),
        }
    }
}

impl FromStr for Purse {
    type Err = BadPurse;

    fn from_str(text: &str) -> Result<Self, BadPurse> {
        match text.split_once(':') {
            Some(("key", key)) => key.parse().map(Self::Key).map_err(|_| BadPurse),
            Some(("precache", name)) => name.parse().map(Self::Precache).map_err(|_| BadPurse),
            _ => Err(BadPurse),
        }
    }
}

serde_as_text!(Purse);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_reads_back() {
        for purse in [Purse::Key(KeyId::from_bytes([3; 8])), Purse::Precache("my-wallet".parse().unwrap())] {
            assert_eq!(purse.to_string().parse(), Ok(purse));
        }
        for bad in ["", "key", "key:", "key:short", "precache:", "precache:A", "service:wallet"] {
            assert_eq!(bad.parse::<Purse>(), Err(BadPurse), "{bad}");
        }
    }
}
