//! A ledger file that is made from another ledger, under a name of its own until it is whole.

use std::path::{Path, PathBuf};

use marketplace::ledger::JournalEntry;
use rusqlite::{Connection, named_params, params};
use shared::{Millicredits, Network};

use super::schema::{self, OpenError};
use super::{registration, row, watches};
use crate::store::copy::{Registered, Target};
use crate::store::{Answer, DaySpent, KeyRecord, KnownKey, Later, Numbered, Settlement, StoreError};

/// See the module.
#[derive(Debug)]
pub(in crate::store) struct SqliteTarget {
    connection: Connection,
    unfinished: PathBuf,
    path: PathBuf,
}

impl SqliteTarget {
    /// Begins a file. What an earlier attempt has left is removed.
    ///
    /// # Errors
    /// [`OpenError::Leftover`] where the log of another ledger would become part of this one; or as for all ledgers.
    pub(in crate::store) fn begin(path: &Path, network: Network) -> Result<Self, OpenError> {
        let log = beside(path, "-wal");
        if log.metadata().is_ok_and(|log| log.len() > 0) {
            return Err(OpenError::Leftover { path: log });
        }
        let unfinished = beside(path, ".unfinished");
        for extension in ["", "-wal", "-shm"] {
            // Mostly there is none.
            let _ = std::fs::remove_file(beside(&unfinished, extension));
        }
        let connection = schema::open(&unfinished, network)?;
        Ok(Self { connection, unfinished, path: path.into() })
    }

    fn in_transaction(
        &mut self,
        write: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        write(&transaction)?;
        Ok(transaction.commit()?)
    }
}

/// The file whose name goes on like this.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(extension);
    name.into()
}

fn register(connection: &Connection, registered: &Registered) -> rusqlite::Result<()> {
    for record in &registered.services {
        connection.execute(
            "INSERT INTO service (name, at, state, since, reason) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                record.service.as_str(),
                row::micros(record.at),
                record.state.as_str(),
                row::micros(record.since),
                record.reason.as_str(),
            ],
        )?;
    }
    for KnownKey { record, last_used } in &registered.keys {
        let KeyRecord { key, service, mac, label, at, expires } = record;
        connection.execute(
            "INSERT INTO service_key (key, service, mac, label, at, expires, last_used) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                key.to_string(),
                service.as_str(),
                mac,
                label.as_str(),
                row::micros(*at),
                expires.map(row::micros),
                last_used.map(row::micros),
            ],
        )?;
    }
    for limited in &registered.key_limits {
        registration::insert_limits(connection, limited)?;
    }
    for (service, terms) in &registered.precache {
        watches::insert_terms(connection, *service, *terms)?;
    }
    for watch in &registered.watches {
        watches::insert_watch(connection, watch)?;
    }
    for DaySpent { purse, day, amount } in &registered.spent {
        connection.execute(
            "INSERT INTO spent (purse, day, amount) VALUES (?1, ?2, ?3)",
            params![purse.to_string(), i64::try_from(*day).unwrap_or(i64::MAX), amount.as_i64()],
        )?;
    }
    for ban in &registered.bans {
        connection.execute(
            "INSERT INTO worker_ban (subject, reason, at, until) VALUES (?1, ?2, ?3, ?4)",
            params![
                ban.subject.to_string(),
                ban.reason.as_str(),
                row::micros(ban.at),
                ban.until.map(row::micros)
            ],
        )?;
    }
    for (party, balance) in &registered.parties {
        connection.execute(
            "INSERT INTO party (name, balance) VALUES (?1, ?2)",
            params![party.to_string(), balance],
        )?;
    }
    Ok(())
}

