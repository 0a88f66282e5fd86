//! What every store must do, as functions over the trait: each store's tests call all of them through [`conformance!`].

use std::time::Duration;

use futures_util::future::join_all;
use marketplace::ledger::{Party, REPEAT_WINDOW};
use shared::pow::{Difficulty, Nonce, Root, Threshold};
use shared::{Account, HoldId, Millicredits, Payee, ServiceId, Timestamp, TransferId, WorkerId};

use super::{
    Answer, Balance, Bucket, ServiceState, Settlement, Store, Verb, VerbRefused, WorkerBan, WorkerSubject,
};

mod oracle;
mod pages;
mod registration;
mod spending;
mod watching;

pub(super) use self::oracle::prove;
pub(super) use self::pages::*;
pub(super) use self::registration::*;
pub(super) use self::spending::*;
pub(super) use self::watching::*;

/// Makes a test of each function here. `$store` makes an empty store and something to keep until the store is gone.
macro_rules! conformance {
    ($store:expr) => {
        conformance!(@tests $store;
            strangers_have_nothing,
            keys_are_kept,
            limits_of_keys_are_kept,
            a_key_only_ever_ends_earlier,
            the_last_use_of_a_key_is_kept,
            a_service_is_in_one_state,
            a_ban_holds_until_it_is_lifted,
            shutting_out_moves_no_credits,
            terms_and_accounts_are_kept,
            watching_moves_no_credits,
            workers_have_totals,
            what_is_spent_in_a_day_is_kept,
            grants_stay_in_range,
            granted_credits_are_held_first,
            nothing_is_spent_twice,
            a_hold_closes_once,
            a_hold_that_is_opened_again_has_new_parts,
            holds_expire_when_their_time_has_come,
            repeating_changes_nothing,
            an_id_means_one_thing,
            a_work_is_paid_for_once,
            a_refused_settlement_passes_the_pay_on,
            asking_again_is_free,
            two_at_once_pay_once,
            a_free_settlement_pays_nobody,
            the_built_in_worker_earns_nothing_payable,
            granted_credits_are_not_paid_out,
            lists_come_in_pages,
            works_of_many_pages_come_newest_first,
            eight_callers_spend_what_there_is,
        );
    };
    (@tests $store:expr; $($case:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $case() {
                let (_keep, store) = $store;
                crate::store::conformance::$case(&store).await;
                crate::store::conformance::prove(&store).await;
            }
        )*
    };
}
pub(super) use conformance;

/// A day into time, so that times before it exist.
pub(super) const START: Timestamp = Timestamp::from_micros(86_400_000_000);
const NEVER: Timestamp = Timestamp::from_micros(u64::MAX);
const WALLET: &str = "wallet";
const FAUCET: &str = "faucet";

pub(super) fn service(name: &str) -> ServiceId {
    name.parse().unwrap()
}

pub(super) fn mc(amount: u64) -> Millicredits {
    Millicredits::new(amount)
}

pub(super) fn hold_id(counter: u64) -> HoldId {
    HoldId { instance: 7, counter }
}

pub(super) fn volunteer(number: u8) -> Payee {
    Payee::Account(Account::from_public_key([number; 32]))
}

pub(super) fn add(name: &str) -> Verb {
    Verb::AddService { service: service(name), at: START }
}

pub(super) fn set_state(name: &str, state: ServiceState) -> Verb {
    Verb::SetServiceState { service: service(name), state, reason: "test".parse().unwrap(), at: START }
}

pub(super) fn grant(cause: &str, name: &str, amount: u64, bucket: Bucket) -> Verb {
    let (transfer, amount) = (TransferId::of_cause(cause), mc(amount));
    Verb::Grant { transfer, service: service(name), amount, bucket, at: START }
}

pub(super) fn hold(counter: u64, name: &str, amount: u64) -> Verb {
    hold_of(counter, name, amount, None)
}

/// A settlement for a work of difficulty 100, asked for at that threshold, found by volunteer 1.
pub(super) fn settlement(counter: u64, name: &str, root: u8, nonce: u64) -> Settlement {
    Settlement {
        hold: hold_id(counter),
        service: service(name),
        root: Root::new([root; 32]),
        nonce: Nonce::new(nonce),
        difficulty: Difficulty::new(100),
        threshold: Threshold::new(100),
        worker: WorkerId::from_bytes([1; 16]),
        payee: volunteer(1),
        at: START,
    }
}

