//! What only this store promises, and the suite that all stores pass.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use futures_util::future::join_all;
use shared::WorkerId;
use shared::pow::Root;
use tempfile::TempDir;

use super::*;
use crate::store::conformance::{add, conformance, grant, hold, key, mc, prove, service, settlement};
use crate::store::memory::MemoryStore;
use crate::store::{Bucket, Settlement};

impl SqliteStore {
    /// Changes a setting of the writer's connection.
    async fn set(&self, pragma: &'static str, value: &'static str) {
        let set = move |ledger: &Ledger| {
            ledger.connection().pragma_update_and_check(None, pragma, value, |_| Ok(())).or_else(|error| {
                match error {
                    rusqlite::Error::QueryReturnedNoRows => Ok(()),
                    error => Err(error),
                }
            })
        };
        self.look(set).await.unwrap().unwrap();
    }

    /// For tests that are not about what the disk keeps.
    pub(in crate::store) async fn stop_syncing(&self) {
        self.set("synchronous", "off").await;
    }
}

fn fresh() -> (TempDir, SqliteStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    (directory, store)
}

fn open(directory: &TempDir) -> SqliteStore {
    SqliteStore::open(&directory.path().join("ledger.sqlite"), Network::Dev).unwrap()
}

conformance!(fresh());

/// A settlement of its own root.
fn sale(counter: u64) -> Verb {
    let mut root = [0; 32];
    root[..8].copy_from_slice(&counter.to_be_bytes());
    Verb::Settle(Settlement { root: Root::new(root), ..settlement(counter, "wallet", 0, counter) })
}

fn start(amount: u64) -> Vec<Verb> {
    vec![add("wallet"), grant("start", "wallet", amount, Bucket::Paid)]
}

#[tokio::test]
async fn reopening_keeps_settlements_and_drops_holds() {
    let (directory, store) = fresh();
    let verbs = [start(1000), vec![hold(1, "wallet", 100), hold(2, "wallet", 300), sale(1)]].concat();
    let answers = store.execute(verbs).await.unwrap();
    let before = Balance { granted: mc(0), paid: mc(600), held: mc(300) };
    assert_eq!(store.balance(service("wallet")).await.unwrap(), Some(before));
    let journal = store.journal(1, usize::MAX).await.unwrap();
    let settled = store.settled_since(Timestamp::default(), 9).await.unwrap();
    drop(store);

    let store = open(&directory);
    let after = Balance { granted: mc(0), paid: mc(900), held: mc(0) };
    assert_eq!(store.balance(service("wallet")).await.unwrap(), Some(after));
    assert_eq!(store.journal(1, usize::MAX).await.unwrap(), journal);
    assert_eq!(store.settled_since(Timestamp::default(), 9).await.unwrap(), settled);
    let again = store.execute(vec![sale(1), sale(2), hold(1, "wallet", 100)]).await.unwrap();
    let mismatch = Answer::Refused(crate::store::VerbRefused::Mismatch);
    assert_eq!(again, [answers[4].clone(), Answer::HoldGone, mismatch]);
    prove(&store).await;
}

