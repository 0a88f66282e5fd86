//! The model against all other stores: random verbs, many of them repeated or out of order, get equal answers; also when eight
//! clients send theirs at the same time.
//!
//! `DPOW_STORE_SEQUENCES` sets how many sequences are tried on each store (1,000 when absent, 10,000 with `DPOW_FULL`). On the
//! cluster it is a tenth.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{join, join_all};
use proptest::prelude::*;
use shared::pow::{Difficulty, Nonce, Root, Threshold};
use shared::{HoldId, KeyId, Network, Payee, ServiceId, Timestamp, TransferId, WorkerId};

use super::conformance::{START, hold_id, key, key_id, limited, mc, prove, service, terms, volunteer, watch};
use super::memory::MemoryStore;
use super::redis::tests::{cluster, standalone};
use super::sqlite::SqliteStore;
use super::{
    Bucket, KeyRecord, LimitedKey, Purse, ServiceState, Settlement, Store, Verb, Watch, WorkerBan,
    WorkerSubject,
};

const SERVICES: [&str; 3] = ["wallet", "faucet", "exchange"];

/// Few of everything, so that ids, roots and works meet again and again.
fn services() -> impl Strategy<Value = ServiceId> {
    prop::sample::select(SERVICES.map(service).to_vec())
}

/// Round a day, to the microsecond at its edges.
fn times() -> impl Strategy<Value = Timestamp> {
    let day = 86_400_000_000;
    prop::sample::select(vec![0, 1, day / 2, day - 1, day, day + 1, 2 * day])
        .prop_map(|micros| START + Duration::from_micros(micros))
}

/// Some are the numbers of holds.
fn transfers() -> impl Strategy<Value = TransferId> {
    (0..6_u64).prop_map(|number| match number {
        0..3 => TransferId::of_hold(hold_id(number)),
        _ => TransferId::of_cause(&number.to_string()),
    })
}

fn amounts() -> impl Strategy<Value = shared::Millicredits> {
    prop_oneof![1 => Just(0), 4 => 0..40_u64, 4 => 900..1100_u64, 1 => Just(u64::MAX >> 11), 1 => any::<u64>()].prop_map(mc)
}

fn purses() -> impl Strategy<Value = Option<Purse>> {
    let purse =
        prop_oneof![(0..2_u8).prop_map(|key| Purse::Key(key_id(key))), services().prop_map(Purse::Precache)];
    prop::option::of(purse)
}

fn settlements() -> impl Strategy<Value = Settlement> {
    (0..12_u64, services(), 0..2_u8, 0..3_u64, 0..3_u64, 0..3_u8, times()).prop_map(
        |(counter, service, root, nonce, threshold, payee, at)| Settlement {
            hold: hold_id(counter),
            service,
            root: Root::new([root; 32]),
            nonce: Nonce::new(nonce),
            difficulty: Difficulty::new(100 + nonce),
            threshold: Threshold::new(100 + threshold.min(nonce)),
            worker: WorkerId::from_bytes([payee; 16]),
            payee: if payee == 0 { Payee::House } else { volunteer(payee) },
            at,
        },
    )
}

fn keys() -> impl Strategy<Value = KeyRecord> {
    let labels = prop::sample::select(vec!["of a test", "other"]);
    (0..3_u8, services(), 0..2_u8, labels, times(), prop::option::of(times())).prop_map(
        |(number, service, mac, label, at, expires)| KeyRecord {
            service,
            mac: [mac; 32],
            label: label.parse().unwrap(),
            at,
            expires,
            ..key(number, SERVICES[0])
        },
    )
}

fn subjects() -> impl Strategy<Value = WorkerSubject> {
    (0..3_u8).prop_map(|number| match volunteer(number) {
        Payee::Account(account) if number > 0 => WorkerSubject::Account(account),
        _ => WorkerSubject::Worker(WorkerId::from_bytes([number; 16])),
    })
}