fn settle(counter: u64, name: &str, root: u8, nonce: u64) -> Verb {
    Verb::Settle(settlement(counter, name, root, nonce))
}

fn release(counter: u64) -> Verb {
    Verb::Release { hold: hold_id(counter) }
}

fn held(granted: u64, paid: u64) -> Answer {
    Answer::Held { granted: mc(granted), paid: mc(paid) }
}

fn settled(charged: u64, balance: u64, earned: u64) -> Answer {
    Answer::Settled { charged: mc(charged), balance: mc(balance), earned: mc(earned) }
}

const MISMATCH: Answer = Answer::Refused(VerbRefused::Mismatch);

async fn execute(store: &dyn Store, verb: Verb) -> Answer {
    let answers = store.execute(vec![verb]).await.unwrap();
    let [answer] = <[Answer; 1]>::try_from(answers).unwrap();
    answer
}

/// Carries out verbs one by one and compares each answer.
async fn check(store: &dyn Store, steps: impl IntoIterator<Item = (Verb, Answer)>) {
    for (verb, expected) in steps {
        let what = format!("{verb:?}");
        assert_eq!(execute(store, verb).await, expected, "{what}");
    }
}

async fn balance(store: &dyn Store, name: &str) -> Balance {
    store.balance(service(name)).await.unwrap().expect("a known service")
}

async fn party(store: &dyn Store, party: Party) -> i64 {
    store.parties().await.unwrap().get(&party).copied().unwrap_or(0)
}

async fn entries(store: &dyn Store) -> usize {
    store.journal(1, usize::MAX).await.unwrap().len()
}

/// A service with 1,000 mc granted and 2,000 mc paid, and another with 5,000 mc paid.
async fn stock(store: &dyn Store) {
    let verbs = vec![
        add(WALLET),
        add(FAUCET),
        grant("gift", WALLET, 1000, Bucket::Granted),
        grant("purchase", WALLET, 2000, Bucket::Paid),
        grant("other purchase", FAUCET, 5000, Bucket::Paid),
    ];
    assert_eq!(store.execute(verbs).await.unwrap(), vec![Answer::Done; 5]);
}

pub(super) async fn strangers_have_nothing(store: &dyn Store) {
    let unknown = Answer::Refused(VerbRefused::UnknownService);
    check(
        store,
        [
            (grant("gift", WALLET, 1, Bucket::Granted), unknown.clone()),
            (Verb::AddKey(key(1, WALLET)), unknown.clone()),
            (set_state(WALLET, ServiceState::Banned), unknown),
            (Verb::ExpireKey { key: key_id(1), at: START }, Answer::Refused(VerbRefused::UnknownKey)),
            (Verb::KeysUsed { used: vec![(key_id(1), START)] }, Answer::Done),
            (hold(1, WALLET, 0), Answer::HoldRefused { available: mc(0) }),
            (settle(1, WALLET, 1, 1), Answer::HoldGone),
            (release(1), Answer::Released),
            (Verb::Expire { now: NEVER }, Answer::Expired { holds: vec![] }),
        ],
    )
    .await;
    assert_eq!(store.balance(service(WALLET)).await.unwrap(), None);
    assert_eq!(store.execute(vec![]).await.unwrap(), vec![]);
    assert_eq!(entries(store).await, 0);
    assert_eq!(store.services().await.unwrap(), []);
    assert_eq!(store.keys().await.unwrap(), []);
    assert_eq!(store.worker_bans().await.unwrap(), []);
    assert_eq!(store.worker_totals(None).await.unwrap(), []);
}

