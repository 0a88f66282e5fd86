//! What the writer checks before each commit, in release builds as well: a batch that would leave a ledger in which anything is
//! wrong is never written.
//!
//! The checks read back from the file what the batch has made of it, and cost one look-up for each party that it touched.
//! Everything else is for the audit.

use std::collections::BTreeMap;

use marketplace::ledger::Party;
use rusqlite::Connection;
use shared::Millicredits;

use super::holds::Holds;

/// What the postings since the last commit have touched.
#[derive(Debug)]
pub(super) struct Batch {
    /// The journal's last entry at the last commit.
    committed: i64,
    /// Postings since then.
    postings: i64,
    /// Parties by the number of their row, with their balance before.
    touched: BTreeMap<i64, (Party, i64)>,
}

impl Batch {
    /// Nothing has been touched.
    pub(super) fn new(connection: &Connection) -> rusqlite::Result<Self> {
        Ok(Self { committed: last_entry(connection)?, postings: 0, touched: BTreeMap::new() })
    }

    /// A party's balance was moved: what it was before.
    pub(super) fn moved(&mut self, row: i64, party: Party, before: i64) {
        self.touched.entry(row).or_insert((party, before));
    }

    /// A posting was written.
    pub(super) const fn posted(&mut self) {
        self.postings += 1;
    }

    /// All of it is committed.
    pub(super) fn commit(&mut self) {
        self.committed += self.postings;
        self.roll_back();
    }

    /// None of it has happened.
    pub(super) fn roll_back(&mut self) {
        self.postings = 0;
        self.touched.clear();
    }

    /// Checks what is about to be committed.
    ///
    /// # Errors
    /// When the file cannot be read.
    ///
    /// # Panics
    /// When it must not be committed: the sum of all balances would change, a party but the issuance would be below zero, more
    /// would be held than there is, or the journal would have a gap. The writer ends with it, and the transaction is lost.
    pub(super) fn check(&self, connection: &Connection, holds: &Holds) -> rusqlite::Result<()> {
        let mut find = connection.prepare_cached("SELECT balance FROM party WHERE id = ?1")?;
        let mut sum = 0;
        for (row, (party, before)) in &self.touched {
            let balance: i64 = find.query_row([row], |found| found.get(0))?;
            assert!(balance >= 0 || party.may_owe(), "{party} would fall to {balance} mc");
            let held = held(*party, holds).as_i64();
            assert!(
                party.may_owe() || held <= balance,
                "{held} mc of {party} are held, but it would have {balance}"
            );
            sum += i128::from(balance) - i128::from(*before);
        }
        assert!(sum == 0, "the sum of all balances would change by {sum} mc");
        let (last, Self { committed, postings, .. }) = (last_entry(connection)?, self);
        let expected = committed + postings;
        assert!(
            last == expected,
            "after {postings} postings the journal would end with {last}, not {expected}"
        );
        Ok(())
    }
}

/// What of a party's credits is set aside.
fn held(party: Party, holds: &Holds) -> Millicredits {
    match party {
        Party::Granted(service) => holds.held(service).granted,
        Party::Paid(service) => holds.held(service).paid,
        _ => Millicredits::ZERO,
    }
}

fn last_entry(connection: &Connection) -> rusqlite::Result<i64> {
    let mut find = connection.prepare_cached("SELECT coalesce(max(sequence), 0) FROM journal")?;
    find.query_row([], |found| found.get(0))
}

#[cfg(test)]
mod tests {
    use shared::Network;
    use shared::pow::Root;
    use tempfile::TempDir;

    use super::*;
    use crate::store::conformance::{add, grant, hold, settlement};
    use crate::store::sqlite::{Reader, SqliteStore};
    use crate::store::{Answer, Bucket, Settlement, Store, StoreError, Verb};

    fn sale(counter: u64) -> Verb {
        let root = Root::new([u8::try_from(counter).unwrap(); 32]);
        Verb::Settle(Settlement { root, ..settlement(counter, "wallet", 0, counter) })
    }

    /// A ledger with three holds and one settlement, and then changed by somebody else while it is open.
    async fn changed(changes: &str) -> (TempDir, SqliteStore) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.sqlite");
        let store = SqliteStore::open(&path, Network::Dev).unwrap();
        let start = [add("wallet"), grant("start", "wallet", 1000, Bucket::Paid)];
        let holds = (1..4).map(|counter| hold(counter, "wallet", 300));
        store.execute(start.into_iter().chain(holds).collect()).await.unwrap();
        let answers = store.execute(vec![sale(1)]).await.unwrap();
        assert!(matches!(answers[0], Answer::Settled { .. }));
        Connection::open(&path).unwrap().execute_batch(changes).unwrap();
        (directory, store)
    }

    #[tokio::test]
    async fn a_batch_that_would_leave_the_ledger_wrong_is_not_written() {
        let delete = "DROP TRIGGER journal_is_never_shortened; DELETE FROM journal WHERE sequence = 3";
        for changes in [
            // Somebody takes a cut of every payment.
            "CREATE TRIGGER cut AFTER INSERT ON journal WHEN new.kind = 'fee'
             BEGIN UPDATE party SET balance = balance + 1 WHERE name = 'house'; END",
            // A payment is booked twice.
            "CREATE TRIGGER twice AFTER INSERT ON journal WHEN new.position = 1
             BEGIN INSERT INTO journal SELECT NULL, transfer, 9, kind, debit, credit, amount, at
                   FROM journal WHERE sequence = new.sequence; END",
            delete,
        ] {
            let (directory, store) = changed(changes).await;
            let reader = Reader::open(&directory.path().join("ledger.sqlite"), Network::Dev).unwrap();
            let before = (reader.journal(1, 99).unwrap(), reader.parties().unwrap());
            assert!(matches!(store.execute(vec![sale(2)]).await, Err(StoreError::Stopped)), "{changes}");
            assert!(matches!(store.execute(vec![]).await, Err(StoreError::Stopped)));
            assert_eq!((reader.journal(1, 99).unwrap(), reader.parties().unwrap()), before, "{changes}");
        }
    }

    #[tokio::test]
    async fn a_batch_that_would_leave_less_than_is_held_is_not_written() {
        let less = "UPDATE party SET balance = balance - 200 WHERE name = 'paid:wallet'";
        for verb in [sale(2), grant("more", "wallet", 1, Bucket::Paid)] {
            let (_directory, store) = changed(less).await;
            assert!(matches!(store.execute(vec![verb]).await, Err(StoreError::Stopped)));
        }
    }
}