fn settle(connection: &Connection, numbered: &Numbered) -> rusqlite::Result<()> {
    let Settlement { hold, service, root, nonce, difficulty, threshold, worker, payee, at } =
        numbered.settlement;
    let Answer::Settled { charged, balance, earned } = numbered.answer else { return Ok(()) };
    let (hold, nonce) = (hold.as_u128().to_be_bytes(), nonce.as_u64().to_be_bytes());
    let mut insert = connection.prepare_cached(
        "INSERT INTO settlement (sequence, hold, service, root, nonce, difficulty, threshold, worker, payee, at, charged,
             balance, earned)
         VALUES (:sequence, :hold, :service, :root, :nonce, :difficulty, :threshold, :worker, :payee, :at, :charged,
             :balance, :earned)",
    )?;
    insert.execute(named_params! {
        ":sequence": i64::try_from(numbered.sequence).unwrap_or(i64::MAX),
        ":hold": hold,
        ":service": service.as_str(),
        ":root": root.as_bytes(),
        ":nonce": nonce,
        ":difficulty": difficulty.as_u64().to_be_bytes(),
        ":threshold": threshold.as_u64().to_be_bytes(),
        ":worker": worker.as_bytes(),
        ":payee": row::payee_key(payee),
        ":at": row::micros(at),
        ":charged": charged.as_i64(),
        ":balance": balance.as_i64(),
        ":earned": earned.as_i64(),
    })?;
    if charged > Millicredits::ZERO {
        let mut insert = connection
            .prepare_cached("INSERT OR IGNORE INTO work_paid (root, nonce, hold) VALUES (?1, ?2, ?3)")?;
        insert.execute(params![root.as_bytes(), nonce, hold])?;
    }
    Ok(())
}

fn post(connection: &Connection, JournalEntry { sequence, posting }: &JournalEntry) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO journal (sequence, transfer, position, kind, debit, credit, amount, at)
         VALUES (?1, ?2, ?3, ?4, (SELECT id FROM party WHERE name = ?5), (SELECT id FROM party WHERE name = ?6), ?7, ?8)",
    )?;
    insert.execute(params![
        i64::try_from(*sequence).unwrap_or(i64::MAX),
        row::transfer_bytes(posting.transfer),
        posting.position,
        posting.kind.name(),
        posting.debit.to_string(),
        posting.credit.to_string(),
        posting.amount.as_i64(),
        row::micros(posting.at),
    ])?;
    Ok(())
}

impl Target for SqliteTarget {
    fn register(&mut self, registered: Registered) -> Later<'_, ()> {
        Box::pin(async move { self.in_transaction(|connection| register(connection, &registered)) })
    }

    fn settlements(&mut self, settlements: Vec<Numbered>) -> Later<'_, ()> {
        Box::pin(async move {
            self.in_transaction(|connection| {
                settlements.iter().try_for_each(|numbered| settle(connection, numbered))
            })
        })
    }

    fn postings(&mut self, postings: Vec<JournalEntry>) -> Later<'_, ()> {
        Box::pin(async move {
            self.in_transaction(|connection| postings.iter().try_for_each(|entry| post(connection, entry)))
        })
    }

    fn finish(self: Box<Self>) -> Later<'static, ()> {
        Box::pin(async move {
            let Self { connection, unfinished, path } = *self;
            // The last connection of a file copies its log into it, and syncs.
            connection.close().map_err(|(_, error)| error)?;
            let unavailable = |error: std::io::Error| StoreError::Unavailable(Box::new(error));
            std::fs::rename(&unfinished, &path).map_err(unavailable)?;
            schema::sync_directory(&path).map_err(unavailable)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_another_ledger_never_becomes_part_of_a_copy() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.sqlite");
        std::fs::write(beside(&path, "-wal"), "left behind").unwrap();
        let refused = SqliteTarget::begin(&path, Network::Dev).unwrap_err().to_string();
        assert!(refused.contains("ledger.sqlite-wal is the log of a ledger"), "{refused}");
        std::fs::write(beside(&path, "-wal"), "").unwrap();
        SqliteTarget::begin(&path, Network::Dev).unwrap();
    }
}