pub(super) async fn grants_stay_in_range(store: &dyn Store) {
    let most = Millicredits::MAX.as_u64();
    let refused = Answer::Refused(VerbRefused::OutOfRange);
    check(
        store,
        [
            (add(WALLET), Answer::Done),
            (add(FAUCET), Answer::Done),
            (grant("nothing", WALLET, 0, Bucket::Paid), refused.clone()),
            (grant("too much", WALLET, most + 1, Bucket::Paid), refused.clone()),
            (grant("overflow", WALLET, u64::MAX, Bucket::Paid), refused.clone()),
            (grant("nearly all", WALLET, most - 1, Bucket::Paid), Answer::Done),
            (grant("two more", FAUCET, 2, Bucket::Granted), refused.clone()),
            (grant("the last", FAUCET, 1, Bucket::Granted), Answer::Done),
            (grant("one more", FAUCET, 1, Bucket::Granted), refused),
            (grant("the last", FAUCET, 1, Bucket::Granted), Answer::Done),
            (hold(1, WALLET, most - 1), held(0, most - 1)),
            (settle(1, WALLET, 1, 1), settled(most - 1, 0, most - 1 - (most - 1).div_ceil(10))),
        ],
    )
    .await;
    assert_eq!(party(store, Party::Issuance).await, -Millicredits::MAX.as_i64());
}

pub(super) async fn granted_credits_are_held_first(store: &dyn Store) {
    stock(store).await;
    check(
        store,
        [
            (hold(1, WALLET, 600), held(600, 0)),
            (hold(2, WALLET, 600), held(400, 200)),
            (hold(3, WALLET, 600), held(0, 600)),
            // What comes back is what was taken, so the next hold takes granted credits again.
            (release(1), Answer::Released),
            (hold(4, WALLET, 700), held(600, 100)),
        ],
    )
    .await;
    assert_eq!(balance(store, WALLET).await, Balance { granted: mc(0), paid: mc(1100), held: mc(1900) });
}

pub(super) async fn nothing_is_spent_twice(store: &dyn Store) {
    stock(store).await;
    check(
        store,
        [
            (hold(1, WALLET, 3001), Answer::HoldRefused { available: mc(3000) }),
            (hold(1, WALLET, u64::MAX), Answer::HoldRefused { available: mc(3000) }),
            (hold(2, WALLET, 2999), held(1000, 1999)),
            (hold(3, WALLET, 2), Answer::HoldRefused { available: mc(1) }),
            (settle(2, WALLET, 1, 1), settled(2999, 1, 2699)),
            (hold(3, WALLET, 2), Answer::HoldRefused { available: mc(1) }),
            (hold(3, WALLET, 1), held(0, 1)),
            (hold(4, WALLET, 0), held(0, 0)),
        ],
    )
    .await;
    assert_eq!(balance(store, WALLET).await, Balance { granted: mc(0), paid: mc(0), held: mc(1) });
}

pub(super) async fn a_hold_closes_once(store: &dyn Store) {
    stock(store).await;
    check(
        store,
        [
            (hold(1, WALLET, 500), held(500, 0)),
            (release(1), Answer::Released),
            (settle(1, WALLET, 1, 1), Answer::HoldGone),
            (hold(2, WALLET, 500), held(500, 0)),
            (settle(2, WALLET, 1, 1), settled(500, 2500, 450)),
            (release(2), Answer::Released),
            (Verb::Expire { now: NEVER }, Answer::Expired { holds: vec![] }),
            (hold(3, WALLET, 500), held(500, 0)),
            (Verb::Expire { now: NEVER }, Answer::Expired { holds: vec![hold_id(3)] }),
            (settle(3, WALLET, 2, 1), Answer::HoldGone),
        ],
    )
    .await;
    assert_eq!(balance(store, WALLET).await, Balance { granted: mc(500), paid: mc(2000), held: mc(0) });
    assert_eq!(store.settled_since(START, 9).await.unwrap().len(), 1);
}

pub(super) async fn a_hold_that_is_opened_again_has_new_parts(store: &dyn Store) {
    stock(store).await;
    check(store, [(hold(1, WALLET, 1000), held(1000, 0)), (hold(2, WALLET, 500), held(0, 500))]).await;
    let again = vec![release(1), release(2), hold(2, WALLET, 500), settle(2, WALLET, 1, 1)];
    let answers = store.execute(again).await.unwrap();
    assert_eq!(answers[2..], [held(500, 0), settled(500, 2500, 450)]);
}

