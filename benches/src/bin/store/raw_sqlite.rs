//! SQLite alone: the rows of a settlement and the look-ups before them, as many settlements a commit as there are callers, and
//! nothing else.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};

use crate::load::{Measured, measured};
use crate::sales::{self, SERVICE};

/// The tables of a ledger that a settlement touches, without triggers.
const TABLES: &str = "
    PRAGMA journal_mode = wal;
    PRAGMA synchronous = full;
    CREATE TABLE party (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, balance INTEGER NOT NULL) STRICT;
    CREATE TABLE journal (sequence INTEGER PRIMARY KEY, transfer BLOB, position INTEGER, kind TEXT, debit INTEGER,
        credit INTEGER, amount INTEGER, at INTEGER, UNIQUE (transfer, position)) STRICT;
    CREATE TABLE settlement (sequence INTEGER PRIMARY KEY, hold BLOB NOT NULL UNIQUE, service TEXT, root BLOB, nonce BLOB,
        difficulty BLOB, threshold BLOB, worker BLOB, payee BLOB, charged INTEGER, balance INTEGER, earned INTEGER,
        at INTEGER) STRICT;
    CREATE INDEX settlement_by_root ON settlement (service, root, at);
    CREATE INDEX settlement_by_time ON settlement (at);
    CREATE TABLE work_paid (root BLOB, nonce BLOB, hold BLOB, PRIMARY KEY (root, nonce)) STRICT, WITHOUT ROWID;
    INSERT INTO party VALUES (1, 'paid', 1125899906842624), (2, 'payable', 0), (3, 'house', 0);";

/// Settles for some time. Each of the settlements of a commit takes as long as the commit.
pub(crate) fn run(path: &Path, callers: usize, time: Duration) -> anyhow::Result<Measured> {
    let connection = Connection::open(path)?;
    connection.execute_batch(TABLES)?;
    connection.set_prepared_statement_cache_capacity(64);
    let (began, mut number, mut latencies) = (Instant::now(), 0, Vec::new());
    while began.elapsed() < time {
        let called = Instant::now();
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for _ in 0..callers {
            number += 1;
            settle(&connection, number)?;
        }
        connection.execute_batch("COMMIT")?;
        latencies.extend(std::iter::repeat_n(called.elapsed(), callers));
    }
    Ok(measured(latencies, began.elapsed().as_secs_f64()))
}

fn settle(connection: &Connection, number: u64) -> anyhow::Result<()> {
    let sale = sales::sale(number)?;
    let (hold, root) = (sale.hold.as_u128().to_be_bytes(), *sale.root.as_bytes());
    let nonce = sale.nonce.as_u64().to_be_bytes();
    let find = |query: &str, key: &[u8]| -> rusqlite::Result<Option<i64>> {
        connection.prepare_cached(query)?.query_row([key], |found| found.get(0)).optional()
    };
    find("SELECT sequence FROM settlement WHERE hold = ?1", &hold)?;
    find("SELECT sequence FROM settlement WHERE service = 'wallet' AND root = ?1", &root)?;
    find("SELECT 1 FROM work_paid WHERE root = ?1", &root)?;
    for (position, debit, credit, amount) in [(0, 1, 2, 14), (1, 1, 3, 2)] {
        for (party, amount) in [(debit, -amount), (credit, amount)] {
            let mut update =
                connection.prepare_cached("UPDATE party SET balance = balance + ?2 WHERE id = ?1")?;
            update.execute([party, amount])?;
        }
        let mut insert = connection.prepare_cached(
            "INSERT INTO journal (transfer, position, kind, debit, credit, amount, at) VALUES (?1, ?2, 'fee', ?3, ?4, ?5, ?6)",
        )?;
        insert.execute(params![hold, position, debit, credit, amount, i64::try_from(number)?])?;
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO settlement (hold, service, root, nonce, difficulty, threshold, worker, payee, charged, balance, earned, at)
         VALUES (?1, ?2, ?3, ?4, ?4, ?4, ?5, ?6, 16, 1, 14, ?7)",
    )?;
    let (worker, payee) = (*sale.worker.as_bytes(), [5_u8; 32]);
    insert.execute(params![hold, SERVICE, root, nonce, worker, payee, i64::try_from(number)?])?;
    let mut insert = connection.prepare_cached("INSERT INTO work_paid VALUES (?1, ?2, ?3)")?;
    insert.execute(params![root, nonce, hold])?;
    Ok(())
}
