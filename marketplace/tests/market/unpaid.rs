//! What a service may have searched in vain.

use std::time::Duration;

use crate::scene::{EASY, Scene, policy, root, service, solve};
use marketplace::dispatch::DispatchPolicy;
use marketplace::{Input, Policy, UnpaidMax, Withdrawal};
use shared::{Outcome, Refusal};

/// What nobody has searched for, or goes on for another, is not in vain.
#[test]
fn a_service_that_lets_too_much_be_searched_in_vain_is_refused() {
    let mut scene = Scene::new();
    // Two works of this threshold.
    assert!((EASY.expected_hashes() - 16.0).abs() < 0.1);
    let unpaid_max = UnpaidMax { share_percent: 100, allowance: 32 };
    let dispatch = DispatchPolicy::Broadcast;
    scene.input(Input::PolicyChanged(Policy { unpaid_max, ..policy(dispatch) }));
    let withdraw = |scene: &mut Scene, caller| {
        scene.input(Input::RequestWithdrawn(Withdrawal::Caller(caller)));
        assert_eq!(scene.take_reply(caller), Some(Outcome::Refused(Refusal::Cancelled)));
        let hold = scene.take_release();
        scene.input(Input::Released { hold });
    };
    let unsearched = scene.ask_held(root(1), EASY);
    withdraw(&mut scene, unsearched);
    let session = scene.join(1);
    let other = Scene::key(service("exchange"), 1);
    let others = scene.ask_as(other, root(2), EASY, Duration::from_mins(2));
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    let shared = scene.ask_held(root(2), EASY);
    withdraw(&mut scene, shared);
    for number in 3..5 {
        let in_vain = scene.ask_held(root(number), EASY);
        withdraw(&mut scene, in_vain);
    }
    let caller = scene.ask(root(5), EASY);
    assert_eq!(scene.take_reply(caller), Some(Outcome::Refused(Refusal::RateLimited)));
    assert_eq!(scene.take_reply(others), None, "another service is not touched");
    let key = Scene::key(service("exchange"), 2);
    scene.ask_as(key, root(6), EASY, Duration::from_secs(1));
    let hold = scene.take_hold();
    scene.input(Input::HoldRefused { hold });

    scene.pass(Duration::from_mins(30));
    let caller = scene.ask_held(root(7), EASY);
    scene.result(session, root(7), solve(root(7), EASY, None, 0));
    let order = scene.take_settle();
    scene.settle(order, 16);
    assert!(matches!(scene.take_reply(caller), Some(Outcome::Answered(_))));
    for number in 8..10 {
        let in_vain = scene.ask_held(root(number), EASY);
        withdraw(&mut scene, in_vain);
    }
    let caller = scene.ask(root(10), EASY);
    assert_eq!(
        scene.take_reply(caller),
        Some(Outcome::Refused(Refusal::RateLimited)),
        "half an hour and a settlement"
    );
}