pub(super) async fn holds_expire_when_their_time_has_come(store: &dyn Store) {
    stock(store).await;
    let expiring = |counter, expires| {
        let (hold, service, amount) = (hold_id(counter), service(WALLET), mc(10));
        (Verb::Hold { hold, service, amount, expires, purse: None }, held(10, 0))
    };
    let (early, late) = (START + Duration::from_secs(1), START + Duration::from_secs(2));
    let tick = Duration::from_micros(1);
    let expired = |holds: &[u64]| Answer::Expired { holds: holds.iter().copied().map(hold_id).collect() };
    check(
        store,
        [
            expiring(3, early),
            expiring(1, late),
            expiring(2, early),
            (Verb::Expire { now: early - tick }, expired(&[])),
            (Verb::Expire { now: early }, expired(&[2, 3])),
            (Verb::Expire { now: early }, expired(&[])),
            (Verb::Expire { now: late + tick }, expired(&[1])),
        ],
    )
    .await;
    assert_eq!(balance(store, WALLET).await, Balance { granted: mc(1000), paid: mc(2000), held: mc(0) });
}

pub(super) async fn repeating_changes_nothing(store: &dyn Store) {
    stock(store).await;
    let ban = WorkerBan {
        subject: WorkerSubject::Worker(WorkerId::from_bytes([1; 16])),
        reason: "test".parse().unwrap(),
        at: START,
        until: None,
    };
    let other_time = Settlement { at: NEVER, ..settlement(1, WALLET, 1, 1) };
    for verb in [
        add(WALLET),
        set_state(WALLET, ServiceState::Suspended),
        Verb::AddKey(key(1, WALLET)),
        Verb::ExpireKey { key: key_id(1), at: START },
        Verb::KeysUsed { used: vec![(key_id(1), START)] },
        Verb::UnbanWorker { subject: ban.subject },
        Verb::BanWorker(ban),
        grant("gift", WALLET, 1000, Bucket::Granted),
        hold(1, WALLET, 1500),
        settle(1, WALLET, 1, 1),
        hold(2, WALLET, 100),
        release(2),
        Verb::Expire { now: START },
    ] {
        let first = execute(store, verb.clone()).await;
        let (balance_before, entries_before) = (balance(store, WALLET).await, entries(store).await);
        let again = store.execute(vec![verb.clone(), verb.clone()]).await.unwrap();
        assert_eq!(again, [first.clone(), first], "{verb:?}");
        assert_eq!(
            (balance(store, WALLET).await, entries(store).await),
            (balance_before, entries_before),
            "{verb:?}"
        );
    }
    // The stored answer, although other things have happened since and the clock is another.
    check(
        store,
        [
            (hold(3, WALLET, 100), held(0, 100)),
            (settle(3, WALLET, 3, 3), settled(100, 1400, 90)),
            (Verb::Settle(other_time), settled(1500, 1500, 1350)),
        ],
    )
    .await;
}

pub(super) async fn an_id_means_one_thing(store: &dyn Store) {
    stock(store).await;
    let used = |counter| TransferId::of_hold(hold_id(counter));
    let grant_as = |transfer| Verb::Grant {
        transfer,
        service: service(WALLET),
        amount: mc(1),
        bucket: Bucket::Paid,
        at: START,
    };
    let base = settlement(1, WALLET, 1, 1);
    check(
        store,
        [
            (grant("gift", WALLET, 999, Bucket::Granted), MISMATCH),
            (grant("gift", WALLET, 1000, Bucket::Paid), MISMATCH),
            (grant("gift", FAUCET, 1000, Bucket::Granted), MISMATCH),
            (hold(1, WALLET, 500), held(500, 0)),
            (hold(1, WALLET, 501), MISMATCH),
            (hold(1, FAUCET, 500), MISMATCH),
            (grant_as(used(1)), MISMATCH),
            (settle(1, FAUCET, 1, 1), MISMATCH),
            (Verb::Settle(base.clone()), settled(500, 2500, 450)),
            (Verb::Settle(Settlement { nonce: Nonce::new(2), ..base.clone() }), MISMATCH),
            (Verb::Settle(Settlement { threshold: Threshold::new(99), ..base.clone() }), MISMATCH),
            (Verb::Settle(Settlement { payee: Payee::House, ..base }), MISMATCH),
            (hold(1, WALLET, 500), MISMATCH),
            (grant_as(used(1)), MISMATCH),
            (grant_as(used(2)), Answer::Done),
            (hold(2, WALLET, 1), MISMATCH),
        ],
    )
    .await;
    assert_eq!(balance(store, WALLET).await, Balance { granted: mc(500), paid: mc(2001), held: mc(0) });
}

