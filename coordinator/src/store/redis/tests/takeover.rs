//! Who writes, and what becomes of changes when a server or a connection has gone back or come late.

use shared::Timestamp;
use shared::pow::Root;

use super::super::RedisStore;
use super::super::attachment::Claim;
use super::super::call::Call;
use super::super::key::Key;
use super::super::mark::Mark;
use super::fixture::{RedisProcess, claim, is_there, mark};
use crate::store::conformance::{add, grant, hold, mc, prove, service, settlement};
use crate::store::{Answer, Balance, Bucket, Settlement, Store, StoreError, Verb};

fn sale(counter: u64) -> Verb {
    let mut root = [0; 32];
    root[..8].copy_from_slice(&counter.to_be_bytes());
    Verb::Settle(Settlement { root: Root::new(root), ..settlement(counter, "wallet", 0, counter) })
}

fn start() -> Vec<Verb> {
    vec![add("wallet"), grant("start", "wallet", 1_000_000, Bucket::Paid)]
}

/// Tries until the store is there again, as its coordinator does each second.
async fn until_there(store: &RedisStore, verbs: &[Verb]) -> Vec<Answer> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        match store.execute(verbs.to_vec()).await {
            Ok(answers) => return answers,
            Err(StoreError::Unavailable(cause)) => assert!(std::time::Instant::now() < deadline, "{cause}"),
            Err(StoreError::Stopped) => panic!("it stops"),
        }
    }
}

/// Opening it anew keeps settlements and drops holds; what the one before still sends has no effect.
#[tokio::test]
async fn whoever_opens_a_ledger_has_it_alone() {
    if !is_there() {
        return;
    }
    let server = RedisProcess::start(&[]);
    let (ledger, directory) = (claim(&server.url), tempfile::tempdir().unwrap());
    let (keys, path) = (ledger.keys.clone(), directory.path().join("ledger-mark"));
    let again = || Claim { keys: keys.clone(), ..claim(&server.url) };
    let first = RedisStore::start(ledger, Mark::load(&path).unwrap()).await.unwrap();
    let answers = first
        .execute([start(), vec![hold(1, "wallet", 100), hold(2, "wallet", 300), sale(1)]].concat())
        .await
        .unwrap();
    let held = Balance { granted: mc(0), paid: mc(999_600), held: mc(300) };
    assert_eq!(first.balance(service("wallet")).await.unwrap(), Some(held));

    let second = RedisStore::start(again(), Mark::load(&path).unwrap()).await.unwrap();
    let free = Balance { granted: mc(0), paid: mc(999_900), held: mc(0) };
    assert_eq!(second.balance(service("wallet")).await.unwrap(), Some(free));
    assert_eq!(second.execute(vec![sale(1), sale(2)]).await.unwrap(), [answers[4].clone(), Answer::HoldGone]);
    assert_eq!(second.settled_since(Timestamp::default(), 9).await.unwrap().len(), 1);
    // A command that one of its connections sends late.
    let late = Call::of(&sale(2), marketplace::ledger::Split::default()).command(&keys, "an older token", 0);
    let client = redis::Client::open(server.url.as_str()).unwrap();
    let refused = late.query::<redis::Value>(&mut client.get_connection().unwrap()).unwrap_err();
    assert_eq!(refused.code(), Some("DPOWFENCED"));
    // The same data directory is never open twice; if it is all the same, each works with what the other has left.
    assert!(matches!(first.execute(vec![hold(4, "wallet", 5)]).await, Err(StoreError::Unavailable(_))));
    prove(&second).await;
}

