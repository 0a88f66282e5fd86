//! Moving a ledger between stores.

use shared::Network;

use super::super::{Access, RedisStore};
use super::fixture::{RedisProcess, is_there};
use crate::store::conformance::{START, add, grant, hold, key, prove, settlement};
use crate::store::sqlite::SqliteStore;
use crate::store::{
    Answer, Bucket, CopyError, Place, ServiceState, Settlement, Store, Verb, WorkerBan, WorkerSubject, copy,
};

/// A work of the network `dev`, found here, so that a whole audit believes it.
fn work(counter: u64, service: &str, root: u8) -> Verb {
    use shared::pow::{Nonce, Root, difficulty};
    let (root, threshold) = (Root::new([root; 32]), Network::Dev.receive_threshold());
    let mut nonces = (0..).map(Nonce::new);
    let nonce = nonces.find(|nonce| difficulty(&root, *nonce).meets(threshold)).unwrap();
    let difficulty = difficulty(&root, nonce);
    Verb::Settle(Settlement { root, nonce, difficulty, threshold, ..settlement(counter, service, 0, 0) })
}

fn history() -> Vec<Verb> {
    let ban = WorkerBan {
        subject: WorkerSubject::Worker(shared::WorkerId::from_bytes([1; 16])),
        reason: "floods us".parse().unwrap(),
        at: START,
        until: Some(START),
    };
    let used = vec![(crate::store::conformance::key_id(1), START)];
    let state = |state, reason: &str| Verb::SetServiceState {
        service: crate::store::conformance::service("faucet"),
        state,
        reason: reason.parse().unwrap(),
        at: START + std::time::Duration::from_secs(5),
    };
    vec![
        add("wallet"),
        add("faucet"),
        Verb::AddKey(key(1, "wallet")),
        Verb::AddKey(key(2, "faucet")),
        Verb::ExpireKey { key: crate::store::conformance::key_id(2), at: START },
        Verb::KeysUsed { used },
        Verb::BanWorker(ban),
        state(ServiceState::Suspended, "two words"),
        grant("gift", "wallet", 500, Bucket::Granted),
        grant("purchase", "wallet", 5000, Bucket::Paid),
        grant("other", "faucet", 5000, Bucket::Paid),
        hold(1, "wallet", 700),
        work(1, "wallet", 1),
        hold(2, "faucet", 300),
        work(2, "faucet", 1),
        hold(3, "wallet", 100),
        work(3, "wallet", 1),
        hold(4, "wallet", 100),
        work(4, "wallet", 2),
        hold(5, "wallet", 9),
    ]
}

#[tokio::test]
async fn a_ledger_is_the_same_in_the_other_store_and_back() {
    if !is_there() {
        return;
    }
    let (server, directory) = (RedisProcess::start(&[]), tempfile::tempdir().unwrap());
    let file = |name: &str| Place::File { path: directory.path().join(name), network: Network::Dev };
    let access = Access {
        server: server.url.parse().unwrap(),
        network: Network::Dev,
        allows_unsafe: false,
        announces: false,
    };
    let redis = Place::server(directory.path(), access.clone());
    let answers = {
        let store = SqliteStore::open(&directory.path().join("one"), Network::Dev).unwrap();
        store.execute(history()).await.unwrap()
    };
    let settled = |index: usize| matches!(answers[index], Answer::Settled { .. });
    assert!([12, 14, 16, 18].into_iter().all(settled), "{answers:?}");

    let report = copy(&file("one"), &redis).await.unwrap();
    assert_eq!((report.checked.settlements, report.checked.free, report.is_green()), (4, 1, true));
    assert!(matches!(copy(&file("one"), &redis).await, Err(CopyError::Taken { .. })));
    let (one, other) = (file("one").look().await.unwrap(), redis.look().await.unwrap());
    assert_eq!(one.journal(1, 99).await.unwrap(), other.journal(1, 99).await.unwrap());
    assert_eq!(one.keys().await.unwrap(), other.keys().await.unwrap());

    copy(&redis, &file("two")).await.unwrap();
    assert!(!directory.path().join("two.unfinished").exists());
    // Both go on as the first one would have: what was settled is known, also that asking again is free.
    let store = RedisStore::open(&access, &directory.path().join("ledger-mark")).await.unwrap();
    let embedded = SqliteStore::open(&directory.path().join("two"), Network::Dev).unwrap();
    let further = || {
        let again =
            [work(1, "wallet", 1), work(2, "faucet", 1), grant("gift", "wallet", 500, Bucket::Granted)];
        [
            again.to_vec(),
            vec![
                hold(6, "wallet", 50),
                work(6, "wallet", 2),
                hold(7, "faucet", 60),
                work(7, "faucet", 2),
                hold(2, "wallet", 5),
            ],
        ]
        .concat()
    };
    let found = store.execute(further()).await.unwrap();
    assert_eq!(found, embedded.execute(further()).await.unwrap());
    assert_eq!(found[..2], [answers[12].clone(), answers[14].clone()]);
    prove(&store).await;
    prove(&embedded).await;
}

#[tokio::test]
async fn a_copy_that_fails_leaves_no_ledger() {
    if !is_there() {
        return;
    }
    let (server, directory) = (RedisProcess::start(&[]), tempfile::tempdir().unwrap());
    let from = Place::File { path: directory.path().join("one"), network: Network::Dev };
    let access = Access {
        server: server.url.parse().unwrap(),
        network: Network::Dev,
        allows_unsafe: false,
        announces: false,
    };
    let redis = Place::server(directory.path(), access);
    let none = copy(&from, &redis).await.unwrap_err().to_string();
    assert!(none.starts_with("there is no ledger at"), "{none}");
    SqliteStore::open(&directory.path().join("one"), Network::Dev).unwrap().execute(history()).await.unwrap();
    rusqlite::Connection::open(directory.path().join("one"))
        .unwrap()
        .execute("UPDATE party SET balance = balance + 1 WHERE name = 'house'", [])
        .unwrap();
    assert!(matches!(copy(&from, &redis).await, Err(CopyError::Red { .. })));
    assert_eq!(server.command(&["DBSIZE"]).as_deref(), Some("0"));
    server.command(&["SET", "{dpow}:journal", "somebody's"]);
    assert!(copy(&from, &redis).await.unwrap_err().to_string().contains("{dpow}:journal"));
}
