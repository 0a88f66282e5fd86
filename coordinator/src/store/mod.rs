//! Where money and finished work are kept: verbs, not tables. Nothing outside this folder knows which store runs.
//!
//! What always holds in every store, and the function of the conformance suite that proves it:
//!
//! | invariant | test |
//! |---|---|
//! | a verb repeated with its id has the same answer and moves nothing more | `conformance::repeating_changes_nothing` |
//! | an id is never used for two things | `conformance::an_id_means_one_thing` |
//! | nothing is held or spent that is not there | `conformance::nothing_is_spent_twice` |
//! | a hold is closed once: settled, released or expired | `conformance::a_hold_closes_once` |
//! | a work pays its worker once, whoever settles first | `conformance::a_work_is_paid_for_once`, `conformance::a_refused_settlement_passes_the_pay_on` |
//! | asking again within 24 h is free, and two at once pay once | `conformance::asking_again_is_free`, `conformance::two_at_once_pay_once` |
//! | the journal replays to the balances, which sum to zero | `conformance::prove`, at the end of each test |
//! | what is payable was bought and spent, less the fee: no mix of own services and own workers profits | `conformance::prove` |
//! | granted credits and the built-in worker's earnings are never paid out | `conformance::granted_credits_are_not_paid_out`, `conformance::the_built_in_worker_earns_nothing_payable` |
//! | a key is never valid for longer than it was, whatever is repeated | `conformance::a_key_only_ever_ends_earlier` |
//! | the last limits of a key hold, also when they were there before it | `conformance::limits_of_keys_are_kept` |
//! | a service's state, a key's end or a ban moves no credits | `conformance::shutting_out_moves_no_credits` |
//! | opting in to precaching, and watching accounts, moves no credits | `conformance::watching_moves_no_credits` |
//! | what is spent of a purse in a day is what settlements of its holds charged on that day | `conformance::what_is_spent_in_a_day_is_kept` |
//! | what workers' totals say they earned is what the journal says | `conformance::prove` |
//! | all stores give equal answers to equal verbs | `random::random_verbs_agree` |

mod copy;
pub mod memory;
mod place;
pub mod redis;
mod registration;
mod remark;
pub mod sqlite;

#[cfg(test)]
mod conformance;
#[cfg(test)]
pub(crate) mod intercepted;
#[cfg(test)]
mod random;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

pub use self::copy::{CopyError, copy};
pub use self::place::{OpenError, Place};
pub use self::registration::{
    Addresses, BadAddresses, BadServiceState, BadWorkerSubject, KeyLimits, KeyRecord, KnownKey, LimitedKey,
    ServiceRecord, ServiceState, WorkerBan, WorkerSubject, WorkerTotal,
};
pub use self::remark::{BadRemark, Label, Reason, Remark};
use marketplace::ledger::audit::{Audit, Report};
pub use marketplace::ledger::{Bucket, DaySpent, Purse};
use marketplace::ledger::{JournalEntry, Party};
pub use marketplace::precache::{PrecacheTerms, Watch};
use serde::{Deserialize, Serialize};
use shared::pow::{Difficulty, Nonce, Root, Threshold};
use shared::{Account, HoldId, KeyId, Millicredits, Payee, ServiceId, Timestamp, TransferId, WorkerId};
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
    /// Allows or forbids a service to ask. What it is already, it stays, and since when and why.
    SetServiceState {
        /// Which; must be known.
        service: ServiceId,
        /// From now on.
        state: ServiceState,
        /// Why, if somebody wants to say so.
        reason: Reason,
        /// When.
        at: Timestamp,
    },
    /// Keeps a key of a service. The same key id for another service, or with another MAC or label, is refused. A key that is
    /// kept already stays as it is: adding it again does not prolong it.
    AddKey(KeyRecord),
    /// Says what a key may be used for, in place of what was said before. The key need not be known yet, its service must.
    LimitKey(LimitedKey),
    /// Sets the time from which on a key is no longer valid, or brings it forward; never later. Now: it is revoked.
    ExpireKey {
        /// Which; must be known.
        key: KeyId,
        /// From when on.
        at: Timestamp,
    },
    /// These keys were used at these times; times before the ones that are known, and unknown keys, change nothing.
    KeysUsed {
        /// Which, and when.
        used: Vec<(KeyId, Timestamp)>,
    },
    /// Shuts workers out. Takes the place of an earlier ban of the same subject.
    BanWorker(WorkerBan),
    /// Lifts a ban; without one nothing changes.
    UnbanWorker {
        /// Of whom.
        subject: WorkerSubject,
    },
    /// Allows a service's credits to be spent ahead of its demand, on these terms in place of earlier ones, or no longer.
    SetPrecache {
        /// Which; must be known.
        service: ServiceId,
        /// `None`: no longer.
        terms: Option<PrecacheTerms>,
    },
    /// Keeps what is known of a service's account, in place of what was kept before. The service must be known.
    KeepWatch(Watch),
    /// Forgets a service's account; without it nothing changes.
    DropWatch {
        /// Whose; must be known.
        service: ServiceId,
        /// Which.
        account: Account,
    },
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
    /// Sets credits of a service aside, granted ones first. Repeated while the hold is open, it has the same answer. A hold
    /// that was released or has expired is forgotten, one that was settled is not.
    Hold {
        /// Names the admission.
        hold: HoldId,
        /// Whose.
        service: ServiceId,
        /// How many.
        amount: Millicredits,
        /// From when on [`Verb::Expire`] releases it.
        expires: Timestamp,
        /// Where counts what its settlement charges, if that is bounded by the day.
        purse: Option<Purse>,
    },
    /// Pays for a work out of a hold, and closes it.
    Settle(Settlement),
    /// Gives a hold back, and closes it.
    Release {
        /// Which.
        hold: HoldId,
    },
    /// Releases all holds whose time has come.
    Expire {
        /// The present.
        now: Timestamp,
    },
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
    /// Nothing has changed, and repeating the verb will not help. [`Verb::Hold`] and [`Verb::Settle`] are refused only as
    /// [`VerbRefused::Mismatch`], which no correct caller ever sees.
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
    /// [`Verb::Settle`] succeeded, now or earlier; a repetition has the first answer.
    Settled {
        /// What the service paid; zero when it had paid for such work before.
        charged: Millicredits,
        /// What it could still spend right after.
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
        /// Which, in ascending order.
        holds: Vec<HoldId>,
    },
}