/// What moves no credits.
fn registrations() -> impl Strategy<Value = Verb> {
    let states = prop::sample::select(ServiceState::ALL.to_vec());
    let reasons = prop::sample::select(vec!["", "one", "another"]).prop_map(|text| text.parse().unwrap());
    let key_ids = || (0..3_u8).prop_map(key_id);
    let bans = (subjects(), times(), prop::option::of(times())).prop_map(|(subject, at, until)| WorkerBan {
        subject,
        reason: "test".parse().unwrap(),
        at,
        until,
    });
    prop_oneof![
        (services(), times()).prop_map(|(service, at)| Verb::AddService { service, at }),
        (services(), states, reasons, times()).prop_map(|(service, state, reason, at)| {
            Verb::SetServiceState { service, state, reason, at }
        }),
        keys().prop_map(Verb::AddKey),
        (key_ids(), times()).prop_map(|(key, at)| Verb::ExpireKey { key, at }),
        (0..3_u8, services(), 0..4_u8).prop_map(|(number, service, kind)| {
            Verb::LimitKey(LimitedKey { service, ..limited(number, SERVICES[0], kind) })
        }),
        prop::collection::vec((key_ids(), times()), 0..3).prop_map(|used| Verb::KeysUsed { used }),
        bans.prop_map(Verb::BanWorker),
        subjects().prop_map(|subject| Verb::UnbanWorker { subject }),
        (services(), prop::option::of((0..3_u64, 0..3_u32))).prop_map(|(service, drawn)| {
            Verb::SetPrecache { service, terms: drawn.map(|(budget, in_flight)| terms(budget, in_flight)) }
        }),
        (services(), 0..3_u8, 0..5_u32).prop_map(|(service, number, unused)| {
            Verb::KeepWatch(Watch { service, ..watch(SERVICES[0], number, unused) })
        }),
        (services(), 0..3_u8).prop_map(|(service, number)| {
            Verb::DropWatch { service, account: watch(SERVICES[0], number, 0).account }
        }),
    ]
}

fn verbs() -> impl Strategy<Value = Verb> {
    let buckets = prop_oneof![Just(Bucket::Granted), Just(Bucket::Paid)];
    prop_oneof![
        5 => registrations(),
        3 => (transfers(), services(), amounts(), buckets, times())
            .prop_map(|(transfer, service, amount, bucket, at)| Verb::Grant { transfer, service, amount, bucket, at }),
        9 => (0..12_u64, services(), amounts(), times(), purses()).prop_map(
            |(counter, service, amount, expires, purse)| {
                Verb::Hold { hold: hold_id(counter), service, amount, expires, purse }
            }
        ),
        9 => settlements().prop_map(Verb::Settle),
        2 => (0..12_u64).prop_map(|counter| Verb::Release { hold: hold_id(counter) }),
        1 => times().prop_map(|now| Verb::Expire { now }),
    ]
}

/// Two services with credits, or next to nothing would succeed.
fn start() -> Vec<Verb> {
    let start = SERVICES[..2].iter().zip([Bucket::Granted, Bucket::Paid]).flat_map(|(name, bucket)| {
        let (service, transfer) = (service(name), TransferId::of_cause(name));
        [
            Verb::AddService { service, at: START },
            Verb::Grant { transfer, service, amount: mc(5000), bucket, at: START },
        ]
    });
    start.collect()
}

/// Batches of verbs.
fn batches() -> impl Strategy<Value = Vec<Vec<Verb>>> {
    batched(start(), 20..200)
}

/// Shorter ones, of which eight make a sequence.
fn batches_of_some() -> impl Strategy<Value = Vec<Vec<Verb>>> {
    batched(start(), 10..40)
}

