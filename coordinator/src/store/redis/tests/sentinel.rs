//! A ledger behind a Sentinel, which puts a replica in the place of its server.

use std::time::{Duration, Instant};

use super::fixture::{RedisProcess, claim, is_there, open};
use crate::store::conformance::{add, grant, hold, mc, prove, service, settlement};
use crate::store::{Answer, Balance, Bucket, Store, StoreError, Verb};

#[tokio::test]
async fn a_ledger_goes_on_in_the_replica_that_takes_over() {
    if !is_there() {
        return;
    }
    let master = RedisProcess::start_on_port();
    let replica = master.replica();
    let sentinel = master.sentinel();
    let store = open(claim(&format!("redis+sentinel://{}/ledger", sentinel.address()))).await.unwrap();
    let start = vec![add("wallet"), grant("start", "wallet", 1000, Bucket::Paid), hold(1, "wallet", 300)];
    assert_eq!(store.execute(start).await.unwrap().len(), 3);

    let directory = master.stop();
    let deadline = Instant::now() + Duration::from_mins(1);
    let sale = || vec![Verb::Settle(settlement(1, "wallet", 1, 1)), hold(2, "wallet", 100)];
    let answers = loop {
        match store.execute(sale()).await {
            Ok(answers) => break answers,
            Err(StoreError::Unavailable(cause)) => assert!(Instant::now() < deadline, "{cause}"),
            Err(StoreError::Stopped) => panic!("it stops"),
        }
        tokio::task::yield_now().await;
    };
    assert!(matches!(answers[..], [Answer::Settled { .. }, Answer::Held { .. }]), "{answers:?}");
    assert!(replica.command(&["INFO", "replication"]).unwrap().contains("role:master"));
    let balance = store.balance(service("wallet")).await.unwrap().unwrap();
    let Balance { granted, held, .. } = balance;
    assert_eq!((granted, held), (mc(0), mc(100)));
    prove(&store).await;
    drop(directory);
}
