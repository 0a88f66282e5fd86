//! Reading a ledger beside its writer.

use std::collections::BTreeMap;
use std::path::Path;

use marketplace::ledger::{JournalEntry, Party, Split};
use rusqlite::{Connection, params};
use shared::{Millicredits, Network, ServiceId, Timestamp};

use super::schema::{self, OpenError};
use super::{ledger, row};
use crate::store::{Balance, KeyRecord, SettledWork, StoreError};

/// A read-only view of a ledger file, for the store itself and for commands beside a running server. It sees what is
/// durable; open holds are not in the file. Its methods block.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

impl Reader {
    /// Opens a ledger without any right to change it; a server may be running on it.
    ///
    /// # Errors
    /// [`OpenError`], also when there is no such file.
    pub fn open(path: &Path, network: Network) -> Result<Self, OpenError> {
        schema::open_read_only(path, network).map(|connection| Self { connection })
    }

    /// What a service has in settled credits; nothing is held. `None` when it is not known.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file cannot be read; so for all methods.
    pub fn balance(&self, service: ServiceId) -> Result<Option<Balance>, StoreError> {
        let known = "SELECT 1 FROM service WHERE name = ?1";
        if !self.connection.prepare_cached(known).and_then(|mut find| find.exists([service.as_str()]))? {
            return Ok(None);
        }
        let Split { granted, paid } = ledger::settled_balance(&self.connection, service)?;
        Ok(Some(Balance { granted, paid, held: Millicredits::ZERO }))
    }

    /// What every party that has ever moved credits holds.
    ///
    /// # Errors
    /// As [`Reader::balance`].
    pub fn parties(&self) -> Result<BTreeMap<Party, i64>, StoreError> {
        let mut find = self.connection.prepare_cached("SELECT name, balance FROM party")?;
        let parties = find.query_map([], |found| Ok((row::text(found, 0)?, found.get(1)?)))?;
        Ok(parties.collect::<rusqlite::Result<_>>()?)
    }

    /// Postings from this sequence number on, oldest first, at most `count`.
    ///
    /// # Errors
    /// As [`Reader::balance`].
    pub fn journal(&self, from: u64, count: usize) -> Result<Vec<JournalEntry>, StoreError> {
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let mut find = self.connection.prepare_cached(
            "SELECT journal.sequence, transfer, position, kind, debit.name, credit.name, amount, root, nonce, journal.at
             FROM journal
             JOIN party AS debit ON debit.id = journal.debit
             JOIN party AS credit ON credit.id = journal.credit
             LEFT JOIN settlement ON settlement.hold = journal.transfer
             WHERE journal.sequence >= ?1 ORDER BY journal.sequence LIMIT ?2",
        )?;
        let entries = find.query_map(params![from, limit(count)], row::journal_entry)?;
        Ok(entries.collect::<rusqlite::Result<_>>()?)
    }

    /// All keys, in the order of their text.
    ///
    /// # Errors
    /// As [`Reader::balance`].
    pub fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        let mut find =
            self.connection.prepare_cached("SELECT key, service, mac, at FROM service_key ORDER BY key")?;
        Ok(find.query_map([], row::key_record)?.collect::<rusqlite::Result<_>>()?)
    }

    /// The latest settlements at or after `since`, newest first, at most `count`.
    ///
    /// # Errors
    /// As [`Reader::balance`].
    pub fn settled_since(&self, since: Timestamp, count: usize) -> Result<Vec<SettledWork>, StoreError> {
        let query = format!(
            "SELECT {} FROM settlement WHERE at >= ?1 ORDER BY at DESC, sequence DESC LIMIT ?2",
            row::SETTLEMENT
        );
        let mut find = self.connection.prepare_cached(&query)?;
        let works = find.query_map(params![row::micros(since), limit(count)], row::settled_work)?;
        Ok(works.collect::<rusqlite::Result<_>>()?)
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
