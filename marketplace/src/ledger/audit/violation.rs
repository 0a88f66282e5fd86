//! What an audit can find.

use shared::pow::{Difficulty, Threshold};
use shared::{Millicredits, ServiceId, TransferId};
use thiserror::Error;

use crate::ledger::party::Party;
use crate::ledger::posting::{Posting, PostingError, WorkKey};

/// Something that no ledger may hold, and where it is. One sentence each; amounts are in millicredits.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Violation {
    /// Rows of the journal are gone.
    #[error("journal entry {expected} is missing: the next one is {found}")]
    Gap {
        /// Which should have come.
        expected: u64,
        /// Which came.
        found: u64,
    },
    /// The journal is not the one that was audited before.
    #[error("journal entry {sequence} is no longer what it was at the last audit")]
    Rewritten {
        /// The last one that was audited.
        sequence: u64,
    },
    /// A row of the journal is no posting.
    #[error("journal entry {sequence} cannot be read: {reason}")]
    UnreadableEntry {
        /// Which.
        sequence: u64,
        /// Why.
        reason: String,
    },
    /// A posting is impossible in itself.
    #[error("journal entry {sequence} is impossible: {reason}")]
    Impossible {
        /// Which.
        sequence: u64,
        /// Why.
        reason: PostingError,
    },
    /// A grant is one posting.
    #[error(
        "journal entry {sequence}: the grant {transfer} has more than one posting, or its only one is not the first"
    )]
    Grant {
        /// Which.
        sequence: u64,
        /// Of which grant.
        transfer: TransferId,
    },
    /// A posting takes more than there is.
    #[error("journal entry {sequence} takes {party} to {balance} mc")]
    Overdrawn {
        /// The first that does so for this party.
        sequence: u64,
        /// Whose.
        party: Party,
        /// To what.
        balance: i64,
    },
    /// Credits were moved for no settlement.
    #[error("journal entry {sequence} belongs to settlement {transfer}, which is not there")]
    NoSettlement {
        /// The first posting of that id.
        sequence: u64,
        /// The settlement that should be there.
        transfer: TransferId,
    },
    /// One id stands for a grant and for a settlement.
    #[error("journal entry {sequence} grants credits under the id of settlement {settlement}")]
    GrantSettled {
        /// The grant.
        sequence: u64,
        /// The number of the settlement.
        settlement: u64,
    },
    /// Transfers and settlements are in one order.
    #[error(
        "journal entry {sequence} belongs to settlement {settlement}, but comes after those of settlement {last}"
    )]
    Order {
        /// Where the order is broken.
        sequence: u64,
        /// Which settlement came too late, or a second time.
        settlement: u64,
        /// Which had come before.
        last: u64,
    },
    /// A row of the settlements is none.
    #[error("settlement {settlement} cannot be read: {reason}")]
    UnreadableSettlement {
        /// Its number.
        settlement: u64,
        /// Why.
        reason: String,
    },
    /// Settlements are gone.
    #[error("settlement {missing} is missing: there are {kept}, and later numbers than that")]
    MissingSettlement {
        /// The first number that is not there.
        missing: u64,
        /// How many settlements there are.
        kept: u64,
    },
    /// A settlement says that a service was charged, but nothing was moved.
    #[error("settlement {settlement} charges {} mc, but no journal entry belongs to it", .charged.as_u64())]
    NoPostings {
        /// Its number.
        settlement: u64,
        /// What it says.
        charged: Millicredits,
    },
    /// What was moved for a settlement is not what it comes to.
    #[error(
        "settlement {settlement} from journal entry {sequence} on: posting {position} is {found}, not {expected}"
    )]
    Postings {
        /// Its number.
        settlement: u64,
        /// The first posting of it.
        sequence: u64,
        /// The first posting that differs, counted from 0.
        position: usize,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A settlement says something else than its postings.
    #[error(
        "settlement {settlement} says {} mc charged and {} mc earned, its postings say {} and {}",
        .charged.as_u64(), .earned.as_u64(), .posted_charge.as_u64(), .posted_earning.as_u64()
    )]
    Amounts {
        /// Its number.
        settlement: u64,
        /// What it says.
        charged: Millicredits,
        /// What it says.
        earned: Millicredits,
        /// What its postings come to.
        posted_charge: Millicredits,
        /// What its postings come to.
        posted_earning: Millicredits,
    },
    /// A service was told that it could spend more than it had.
    #[error("settlement {settlement} leaves its service {} mc, but it had {most} mc at most", .told.as_u64())]
    Left {
        /// Its number.
        settlement: u64,
        /// What the service was told.
        told: Millicredits,
        /// What the journal comes to for it.
        most: i64,
    },
    /// A service paid for a root that it had paid for within the repeat window.
    #[error("settlement {settlement} charges for a root whose work its service had paid for within 24 hours")]
    ChargedAgain {
        /// Its number.
        settlement: u64,
    },
    /// A service paid nothing for the first time.
    #[error("settlement {settlement} is free, but its service had not paid for such work within 24 hours")]
    FreeForNoReason {
        /// Its number.
        settlement: u64,
    },
    /// A work was paid for, and its worker may be paid again.
    #[error("settlement {settlement} pays for a work that is not kept as paid")]
    WorkNotKept {
        /// Its number.
        settlement: u64,
    },
    /// Its worker earned twice.
    #[error("settlement {settlement} pays a worker for a work that settlement {first} has paid for")]
    WorkPaidTwice {
        /// Its number.
        settlement: u64,
        /// The number of the one that is kept as the first payment.
        first: u64,
    },
    /// A work was sold again before its worker was paid.
    #[error("settlement {settlement} sells a work again that was paid for only later, by settlement {first}")]
    ResoldTooEarly {
        /// Its number.
        settlement: u64,
        /// The number of the one that is kept as the first payment.
        first: u64,
    },
    /// A work is kept as paid by no settlement that paid for it.
    #[error(
        "the nonce {} for {} is kept as paid by settlement {transfer}, which did not pay for it",
        .work.nonce, .work.root
    )]
    StrayPayment {
        /// Which work.
        work: WorkKey,
        /// By which settlement.
        transfer: TransferId,
    },
    /// The nonce is not worth what is kept of it.
    #[error("settlement {settlement} keeps the difficulty {kept} for a nonce whose hash is {hashed}")]
    Difficulty {
        /// Its number.
        settlement: u64,
        /// What it says.
        kept: Difficulty,
        /// What hashing says.
        hashed: Difficulty,
    },
    /// The work is below what was asked for.
    #[error("settlement {settlement} sells a work of difficulty {difficulty} to a request for {threshold}")]
    BelowThreshold {
        /// Its number.
        settlement: u64,
        /// What the nonce is worth.
        difficulty: Difficulty,
        /// What was asked for.
        threshold: Threshold,
    },
    /// There are rows that no replay comes to.
    #[error("there are {kept} {what}, but the audit came to {checked}")]
    Count {
        /// What kind of rows.
        what: &'static str,
        /// How many are kept.
        kept: u64,
        /// How many the audit came to.
        checked: u64,
    },
    /// A balance is not what the journal comes to.
    #[error("party {party} is kept with {kept} mc, but the journal comes to {journal} mc")]
    Balance {
        /// Whose.
        party: Party,
        /// What the journal comes to.
        journal: i64,
        /// What is kept.
        kept: i64,
    },
    /// A party that does not exist holds credits.
    #[error("{name} is kept with {kept} mc, but is no party")]
    UnreadableParty {
        /// Its name.
        name: String,
        /// What is kept.
        kept: i64,
    },
    /// A service that does not exist holds credits.
    #[error("party {party} belongs to a service that is not known")]
    UnknownService {
        /// Which.
        party: Party,
    },
    /// What is held of a service's credits is not the sum of its open holds.
    #[error("{} mc of {service} are held, but its open holds come to {} mc", .held.as_u64(), .open.as_u64())]
    Held {
        /// Whose.
        service: ServiceId,
        /// What is set aside.
        held: Millicredits,
        /// The sum over open holds.
        open: Millicredits,
    },
    /// More is held than there is.
    #[error("{} mc of {service} are held, but it has {} mc", .held.as_u64(), .settled.as_u64())]
    HeldTooMuch {
        /// Whose.
        service: ServiceId,
        /// What is set aside.
        held: Millicredits,
        /// What it has, what is held included.
        settled: Millicredits,
    },
    /// The store's own structure is broken.
    #[error("the ledger's file: {0}")]
    File(String),
}