pub(super) async fn a_work_is_paid_for_once(store: &dyn Store) {
    stock(store).await;
    let Payee::Account(account) = volunteer(1) else { unreachable!() };
    check(
        store,
        [
            (hold(1, FAUCET, 1000), held(0, 1000)),
            (hold(2, WALLET, 1500), held(1000, 500)),
            (hold(3, FAUCET, 1000), held(0, 1000)),
            (settle(1, FAUCET, 1, 1), settled(1000, 3000, 900)),
            (settle(2, WALLET, 1, 1), settled(1500, 1500, 0)),
            // Another nonce for the root is another work, but this service need not pay for it.
            (settle(3, FAUCET, 1, 2), settled(0, 4000, 0)),
        ],
    )
    .await;
    assert_eq!(party(store, Party::Payable(account)).await, 900);
    assert_eq!(party(store, Party::House).await, 100 + 1500);
}

pub(super) async fn a_refused_settlement_passes_the_pay_on(store: &dyn Store) {
    stock(store).await;
    check(
        store,
        [
            (hold(1, FAUCET, 1000), held(0, 1000)),
            (hold(2, WALLET, 1000), held(1000, 0)),
            (release(1), Answer::Released),
            (settle(1, FAUCET, 1, 1), Answer::HoldGone),
            (settle(2, WALLET, 1, 1), settled(1000, 2000, 900)),
        ],
    )
    .await;
}

pub(super) async fn asking_again_is_free(store: &dyn Store) {
    stock(store).await;
    let tick = Duration::from_micros(1);
    let day = START + REPEAT_WINDOW;
    let first = Settlement { difficulty: Difficulty::new(150), ..settlement(1, FAUCET, 1, 1) };
    check(store, [(hold(1, FAUCET, 10), held(0, 10)), (Verb::Settle(first.clone()), settled(10, 4990, 9))])
        .await;
    for (counter, name, root, threshold, at, charged) in [
        (2, FAUCET, 1, 150, START, 0),
        (3, FAUCET, 1, 151, START + tick, 10),
        (4, FAUCET, 2, 100, START, 10),
        (5, WALLET, 1, 100, START, 10),
        // The clock of another run may be behind.
        (6, FAUCET, 1, 100, START - tick, 0),
    ] {
        let work = Difficulty::new(threshold);
        let again = Settlement {
            difficulty: work,
            threshold: Threshold::new(threshold),
            at,
            ..settlement(counter, name, root, 9)
        };
        execute(store, hold(counter, name, 10)).await;
        let Answer::Settled { charged: found, .. } = execute(store, Verb::Settle(again)).await else {
            panic!()
        };
        assert_eq!(found, mc(charged), "hold {counter}");
    }
    // Where nothing but one settlement counts: free until a day has passed.
    for (counter, root, at, charged) in [(10, 3, day - tick, 0), (20, 4, day, 10)] {
        execute(store, hold(counter, FAUCET, 10)).await;
        execute(store, settle(counter, FAUCET, root, 1)).await;
        execute(store, hold(counter + 1, FAUCET, 10)).await;
        let again = Settlement { at, ..settlement(counter + 1, FAUCET, root, 1) };
        let Answer::Settled { charged: found, .. } = execute(store, Verb::Settle(again)).await else {
            panic!()
        };
        assert_eq!(found, mc(charged), "at {at}");
    }
}

