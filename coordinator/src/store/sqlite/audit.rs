//! A ledger file under audit, as of one moment, beside its writer or without one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use marketplace::ledger::audit::{
    Audit, Books, Entry, PartyRow, Report, Settled, SettlementRow, Totals, Violation,
};
use marketplace::ledger::{Party, Posting, PostingKind, REPEAT_WINDOW, Sale, WorkKey};
use rusqlite::{Connection, OptionalExtension, Row, params};
use shared::{Network, ServiceId, TransferId};
use tokio::sync::oneshot;

use super::ledger::{self, Ledger};
use super::{Reader, row, schema};
use crate::store::{Answer, Settlement, StoreError};

/// Rows that are read at a time.
const PAGE: i64 = 1000;
/// What the connection of an audit may keep in memory of the file, in kibibytes: it looks up every settlement, and works in
/// no order.
const CACHE_KIB: i64 = 64 * 1024;

impl Reader {
    /// Audits the ledger as of one moment; what the writer commits meanwhile is not seen. An audit that has seen nothing also
    /// checks the structure of the whole file.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file cannot be read. One that is damaged can be, and is not green.
    pub fn audit(&self, audit: Audit) -> Result<(Audit, Report), StoreError> {
        self.connection().pragma_update(None, "cache_size", -CACHE_KIB)?;
        let moment = self.connection().unchecked_transaction()?;
        match run(&moment, audit) {
            Ok(audited) => Ok(audited),
            Err(error) if is_damage(&error) => {
                let mut report = Report::default();
                report.found(Violation::File(error.to_string()));
                Ok((Audit::new(), report))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Audits on a thread of its own, with a connection of its own, so that neither the end of the process nor other readers wait
/// for it.
pub(super) async fn beside_the_writer(
    path: PathBuf,
    network: Network,
    audit: Audit,
) -> Result<(Audit, Report), StoreError> {
    let (reply, audited) = oneshot::channel();
    let work = move || {
        let opened = Reader::open(&path, network);
        let result = opened
            .map_err(|error| StoreError::Unavailable(Box::new(error)))
            .and_then(|reader| reader.audit(audit));
        // Whoever has asked may have gone away.
        let _ = reply.send(result);
    };
    let started = std::thread::Builder::new().name("audit".into()).spawn(work);
    started.map_err(|error| StoreError::Unavailable(Box::new(error)))?;
    audited.await.map_err(|_| StoreError::Stopped)?
}

/// What is held in a running server against its open holds and its balances, holds and all.
pub(super) fn holds(ledger: &Ledger) -> rusqlite::Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for (service, held, open) in ledger.holds().compared() {
        if held != open {
            violations.push(Violation::Held { service, held: held.total(), open: open.total() });
        }
        let settled = ledger::settled_balance(ledger.connection(), service)?;
        if held.granted > settled.granted || held.paid > settled.paid {
            let (held, settled) = (held.total(), settled.total());
            violations.push(Violation::HeldTooMuch { service, held, settled });
        }
    }
    Ok(violations)
}

#[cfg(test)]
mod tests;

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

fn run(connection: &Connection, audit: Audit) -> rusqlite::Result<(Audit, Report)> {
    let mut problems = schema::differences(connection)?;
    if audit.is_new() {
        problems.extend(structure(connection)?);
    }
    let (audit, mut report) = audit.run(&File::read(connection)?)?;
    for problem in problems {
        report.found(Violation::File(problem));
    }
    Ok((audit, report))
}

/// What the file's own constraints should have kept out.
fn structure(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut check = connection.prepare("PRAGMA integrity_check(100)")?;
    for problem in check.query_map([], |found| found.get::<_, String>(0))? {
        problems.push(problem?);
    }
    problems.retain(|problem| problem != "ok");
    let mut check = connection.prepare(
        "SELECT \"table\", rowid, \"parent\", count(*) FROM pragma_foreign_key_check GROUP BY 1, 3 LIMIT 100",
    )?;
    let orphans = check.query_map([], |found| {
        let (table, rowid, parent) = (found.get(0)?, found.get(1)?, found.get(2)?);
        Ok((table, rowid, parent, row::natural(found, 3)?))
    })?;
    for orphan in orphans {
        let (table, rowid, parent, count): (String, Option<i64>, String, u64) = orphan?;
        let which = rowid.map_or_else(String::new, |rowid| format!(", one of them row {rowid}"));
        problems.push(format!("rows of {table} without their {parent}: {count}{which}"));
    }
    let repeated =
        "SELECT count(*) FROM (SELECT 1 FROM journal GROUP BY transfer, position HAVING count(*) > 1)";
    let repeated = connection.query_row(repeated, [], |found| row::natural(found, 0))?;
    if repeated > 0 {
        problems.push(format!("postings that stand in the journal more than once: {repeated}"));
    }
    Ok(problems)
}

/// The tables of a ledger, within one transaction.
struct File<'a> {
    connection: &'a Connection,
    /// By the numbers that stand for them in the journal.
    parties: BTreeMap<i64, PartyRow>,
}

impl<'a> File<'a> {
    fn read(connection: &'a Connection) -> rusqlite::Result<Self> {
        let mut find = connection.prepare("SELECT id, name, balance FROM party")?;
        let rows = find.query_map([], |found| {
            let party = row::text(found, 1).map_err(|_| found.get(1).unwrap_or_default());
            Ok((found.get(0)?, PartyRow { party, balance: found.get(2)? }))
        })?;
        Ok(Self { connection, parties: rows.collect::<rusqlite::Result<_>>()? })
    }

    fn entry(&self, found: &Row<'_>) -> rusqlite::Result<Entry> {
        let sequence = row::natural(found, 0)?;
        let posting = self
            .posting(found)
            .map_err(|error| error.to_string())
            .and_then(|posting| posting.ok_or_else(|| "a party or a kind of it does not exist".to_owned()));
        Ok(Entry { sequence, posting })
    }

    /// Reads `sequence, transfer, position, kind, debit, credit, amount, at`; `None` when it refers to nothing.
    fn posting(&self, found: &Row<'_>) -> rusqlite::Result<Option<Posting>> {
        let party = |index| -> rusqlite::Result<Option<Party>> {
            let row = self.parties.get(&found.get(index)?);
            Ok(row.and_then(|row| row.party.as_ref().ok()).copied())
        };
        let kind = PostingKind::of_name(found.get_ref(3)?.as_str()?);
        let (Some(kind), Some(debit), Some(credit)) = (kind, party(4)?, party(5)?) else { return Ok(None) };
        Ok(Some(Posting {
            transfer: TransferId::from_u128(u128::from_be_bytes(found.get(1)?)),
            position: found.get(2)?,
            kind,
            debit,
            credit,
            amount: row::amount(found, 6)?,
            work: None,
            at: row::time(found, 7)?,
        }))
    }
}

/// A settlement, its number, whether an earlier one makes it free, and the number of the first payment for its work. `?1` is the
/// length of the repeat window. Inside of the brackets `settlement` is the row outside of them.
const SETTLED: &str = "sequence,
    EXISTS (SELECT 1 FROM settlement AS earlier
        WHERE earlier.service = settlement.service AND earlier.root = settlement.root
        AND earlier.sequence < settlement.sequence AND earlier.difficulty >= settlement.threshold
        AND settlement.at - earlier.at < ?1),
    (SELECT first.sequence FROM work_paid JOIN settlement AS first ON first.hold = work_paid.hold
        WHERE work_paid.root = settlement.root AND work_paid.nonce = settlement.nonce)
    FROM settlement";

fn settlement_row(found: &Row<'_>) -> rusqlite::Result<SettlementRow> {
    let settled = settled(found).map_err(|error| error.to_string());
    Ok(SettlementRow { sequence: row::natural(found, 12)?, settled })
}

/// Reads the columns of [`row::SETTLEMENT`] and [`SETTLED`].
fn settled(found: &Row<'_>) -> rusqlite::Result<Settled> {
    let (settlement, answer) = row::settlement(found)?;
    let Settlement { hold, service, root, nonce, difficulty, threshold, payee, at, .. } = settlement;
    let Answer::Settled { charged, balance, earned } = answer else {
        unreachable!("the answer to a settlement is that it is settled")
    };
    let transfer = TransferId::of_hold(hold);
    let first: Option<i64> = found.get(14)?;
    let first = first.map(i64::unsigned_abs);
    let sale = Sale { transfer, service, work: WorkKey { root, nonce }, payee, at };
    let repeats = found.get(13)?;
    Ok(Settled { sale, difficulty, threshold, charged, earned, balance, repeats, first })
}

/// The length of the repeat window as a column.
fn repeat_window() -> i64 {
    i64::try_from(REPEAT_WINDOW.as_micros()).unwrap_or(i64::MAX)
}

fn number(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

impl Books for File<'_> {
    type Error = rusqlite::Error;

    fn entries(&self, after: u64) -> rusqlite::Result<Vec<Entry>> {
        let mut find = self.connection.prepare_cached(
            "SELECT sequence, transfer, position, kind, debit, credit, amount, at FROM journal
             WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
        )?;
        find.query_map([number(after), PAGE], |found| self.entry(found))?.collect()
    }

    fn settlement(&self, transfer: TransferId) -> rusqlite::Result<Option<SettlementRow>> {
        let query = format!("SELECT {}, {SETTLED} WHERE hold = ?2", row::SETTLEMENT);
        let mut find = self.connection.prepare_cached(&query)?;
        find.query_row(params![repeat_window(), row::transfer_bytes(transfer)], settlement_row).optional()
    }

    fn unposted(&self, after: u64) -> rusqlite::Result<Vec<SettlementRow>> {
        let query = format!(
            "SELECT {}, {SETTLED} WHERE sequence > ?2 AND NOT EXISTS (SELECT 1 FROM journal WHERE transfer = hold)
             ORDER BY sequence LIMIT ?3",
            row::SETTLEMENT
        );
        let mut find = self.connection.prepare_cached(&query)?;
        find.query_map([repeat_window(), number(after), PAGE], settlement_row)?.collect()
    }

    fn totals(&self) -> rusqlite::Result<Totals> {
        let count = |query: &str| self.connection.query_row(query, [], |found| row::natural(found, 0));
        let settlements = count("SELECT count(*) FROM settlement")?;
        let last = count("SELECT coalesce(max(sequence), 0) FROM settlement")?;
        let missing_settlement = if settlements >= last {
            None
        } else {
            let missing = "SELECT coalesce(min(sequence), 0) + 1 FROM
                 (SELECT 0 AS sequence UNION ALL SELECT sequence FROM settlement WHERE sequence > 0) AS before
                 WHERE NOT EXISTS (SELECT 1 FROM settlement WHERE sequence = before.sequence + 1)";
            Some(count(missing)?)
        };
        Ok(Totals {
            entries: count("SELECT count(*) FROM journal")?,
            settlements,
            missing_settlement,
            works_paid: count("SELECT count(*) FROM work_paid")?,
        })
    }

    fn stray_payments(&self) -> rusqlite::Result<Vec<(WorkKey, TransferId)>> {
        let mut find = self.connection.prepare_cached(
            "SELECT work_paid.root, work_paid.nonce, work_paid.hold FROM work_paid
             LEFT JOIN settlement ON settlement.hold = work_paid.hold
             WHERE settlement.hold IS NULL OR settlement.charged = 0
             OR settlement.root <> work_paid.root OR settlement.nonce <> work_paid.nonce LIMIT ?1",
        )?;
        let works = find.query_map([PAGE], |found| {
            let work = WorkKey { root: shared::pow::Root::new(found.get(0)?), nonce: row::nonce(found, 1)? };
            Ok((work, TransferId::from_u128(u128::from_be_bytes(found.get(2)?))))
        })?;
        works.collect()
    }

    fn parties(&self) -> rusqlite::Result<Vec<PartyRow>> {
        Ok(self.parties.values().cloned().collect())
    }

    fn services(&self) -> rusqlite::Result<BTreeSet<ServiceId>> {
        let mut find = self.connection.prepare_cached("SELECT name FROM service")?;
        let names = find.query_map([], |found| Ok(row::text(found, 0).ok()))?;
        names.filter_map(Result::transpose).collect()
    }
}
