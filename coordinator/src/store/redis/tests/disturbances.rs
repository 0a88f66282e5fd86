//! A server that refuses or breaks in the midst: nothing is half written, and what may pass passes.

use shared::pow::Root;

use super::super::RedisStore;
use super::super::key::{Key, Keys};
use super::fixture::{RedisProcess, claim, is_there, open};
use crate::store::conformance::{add, grant, hold, hold_id, mc, prove, service, settlement};
use crate::store::{Answer, Bucket, Settlement, Store, StoreError, Verb};

fn sale(counter: u64) -> Verb {
    let mut root = [0; 32];
    root[..8].copy_from_slice(&counter.to_be_bytes());
    Verb::Settle(Settlement { root: Root::new(root), ..settlement(counter, "wallet", 0, counter) })
}

/// A ledger on a server of its own, with a service that has credits and an open hold of 100 mc with the number 1.
async fn ledger(settings: &[&str]) -> Option<(RedisProcess, Keys, RedisStore)> {
    if !is_there() {
        return None;
    }
    let server = RedisProcess::start(settings);
    let claim = claim(&server.url);
    let keys = claim.keys.clone();
    let store = open(claim).await.unwrap();
    store
        .execute(vec![
            add("wallet"),
            grant("start", "wallet", 1_000_000, Bucket::Paid),
            hold(1, "wallet", 100),
        ])
        .await
        .unwrap();
    Some((server, keys, store))
}

fn unavailable(result: Result<Vec<Answer>, StoreError>) -> String {
    let Err(StoreError::Unavailable(cause)) = result else { panic!("{result:?}") };
    cause.to_string()
}

