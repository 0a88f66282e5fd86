//! What the requests of one key may cost in a day.

use std::time::Duration;

use crate::scene::{EASY, Scene, root, service, solve};
use marketplace::{Caller, Input, NewRequest, Spender, Withdrawal};
use shared::{KeyId, Millicredits, Outcome, Refusal};

/// A request with a key that may spend two works in a day.
fn ask(scene: &mut Scene, number: u8) -> Caller {
    scene.callers += 1;
    let caller = Caller(scene.callers);
    scene.input(Input::RequestReceived(NewRequest {
        caller,
        key: Scene::key(service("wallet"), number.into()),
        root: root(number),
        threshold: EASY,
        timeout: Duration::from_secs(10),
        account: None,
        spender: Some(Spender { key: KeyId::from_bytes([1; 8]), per_day: Millicredits::new(32) }),
    }));
    caller
}

fn ask_held(scene: &mut Scene, number: u8) -> Caller {
    let caller = ask(scene, number);
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    caller
}

fn is_refused(scene: &mut Scene, number: u8) -> bool {
    let caller = ask(scene, number);
    scene.take_reply(caller) == Some(Outcome::Refused(Refusal::InsufficientCredit))
}

#[test]
fn a_key_spends_no_more_in_a_day_than_it_may() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let paid = ask_held(&mut scene, 1);
    let withdrawn = ask_held(&mut scene, 2);
    assert!(is_refused(&mut scene, 3), "two are open");
    scene.input(Input::RequestWithdrawn(Withdrawal::Caller(withdrawn)));
    assert!(is_refused(&mut scene, 3), "its hold is not closed yet");
    let hold = scene.take_release();
    scene.input(Input::Released { hold });
    scene.result(session, root(1), solve(root(1), EASY, None, 0));
    let order = scene.take_settle();
    scene.settle(order, 16);
    assert!(matches!(scene.take_reply(paid), Some(Outcome::Answered(_))));

    let poor = ask(&mut scene, 3);
    let hold = scene.take_hold();
    scene.input(Input::HoldRefused { hold });
    assert!(scene.take_reply(poor).is_some());
    let second = ask_held(&mut scene, 4);
    assert!(is_refused(&mut scene, 5), "one is paid, one is open");
    scene.result(session, root(4), solve(root(4), EASY, None, 0));
    let order = scene.take_settle();
    scene.settle(order, 16);
    assert!(matches!(scene.take_reply(second), Some(Outcome::Answered(_))));
    let again = ask(&mut scene, 4);
    assert!(matches!(scene.take_reply(again), Some(Outcome::Answered(_))), "what is paid for is free");
    assert!(is_refused(&mut scene, 5));

    let other = scene.ask_held(root(6), EASY);
    assert_eq!(scene.take_reply(other), None, "another key of the service may go on");
    scene.pass(Duration::from_hours(24));
    ask_held(&mut scene, 7);
}
