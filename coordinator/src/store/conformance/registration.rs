//! What every store must do with services, keys and bans.

use std::time::Duration;

use shared::{KeyId, Payee, WorkerId};

use super::*;
use crate::store::{
    KeyLimits, KeyRecord, KnownKey, LimitedKey, ServiceRecord, ServiceState, WorkerBan, WorkerSubject,
    WorkerTotal,
};

/// A key of this number, for a service, without an end.
pub(in crate::store) fn key(number: u8, name: &str) -> KeyRecord {
    KeyRecord {
        key: key_id(number),
        service: service(name),
        mac: [number; 32],
        label: "of a test".parse().unwrap(),
        at: START,
        expires: None,
    }
}

pub(in crate::store) fn key_id(number: u8) -> KeyId {
    KeyId::from_bytes([number; 8])
}

fn known(record: KeyRecord) -> KnownKey {
    KnownKey { record, last_used: None }
}

pub(in crate::store) async fn keys_are_kept(store: &dyn Store) {
    let later = KeyRecord { at: START + Duration::from_secs(1), ..key(1, WALLET) };
    let ending = KeyRecord { expires: Some(START), ..key(4, FAUCET) };
    check(
        store,
        [
            (add(WALLET), Answer::Done),
            (add(FAUCET), Answer::Done),
            (Verb::AddKey(later.clone()), Answer::Done),
            (Verb::AddKey(key(3, WALLET)), Answer::Done),
            (Verb::AddKey(key(2, WALLET)), Answer::Done),
            (Verb::AddKey(ending.clone()), Answer::Done),
            (Verb::AddKey(KeyRecord { at: NEVER, ..key(2, WALLET) }), Answer::Done),
            (Verb::AddKey(KeyRecord { mac: [9; 32], ..key(2, WALLET) }), MISMATCH),
            (Verb::AddKey(key(2, FAUCET)), MISMATCH),
            (Verb::AddKey(KeyRecord { label: "other".parse().unwrap(), ..key(2, WALLET) }), MISMATCH),
        ],
    )
    .await;
    let kept = [ending, key(2, WALLET), key(3, WALLET), later].map(known);
    assert_eq!(store.keys().await.unwrap(), kept);
}

/// What a key may be used for, of one of four kinds.
pub(in crate::store) fn limited(number: u8, name: &str, kind: u8) -> LimitedKey {
    let limits = KeyLimits {
        is_test: kind == 3,
        spend_per_day: (kind > 0).then(|| mc(u64::from(kind) * 1000 - 1000)),
        allow: if kind == 2 { "10.0.0.0/8,2001:db8::/32".parse().unwrap() } else { "".parse().unwrap() },
    };
    LimitedKey { key: key_id(number), service: service(name), limits }
}

pub(in crate::store) async fn limits_of_keys_are_kept(store: &dyn Store) {
    let unknown = Answer::Refused(VerbRefused::UnknownService);
    let set = |number, name, kind| Verb::LimitKey(limited(number, name, kind));
    check(
        store,
        [
            (set(1, WALLET, 1), unknown),
            (add(WALLET), Answer::Done),
            (set(2, WALLET, 2), Answer::Done),
            (set(1, WALLET, 1), Answer::Done),
            (set(3, WALLET, 3), Answer::Done),
            (Verb::AddKey(key(2, WALLET)), Answer::Done),
            (set(3, WALLET, 0), Answer::Done),
            (set(3, WALLET, 0), Answer::Done),
        ],
    )
    .await;
    let mut expected = vec![limited(1, WALLET, 1), limited(2, WALLET, 2), limited(3, WALLET, 0)];
    expected.sort_by_key(|limited| limited.key.to_string());
    assert_eq!(store.key_limits().await.unwrap(), expected);
    assert_eq!(store.keys().await.unwrap(), [known(key(2, WALLET))]);
}