/// Two requests of one service for one root are held before either is settled, in one batch and in two.
pub(super) async fn two_at_once_pay_once(store: &dyn Store) {
    stock(store).await;
    let verbs =
        vec![hold(1, FAUCET, 1000), hold(2, FAUCET, 1000), settle(1, FAUCET, 1, 1), settle(2, FAUCET, 1, 1)];
    let answers = store.execute(verbs).await.unwrap();
    assert_eq!(answers[2..], [settled(1000, 3000, 900), settled(0, 4000, 0)]);
    let order = [hold(3, FAUCET, 1000), hold(4, FAUCET, 1000)].map(|verb| execute(store, verb));
    join_all(order).await;
    let settlements = [settle(3, FAUCET, 2, 1), settle(4, FAUCET, 2, 1)].map(|verb| execute(store, verb));
    let answers = join_all(settlements).await;
    let free = answers
        .iter()
        .filter(|answer| matches!(answer, Answer::Settled { charged, .. } if *charged == mc(0)));
    assert_eq!(free.count(), 1, "{answers:?}");
    assert_eq!(balance(store, FAUCET).await, Balance { granted: mc(0), paid: mc(3000), held: mc(0) });
}

/// A work that was handed out free of charge has not been paid for, so its worker earns with the next one who pays.
pub(super) async fn a_free_settlement_pays_nobody(store: &dyn Store) {
    stock(store).await;
    check(
        store,
        [
            (hold(1, FAUCET, 1000), held(0, 1000)),
            (settle(1, FAUCET, 1, 1), settled(1000, 4000, 900)),
            (hold(2, FAUCET, 1000), held(0, 1000)),
            (settle(2, FAUCET, 1, 2), settled(0, 4000, 0)),
            (hold(3, WALLET, 1000), held(1000, 0)),
            (settle(3, WALLET, 1, 2), settled(1000, 2000, 900)),
            // A hold of nothing is a payment of nothing.
            (hold(4, FAUCET, 0), held(0, 0)),
            (settle(4, FAUCET, 5, 5), settled(0, 4000, 0)),
            (hold(5, WALLET, 10), held(0, 10)),
            (settle(5, WALLET, 5, 5), settled(10, 1990, 9)),
        ],
    )
    .await;
}

pub(super) async fn the_built_in_worker_earns_nothing_payable(store: &dyn Store) {
    stock(store).await;
    let own = Settlement { payee: Payee::House, ..settlement(1, FAUCET, 1, 1) };
    check(store, [(hold(1, FAUCET, 1000), held(0, 1000)), (Verb::Settle(own), settled(1000, 4000, 900))])
        .await;
    assert_eq!(party(store, Party::NonPayable(Payee::House)).await, 900);
    assert!(!store.parties().await.unwrap().keys().any(|party| matches!(party, Party::Payable(_))));
    assert_eq!(store.settled_since(START, 1).await.unwrap()[0].payee, Payee::House);
}

pub(super) async fn granted_credits_are_not_paid_out(store: &dyn Store) {
    stock(store).await;
    let Payee::Account(account) = volunteer(1) else { unreachable!() };
    check(
        store,
        [(hold(1, WALLET, 2000), held(1000, 1000)), (settle(1, WALLET, 1, 1), settled(2000, 1000, 1800))],
    )
    .await;
    assert_eq!(party(store, Party::Payable(account)).await, 900);
    assert_eq!(party(store, Party::NonPayable(volunteer(1))).await, 900);
    assert_eq!(party(store, Party::House).await, 200);
}

/// Eight callers hold, settle and release as fast as they can, out of one balance that is not enough for all of them.
pub(super) async fn eight_callers_spend_what_there_is(store: &dyn Store) {
    stock(store).await;
    let callers = (0..8_u64).map(|caller| async move {
        let mut charged = 0;
        for round in 0..25 {
            let id = caller * 100 + round;
            let root = u8::try_from(id % 250).unwrap();
            if !matches!(execute(store, hold(id, FAUCET, 100)).await, Answer::Held { .. }) {
                continue;
            }
            if round % 5 == 4 {
                assert_eq!(execute(store, release(id)).await, Answer::Released);
                continue;
            }
            let verbs = vec![settle(id, FAUCET, root, id), settle(id, FAUCET, root, id)];
            let answers = store.execute(verbs).await.unwrap();
            assert_eq!(answers[0], answers[1]);
            let Answer::Settled { charged: now, .. } = answers[0] else { panic!("{answers:?}") };
            charged += now.as_u64();
        }
        charged
    });
    let charged: u64 = join_all(callers).await.into_iter().sum();
    let left = balance(store, FAUCET).await;
    assert_eq!(left.held, mc(0));
    assert_eq!(left.paid, mc(5000 - charged));
}
