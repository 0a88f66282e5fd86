//! The names under which a ledger is kept. All have one hash tag, so that a cluster keeps them in one place.

/// What is kept under a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// Hash: format, network, id, owner, token, lease, and how much there is of everything that is only added to.
    Meta,
    /// Hash: a service's name to its record.
    Services,
    /// Hash: an API key's id to its record.
    ApiKeys,
    /// Hash: an API key's id to what it may be used for.
    Limits,
    /// Hash: who is shut out, to its record.
    Bans,
    /// Hash: a service that has opted in to precaching, to its terms.
    Precache,
    /// Hash: a service and an account that is watched for it, to what is known of the account.
    Watches,
    /// Hash: a party to its balance in millicredits.
    Parties,
    /// Hash: a grant's id to its party and amount.
    Grants,
    /// Hash: a party of a service to what of it is held.
    Held,
    /// Hash: an open hold's id to its service, parts and end.
    Holds,
    /// Sorted set: open holds by their end.
    Due,
    /// Hash: a settled hold's id to the number of its settlement.
    Settled,
    /// Stream: settlements by their number.
    Settlements,
    /// Hash: a service and a root to the settlements for it.
    Roots,
    /// Hash: a root and a nonce to the number of the settlement that was the first to pay for it.
    Works,
    /// Stream: postings by their number.
    Journal,
    /// Hash: a purse to the last day on which anything was spent of it, and how much.
    Spent,
}

impl Key {
    /// All of them.
    pub(super) const ALL: [Self; 18] = [
        Self::Meta,
        Self::Services,
        Self::ApiKeys,
        Self::Limits,
        Self::Bans,
        Self::Precache,
        Self::Watches,
        Self::Parties,
        Self::Grants,
        Self::Held,
        Self::Holds,
        Self::Due,
        Self::Settled,
        Self::Settlements,
        Self::Roots,
        Self::Works,
        Self::Journal,
        Self::Spent,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Services => "services",
            Self::ApiKeys => "keys",
            Self::Limits => "key_limits",
            Self::Bans => "bans",
            Self::Precache => "precache",
            Self::Watches => "watches",
            Self::Parties => "parties",
            Self::Grants => "grants",
            Self::Held => "held",
            Self::Holds => "holds",
            Self::Due => "due",
            Self::Settled => "settled",
            Self::Settlements => "settlements",
            Self::Roots => "roots",
            Self::Works => "works",
            Self::Journal => "journal",
            Self::Spent => "spent",
        }
    }

    /// The type that Redis calls it by.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Due => "zset",
            Self::Settlements | Self::Journal => "stream",
            _ => "hash",
        }
    }
}

/// The names of one ledger. No other text ever becomes a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    names: [String; Key::ALL.len()],
}

impl Keys {
    /// Of the ledger of a server.
    pub(super) fn new() -> Self {
        Self::tagged("dpow")
    }

    /// Of one of several ledgers.
    fn tagged(tag: &str) -> Self {
        Self { names: Key::ALL.map(|key| format!("{{{tag}}}:{}", key.name())) }
    }

    /// Of a ledger that no other test uses.
    #[cfg(test)]
    pub(super) fn of_test() -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self::tagged(&format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// The name of a key.
    pub(super) fn name(&self, key: Key) -> &str {
        &self.names[key as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_has_a_name_of_its_own_with_one_hash_tag() {
        let keys = Keys::new();
        let names: BTreeSet<&str> = Key::ALL.iter().map(|key| keys.name(*key)).collect();
        assert_eq!(names.len(), Key::ALL.len());
        assert!(names.iter().all(|name| name.starts_with("{dpow}:")));
        assert_eq!((keys.name(Key::Meta), keys.name(Key::Journal)), ("{dpow}:meta", "{dpow}:journal"));
    }
}