pub(in crate::store) async fn a_key_only_ever_ends_earlier(store: &dyn Store) {
    let at = |seconds| START + Duration::from_secs(seconds);
    execute(store, add(WALLET)).await;
    let ending = KeyRecord { expires: Some(at(50)), ..key(2, WALLET) };
    check(store, [key(1, WALLET), ending.clone()].map(|record| (Verb::AddKey(record), Answer::Done))).await;
    for (number, seconds, ends) in
        [(1, 90, 90), (1, 91, 90), (1, 10, 10), (1, 10, 10), (1, 90, 10), (2, 51, 50), (2, 49, 49)]
    {
        let expire = Verb::ExpireKey { key: key_id(number), at: at(seconds) };
        assert_eq!(execute(store, expire).await, Answer::Done);
        let keys = store.keys().await.unwrap();
        let key = keys.iter().find(|key| key.record.key == key_id(number)).unwrap();
        assert_eq!(key.record.expires, Some(at(ends)), "key {number} expired at {seconds}");
    }
    // As it was issued, once more: an answer was lost.
    check(store, [key(1, WALLET), ending].map(|record| (Verb::AddKey(record), Answer::Done))).await;
    let ends: Vec<_> = store.keys().await.unwrap().into_iter().map(|key| key.record.expires).collect();
    assert_eq!(ends, [Some(at(10)), Some(at(49))]);
}

pub(in crate::store) async fn the_last_use_of_a_key_is_kept(store: &dyn Store) {
    let at = |seconds| START + Duration::from_secs(seconds);
    let add_keys = [1, 2].map(|number| Verb::AddKey(key(number, WALLET)));
    store.execute([vec![add(WALLET)], add_keys.to_vec()].concat()).await.unwrap();
    for (used, expected) in [
        (vec![], [None, None]),
        (vec![(1, 5)], [Some(5), None]),
        (vec![(1, 4), (2, 9), (3, 9)], [Some(5), Some(9)]),
        (vec![(1, 6), (1, 7), (1, 6)], [Some(7), Some(9)]),
    ] {
        let used = used.into_iter().map(|(number, seconds)| (key_id(number), at(seconds))).collect();
        assert_eq!(execute(store, Verb::KeysUsed { used }).await, Answer::Done);
        let found: Vec<_> = store.keys().await.unwrap().into_iter().map(|key| key.last_used).collect();
        assert_eq!(found, expected.map(|seconds| seconds.map(at)));
    }
}

pub(in crate::store) async fn a_service_is_in_one_state(store: &dyn Store) {
    let at = |seconds| START + Duration::from_secs(seconds);
    execute(store, add(WALLET)).await;
    execute(store, add(FAUCET)).await;
    let record = |name, state, since, reason: &str| ServiceRecord {
        service: service(name),
        at: START,
        state,
        since: at(since),
        reason: reason.parse().unwrap(),
    };
    let faucet = record(FAUCET, ServiceState::Active, 0, "");
    for (state, reason, seconds, since, kept) in [
        (ServiceState::Active, "nothing happened", 1, 0, ""),
        (ServiceState::Suspended, "floods us", 2, 2, "floods us"),
        (ServiceState::Suspended, "again", 3, 2, "floods us"),
        (ServiceState::Banned, "and again", 4, 4, "and again"),
        (ServiceState::Active, "", 5, 5, ""),
    ] {
        let reason = reason.parse().unwrap();
        let set = Verb::SetServiceState { service: service(WALLET), state, reason, at: at(seconds) };
        assert_eq!(execute(store, set).await, Answer::Done);
        assert_eq!(execute(store, add(WALLET)).await, Answer::Done);
        let wallet = record(WALLET, state, since, kept);
        assert_eq!(store.services().await.unwrap(), [faucet.clone(), wallet]);
    }
}

pub(in crate::store) async fn a_ban_holds_until_it_is_lifted(store: &dyn Store) {
    let Payee::Account(account) = volunteer(1) else { unreachable!() };
    let worker = WorkerSubject::Worker(WorkerId::from_bytes([1; 16]));
    let ban = |subject, reason: &str, until: Option<u64>| WorkerBan {
        subject,
        reason: reason.parse().unwrap(),
        at: START,
        until: until.map(|seconds| START + Duration::from_secs(seconds)),
    };
    let first = ban(worker, "forged results", Some(9));
    let other = ban(WorkerSubject::Account(account), "", None);
    let second = ban(worker, "again", None);
    for (verb, expected) in [
        (Verb::BanWorker(first.clone()), vec![&first]),
        (Verb::BanWorker(first.clone()), vec![&first]),
        (Verb::BanWorker(other.clone()), vec![&first, &other]),
        (Verb::BanWorker(second.clone()), vec![&second, &other]),
        (Verb::UnbanWorker { subject: other.subject }, vec![&second]),
        (Verb::UnbanWorker { subject: other.subject }, vec![&second]),
        (Verb::UnbanWorker { subject: worker }, vec![]),
    ] {
        assert_eq!(execute(store, verb).await, Answer::Done);
        assert_eq!(store.worker_bans().await.unwrap().iter().collect::<Vec<_>>(), expected);
    }
}

