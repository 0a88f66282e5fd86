//! Between the words of the ledger and the columns of its tables.

use std::error::Error;
use std::time::Duration;

use marketplace::ledger::{JournalEntry, Posting, PostingKind, WorkKey};
use rusqlite::Row;
use rusqlite::types::{Type, ValueRef};
use shared::pow::{Difficulty, Nonce, Root, Threshold};
use shared::{Account, HoldId, Millicredits, Payee, ServiceId, Timestamp, TransferId, WorkerId};

use crate::store::{
    Answer, DaySpent, KeyLimits, KeyRecord, KnownKey, LimitedKey, PrecacheTerms, ServiceRecord, SettledWork,
    Settlement, Watch, WorkerBan, WorkerTotal,
};

/// Columns of a settlement, in the order in which [`settlement`] and [`settled_work`] read them.
pub(super) const SETTLEMENT: &str =
    "hold, service, root, nonce, difficulty, threshold, worker, payee, at, charged, balance, earned";

/// Columns of a service, in the order in which [`service`] reads them.
pub(super) const SERVICE: &str = "name, at, state, since, reason";

/// Columns of a watched account, in the order in which [`watch`] reads them.
pub(super) const WATCH: &str = "service, account, used, frontier, height, confirmed, gap, unused";

/// Columns of a key, in the order in which [`key`] reads them.
pub(super) const KEY: &str = "key, service, mac, label, at, expires, last_used";

/// A point in time as a column. Saturates in the year 294247.
pub(super) fn micros(at: Timestamp) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

/// A transfer id as a column.
pub(super) fn transfer_bytes(transfer: TransferId) -> [u8; 16] {
    transfer.as_u128().to_be_bytes()
}

/// The account to be paid as a column; the built-in worker has none.
pub(super) fn payee_key(payee: Payee) -> Option<[u8; 32]> {
    match payee {
        Payee::Account(account) => Some(*account.public_key()),
        Payee::House => None,
    }
}

pub(super) fn amount(row: &Row<'_>, index: usize) -> rusqlite::Result<Millicredits> {
    natural(row, index).map(Millicredits::new)
}

pub(super) fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Timestamp> {
    natural(row, index).map(Timestamp::from_micros)
}

