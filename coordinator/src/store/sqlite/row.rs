//! Between the words of the ledger and the columns of its tables.

use std::error::Error;

use marketplace::ledger::{JournalEntry, Posting, PostingKind, WorkKey};
use rusqlite::Row;
use rusqlite::types::Type;
use shared::pow::{Difficulty, Nonce, Root, Threshold};
use shared::{Account, HoldId, Millicredits, Payee, ServiceId, Timestamp, TransferId, WorkerId};

use crate::store::{Answer, KeyRecord, SettledWork, Settlement};

/// Columns of a settlement, in the order in which [`settlement`] and [`settled_work`] read them.
pub(super) const SETTLEMENT: &str =
    "hold, service, root, nonce, difficulty, threshold, worker, payee, at, charged, balance, earned";

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

pub(super) fn difficulty(row: &Row<'_>, index: usize) -> rusqlite::Result<Difficulty> {
    row.get(index).map(u64::from_be_bytes).map(Difficulty::new)
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
    let (Settlement { service, root, nonce, worker, payee, at, .. }, _) = settlement(row)?;
    Ok(SettledWork { service, root, nonce, worker, payee, at })
}

/// Reads `key, service, mac, at`.
pub(super) fn key_record(row: &Row<'_>) -> rusqlite::Result<KeyRecord> {
    let service: ServiceId = text(row, 1)?;
    Ok(KeyRecord { key: row.get(0)?, service, mac: row.get(2)?, at: time(row, 3)? })
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

fn natural(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(index)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, value))
}
