//! A ledger file, changed with SQL in every way that we could think of: each must be found.

use std::fmt::Write as _;
use std::path::Path;

use shared::pow::{Nonce, Root, Threshold};
use shared::{KeyId, Payee};
use tempfile::TempDir;

use super::*;
use crate::store::conformance::{START, add, grant, hold, service, settlement, volunteer};
use crate::store::sqlite::SqliteStore;
use crate::store::{Bucket, KeyRecord, Store, Verb};

/// A settlement for a real work, found by the volunteer 1 or the house.
fn sale(counter: u64, name: &str, root: u8, nonce: u64) -> Settlement {
    let (root, nonce) = (Root::new([root; 32]), Nonce::new(nonce));
    let difficulty = shared::pow::difficulty(&root, nonce);
    Settlement { root, nonce, difficulty, threshold: Threshold::new(1), ..settlement(counter, name, 0, 0) }
}

/// Entries 1 to 4 are grants; 5 to 8 settlement 1, of granted and paid credits; 9 and 10 settlement 2, a resale; settlement 3 is
/// free; 11 and 12 are settlement 4, 13 and 14 settlement 5, found by the house.
fn history() -> Vec<Verb> {
    let key = KeyRecord {
        key: KeyId::from_bytes([1; 8]),
        service: service("wallet"),
        mac: [0; 32],
        label: "test".parse().unwrap(),
        at: START,
        expires: None,
    };
    let house = Settlement { payee: Payee::House, ..sale(5, "faucet", 3, 1) };
    vec![
        add("wallet"),
        add("faucet"),
        Verb::AddKey(key),
        grant("gift", "wallet", 600, Bucket::Granted),
        grant("purchase", "wallet", 2000, Bucket::Paid),
        grant("other purchase", "faucet", 5000, Bucket::Paid),
        grant("other gift", "faucet", 7, Bucket::Granted),
        hold(1, "wallet", 1000),
        Verb::Settle(sale(1, "wallet", 1, 1)),
        hold(2, "faucet", 1000),
        Verb::Settle(sale(2, "faucet", 1, 1)),
        hold(3, "faucet", 1000),
        Verb::Settle(sale(3, "faucet", 1, 2)),
        hold(4, "wallet", 16),
        Verb::Settle(sale(4, "wallet", 2, 1)),
        hold(5, "faucet", 100),
        Verb::Settle(house),
    ]
}

/// A ledger with that history; its store is closed, so that the file is all there is.
async fn ledger() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let store = SqliteStore::open(&path, Network::Dev).unwrap();
    store.execute(history()).await.unwrap();
    drop(store);
    Connection::open(&path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    directory
}

/// What an audit finds after these statements, run by somebody whom nothing stops, and then all protections restored.
fn found_after(ledger: &TempDir, changes: &str) -> Vec<Violation> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    std::fs::copy(ledger.path().join("ledger.sqlite"), &path).unwrap();
    tamper(&path, changes);
    let (_, report) = Reader::open(&path, Network::Dev).unwrap().audit(Audit::new()).unwrap();
    assert_eq!(report.violations_found, report.violations.len() as u64);
    report.violations
}

fn tamper(path: &Path, changes: &str) {
    let forger = Connection::open(path).unwrap();
    let mut find = forger.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").unwrap();
    let triggers = find.query_map([], |found| Ok((found.get(0)?, found.get(1)?))).unwrap();
    let (mut drops, mut restores) = (String::new(), String::new());
    for trigger in triggers {
        let (name, definition): (String, String) = trigger.unwrap();
        writeln!(drops, "DROP TRIGGER {name};").unwrap();
        writeln!(restores, "{definition};").unwrap();
    }
    drop(find);
    assert_eq!(drops.lines().count(), 2);
    let all = format!(
        "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; {drops} {changes}; {restores}"
    );
    forger.execute_batch(&all).unwrap_or_else(|error| panic!("{changes}: {error}"));
}

#[tokio::test]
async fn whatever_is_changed_in_the_file_is_found_and_named() {
    let ledger = ledger().await;
    let clean = found_after(&ledger, "SELECT 1");
    assert_eq!(clean, []);
    let mut checked = 0;
    for (changes, expected) in [BALANCES, JOURNAL, SETTLEMENTS, STRUCTURE_AND_REFERENCES].concat() {
        let found = found_after(&ledger, changes);
        let kinds: Vec<&str> = found.iter().map(Violation::kind).collect();
        assert_eq!(kinds.join(" "), expected, "{changes}: {found:#?}");
        assert!(found.iter().all(|violation| !violation.to_string().contains('\n')));
        checked += 1;
    }
    assert_eq!(checked, 62);
}