impl Violation {
    /// A name for its kind, for programs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Gap { .. } => "gap",
            Self::Rewritten { .. } => "rewritten",
            Self::UnreadableEntry { .. } => "unreadable_entry",
            Self::Impossible { .. } => "impossible",
            Self::Grant { .. } => "grant",
            Self::Overdrawn { .. } => "overdrawn",
            Self::NoSettlement { .. } => "no_settlement",
            Self::GrantSettled { .. } => "grant_settled",
            Self::Order { .. } => "order",
            Self::UnreadableSettlement { .. } => "unreadable_settlement",
            Self::MissingSettlement { .. } => "missing_settlement",
            Self::NoPostings { .. } => "no_postings",
            Self::Postings { .. } => "postings",
            Self::Amounts { .. } => "amounts",
            Self::Left { .. } => "left",
            Self::ChargedAgain { .. } => "charged_again",
            Self::FreeForNoReason { .. } => "free_for_no_reason",
            Self::WorkNotKept { .. } => "work_not_kept",
            Self::WorkPaidTwice { .. } => "work_paid_twice",
            Self::ResoldTooEarly { .. } => "resold_too_early",
            Self::StrayPayment { .. } => "stray_payment",
            Self::Difficulty { .. } => "difficulty",
            Self::BelowThreshold { .. } => "below_threshold",
            Self::Count { .. } => "count",
            Self::Balance { .. } => "balance",
            Self::UnreadableParty { .. } => "unreadable_party",
            Self::UnknownService { .. } => "unknown_service",
            Self::Held { .. } => "held",
            Self::HeldTooMuch { .. } => "held_too_much",
            Self::File(_) => "file",
        }
    }
}

/// A posting in a few words.
pub(super) fn described(posting: Option<&Posting>) -> String {
    posting.map_or_else(
        || "none".to_owned(),
        |posting| {
            let Posting { position, kind, debit, credit, amount, at, .. } = posting;
            let amount = amount.as_u64();
            format!("[{position}: {} of {amount} mc from {debit} to {credit} at {at}]", kind.name())
        },
    )
}
