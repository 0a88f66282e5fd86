//! Lists that are longer than what is read at a time.

use std::time::Duration;

use shared::pow::Root;

use super::{FAUCET, START, execute, hold, settlement, stock};
use crate::store::{Answer, Settlement, Store, Verb};

pub(in crate::store) async fn lists_come_in_pages(store: &dyn Store) {
    stock(store).await;
    let seconds = |seconds| START + Duration::from_secs(seconds);
    for (counter, at) in [(1, 5), (2, 3), (3, 5), (4, 4)] {
        execute(store, hold(counter, FAUCET, 10)).await;
        let at = seconds(at);
        execute(store, Verb::Settle(Settlement { at, ..settlement(counter, FAUCET, 1, counter) })).await;
    }
    let nonces = async |since, count| -> Vec<u64> {
        let works = store.settled_since(seconds(since), count).await.unwrap();
        works.iter().map(|work| work.nonce.as_u64()).collect()
    };
    assert_eq!(nonces(0, 9).await, [3, 1, 4, 2]);
    assert_eq!(nonces(4, 9).await, [3, 1, 4]);
    assert_eq!(nonces(0, 2).await, [3, 1]);
    assert_eq!(nonces(6, 9).await, [0; 0]);
    let all = store.journal(1, usize::MAX).await.unwrap();
    assert_eq!(all.len(), 3 + 2);
    assert_eq!(store.journal(0, 9).await.unwrap(), all);
    assert_eq!(store.journal(2, 2).await.unwrap(), all[1..3]);
    assert_eq!(store.journal(6, 9).await.unwrap(), []);
}

pub(in crate::store) async fn works_of_many_pages_come_newest_first(store: &dyn Store) {
    // More than two pages of a thousand.
    const WORKS: u64 = 2_100;
    stock(store).await;
    let seconds = |seconds| START + Duration::from_secs(seconds);
    let sale = |counter: u64| {
        let mut root = [0; 32];
        root[..8].copy_from_slice(&counter.to_be_bytes());
        let (root, at) = (Root::new(root), seconds(counter));
        Verb::Settle(Settlement { root, at, ..settlement(counter, FAUCET, 1, counter) })
    };
    for verbs in
        [(1..=WORKS).map(|counter| hold(counter, FAUCET, 1)).collect(), (1..=WORKS).map(sale).collect()]
    {
        let answers: Vec<Answer> = store.execute(verbs).await.unwrap();
        assert!(answers.iter().all(|answer| matches!(answer, Answer::Held { .. } | Answer::Settled { .. })));
    }
    let counters = async |since, count| -> Vec<u64> {
        let works = store.settled_since(seconds(since), count).await.unwrap();
        works.iter().map(|work| work.nonce.as_u64()).collect()
    };
    assert_eq!(counters(0, usize::MAX).await, (1..=WORKS).rev().collect::<Vec<_>>());
    assert_eq!(counters(WORKS - 1_499, usize::MAX).await, (WORKS - 1_499..=WORKS).rev().collect::<Vec<_>>());
    assert_eq!(counters(1, 1_001).await, (WORKS - 1_000..=WORKS).rev().collect::<Vec<_>>());
}