fn maybe_time(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Timestamp>> {
    let is_null = row.get_ref(index)? == ValueRef::Null;
    if is_null { Ok(None) } else { time(row, index).map(Some) }
}

pub(super) fn difficulty(row: &Row<'_>, index: usize) -> rusqlite::Result<Difficulty> {
    row.get(index).map(u64::from_be_bytes).map(Difficulty::new)
}

/// What was spent of a purse: purse, day, amount.
pub(super) fn spent(row: &Row<'_>) -> rusqlite::Result<DaySpent> {
    Ok(DaySpent { purse: text(row, 0)?, day: natural(row, 1)?, amount: amount(row, 2)? })
}

/// Reads a column that holds the text form of a value.
pub(super) fn text<T>(row: &Row<'_>, index: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: Error + Send + Sync + 'static>,
{
    let broken = |error: T::Err| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, error.into());
    row.get_ref(index)?.as_str()?.parse().map_err(broken)
}

pub(super) fn settlement(row: &Row<'_>) -> rusqlite::Result<(Settlement, Answer)> {
    let settlement = Settlement {
        hold: HoldId::from_u128(u128::from_be_bytes(row.get(0)?)),
        service: text(row, 1)?,
        root: Root::new(row.get(2)?),
        nonce: nonce(row, 3)?,
        difficulty: difficulty(row, 4)?,
        threshold: row.get(5).map(u64::from_be_bytes).map(Threshold::new)?,
        worker: WorkerId::from_bytes(row.get(6)?),
        payee: payee(row, 7)?,
        at: time(row, 8)?,
    };
    let answer =
        Answer::Settled { charged: amount(row, 9)?, balance: amount(row, 10)?, earned: amount(row, 11)? };
    Ok((settlement, answer))
}

pub(super) fn settled_work(row: &Row<'_>) -> rusqlite::Result<SettledWork> {
    let (settlement, answer) = settlement(row)?;
    // What is kept as a settlement was made.
    SettledWork::of(&settlement, &answer).ok_or(rusqlite::Error::InvalidQuery)
}

pub(super) fn service(row: &Row<'_>) -> rusqlite::Result<ServiceRecord> {
    Ok(ServiceRecord {
        service: text(row, 0)?,
        at: time(row, 1)?,
        state: text(row, 2)?,
        since: time(row, 3)?,
        reason: text(row, 4)?,
    })
}

pub(super) fn key(row: &Row<'_>) -> rusqlite::Result<KnownKey> {
    let record = KeyRecord {
        key: text(row, 0)?,
        service: text(row, 1)?,
        mac: row.get(2)?,
        label: text(row, 3)?,
        at: time(row, 4)?,
        expires: maybe_time(row, 5)?,
    };
    Ok(KnownKey { record, last_used: maybe_time(row, 6)? })
}

/// Reads `key, service, test, spend_per_day, allow`.
pub(super) fn limited_key(row: &Row<'_>) -> rusqlite::Result<LimitedKey> {
    let spend_per_day = match row.get::<_, Option<i64>>(3)? {
        Some(_) => Some(amount(row, 3)?),
        None => None,
    };
    let limits = KeyLimits { is_test: row.get(2)?, spend_per_day, allow: text(row, 4)? };
    Ok(LimitedKey { key: text(row, 0)?, service: text(row, 1)?, limits })
}

/// Reads `service, budget, in_flight`.
pub(super) fn precache_terms(row: &Row<'_>) -> rusqlite::Result<(ServiceId, PrecacheTerms)> {
    let terms = PrecacheTerms { budget_per_day: amount(row, 1)?, in_flight_max: row.get(2)? };
    Ok((text(row, 0)?, terms))
}

pub(super) fn watch(row: &Row<'_>) -> rusqlite::Result<Watch> {
    let maybe = |index| -> rusqlite::Result<Option<u64>> {
        let is_null = row.get_ref(index)? == ValueRef::Null;
        if is_null { Ok(None) } else { natural(row, index).map(Some) }
    };
    Ok(Watch {
        service: text(row, 0)?,
        account: Account::from_public_key(row.get(1)?),
        used: time(row, 2)?,
        frontier: row.get::<_, Option<[u8; 32]>>(3)?.map(Root::new),
        height: maybe(4)?,
        confirmed: maybe_time(row, 5)?,
        gap: maybe(6)?.map(Duration::from_micros),
        unused: row.get(7)?,
    })
}

pub(super) fn worker_ban(row: &Row<'_>) -> rusqlite::Result<WorkerBan> {
    Ok(WorkerBan {
        subject: text(row, 0)?,
        reason: text(row, 1)?,
        at: time(row, 2)?,
        until: maybe_time(row, 3)?,
    })
}

/// Reads `worker, payee, works, earned, last`.
pub(super) fn worker_total(row: &Row<'_>) -> rusqlite::Result<WorkerTotal> {
    Ok(WorkerTotal {
        worker: WorkerId::from_bytes(row.get(0)?),
        payee: payee(row, 1)?,
        works: natural(row, 2)?,
        earned: amount(row, 3)?,
        last: time(row, 4)?,
    })
}

/// Reads `sequence, transfer, position, kind, debit, credit, amount, root, nonce, at`, the parties as text.
pub(super) fn journal_entry(row: &Row<'_>) -> rusqlite::Result<JournalEntry> {
    let kind = PostingKind::of_name(row.get_ref(3)?.as_str()?);
    let root: Option<[u8; 32]> = row.get(7)?;
    let work = match root {
        Some(root) => Some(WorkKey { root: Root::new(root), nonce: nonce(row, 8)? }),
        None => None,
    };
    let posting = Posting {
        transfer: TransferId::from_u128(u128::from_be_bytes(row.get(1)?)),
        position: row.get(2)?,
        kind: kind.ok_or_else(|| rusqlite::Error::InvalidColumnType(3, "kind".into(), Type::Text))?,
        debit: text(row, 4)?,
        credit: text(row, 5)?,
        amount: amount(row, 6)?,
        work,
        at: time(row, 9)?,
    };
    Ok(JournalEntry { sequence: natural(row, 0)?, posting })
}

pub(super) fn nonce(row: &Row<'_>, index: usize) -> rusqlite::Result<Nonce> {
    row.get(index).map(u64::from_be_bytes).map(Nonce::new)
}

fn payee(row: &Row<'_>, index: usize) -> rusqlite::Result<Payee> {
    let key: Option<[u8; 32]> = row.get(index)?;
    Ok(key.map_or(Payee::House, |key| Payee::Account(Account::from_public_key(key))))
}

pub(super) fn natural(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(index)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, value))
}