/// Another data directory waits until the one that had the ledger has not been heard of for some time; then that one stops.
#[tokio::test]
async fn of_two_coordinators_one_writes() {
    if !is_there() {
        return;
    }
    let server = RedisProcess::start(&[]);
    let ledger = claim(&server.url);
    let keys = ledger.keys.clone();
    let again = || Claim { keys: keys.clone(), ..claim(&server.url) };
    let first = RedisStore::start(ledger, mark()).await.unwrap();
    first.execute(start()).await.unwrap();
    assert!(RedisStore::start(again(), mark()).await.is_err());
    // As if ten seconds had passed.
    server.command(&["HSET", keys.name(Key::Meta), "lease", "1"]);
    let second = RedisStore::start(again(), mark()).await.unwrap();
    second.execute(vec![hold(1, "wallet", 100)]).await.unwrap();
    assert!(matches!(first.execute(vec![hold(2, "wallet", 1)]).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(first.execute(vec![hold(2, "wallet", 1)]).await, Err(StoreError::Stopped)));
    prove(&second).await;
}

/// The server ends and comes back with everything: what was held is held, and nobody notices but by a pause.
#[tokio::test]
async fn a_server_that_comes_back_goes_on() {
    if !is_there() {
        return;
    }
    let server = RedisProcess::start(&["--appendfsync", "always"]);
    let store = RedisStore::start(claim(&server.url), mark()).await.unwrap();
    store
        .execute([start(), vec![hold(1, "wallet", 100), hold(2, "wallet", 100), sale(1)]].concat())
        .await
        .unwrap();
    let stopped = server.stop();
    assert!(matches!(store.execute(vec![sale(2)]).await, Err(StoreError::Unavailable(_))));
    let _server = stopped.start(&["--appendfsync", "always"]);
    let answers = until_there(&store, &[sale(2), sale(1)]).await;
    assert!(
        answers.iter().all(|answer| matches!(answer, Answer::Settled { charged, .. } if *charged == mc(100)))
    );
    prove(&store).await;
}

/// The server comes back without its last changes, whatever they were: it gets them again, with the same ids, and everything is as
/// if it had kept them.
#[tokio::test]
async fn what_a_server_has_lost_is_brought_back() {
    if !is_there() {
        return;
    }
    for kept in [0_u64, 1, 3, 6, 9] {
        let server = RedisProcess::start(&["--appendfsync", "always"]);
        let ledger = claim(&server.url);
        let store = RedisStore::start(ledger, mark()).await.unwrap();
        store.execute(start()).await.unwrap();
        store
            .execute(vec![hold(1, "wallet", 100), hold(2, "wallet", 200), hold(9, "wallet", 7)])
            .await
            .unwrap();
        let log = log_of(&server);
        let mut length = log.metadata().unwrap().len();
        let changes = [
            hold(3, "wallet", 300),
            sale(1),
            Verb::Release { hold: crate::store::conformance::hold_id(9) },
            hold(4, "wallet", 400),
            sale(3),
            grant("more", "wallet", 5, Bucket::Granted),
            add("faucet"),
            sale(2),
            hold(5, "wallet", 500),
        ];
        let mut answers = Vec::new();
        for (index, change) in (1..).zip(&changes) {
            answers.push(store.execute(vec![change.clone()]).await.unwrap().remove(0));
            if index == kept {
                length = log.metadata().unwrap().len();
            }
        }
        let journal = store.journal(1, usize::MAX).await.unwrap();
        let balance = store.balance(service("wallet")).await.unwrap();
        let stopped = server.stop();
        std::fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(length).unwrap();
        let _server = stopped.start(&["--appendfsync", "always"]);
        // Anything at all finds out.
        until_there(&store, &[add("faucet")]).await;
        assert_eq!(store.journal(1, usize::MAX).await.unwrap(), journal, "{kept} kept");
        assert_eq!(store.balance(service("wallet")).await.unwrap(), balance, "{kept} kept");
        assert_eq!(
            store.execute(vec![sale(1), sale(3), sale(2)]).await.unwrap(),
            [1, 4, 7].map(|index| answers[index].clone())
        );
        prove(&store).await;
    }
}

/// A change is torn, and written over: without mending, the next start of the server would take what came later for a part of it.
#[tokio::test]
async fn a_torn_log_is_mended_before_anything_is_written() {
    if !is_there() {
        return;
    }
    for cut in [10, 40, 150, 400, 600] {
        let server = RedisProcess::start(&["--appendfsync", "always"]);
        let (ledger, directory) = (claim(&server.url), tempfile::tempdir().unwrap());
        let (keys, path) = (ledger.keys.clone(), directory.path().join("ledger-mark"));
        let again = |url: &str| Claim { keys: keys.clone(), ..claim(url) };
        let store = RedisStore::start(ledger, Mark::load(&path).unwrap()).await.unwrap();
        let sold = [start(), vec![hold(1, "wallet", 100), hold(2, "wallet", 200), sale(1)]].concat();
        store.execute(sold).await.unwrap();
        drop(store);
        cut_log(&server, cut);

        // Another process of the same coordinator, so that nobody brings anything back.
        let server = server.stop().start(&["--appendfsync", "always"]);
        let store = RedisStore::start(again(&server.url), Mark::load(&path).unwrap()).await.unwrap();
        prove(&store).await;
        let held = vec![hold(3, "wallet", 300), sale(3), hold(4, "wallet", 400), hold(5, "wallet", 500)];
        store.execute(held).await.unwrap();
        let journal = store.journal(1, usize::MAX).await.unwrap();
        let _server = server.stop().start(&["--appendfsync", "always"]);
        until_there(&store, &[add("wallet")]).await;
        assert_eq!(store.journal(1, usize::MAX).await.unwrap(), journal, "after a cut of {cut}");
        assert_eq!(
            store.balance(service("wallet")).await.unwrap().unwrap().held,
            mc(900),
            "after a cut of {cut}"
        );
        prove(&store).await;
    }
}

/// Takes so many bytes from the end of a server's log. It keeps the file open, but never reads it again.
fn cut_log(server: &RedisProcess, bytes: u64) {
    let log = log_of(server);
    let length = log.metadata().unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(length - bytes).unwrap();
}

/// The file that the server appends to.
fn log_of(server: &RedisProcess) -> std::path::PathBuf {
    let directory = server.directory.path().join("appendonlydir");
    let manifest = std::fs::read_to_string(directory.join("appendonly.aof.manifest")).unwrap();
    let last = manifest.lines().rfind(|line| line.ends_with("type i")).unwrap();
    directory.join(last.split(' ').nth(1).unwrap())
}