/// Why a registration or grant was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum VerbRefused {
    /// The service is not known.
    #[error("this service does not exist; add it first")]
    UnknownService,
    /// The key is not known.
    #[error("there is no key with this id")]
    UnknownKey,
    /// The id was used before with other contents.
    #[error("this id was used before for something else")]
    Mismatch,
    /// The amount is zero, or all credits ever given out would come to more than the ledger keeps.
    #[error("an amount is at least 1 mc, and all credits ever given out stay below 2^53 mc")]
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
    /// Out of which hold.
    pub hold: HoldId,
}

impl SettledWork {
    /// The work of a settlement that was made; `None` where the answer is another.
    pub(crate) fn of(settlement: &Settlement, answer: &Answer) -> Option<Self> {
        let Answer::Settled { .. } = answer else { return None };
        let Settlement { hold, service, root, nonce, worker, payee, at, .. } = *settlement;
        Some(Self { service, root, nonce, worker, payee, at, hold })
    }
}

/// A settlement in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    /// Settlements are counted from 1 without gaps, in the order in which they were made.
    pub sequence: u64,
    /// What was settled.
    pub settlement: Settlement,
    /// [`Answer::Settled`].
    pub answer: Answer,
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
    /// Carries out the verbs in order, each atomically, and answers in the same order once what they moved is durable. They
    /// are carried out even when the caller stops waiting.
    fn execute(&self, verbs: Vec<Verb>) -> Later<'_, Vec<Answer>>;

    /// What a service has, holds included; `None` when it is not known.
    fn balance(&self, service: ServiceId) -> Later<'_, Option<Balance>>;

    /// What every party that has ever moved credits holds in settled credits: what a replay of the journal must come to.
    fn parties(&self) -> Later<'_, BTreeMap<Party, i64>>;

    /// Postings from this sequence number on, oldest first, at most `count`.
    fn journal(&self, from: u64, count: usize) -> Later<'_, Vec<JournalEntry>>;

    /// All services, in the order of their names.
    fn services(&self) -> Later<'_, Vec<ServiceRecord>>;

    /// All keys, also those whose time is over: by service, then oldest first, then in the order of their text.
    fn keys(&self) -> Later<'_, Vec<KnownKey>>;

    /// What was said of keys' use, in the order of their text.
    fn key_limits(&self) -> Later<'_, Vec<LimitedKey>>;

    /// All bans that were not lifted, also those that have ended by themselves, in the order of their subjects' text.
    fn worker_bans(&self) -> Later<'_, Vec<WorkerBan>>;

    /// Services whose credits may be spent ahead of their demand, in the order of their names.
    fn precache_terms(&self) -> Later<'_, Vec<(ServiceId, PrecacheTerms)>>;

    /// Accounts that services are interested in, in the order of service, then public key.
    fn watches(&self) -> Later<'_, Vec<Watch>>;

    /// What was spent of each purse on the last day (UTC) of its settlements that charged anything, in the order of their text.
    fn spent(&self) -> Later<'_, Vec<DaySpent>>;

    /// What workers' results have come to, for all of them or those that are meant, in the order of worker id, then payee, the
    /// house last. Reads every settlement.
    fn worker_totals(&self, of: Option<WorkerSubject>) -> Later<'_, Vec<WorkerTotal>>;

    /// The latest settlements at or after `since`, free ones included, newest first, at most `count`.
    fn settled_since(&self, since: Timestamp, count: usize) -> Later<'_, Vec<SettledWork>>;

    /// Settlements from this number on, in their order, at most `count`: what each was, and its answer.
    fn settlements(&self, from: u64, count: usize) -> Later<'_, Vec<Numbered>>;

    /// Audits everything that is kept about credits, as of one moment, and what is held. Takes long, and holds nothing up.
    fn audit(&self, audit: Audit) -> Later<'_, (Audit, Report)>;
}
