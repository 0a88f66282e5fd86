//! Reading a ledger beside its writer.

use std::collections::BTreeMap;
use std::path::Path;

use marketplace::ledger::{JournalEntry, Party, Split};
use rusqlite::{Connection, Row, params};
use shared::{Millicredits, Network, ServiceId, Timestamp};

use super::schema::{self, OpenError};
use super::{ledger, row};
use crate::store::{
    Balance, DaySpent, KnownKey, LimitedKey, Numbered, PrecacheTerms, ServiceRecord, SettledWork, StoreError,
    Watch, WorkerBan, WorkerSubject, WorkerTotal,
};

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
             LEFT JOIN party AS debit ON debit.id = journal.debit
             LEFT JOIN party AS credit ON credit.id = journal.credit
             LEFT JOIN settlement ON settlement.hold = journal.transfer
             WHERE journal.sequence >= ?1 ORDER BY journal.sequence LIMIT ?2",
        )?;
        let entries = find.query_map(params![from, limit(count)], row::journal_entry)?;
        Ok(entries.collect::<rusqlite::Result<_>>()?)
    }

    /// All services, in the order of their names.
    ///
    /// # Errors
    /// As [`Reader::balance`].
    pub fn services(&self) -> Result<Vec<ServiceRecord>, StoreError> {
        self.all(&format!("SELECT {} FROM service ORDER BY name", row::SERVICE), row::service)
    }

    /// All keys, also those whose time is over: by service, then oldest first, then in the order of their text.
    ///
    /// # Errors
    /// As [`Reader::balance`].
    pub fn keys(&self) -> Result<Vec<KnownKey>, StoreError> {
        self.all(&format!("SELECT {} FROM service_key ORDER BY service, at, key", row::KEY), row::key)
    }

    /// What was said of keys' use, in the order of their text.
    ///
    /// # Errors
    /// As [`Reader::balance`].
    pub fn key_limits(&self) -> Result<Vec<LimitedKey>, StoreError> {
        self.all(
            "SELECT key, service, test, spend_per_day, allow FROM key_limits ORDER BY key",
            row::limited_key,
        )
    }

    /// All bans that were not lifted, also those that have ended by themselves, in the order of their subjects' text.
    ///
    /// # Errors
    /// As [`Reader::balance`].
    pub fn worker_bans(&self) -> Result<Vec<WorkerBan>, StoreError> {
        self.all("SELECT subject, reason, at, until FROM worker_ban ORDER BY subject", row::worker_ban)
    }

    /// Services whose credits may be spent ahead of their demand, in the order of their names.
    ///
    /// # Errors
    /// As [`Reader::balance`].
    pub fn precache_terms(&self) -> Result<Vec<(ServiceId, PrecacheTerms)>, StoreError> {
        self.all("SELECT service, budget, in_flight FROM precache ORDER BY service", row::precache_terms)
    }

    /// Accounts that services are interested in, in the order of service, then public key.
    ///
    /// # Errors
    /// As [`Reader::balance`].
    pub fn watches(&self) -> Result<Vec<Watch>, StoreError> {
        self.all(&format!("SELECT {} FROM watch ORDER BY service, account", row::WATCH), row::watch)
    }

    /// What was spent of each purse on the last day of its settlements, in the order of their text.
    ///
    /// # Errors
    /// As [`Reader::balance`].
    pub fn spent(&self) -> Result<Vec<DaySpent>, StoreError> {
        self.all("SELECT purse, day, amount FROM spent ORDER BY purse", row::spent)
    }

    /// What workers' results have come to, for all of them or those that are meant, in the order of worker id, then payee, the
    /// house last. Reads every settlement.
    ///
    /// # Errors
    /// As [`Reader::balance`].
    pub fn worker_totals(&self, of: Option<WorkerSubject>) -> Result<Vec<WorkerTotal>, StoreError> {
        let (worker, payee) = match of {
            Some(WorkerSubject::Worker(worker)) => (Some(*worker.as_bytes()), None),
            Some(WorkerSubject::Account(account)) => (None, Some(*account.public_key())),
            None => (None, None),
        };
        let mut find = self.connection.prepare_cached(
            "SELECT worker, payee, count(*), sum(earned), max(at) FROM settlement
             WHERE earned > 0 AND (?1 IS NULL OR worker = ?1) AND (?2 IS NULL OR payee = ?2)
             GROUP BY worker, payee ORDER BY worker, payee IS NULL, payee",
        )?;
        let totals = find.query_map(params![worker, payee], row::worker_total)?;
        Ok(totals.collect::<rusqlite::Result<_>>()?)
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

    /// Settlements from this number on, in their order, at most `count`.
    ///
    /// # Errors
    /// As [`Reader::balance`].
    pub fn settlements(&self, from: u64, count: usize) -> Result<Vec<Numbered>, StoreError> {
        let query = format!(
            "SELECT {}, sequence FROM settlement WHERE sequence >= ?1 ORDER BY sequence LIMIT ?2",
            row::SETTLEMENT
        );
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let mut find = self.connection.prepare_cached(&query)?;
        let settlements = find.query_map(params![from, limit(count)], |found| {
            let (settlement, answer) = row::settlement(found)?;
            Ok(Numbered { sequence: row::natural(found, 12)?, settlement, answer })
        })?;
        Ok(settlements.collect::<rusqlite::Result<_>>()?)
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    fn all<T>(
        &self,
        query: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut find = self.connection.prepare_cached(query)?;
        Ok(find.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
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