#[tokio::test]
async fn a_full_memory_refuses_every_change_until_there_is_room() {
    let Some((server, keys, store)) = ledger(&[]).await else { return };
    server.command(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let before = Key::ALL.map(|key| server.command(&["DUMP", keys.name(key)]));
    for verb in [hold(2, "wallet", 100), sale(1), grant("more", "wallet", 5, Bucket::Paid), add("faucet")] {
        let said = unavailable(store.execute(vec![verb]).await);
        assert!(said.contains("its memory is full"), "{said}");
        assert_eq!(Key::ALL.map(|key| server.command(&["DUMP", keys.name(key)])), before);
    }
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    let answers = store.execute(vec![sale(1), hold(2, "wallet", 100)]).await.unwrap();
    assert_eq!(answers[0], Answer::Settled { charged: mc(100), balance: mc(999_900), earned: mc(90) });
    assert!(matches!(answers[1], Answer::Held { .. }));
    prove(&store).await;
}

/// The log of a server lies on a disk that has no room: with `everysec` it goes on and refuses changes.
#[tokio::test]
async fn a_full_disk_refuses_every_change_until_there_is_room() {
    let Some((server, keys, store)) = ledger(&[]).await else { return };
    if !server.fill_disk(true) {
        return;
    }
    // The server notices when it writes.
    let mut refused = None;
    for counter in 2..2000 {
        if let Err(error) = store.execute(vec![hold(counter, "wallet", 1)]).await {
            refused = Some(unavailable(Err(error)));
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let refused = refused.expect("the disk is full");
    assert!(refused.contains("it cannot write to its disk"), "{refused}");
    let before = Key::ALL.map(|key| server.command(&["DUMP", keys.name(key)]));
    let said = unavailable(store.execute(vec![sale(1)]).await);
    assert!(said.contains("it cannot write to its disk"), "{said}");
    assert_eq!(Key::ALL.map(|key| server.command(&["DUMP", keys.name(key)])), before);
    assert!(server.fill_disk(false));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let answer = loop {
        match store.execute(vec![sale(1)]).await {
            Ok(answers) => break answers[0].clone(),
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error:?}"),
        }
    };
    assert!(matches!(answer, Answer::Settled { charged, .. } if charged == mc(100)), "{answer:?}");
    prove(&store).await;
}

/// Whichever key turns out to be of another type, in whichever verb: nothing of it has happened.
#[tokio::test]
async fn a_key_of_another_type_in_the_midst_leaves_nothing_half_done() {
    let Some((server, keys, store)) = ledger(&[]).await else { return };
    let (mut refused, mut number) = (0, 10);
    for key in Key::ALL.into_iter().filter(|key| *key != Key::Meta) {
        let (name, aside) = (keys.name(key), "kept-aside");
        for kind in 0..4 {
            number += 2;
            let verb = match kind {
                0 => hold(number + 1, "wallet", 100),
                1 => sale(number),
                2 => grant(&number.to_string(), "wallet", 5, Bucket::Paid),
                _ => Verb::Release { hold: hold_id(number) },
            };
            store.execute(vec![hold(number, "wallet", 100)]).await.unwrap();
            let existed = server.command(&["RENAME", name, aside]).as_deref() == Some("OK");
            server.command(&["SET", name, "somebody's"]);
            let before = contents(&server, &keys);
            if let Err(StoreError::Unavailable(cause)) = store.execute(vec![verb.clone()]).await {
                refused += 1;
                assert!(cause.to_string().contains("something else"), "{cause}");
                assert_eq!(contents(&server, &keys), before, "{verb:?} with {name}");
            }
            assert_eq!(server.command(&["GET", name]).as_deref(), Some("somebody's"));
            server.command(&["DEL", name]);
            if existed {
                server.command(&["RENAME", aside, name]);
            }
            // What did not need the key has been done. Whatever happened, the ledger fits.
            prove(&store).await;
        }
    }
    assert!(refused >= 20, "only {refused} verbs met such a key");
}

/// All that a verb could have changed, less who may write and for how long.
fn contents(server: &RedisProcess, keys: &Keys) -> Vec<Option<String>> {
    let fields = ["revision", "entries", "settlements", "latest"];
    let meta = fields.map(|field| server.command(&["HGET", keys.name(Key::Meta), field]));
    let others = Key::ALL.into_iter().filter(|key| *key != Key::Meta);
    meta.into_iter().chain(others.map(|key| server.command(&["DUMP", keys.name(key)]))).collect()
}

/// What an audit finds when somebody has been in the server.
#[tokio::test]
async fn whatever_is_changed_in_the_server_is_found() {
    use marketplace::ledger::audit::{Audit, Violation};
    let Some((server, keys, store)) = ledger(&[]).await else { return };
    store.execute(vec![hold(2, "wallet", 100), sale(1), hold(3, "wallet", 50)]).await.unwrap();
    let settled = "00000000000000070000000000000001";
    for (key, change, kind) in [
        (Key::Parties, &["HINCRBY", "paid:wallet", "5"][..], "balance"),
        (Key::Parties, &["HSET", "nobody", "5"], "unreadable_party"),
        (Key::Journal, &["XDEL", "2-0"], "gap"),
        (Key::Journal, &["XDEL", "1-0"], "overdrawn"),
        (Key::Settlements, &["XDEL", "1-0"], "no_settlement"),
        (Key::Settled, &["HDEL", settled], "no_settlement"),
        (Key::Settled, &["HSET", "ff", "7"], "file"),
        (Key::Works, &["HSET", "AB:1", "1"], "count"),
        (Key::Works, &["DEL"], "work_not_kept"),
        (Key::Roots, &["DEL"], "file"),
        (Key::Grants, &["HSET", settled, "paid:wallet 5"], "file"),
        (Key::Grants, &["DEL"], "file"),
        (Key::Held, &["HINCRBY", "paid:wallet", "5"], "held"),
        (Key::Holds, &["DEL"], "held"),
        (Key::Services, &["DEL"], "unknown_service"),
    ] {
        let name = keys.name(key);
        server.command(&["COPY", name, "before"]);
        let mut command = vec![change[0], name];
        command.extend(&change[1..]);
        server.command(&command);
        let (_, report) = store.audit(Audit::of_model()).await.unwrap();
        let found: Vec<&str> = report.violations.iter().map(Violation::kind).collect();
        assert!(found.contains(&kind), "{change:?} of {name}: {:#?}", report.violations);
        server.command(&["RENAME", "before", name]);
        prove(&store).await;
    }
    assert_eq!(store.balance(service("wallet")).await.unwrap().unwrap().held, mc(150));
}

/// A ledger that is not what it should be is not made worse: its writer stops.
#[tokio::test]
async fn a_broken_invariant_stops_the_writer_before_it_writes() {
    for (key, change) in [
        (Key::Parties, &["HINCRBY", "paid:wallet", "-999950"][..]),
        (Key::Parties, &["HSET", "paid:wallet", "many"]),
        (Key::Journal, &["XDEL", "1-0"]),
        (Key::Journal, &["XADD", "9-0", "a", "b"]),
        (Key::Held, &["HSET", "paid:wallet", "50"]),
    ] {
        let Some((server, keys, store)) = ledger(&[]).await else { return };
        let mut command = vec![change[0], keys.name(key)];
        command.extend(&change[1..]);
        server.command(&command);
        let before = contents(&server, &keys);
        let result = store.execute(vec![sale(1)]).await;
        assert!(matches!(result, Err(StoreError::Stopped)), "{change:?}: {result:?}");
        assert!(matches!(store.execute(vec![]).await, Err(StoreError::Stopped)));
        assert_eq!(contents(&server, &keys), before, "{change:?}");
    }
}
