//! Where money and finished work are kept: verbs, not tables. Nothing outside this folder knows which store runs.
//!
//! Always: each verb is atomic, and idempotent by the id it carries. Balances change through verbs alone. All parties'
//! balances sum to zero.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use shared::pow::{Difficulty, Nonce, Root, Threshold};
use shared::{HoldId, Millicredits, Payee, ServiceId, Timestamp, TransferId, WorkerId};
use thiserror::Error;

/// One movement or registration, to be carried out atomically.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Makes a service known. Adding it again changes nothing.
    AddService {
        /// Its name.
        service: ServiceId,
        /// When.
        at: Timestamp,
    },
    /// Keeps a key of a service. The same key id with another MAC is refused.
    AddKey(KeyRecord),
    /// Gives a service credits.
    Grant {
        /// Names the cause; repeating it gives nothing more.
        transfer: TransferId,
        /// Who receives them; must be known.
        service: ServiceId,
        /// How many.
        amount: Millicredits,
        /// Which kind.
        bucket: Bucket,
        /// When.
        at: Timestamp,
    },
    /// Sets credits of a service aside, granted ones first.
    Hold {
        /// Names the admission.
        hold: HoldId,
        /// Whose.
        service: ServiceId,
        /// How many.
        amount: Millicredits,
        /// When the store may release it by itself.
        expires: Timestamp,
    },
    /// Pays for a work out of a hold, and closes it.
    Settle(Settlement),
    /// Gives a hold back, and closes it.
    Release {
        /// Which.
        hold: HoldId,
    },
    /// Releases all holds that have expired.
    Expire {
        /// The present.
        now: Timestamp,
    },
}

/// A key as it is kept: no secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The public part of the key.
    pub key: String,
    /// Whose key it is; must be known.
    pub service: ServiceId,
    /// Keyed hash of the secret part.
    pub mac: [u8; 32],
    /// When it was issued.
    pub at: Timestamp,
}

/// Which credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bucket {
    /// Given away: spent first, and earnings from them are not payable.
    Granted,
    /// Bought.
    Paid,
}

/// Everything that decides what a settlement moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The hold that pays; its number is also the settlement's.
    pub hold: HoldId,
    /// Whose hold it is.
    pub service: ServiceId,
    /// The work.
    pub root: Root,
    /// The work.
    pub nonce: Nonce,
    /// The work.
    pub difficulty: Difficulty,
    /// What the request asked for: an earlier settlement of this service that meets it within 24 h makes this one free.
    pub threshold: Threshold,
    /// Who found the work; paid if this is the first settlement on it.
    pub worker: WorkerId,
    /// Whom that worker's results pay.
    pub payee: Payee,
    /// When.
    pub at: Timestamp,
}

/// What became of a verb. In the order of the verbs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Done; also when it had been done before.
    Done,
    /// [`Verb::AddService`], [`Verb::AddKey`] or [`Verb::Grant`] was refused. Nothing has changed.
    Refused(VerbRefused),
    /// [`Verb::Hold`] succeeded, now or earlier. The parts sum to the amount.
    Held {
        /// Part from granted credits.
        granted: Millicredits,
        /// Part from paid credits.
        paid: Millicredits,
    },
    /// [`Verb::Hold`] failed: the service has fewer credits free than it asked for, or is not known.
    HoldRefused {
        /// What it has.
        available: Millicredits,
    },
    /// [`Verb::Settle`] succeeded, now or earlier.
    Settled {
        /// What the service paid; zero when it had paid for such work before.
        charged: Millicredits,
        /// What it may still spend.
        balance: Millicredits,
        /// What the worker earned, payable or not; zero unless this was the first settlement on the work.
        earned: Millicredits,
    },
    /// [`Verb::Settle`] failed: the hold has been released or has expired. Nothing was charged.
    HoldGone,
    /// [`Verb::Release`]: the hold is closed, now or earlier.
    Released,
    /// [`Verb::Expire`]: these holds have been released.
    Expired {
        /// Which.
        holds: Vec<HoldId>,
    },
}

/// Why a registration or grant was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum VerbRefused {
    /// The service is not known.
    #[error("this service does not exist; add it first")]
    UnknownService,
    /// The id was used before with other contents.
    #[error("this id was used before for something else")]
    Mismatch,
    /// A balance would leave the range that the ledger keeps.
    #[error("this would take the balance beyond 2^53 millicredits")]
    OutOfRange,
}

/// What a service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Balance {
    /// Free credits that were granted.
    pub granted: Millicredits,
    /// Free credits that were paid for.
    pub paid: Millicredits,
    /// Set aside for open requests.
    pub held: Millicredits,
}

impl Balance {
    /// What it may spend: granted and paid, without what is held.
    pub fn available(&self) -> Millicredits {
        [self.granted, self.paid].into_iter().sum()
    }
}

/// A settled work, as the market loads it again at a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettledWork {
    /// Who settled it.
    pub service: ServiceId,
    /// The work.
    pub root: Root,
    /// The work.
    pub nonce: Nonce,
    /// Who found it.
    pub worker: WorkerId,
    /// Whom that worker's results pay.
    pub payee: Payee,
    /// When.
    pub at: Timestamp,
}

/// Why the store cannot answer. Always: none of the batch's verbs took effect, or the caller cannot know; repeat them.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It cannot be reached, or its disk is full; it may come back.
    #[error("the ledger cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It has stopped for good, for instance because the disk did not keep what it was told to.
    #[error("the ledger has stopped")]
    Stopped,
}

/// A value that comes later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The ledger and what belongs to it.
pub trait Store: Send + Sync + 'static {
    /// Carries out the verbs in order, each atomically, and answers in the same order once what they moved is durable.
    fn execute(&self, verbs: Vec<Verb>) -> Later<'_, Vec<Answer>>;

    /// What a service has; `None` when it is not known.
    fn balance(&self, service: ServiceId) -> Later<'_, Option<Balance>>;

    /// Postings from this sequence number on, oldest first, at most `count`.
    fn journal(&self, from: u64, count: usize) -> Later<'_, Vec<marketplace::ledger::JournalEntry>>;

    /// All keys.
    fn keys(&self) -> Later<'_, Vec<KeyRecord>>;

    /// The latest settlements since `since`, newest first, at most `count`.
    fn settled_since(&self, since: Timestamp, count: usize) -> Later<'_, Vec<SettledWork>>;
}