/// The store goes on with what was begun: whether a request may be made is decided before it gets here.
pub(in crate::store) async fn shutting_out_moves_no_credits(store: &dyn Store) {
    stock(store).await;
    let ban = |subject| WorkerBan { subject, reason: "test".parse().unwrap(), at: START, until: None };
    let Payee::Account(account) = volunteer(1) else { unreachable!() };
    check(
        store,
        [
            (Verb::AddKey(key(1, FAUCET)), Answer::Done),
            (hold(1, FAUCET, 1000), held(0, 1000)),
            (hold(2, FAUCET, 1000), held(0, 1000)),
        ],
    )
    .await;
    let (parties, before) = (store.parties().await.unwrap(), balance(store, FAUCET).await);
    for verb in [
        set_state(FAUCET, ServiceState::Suspended),
        set_state(FAUCET, ServiceState::Banned),
        Verb::ExpireKey { key: key_id(1), at: START },
        Verb::LimitKey(limited(1, FAUCET, 1)),
        Verb::BanWorker(ban(WorkerSubject::Worker(WorkerId::from_bytes([1; 16])))),
        Verb::BanWorker(ban(WorkerSubject::Account(account))),
    ] {
        check(store, [(verb, Answer::Done)]).await;
        assert_eq!((store.parties().await.unwrap(), balance(store, FAUCET).await), (parties.clone(), before));
    }
    check(
        store,
        [
            (settle(1, FAUCET, 1, 1), settled(1000, 3000, 900)),
            (release(2), Answer::Released),
            (grant("more", FAUCET, 5, Bucket::Paid), Answer::Done),
        ],
    )
    .await;
    assert_eq!(balance(store, FAUCET).await, Balance { granted: mc(0), paid: mc(4005), held: mc(0) });
}

pub(in crate::store) async fn workers_have_totals(store: &dyn Store) {
    stock(store).await;
    let worker = |number| WorkerId::from_bytes([number; 16]);
    let at = |seconds| START + Duration::from_secs(seconds);
    let (first, second) = (volunteer(1), volunteer(2));
    for (counter, name, root, finder, payee, seconds) in [
        (1, FAUCET, 1, 2, first, 5),
        (2, FAUCET, 2, 1, first, 9),
        (3, FAUCET, 3, 2, first, 3),
        (4, FAUCET, 4, 2, second, 4),
        (5, FAUCET, 5, 2, Payee::House, 6),
        // Sold again, and given away: nobody earns.
        (6, WALLET, 1, 2, first, 8),
        (7, FAUCET, 1, 2, first, 8),
    ] {
        execute(store, hold(counter, name, 100)).await;
        let sale = Settlement {
            worker: worker(finder),
            payee,
            at: at(seconds),
            ..settlement(counter, name, root, 1)
        };
        execute(store, Verb::Settle(sale)).await;
    }
    let total = |number, payee, works, seconds| WorkerTotal {
        worker: worker(number),
        payee,
        works,
        earned: mc(90 * works),
        last: at(seconds),
    };
    let totals =
        [total(1, first, 1, 9), total(2, first, 2, 5), total(2, second, 1, 4), total(2, Payee::House, 1, 6)];
    assert_eq!(store.worker_totals(None).await.unwrap(), totals);
    let of = async |subject| store.worker_totals(Some(subject)).await.unwrap();
    assert_eq!(of(WorkerSubject::Worker(worker(2))).await, totals[1..]);
    assert_eq!(of(WorkerSubject::Worker(worker(3))).await, []);
    let Payee::Account(account) = first else { unreachable!() };
    assert_eq!(of(WorkerSubject::Account(account)).await, totals[..2]);
}