fn batched(start: Vec<Verb>, length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Vec<Verb>>> {
    let sequence = prop::collection::vec((verbs(), any::<prop::sample::Index>(), 0..4_u8), length);
    (sequence, 1..16_usize).prop_map(move |(drawn, batch)| {
        let mut sequence = start.clone();
        for (verb, earlier, dice) in drawn {
            // One in four is a verb from before once more, as after a lost answer.
            let again = sequence[earlier.index(sequence.len())].clone();
            sequence.push(if dice == 0 { again } else { verb });
        }
        sequence.chunks(batch).map(<[Verb]>::to_vec).collect()
    })
}

async fn agree(model: &dyn Store, store: &dyn Store, batches: Vec<Vec<Verb>>) {
    for batch in batches {
        let (expected, found) = (model.execute(batch.clone()).await, store.execute(batch.clone()).await);
        assert_eq!(found.unwrap(), expected.unwrap(), "{batch:?}");
        for name in SERVICES.map(service) {
            let (expected, found) = (model.balance(name).await, store.balance(name).await);
            assert_eq!(found.unwrap(), expected.unwrap(), "{name} after {batch:?}");
        }
    }
    let all = usize::MAX;
    assert_eq!(store.journal(1, all).await.unwrap(), model.journal(1, all).await.unwrap());
    assert_eq!(store.parties().await.unwrap(), model.parties().await.unwrap());
    assert_eq!(store.services().await.unwrap(), model.services().await.unwrap());
    assert_eq!(store.keys().await.unwrap(), model.keys().await.unwrap());
    assert_eq!(store.key_limits().await.unwrap(), model.key_limits().await.unwrap());
    assert_eq!(store.worker_bans().await.unwrap(), model.worker_bans().await.unwrap());
    assert_eq!(store.precache_terms().await.unwrap(), model.precache_terms().await.unwrap());
    assert_eq!(store.watches().await.unwrap(), model.watches().await.unwrap());
    assert_eq!(store.spent().await.unwrap(), model.spent().await.unwrap());
    let Payee::Account(account) = volunteer(1) else { unreachable!() };
    let worker = WorkerSubject::Worker(WorkerId::from_bytes([2; 16]));
    for of in [None, Some(WorkerSubject::Account(account)), Some(worker)] {
        let (expected, found) = (model.worker_totals(of).await, store.worker_totals(of).await);
        assert_eq!(found.unwrap(), expected.unwrap());
    }
    for (from, count) in [(0, all), (2, 3)] {
        let (expected, found) = (model.settlements(from, count).await, store.settlements(from, count).await);
        assert_eq!(found.unwrap(), expected.unwrap());
    }
    for (since, count) in [(START, all), (START + Duration::from_hours(24), 3)] {
        let (expected, found) =
            (model.settled_since(since, count).await, store.settled_since(since, count).await);
        assert_eq!(found.unwrap(), expected.unwrap());
    }
    prove(store).await;
}

/// What a client sends when there are eight: verbs of its own services, ids and roots, so that its answers are those of a model of
/// its own, whatever the others do meanwhile. Payees and the house belong to all.
fn as_client(client: u8, verb: Verb) -> Verb {
    let number = u64::from(client);
    let service = |service: ServiceId| -> ServiceId { format!("{service}-{client}").parse().unwrap() };
    let hold = |hold: HoldId| HoldId { instance: hold.instance + 100 * (number + 1), ..hold };
    let key =
        |key: KeyId| (0..3).find(|id| key_id(*id) == key).map_or(key, |id| key_id(10 * (client + 1) + id));
    let transfer = |transfer: TransferId| {
        let other = HoldId::from_u128(transfer.as_u128());
        if other.instance == hold_id(0).instance {
            TransferId::of_hold(hold(other))
        } else {
            TransferId::of_cause(&format!("{transfer} {client}"))
        }
    };
    match verb {
        Verb::AddService { service: name, at } => Verb::AddService { service: service(name), at },
        Verb::SetServiceState { service: name, state, reason, at } => {
            Verb::SetServiceState { service: service(name), state, reason, at }
        }
        Verb::AddKey(record) => {
            Verb::AddKey(KeyRecord { key: key(record.key), service: service(record.service), ..record })
        }
        Verb::LimitKey(limited) => {
            Verb::LimitKey(LimitedKey { key: key(limited.key), service: service(limited.service), ..limited })
        }
        Verb::ExpireKey { key: id, at } => Verb::ExpireKey { key: key(id), at },
        Verb::KeysUsed { used } => {
            Verb::KeysUsed { used: used.into_iter().map(|(id, at)| (key(id), at)).collect() }
        }
        Verb::Grant { transfer: id, service: name, amount, bucket, at } => {
            // What all were given has a limit, which is everybody's.
            let amount = mc(amount.as_u64().min(1 << 40));
            Verb::Grant { transfer: transfer(id), service: service(name), amount, bucket, at }
        }
        Verb::SetPrecache { service: name, terms } => Verb::SetPrecache { service: service(name), terms },
        Verb::KeepWatch(watch) => Verb::KeepWatch(Watch { service: service(watch.service), ..watch }),
        Verb::DropWatch { service: name, account } => Verb::DropWatch { service: service(name), account },
        Verb::Hold { hold: id, service: name, amount, expires, purse } => {
            let purse = purse.map(|purse| match purse {
                Purse::Key(id) => Purse::Key(key(id)),
                Purse::Precache(name) => Purse::Precache(service(name)),
            });
            Verb::Hold { hold: hold(id), service: service(name), amount, expires, purse }
        }
        Verb::Settle(sale) => {
            let mut root = *sale.root.as_bytes();
            root[0] = client;
            let (hold, service) = (hold(sale.hold), service(sale.service));
            Verb::Settle(Settlement { hold, service, root: Root::new(root), ..sale })
        }
        Verb::Release { hold: id } => Verb::Release { hold: hold(id) },
        // These would touch what others have.
        Verb::Expire { .. } | Verb::BanWorker(_) | Verb::UnbanWorker { .. } => {
            Verb::KeysUsed { used: vec![] }
        }
    }
}

/// Eight clients at the same time. Each sends some of its batches twice without waiting, as after a lost answer, and is told what its
/// model says both times.
async fn agree_at_the_same_time(store: &dyn Store, clients: Vec<Vec<Vec<Verb>>>) {
    let client = |(number, batches): (u8, Vec<Vec<Verb>>)| async move {
        let model = MemoryStore::new();
        for (index, batch) in batches.into_iter().enumerate() {
            let batch: Vec<Verb> = batch.into_iter().map(|verb| as_client(number, verb)).collect();
            let expected = model.execute(batch.clone()).await.unwrap();
            if index % 4 == 3 {
                let again = model.execute(batch.clone()).await.unwrap();
                let (one, other) = join(store.execute(batch.clone()), store.execute(batch.clone())).await;
                assert_eq!((one.unwrap(), other.unwrap()), (expected, again), "{batch:?}");
            } else {
                assert_eq!(store.execute(batch.clone()).await.unwrap(), expected, "{batch:?}");
            }
        }
        for name in SERVICES {
            let name = format!("{name}-{number}").parse().unwrap();
            assert_eq!(store.balance(name).await.unwrap(), model.balance(name).await.unwrap(), "{name}");
        }
        model
    };
    let models = join_all((0..).zip(clients).map(client)).await;
    let (mut parties, mut postings, mut services) = (BTreeMap::new(), 0, Vec::new());
    let mut spent = Vec::new();
    for model in &models {
        for (party, balance) in model.parties().await.unwrap() {
            *parties.entry(party).or_insert(0) += balance;
        }
        postings += model.journal(1, usize::MAX).await.unwrap().len();
        services.extend(model.services().await.unwrap());
        spent.extend(model.spent().await.unwrap());
    }
    spent.sort_by_key(|spent| spent.purse.to_string());
    assert_eq!(store.spent().await.unwrap(), spent);
    services.sort_by_key(|record| record.service);
    assert_eq!(store.parties().await.unwrap(), parties);
    assert_eq!(store.journal(1, usize::MAX).await.unwrap().len(), postings);
    assert_eq!(store.services().await.unwrap(), services);
    prove(store).await;
}

/// How many sequences are tried.
fn sequences() -> u32 {
    let usual = if std::env::var_os("DPOW_FULL").is_some() { 10_000 } else { 1_000 };
    std::env::var("DPOW_STORE_SEQUENCES").map_or(usual, |count| count.parse().expect("a number"))
}

/// Tries sequences, half of them as one client, and half as eight.
fn try_sequences<S: Store, K>(sequences: u32, store: impl AsyncFn() -> Option<(K, S)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = |cases| ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config(sequences - sequences / 2), |(batches in batches())| {
        runtime.block_on(async {
            if let Some((_keep, store)) = store().await {
                agree(&MemoryStore::new(), &store, batches).await;
            }
        });
    });
    proptest!(config(sequences / 2), |(clients in prop::collection::vec(batches_of_some(), 8))| {
        runtime.block_on(async {
            if let Some((_keep, store)) = store().await {
                agree_at_the_same_time(&store, clients).await;
            }
        });
    });
}

#[test]
fn random_verbs_agree() {
    try_sequences(sequences(), async || {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("ledger.sqlite"), Network::Dev).unwrap();
        // Meaning is compared here, not endurance: without it most of the time would go into waiting for the disk.
        store.stop_syncing().await;
        Some((directory, store))
    });
}

#[test]
fn random_verbs_agree_with_redis() {
    try_sequences(sequences(), async || Some(((), standalone().await?)));
}

#[test]
fn random_verbs_agree_with_a_cluster_of_redis() {
    try_sequences(sequences() / 10, async || Some(((), cluster().await?)));
}