/// Who moves or copies it takes one file, and nothing of another ledger is left beside it.
#[tokio::test]
async fn a_ledger_that_was_closed_is_one_file() {
    let (directory, store) = fresh();
    store.execute([start(1000), vec![hold(1, "wallet", 100), sale(1)]].concat()).await.unwrap();
    let journal = store.journal(1, usize::MAX).await.unwrap();
    drop(store);
    // Reading it leaves nothing to be lost either.
    drop(Reader::open(&directory.path().join("ledger.sqlite"), Network::Dev).unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(directory.path()).unwrap().map(Result::unwrap) {
        let length = file.metadata().unwrap().len();
        assert!(
            file.file_name() != "ledger.sqlite-wal" || length == 0,
            "{length} bytes are in the log alone"
        );
    }
    std::fs::copy(directory.path().join("ledger.sqlite"), elsewhere.path().join("ledger.sqlite")).unwrap();
    assert_eq!(open(&elsewhere).journal(1, usize::MAX).await.unwrap(), journal);
}

#[tokio::test]
async fn a_reader_sees_what_is_durable_with_and_without_a_writer() {
    let (directory, store) = fresh();
    let path = directory.path().join("ledger.sqlite");
    store
        .execute([start(1000), vec![hold(1, "wallet", 100), hold(2, "wallet", 300), sale(1)]].concat())
        .await
        .unwrap();
    let expected = Balance { granted: mc(0), paid: mc(900), held: mc(0) };
    let beside = Reader::open(&path, Network::Dev).unwrap();
    assert_eq!(beside.balance(service("wallet")).unwrap(), Some(expected));
    assert_eq!(beside.balance(service("faucet")).unwrap(), None);
    let audited = |reader: &Reader| reader.audit(Audit::of_model()).unwrap().1;
    assert!(audited(&beside).is_green() && audited(&beside).checked.postings == 3);
    drop((beside, store));
    let alone = Reader::open(&path, Network::Dev).unwrap();
    assert_eq!(alone.balance(service("wallet")).unwrap(), Some(expected));
    assert_eq!(alone.journal(2, 1).unwrap()[0].sequence, 2);
    assert!(audited(&alone).is_green() && audited(&alone).checked.postings == 3);
}

/// The file may not grow by more than a page or two between steps, so that every kind of write is the one that fails
/// somewhere. Each step is a batch that closes a hold, opens one and adds a key; a failed step must leave no trace, and
/// succeed when there is room again. In the end everything is as in a ledger whose disk was never full.
#[tokio::test]
async fn a_full_disk_leaves_nothing_half_done() {
    let (_directory, store) = fresh();
    let model = MemoryStore::new();
    store.stop_syncing().await;
    let first = [start(1_000_000), vec![hold(1, "wallet", 100)]].concat();
    assert_eq!(store.execute(first.clone()).await.unwrap(), model.execute(first).await.unwrap());
    let mut failures = 0;
    for step in 1..300_u64 {
        store.set("max_page_count", "1").await;
        // Something of some size, without which batches would seldom need a new page.
        let ban = WorkerBan {
            subject: WorkerSubject::Worker(WorkerId::from_bytes(u128::from(step).to_be_bytes())),
            reason: "x".repeat(200).parse().unwrap(),
            at: Timestamp::default(),
            until: None,
        };
        let batch = vec![hold(step + 1, "wallet", 100), sale(step), Verb::BanWorker(ban)];
        let expected = model.execute(batch.clone()).await.unwrap();
        let before =
            (store.balance(service("wallet")).await.unwrap(), store.journal(1, usize::MAX).await.unwrap());
        let answers = match store.execute(batch.clone()).await {
            Ok(answers) => answers,
            Err(StoreError::Unavailable(_)) => {
                failures += 1;
                let after = (
                    store.balance(service("wallet")).await.unwrap(),
                    store.journal(1, usize::MAX).await.unwrap(),
                );
                assert_eq!(after, before);
                // Holding needs no disk.
                let only_hold = vec![hold(step + 1, "wallet", 100)];
                assert_eq!(store.execute(only_hold).await.unwrap(), expected[..1]);
                store.set("max_page_count", "1000000").await;
                store.execute(batch).await.unwrap()
            }
            Err(StoreError::Stopped) => panic!("a full disk may pass"),
        };
        assert_eq!(answers, expected);
    }
    assert!(failures > 20, "only {failures} batches met a full disk");
    assert_eq!(store.journal(1, usize::MAX).await.unwrap(), model.journal(1, usize::MAX).await.unwrap());
    assert_eq!(
        store.balance(service("wallet")).await.unwrap(),
        model.balance(service("wallet")).await.unwrap()
    );
    prove(&store).await;
}

#[tokio::test]
async fn a_file_that_refuses_what_was_checked_stops_the_store() {
    let (directory, store) = fresh();
    store
        .execute([start(1000), vec![hold(1, "wallet", 100), hold(2, "wallet", 100)]].concat())
        .await
        .unwrap();
    let forger = rusqlite::Connection::open(directory.path().join("ledger.sqlite")).unwrap();
    forger.execute("UPDATE party SET balance = balance - 990 WHERE name = 'paid:wallet'", []).unwrap();
    assert!(matches!(store.execute(vec![sale(1)]).await, Err(StoreError::Stopped)));
    assert!(matches!(store.execute(vec![]).await, Err(StoreError::Stopped)));
    assert!(matches!(store.balance(service("wallet")).await, Err(StoreError::Stopped)));
}

#[tokio::test]
async fn a_ledger_is_read_beside_its_writer() {
    let (directory, store) = fresh();
    let path = directory.path().join("ledger.sqlite");
    let ban = WorkerBan {
        subject: WorkerSubject::Worker(WorkerId::from_bytes([1; 16])),
        reason: "test".parse().unwrap(),
        at: Timestamp::default(),
        until: None,
    };
    let registrations = vec![Verb::AddKey(key(1, "wallet")), Verb::BanWorker(ban)];
    let requests = vec![hold(1, "wallet", 100), hold(2, "wallet", 100), sale(1)];
    store.execute([start(1000), registrations, requests].concat()).await.unwrap();
    let (reader, wallet) = (ReadOnlyStore::open(&path, Network::Dev).unwrap(), service("wallet"));
    let balance = Balance { granted: mc(0), paid: mc(900), held: mc(0) };
    assert_eq!(reader.balance(wallet).await.unwrap(), Some(balance));
    assert_eq!(reader.parties().await.unwrap(), store.parties().await.unwrap());
    assert_eq!(reader.journal(1, 99).await.unwrap(), store.journal(1, 99).await.unwrap());
    assert_eq!(reader.services().await.unwrap(), store.services().await.unwrap());
    assert_eq!(reader.keys().await.unwrap(), store.keys().await.unwrap());
    assert_eq!(reader.worker_bans().await.unwrap(), store.worker_bans().await.unwrap());
    assert_eq!(reader.worker_totals(None).await.unwrap(), store.worker_totals(None).await.unwrap());
    let settled = store.settled_since(Timestamp::default(), 9).await.unwrap();
    assert_eq!(reader.settled_since(Timestamp::default(), 9).await.unwrap(), settled);
    let refused = reader.execute(vec![add("faucet")]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    assert_eq!(store.services().await.unwrap().len(), 1);
}

/// Where a test that is run in a process of its own keeps its ledger.
const CHILD: &str = "DPOW_TEST_LEDGER";

#[tokio::test]
async fn acknowledged_settlements_survive_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<u64> = Vec::new();
    for round in 1..=5_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::sqlite::tests::settle_until_killed", "--ignored", "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut numbers = lines.filter_map(|line| settled_number(&line));
        acknowledged.extend(numbers.by_ref().take(37 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had printed before it died counts too.
        acknowledged.extend(numbers);

        let store = open(&directory);
        let answers =
            store.execute(acknowledged.iter().map(|counter| sale(*counter)).collect()).await.unwrap();
        for (counter, answer) in acknowledged.iter().zip(answers) {
            assert!(
                matches!(answer, Answer::Settled { charged, .. } if charged == mc(10)),
                "{counter}: {answer:?}"
            );
        }
        prove(&store).await;
        let settled = store.settled_since(Timestamp::default(), usize::MAX).await.unwrap().len();
        // Each of the callers may have had one on its way.
        assert!((acknowledged.len()..=acknowledged.len() + 8 * round).contains(&settled));
    }
    assert!(acknowledged.len() >= 37 * 15);
}

#[tokio::test]
#[ignore = "runs for ever: acknowledged_settlements_survive_a_kill starts it in a process of its own"]
async fn settle_until_killed() {
    let Ok(directory) = std::env::var(CHILD) else { return };
    let store = SqliteStore::open(&Path::new(&directory).join("ledger.sqlite"), Network::Dev).unwrap();
    store.execute(start(1_000_000_000)).await.unwrap();
    let settled = store.settled_since(Timestamp::default(), usize::MAX).await.unwrap();
    let first = settled.iter().map(|work| work.nonce.as_u64()).max().unwrap_or(0) + 1;
    let store = &store;
    join_all((0..8).map(|caller| async move {
        for counter in (first + caller..).step_by(8) {
            let answers = store.execute(vec![hold(counter, "wallet", 10), sale(counter)]).await.unwrap();
            assert!(matches!(answers[1], Answer::Settled { .. }));
            println!("settled {counter}");
        }
    }))
    .await;
}

/// The disk refuses to take more in the midst of commits: a process of its own may not write files beyond some size. What it
/// saw acknowledged must be there, what it saw refused must not.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn commits_that_the_disk_refuses_leave_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    // In blocks of 512 or 1,024 bytes, by shell: less than the write-ahead log grows to before it is copied.
    let limited = "trap '' XFSZ; ulimit -f 3000; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::sqlite::tests::settle_until_refused", "--ignored", "--nocapture"])
        .env(CHILD, directory.path())
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let acknowledged: Vec<u64> = output.lines().filter_map(settled_number).collect();
    assert!(output.contains("refused, and still standing") && acknowledged.len() > 10, "{output}");
    let store = open(&directory);
    prove(&store).await;
    let settled = store.settled_since(Timestamp::default(), usize::MAX).await.unwrap();
    let mut settled: Vec<u64> = settled.iter().map(|work| work.nonce.as_u64()).collect();
    settled.sort_unstable();
    assert_eq!(settled, acknowledged);
}

