//! What an audit reads: everything that a store keeps about credits, as of one moment.

use std::collections::BTreeSet;

use shared::pow::{Difficulty, Threshold};
use shared::{Millicredits, ServiceId, TransferId};

use crate::ledger::party::Party;
use crate::ledger::posting::{Posting, WorkKey};
use crate::ledger::transfer::Sale;

/// A row of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub sequence: u64,
    /// What it says, without the work, which its settlement names; or why it cannot be read.
    pub posting: Result<Posting, String>,
}

/// A row of the settlements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettlementRow {
    /// Its number: settlements are counted from 1 without gaps, in the order in which they were made.
    pub sequence: u64,
    /// What it says; or why it cannot be read.
    pub settled: Result<Settled, String>,
}

/// A settlement, and what the store kept before it about the same work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Who paid for what, whom, and when.
    pub sale: Sale,
    /// What the work is worth, as kept.
    pub difficulty: Difficulty,
    /// What the request asked for.
    pub threshold: Threshold,
    /// What the service paid, as kept.
    pub charged: Millicredits,
    /// What the worker earned, as kept.
    pub earned: Millicredits,
    /// What the service was told that it could still spend.
    pub balance: Millicredits,
    /// Whether an earlier settlement of the same service makes this one free.
    pub repeats: bool,
    /// The number of the settlement that is kept as the first payment for the work.
    pub first: Option<u64>,
}

/// A row of the balances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyRow {
    /// Whose; or a name that is none.
    pub party: Result<Party, String>,
    /// What is kept, in millicredits.
    pub balance: i64,
}

/// How many rows there are, counted without reading them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Rows of the journal.
    pub entries: u64,
    /// Settlements.
    pub settlements: u64,
    /// The first number that no settlement has though a later one has its own, or `None`.
    pub missing_settlement: Option<u64>,
    /// Works that are kept as paid.
    pub works_paid: u64,
}

/// A store, open for reading at one moment: what is committed meanwhile is not seen by any of these.
///
/// Lists come in pages, so that none has to fit into memory; an empty page is the end.
pub trait Books {
    /// Why it cannot be read.
    type Error;

    /// Rows of the journal with numbers above `after`, in order.
    ///
    /// # Errors
    /// When the store cannot be read; so for all methods.
    fn entries(&self, after: u64) -> Result<Vec<Entry>, Self::Error>;

    /// The settlement of this id.
    ///
    /// # Errors
    /// As [`Books::entries`].
    fn settlement(&self, transfer: TransferId) -> Result<Option<SettlementRow>, Self::Error>;

    /// Settlements with numbers above `after` that no posting belongs to, in order.
    ///
    /// # Errors
    /// As [`Books::entries`].
    fn unposted(&self, after: u64) -> Result<Vec<SettlementRow>, Self::Error>;

    /// How many rows there are.
    ///
    /// # Errors
    /// As [`Books::entries`].
    fn totals(&self) -> Result<Totals, Self::Error>;

    /// Works that are kept as paid by a settlement that is not there, was free, or was for another work; a thousand at most.
    /// Asked only when the totals say that there are such.
    ///
    /// # Errors
    /// As [`Books::entries`].
    fn stray_payments(&self) -> Result<Vec<(WorkKey, TransferId)>, Self::Error>;

    /// All balances.
    ///
    /// # Errors
    /// As [`Books::entries`].
    fn parties(&self) -> Result<Vec<PartyRow>, Self::Error>;

    /// All services.
    ///
    /// # Errors
    /// As [`Books::entries`].
    fn services(&self) -> Result<BTreeSet<ServiceId>, Self::Error>;
}
