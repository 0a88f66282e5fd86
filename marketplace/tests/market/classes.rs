//! Requests that may wait for everything on demand, with somebody who waits for them.

use std::time::Duration;

use crate::adaptive;
use crate::scene::{EASY, HARD, Scene, root, service, solve};
use marketplace::{Caller, Input, NewRequest, RequestKey, Withdrawal, limits};
use shared::pow::{Root, Threshold};
use shared::protocol::WorkKind::{self, OnDemand, Precache};
use shared::{Outcome, Refusal, SessionId};

const SECOND: Duration = Duration::from_secs(1);

fn ask(scene: &mut Scene, key: RequestKey, root: Root, class: WorkKind) -> Caller {
    ask_for(scene, key, (root, EASY), 10 * SECOND, class)
}

fn ask_for(
    scene: &mut Scene,
    key: RequestKey,
    (root, threshold): (Root, Threshold),
    timeout: Duration,
    class: WorkKind,
) -> Caller {
    scene.callers += 1;
    let (caller, account, spender) = (Caller(scene.callers), None, None);
    let new = NewRequest { caller, key, root, threshold, timeout, account, class, spender };
    scene.input(Input::RequestReceived(new));
    caller
}

fn key(number: u128) -> RequestKey {
    Scene::key(service("wallet"), number)
}

fn hold(scene: &mut Scene) {
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
}

/// What is on a worker's list, in its order.
fn listed(scene: &Scene, session: SessionId) -> Vec<(Root, WorkKind)> {
    scene.lists[&session].jobs.iter().map(|job| (job.root, job.kind)).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with what a caller has been told, if anything")]
fn refused(refusal: Refusal) -> Option<Outcome> {
    Some(Outcome::Refused(refusal))
}

#[test]
fn what_may_wait_goes_behind_what_is_on_demand_at_the_same_price() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let behind = ask(&mut scene, key(1), root(1), Precache);
    hold(&mut scene);
    let before = ask(&mut scene, key(2), root(2), OnDemand);
    hold(&mut scene);
    assert_eq!(listed(&scene, session), [(root(2), OnDemand), (root(1), Precache)]);
    for (caller, number) in [(before, 2), (behind, 1)] {
        scene.result(session, root(number), solve(root(number), EASY, None, 0));
        let order = scene.take_settle();
        assert!(!order.hold.is_precache(), "a service asked for it");
        scene.settle(order, 16);
        assert!(matches!(scene.take_reply(caller), Some(Outcome::Answered(_))), "{number}");
    }
}

/// Also one that is already waited for under the same name.
#[test]
fn a_job_is_as_urgent_as_the_most_urgent_request_for_it() {
    for other in [Scene::key(service("exchange"), 9), key(1)] {
        let mut scene = Scene::new();
        let session = scene.join(1);
        let behind = ask(&mut scene, key(1), root(1), Precache);
        hold(&mut scene);
        ask(&mut scene, key(2), root(2), OnDemand);
        hold(&mut scene);
        let lifting = ask(&mut scene, other, root(1), OnDemand);
        if other != key(1) {
            hold(&mut scene);
        }
        assert_eq!(listed(&scene, session), [(root(2), OnDemand), (root(1), OnDemand)]);
        let later = ask(&mut scene, key(3), root(1), Precache);
        hold(&mut scene);
        scene.input(Input::RequestWithdrawn(Withdrawal::Caller(lifting)));
        assert_eq!(listed(&scene, session).len(), 2, "one goes, and the others wait on");
        scene.result(session, root(1), solve(root(1), EASY, None, 0));
        while let Some(order) = scene.take_first(|effect| match effect {
            marketplace::Effect::Settle(order) => Some(*order),
            _ => None,
        }) {
            scene.settle(order, 16);
        }
        for caller in [behind, later] {
            assert!(matches!(scene.take_reply(caller), Some(Outcome::Answered(_))));
        }
    }
}

#[test]
fn it_has_a_deadline_and_is_withdrawn_like_any_other() {
    let mut scene = Scene::new();
    let late = ask(&mut scene, key(1), root(1), Precache);
    hold(&mut scene);
    scene.pass(10 * SECOND);
    assert_eq!(scene.take_reply(late), refused(Refusal::NoWorkers));
    let session = scene.join(1);
    let late = ask(&mut scene, key(2), root(2), Precache);
    hold(&mut scene);
    scene.pass(10 * SECOND);
    assert_eq!(scene.take_reply(late), refused(Refusal::Expired));
    let gone = ask(&mut scene, key(3), root(3), Precache);
    hold(&mut scene);
    scene.input(Input::RequestWithdrawn(Withdrawal::Root { service: service("wallet"), root: root(3) }));
    assert_eq!(scene.take_reply(gone), refused(Refusal::Cancelled));
    assert_eq!(listed(&scene, session), []);
}

#[test]
fn a_worker_that_does_nothing_ahead_does_not_do_what_may_wait_until_it_is_lifted() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let hello = shared::protocol::WorkerHello { precache: false, ..crate::scene::hello() };
    scene.input(Input::WorkerReported { session, report: marketplace::WorkerReport::Hello(hello) });
    ask(&mut scene, key(1), root(1), Precache);
    hold(&mut scene);
    assert_eq!(scene.market.board().jobs_unplaced(), 1);
    ask(&mut scene, key(2), root(1), OnDemand);
    hold(&mut scene);
    assert_eq!(listed(&scene, session), [(root(1), OnDemand)]);
}

#[test]
fn it_is_refused_first_while_the_ledger_is_behind() {
    let mut scene = Scene::new();
    for number in 0..limits::LEDGER_UNANSWERED_MAX / limits::BEHIND_PART {
        ask(&mut scene, key(number as u128), root(1), OnDemand);
    }
    let behind = ask(&mut scene, key(1000), root(1), Precache);
    assert_eq!(scene.take_reply(behind), refused(Refusal::Overloaded));
    let before = ask(&mut scene, key(1001), root(1), OnDemand);
    assert_eq!(scene.take_reply(before), None);
}

/// Three workers do a send in half a second each. An eighth of a request's time may be taken by what was asked for before: of two
/// minutes, 15 s; of what may wait, half of that.
#[test]
fn it_is_refused_first_when_there_is_more_to_do_than_can_be_done_in_time() {
    let mut scene = adaptive::market();
    for number in 1..=3 {
        adaptive::join(&mut scene, number, adaptive::GHS);
    }
    let mut asked = 0;
    let mut send = |scene: &mut Scene, number: u8, class: WorkKind| {
        asked += 1;
        let caller = ask_for(scene, key(asked), (root(number), HARD), 120 * SECOND, class);
        let reply = scene.take_reply(caller);
        if reply.is_none() {
            hold(scene);
        }
        reply
    };
    assert_eq!(send(&mut scene, 255, Precache), None);
    let of_its_kind: Vec<u8> =
        (1..=150).filter(|number| send(&mut scene, *number, OnDemand).is_some()).collect();
    let first = of_its_kind[0];
    assert!(first > 64, "{first}");
    assert_eq!(send(&mut scene, 1, Precache), None, "it is done anyway");
    assert_eq!(send(&mut scene, 255, OnDemand), refused(Refusal::Overloaded), "it would be more on demand");

    let mut other = adaptive::market();
    for number in 1..=3 {
        adaptive::join(&mut other, number, adaptive::GHS);
    }
    for number in 1..=65 {
        assert_eq!(send(&mut other, number, OnDemand), None);
    }
    assert_eq!(send(&mut other, 200, Precache), refused(Refusal::Overloaded));
    assert_eq!(send(&mut other, 201, OnDemand), None);
}