#[tokio::test]
#[ignore = "needs a full disk: commits_that_the_disk_refuses_leave_nothing_behind starts it in a process of its own"]
async fn settle_until_refused() {
    let Ok(directory) = std::env::var(CHILD) else { return };
    let store = SqliteStore::open(&Path::new(&directory).join("ledger.sqlite"), Network::Dev).unwrap();
    store.execute(start(1_000_000_000)).await.unwrap();
    let mut refusals = 0;
    for counter in 1.. {
        store.execute(vec![hold(counter, "wallet", 10)]).await.unwrap();
        let before = store.balance(service("wallet")).await.unwrap();
        match store.execute(vec![sale(counter)]).await {
            Ok(_) => println!("settled {counter}"),
            Err(StoreError::Unavailable(_)) => {
                assert_eq!(store.balance(service("wallet")).await.unwrap(), before);
                prove(&store).await;
                refusals += 1;
            }
            Err(StoreError::Stopped) => panic!("a full disk may pass"),
        }
        if refusals == 5 {
            break;
        }
    }
    println!("refused, and still standing");
}

/// The number in a line that a child prints; the harness may have printed something before it.
fn settled_number(line: &str) -> Option<u64> {
    line.rsplit_once("settled ").and_then(|(_, number)| number.parse().ok())
}
