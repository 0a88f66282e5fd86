//! What was spent of what is bounded by the day.

use std::time::Duration;

use shared::Timestamp;

use super::{
    FAUCET, NEVER, START, check, execute, hold, hold_id, key_id, mc, release, service, settlement, stock,
};
use crate::store::{Answer, DaySpent, Purse, Settlement, Store, Verb};

/// A hold that counts against a bound.
pub(in crate::store) fn hold_of(counter: u64, name: &str, amount: u64, purse: Option<Purse>) -> Verb {
    Verb::Hold { hold: hold_id(counter), service: service(name), amount: mc(amount), expires: NEVER, purse }
}

pub(in crate::store) async fn what_is_spent_in_a_day_is_kept(store: &dyn Store) {
    stock(store).await;
    assert_eq!(store.spent().await.unwrap(), []);
    let (key, ahead) = (Purse::Key(key_id(1)), Purse::Precache(service(FAUCET)));
    let settle = async |counter: u64, root: u8, at: Timestamp| {
        let sale = Settlement { at, ..settlement(counter, FAUCET, root, 1) };
        execute(store, Verb::Settle(sale)).await
    };
    let day = START.day();
    let spent = |purse, day, amount| DaySpent { purse, day, amount: mc(amount) };
    for counter in 1..=9 {
        let purse = if counter % 3 == 0 { ahead } else { key };
        execute(store, hold_of(counter, FAUCET, 10 * counter, Some(purse))).await;
    }
    execute(store, hold(10, FAUCET, 500)).await;
    assert_eq!(store.spent().await.unwrap(), [], "what is held is not spent");

    settle(1, 1, START).await;
    settle(2, 2, START + Duration::from_hours(23)).await;
    settle(3, 3, START).await;
    let first = [spent(key, day, 30), spent(ahead, day, 30)];
    assert_eq!(store.spent().await.unwrap(), first);
    // Repeated, free, without a bound, given back, and refused: none of it is spent.
    settle(2, 2, START + Duration::from_hours(30)).await;
    settle(4, 1, START).await;
    settle(10, 10, START).await;
    check(store, [(release(5), Answer::Released)]).await;
    settle(5, 5, START).await;
    assert_eq!(store.spent().await.unwrap(), first);

    let tomorrow = START + Duration::from_hours(24);
    settle(7, 7, tomorrow).await;
    assert_eq!(store.spent().await.unwrap(), [spent(key, day + 1, 70), spent(ahead, day, 30)]);
    settle(8, 8, START).await;
    settle(6, 6, START).await;
    let last = [spent(key, day + 1, 70), spent(ahead, day, 90)];
    assert_eq!(store.spent().await.unwrap(), last, "of a day that is over nothing more is kept");
}
