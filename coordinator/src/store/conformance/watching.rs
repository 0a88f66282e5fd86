//! What every store must do with terms of precaching and accounts that are watched.

use std::time::Duration;

use shared::Account;

use super::*;
use crate::store::{PrecacheTerms, Watch};

/// An account that is watched for a service.
pub(in crate::store) fn watch(name: &str, number: u8, unused: u32) -> Watch {
    Watch {
        service: service(name),
        account: Account::from_public_key([number; 32]),
        used: START,
        frontier: (unused > 0).then(|| Root::new([number; 32])),
        height: (unused > 1).then_some(u64::from(unused)),
        confirmed: (unused > 2).then_some(START),
        gap: (unused > 3).then_some(Duration::from_micros(90_000_001)),
        unused,
    }
}

pub(in crate::store) fn terms(budget: u64, in_flight_max: u32) -> PrecacheTerms {
    PrecacheTerms { budget_per_day: mc(budget), in_flight_max }
}

pub(in crate::store) async fn terms_and_accounts_are_kept(store: &dyn Store) {
    let unknown = Answer::Refused(VerbRefused::UnknownService);
    let set = |name, terms| Verb::SetPrecache { service: service(name), terms };
    let drop = |name, number| {
        let Watch { service, account, .. } = watch(name, number, 0);
        Verb::DropWatch { service, account }
    };
    check(
        store,
        [
            (set(WALLET, Some(terms(1, 1))), unknown.clone()),
            (Verb::KeepWatch(watch(WALLET, 1, 0)), unknown.clone()),
            (drop(WALLET, 1), unknown),
            (add(WALLET), Answer::Done),
            (add(FAUCET), Answer::Done),
            (set(WALLET, Some(terms(1000, 1))), Answer::Done),
            (set(FAUCET, Some(terms(5000, 3))), Answer::Done),
            (set(WALLET, Some(terms(0, 0))), Answer::Done),
            (set(WALLET, Some(terms(0, 0))), Answer::Done),
        ],
    )
    .await;
    let kept = [(service(FAUCET), terms(5000, 3)), (service(WALLET), terms(0, 0))];
    assert_eq!(store.precache_terms().await.unwrap(), kept);
    let watches: Vec<Watch> =
        (0..5).map(|number| watch(WALLET, u8::try_from(number).unwrap(), number)).collect();
    let changes = watches.iter().rev().map(|watch| (Verb::KeepWatch(*watch), Answer::Done));
    check(store, changes.chain([(Verb::KeepWatch(watch(FAUCET, 1, 9)), Answer::Done)])).await;
    let expected = [vec![watch(FAUCET, 1, 9)], watches].concat();
    assert_eq!(store.watches().await.unwrap(), expected);
    check(
        store,
        [
            (Verb::KeepWatch(watch(FAUCET, 1, 0)), Answer::Done),
            (drop(WALLET, 0), Answer::Done),
            (drop(WALLET, 0), Answer::Done),
            (drop(FAUCET, 2), Answer::Done),
            (set(FAUCET, None), Answer::Done),
            (set(FAUCET, None), Answer::Done),
        ],
    )
    .await;
    let left = [&[watch(FAUCET, 1, 0)], &expected[2..]].concat();
    assert_eq!(store.watches().await.unwrap(), left);
    assert_eq!(store.precache_terms().await.unwrap(), kept[1..]);
}

/// Opting in, watching and forgetting change no balance and no journal, and leave open holds alone.
pub(in crate::store) async fn watching_moves_no_credits(store: &dyn Store) {
    execute(store, add(WALLET)).await;
    execute(store, grant("one", WALLET, 2000, Bucket::Paid)).await;
    execute(store, hold(1, WALLET, 500)).await;
    let look = async || {
        let journal = store.journal(1, usize::MAX).await.unwrap();
        (store.balance(service(WALLET)).await.unwrap(), store.parties().await.unwrap(), journal)
    };
    let before = look().await;
    let Watch { service, account, .. } = watch(WALLET, 1, 0);
    for verb in [
        Verb::SetPrecache { service, terms: Some(terms(1, 1)) },
        Verb::KeepWatch(watch(WALLET, 1, 4)),
        Verb::DropWatch { service, account },
        Verb::SetPrecache { service, terms: None },
    ] {
        assert_eq!(execute(store, verb).await, Answer::Done);
        assert_eq!(look().await, before);
    }
}