/// What is changed, and what kinds of violation are found, in their order.
const BALANCES: &[(&str, &str)] = &[
    ("UPDATE party SET balance = balance + 1 WHERE name = 'house'", "balance"),
    ("UPDATE party SET balance = -1 WHERE name = 'granted:wallet'", "balance"),
    ("UPDATE party SET balance = balance + 1 WHERE name IN ('issuance', 'house')", "balance balance"),
    (
        "DELETE FROM party WHERE name = 'granted:wallet'",
        "unreadable_entry unreadable_entry unreadable_entry postings amounts balance balance balance file",
    ),
    ("INSERT INTO party (name, balance) VALUES ('paid:nobody', 5)", "balance unknown_service"),
    ("INSERT INTO party (name, balance) VALUES ('nobody', 5)", "unreadable_party"),
    (
        "UPDATE party SET name = 'paid:other' WHERE name = 'paid:wallet'",
        "postings left postings left unknown_service",
    ),
];

const JOURNAL: &[(&str, &str)] = &[
        ("DELETE FROM journal WHERE sequence = 3", "gap overdrawn left left balance balance"),
        ("DELETE FROM journal WHERE sequence = 7", "gap postings amounts balance balance"),
        ("DELETE FROM journal WHERE sequence = 14", "postings amounts balance balance"),
        ("DELETE FROM journal WHERE sequence >= 13", "no_postings count balance balance balance"),
        (
            "DELETE FROM journal",
            "no_postings no_postings no_postings no_postings count balance balance balance balance balance balance balance",
        ),
        ("INSERT INTO journal SELECT 15, transfer, 9, kind, debit, credit, amount, at FROM journal WHERE sequence = 11", "order postings amounts left count count balance balance"),
        ("INSERT INTO journal SELECT 15, zeroblob(16), 0, kind, debit, credit, amount, at FROM journal WHERE sequence = 11", "no_settlement balance balance"),
        (
            "UPDATE journal SET sequence = -sequence - 1 WHERE sequence >= 12;
         UPDATE journal SET sequence = -sequence WHERE sequence < 0;
         INSERT INTO journal SELECT 12, transfer, 2, kind, debit, credit, amount, at FROM journal WHERE sequence = 11",
            "postings amounts left balance balance",
        ),
        ("UPDATE journal SET sequence = 1000 WHERE sequence = 14", "gap"),
        (
            "UPDATE journal SET sequence = 0 WHERE sequence = 1",
            "gap overdrawn left left count balance balance",
        ),
        ("UPDATE journal SET sequence = -1 WHERE sequence = 5;
         UPDATE journal SET sequence = 5 WHERE sequence = 6;
         UPDATE journal SET sequence = 6 WHERE sequence = -1", "postings"),
        ("UPDATE journal SET sequence = -1 WHERE sequence = 4;
         UPDATE journal SET sequence = 4 WHERE sequence = 9;
         UPDATE journal SET sequence = 9 WHERE sequence = -1", "overdrawn amounts order order postings amounts count"),
        ("UPDATE journal SET sequence = -1 WHERE sequence = 11;
         UPDATE journal SET sequence = 11 WHERE sequence = 13;
         UPDATE journal SET sequence = 13 WHERE sequence = -1;
         UPDATE journal SET sequence = -1 WHERE sequence = 12;
         UPDATE journal SET sequence = 12 WHERE sequence = 14;
         UPDATE journal SET sequence = 14 WHERE sequence = -1", "order"),
        ("UPDATE journal SET amount = amount + 1 WHERE sequence = 2", "balance balance"),
        ("UPDATE journal SET amount = amount + 1 WHERE sequence = 11", "amounts left balance balance"),
        (
            "UPDATE journal SET amount = 0 WHERE sequence = 11",
            "impossible postings amounts balance balance",
        ),
        (
            "UPDATE journal SET amount = -amount WHERE sequence = 11",
            "unreadable_entry postings amounts balance balance",
        ),
        (
            "UPDATE journal SET amount = 9007199254740992 WHERE sequence = 1",
            "impossible overdrawn overdrawn balance balance",
        ),
        ("UPDATE journal SET kind = 'resale' WHERE sequence = 11", "impossible postings amounts"),
        (
            "UPDATE journal SET kind = 'refund' WHERE sequence = 11",
            "unreadable_entry postings amounts balance balance",
        ),
        ("UPDATE journal SET credit = debit WHERE sequence = 11", "impossible postings balance balance"),
        (
            "UPDATE journal SET credit = (SELECT id FROM party WHERE name = 'house') WHERE sequence = 11",
            "impossible postings balance balance",
        ),
        (
            "UPDATE journal SET debit = 99 WHERE sequence = 11",
            "unreadable_entry postings amounts balance balance file",
        ),
        ("UPDATE journal SET at = at + 1 WHERE sequence = 11", "postings"),
        ("UPDATE journal SET position = 7 WHERE sequence = 12", "postings"),
        (
            "UPDATE journal SET transfer = zeroblob(15) WHERE sequence = 12",
            "unreadable_entry postings amounts balance balance",
        ),
        (
            "UPDATE journal SET transfer = (SELECT hold FROM settlement WHERE sequence = 3) WHERE sequence = 4",
            "grant_settled count",
        ),
];

const SETTLEMENTS: &[(&str, &str)] = &[
    ("DELETE FROM settlement WHERE sequence = 2", "no_settlement free_for_no_reason missing_settlement"),
    ("DELETE FROM settlement WHERE sequence = 3", "missing_settlement"),
    ("DELETE FROM settlement WHERE sequence = 5", "no_settlement count stray_payment file"),
    (
        "INSERT INTO settlement SELECT 6, zeroblob(16), service, root, nonce, difficulty, threshold, worker, payee, charged, balance, earned, at FROM settlement WHERE sequence = 4",
        "no_postings",
    ),
    (
        "INSERT INTO settlement SELECT 6, zeroblob(16), service, zeroblob(32), nonce, difficulty, threshold, worker, payee, 0, balance, 0, at FROM settlement WHERE sequence = 4",
        "difficulty free_for_no_reason",
    ),
    ("UPDATE settlement SET charged = charged - 1 WHERE sequence = 1", "amounts"),
    ("UPDATE settlement SET earned = earned + 1 WHERE sequence = 1", "amounts"),
    ("UPDATE settlement SET charged = 0, earned = 0 WHERE sequence = 4", "amounts"),
    ("UPDATE settlement SET charged = 16 WHERE sequence = 3", "no_postings"),
    ("UPDATE settlement SET balance = balance + 1 WHERE sequence = 1", "left"),
    (
        "UPDATE settlement SET nonce = zeroblob(8) WHERE sequence = 1",
        "difficulty work_not_kept count stray_payment",
    ),
    ("UPDATE settlement SET nonce = zeroblob(8) WHERE sequence = 3", "difficulty"),
    ("UPDATE settlement SET root = zeroblob(32) WHERE sequence = 3", "difficulty free_for_no_reason"),
    ("UPDATE settlement SET difficulty = x'ffffffffffffffff' WHERE sequence = 1", "difficulty"),
    ("UPDATE settlement SET threshold = x'ffffffffffffffff' WHERE sequence = 1", "below_threshold"),
    ("UPDATE settlement SET payee = NULL WHERE sequence = 4", "postings"),
    ("UPDATE settlement SET payee = zeroblob(32) WHERE sequence = 4", "postings"),
    ("UPDATE settlement SET service = 'wallet' WHERE sequence = 2", "charged_again free_for_no_reason"),
    (
        "UPDATE settlement SET service = 'NOBODY' WHERE sequence = 2",
        "unreadable_settlement free_for_no_reason file",
    ),
    ("UPDATE settlement SET at = at - 86400000000 WHERE sequence = 2", "postings free_for_no_reason"),
    ("DELETE FROM work_paid WHERE hold = (SELECT hold FROM settlement WHERE sequence = 4)", "work_not_kept"),
    (
        "UPDATE work_paid SET hold = (SELECT hold FROM settlement WHERE sequence = 2) WHERE hold = (SELECT hold FROM settlement WHERE sequence = 1)",
        "work_paid_twice postings",
    ),
    (
        "INSERT INTO work_paid VALUES (zeroblob(32), zeroblob(8), (SELECT hold FROM settlement WHERE sequence = 4))",
        "count stray_payment",
    ),
];

const STRUCTURE_AND_REFERENCES: &[(&str, &str)] = &[
    ("DELETE FROM service WHERE name = 'faucet'", "unknown_service unknown_service file"),
    ("UPDATE service_key SET service = 'nobody'", "file"),
    ("CREATE TRIGGER skim AFTER INSERT ON journal BEGIN SELECT 1; END", "file"),
    ("DROP INDEX settlement_by_root", "file"),
    (
        "CREATE TABLE copy AS SELECT * FROM journal; DROP TABLE journal; ALTER TABLE copy RENAME TO journal;
         INSERT INTO journal SELECT * FROM journal WHERE sequence = 4",
        "gap grant balance balance file file",
    ),
];

#[tokio::test]
async fn a_missing_trigger_is_named() {
    let ledger = ledger().await;
    let path = ledger.path().join("ledger.sqlite");
    let forger = Connection::open(&path).unwrap();
    forger.execute_batch("DROP TRIGGER journal_is_never_changed").unwrap();
    let (_, report) = Reader::open(&path, Network::Dev).unwrap().audit(Audit::new()).unwrap();
    assert_eq!(
        report.violations,
        [Violation::File("the trigger journal_is_never_changed is missing".into())]
    );
}

#[tokio::test]
async fn held_credits_are_counted_again_in_a_running_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let store = SqliteStore::open(&path, Network::Dev).unwrap();
    store.execute([history(), vec![hold(6, "wallet", 900), hold(7, "faucet", 5)]].concat()).await.unwrap();
    let (audit, report) = store.audit(Audit::new()).await.unwrap();
    assert_eq!(report.violations, []);
    // Less than is held, but nothing that the file itself refuses.
    let forger = Connection::open(&path).unwrap();
    forger.execute("UPDATE party SET balance = 899 WHERE name = 'paid:wallet'", []).unwrap();
    let (_, report) = store.audit(audit).await.unwrap();
    let found: Vec<&str> = report.violations.iter().map(Violation::kind).collect();
    assert_eq!(found, ["balance", "held_too_much"], "{report:?}");
    assert_eq!(report.imbalance, 1584 - 899);
}

/// Writes a ledger to be measured: `DPOW_TEST_POSTINGS` (a million when absent) in the file that `DPOW_TEST_LEDGER` names, made by
/// the store's own verbs. One settlement in ten is a resale, one in fifty is free.
///
/// `DPOW_TEST_LEDGER=/tmp/big/ledger.sqlite cargo test --release -p dpow-coordinator --lib -- --ignored write_a_ledger`, then
/// `dpow --network dev --data-dir /tmp/big ledger audit`.
#[tokio::test]
#[ignore = "writes a large file, for measurements"]
async fn write_a_ledger() {
    const SETTLEMENTS: u64 = 250;
    let Ok(path) = std::env::var("DPOW_TEST_LEDGER") else { return };
    let wanted =
        std::env::var("DPOW_TEST_POSTINGS").map_or(1_000_000, |count| count.parse().expect("a number"));
    let store = SqliteStore::open(Path::new(&path), Network::Dev).unwrap();
    let services = ["wallet", "faucet"];
    let credits = u64::MAX >> 13;
    let start = services.into_iter().flat_map(|name| [add(name), grant(name, name, credits, Bucket::Paid)]);
    store.execute(start.collect()).await.unwrap();
    let mut counter = 0_u64;
    let began = std::time::Instant::now();
    let postings = || -> i64 {
        let connection = Connection::open(&path).unwrap();
        connection
            .query_row("SELECT coalesce(max(sequence), 0) FROM journal", [], |found| found.get(0))
            .unwrap()
    };
    while postings() < wanted {
        let verbs = (0..SETTLEMENTS).flat_map(|_| {
            counter += 1;
            let (of_root, name) = match counter % 50 {
                // The other service has paid for it, or this one has.
                9 | 19 | 29 | 39 | 49 => (counter - 2, services[1]),
                1 => (counter.saturating_sub(1), services[0]),
                _ => (counter, services[0]),
            };
            let mut root = [7; 32];
            root[..8].copy_from_slice(&of_root.to_be_bytes());
            let (root, nonce) = (Root::new(root), Nonce::new(of_root));
            let difficulty = shared::pow::difficulty(&root, nonce);
            let payee = volunteer(u8::try_from(counter % 200).unwrap());
            let settled = settlement(counter, name, 0, 0);
            let settled =
                Settlement { root, nonce, difficulty, threshold: Threshold::new(1), payee, ..settled };
            [hold(counter, name, 16), Verb::Settle(settled)]
        });
        store.execute(verbs.collect()).await.unwrap();
    }
    println!("{counter} settlements in {:.1} s", began.elapsed().as_secs_f64());
}
