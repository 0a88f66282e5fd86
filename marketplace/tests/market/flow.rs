//! Each row of the life of a request, as one test: what happens, and what the market then does.

use std::time::Duration;

use crate::scene::{EASY, HARD, Scene, payee, policy, root, service, solve, worker};
use marketplace::dispatch::DispatchPolicy;
use marketplace::{Found, Input, Withdrawal, limits};
use shared::pow::{Threshold, Work};
use shared::{Millicredits, Outcome, Refusal, Timestamp, WorkSource};

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_micros(1);

#[expect(clippy::unnecessary_wraps, reason = "it is compared with what a caller has been told, if anything")]
fn refused(refusal: Refusal) -> Option<Outcome> {
    Some(Outcome::Refused(refusal))
}

fn answered(outcome: Option<Outcome>) -> shared::Answer {
    match outcome {
        Some(Outcome::Answered(answer)) => answer,
        other => panic!("not answered: {other:?}"),
    }
}

fn found(number: u8, threshold: Threshold) -> Found {
    let nonce = solve(root(number), threshold, None, 0);
    let work = Work::verify(root(number), nonce, threshold).unwrap();
    Found { work, worker: worker(9), payee: payee(9) }
}

#[test]
fn a_request_is_held_listed_solved_settled_and_answered() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let caller = scene.ask(root(1), HARD);
    assert!(scene.listed(session).is_empty(), "nothing is dispatched before the hold");
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    assert_eq!(scene.listed(session), [(root(1), HARD)]);
    scene.pass(SECOND);
    let nonce = solve(root(1), HARD, None, 0);
    scene.result(session, root(1), nonce);
    assert!(scene.listed(session).is_empty(), "the cancel goes out with the result");
    let verdict = scene.take_verdict();
    assert_eq!((verdict.verdict.as_str(), verdict.totals.accepted), ("accepted", 1));
    assert_eq!(scene.take_reply(caller), None, "no answer before the settlement is durable");
    let order = scene.take_settle();
    assert_eq!((order.hold, order.worker, order.payee), (hold, worker(1), payee(1)));
    scene.settle(order, 1000);
    let answer = answered(scene.take_reply(caller));
    assert_eq!((answer.work.nonce(), answer.source), (nonce, WorkSource::OnDemand));
    assert_eq!((answer.charged, answer.balance), (Millicredits::new(1000), Some(Millicredits::new(500))));
    assert_eq!(answer.elapsed_ms, 1000);
    assert!(scene.market.is_idle() && scene.is_quiet());
}

#[test]
fn received_with_a_known_id_and_the_same_fingerprint_joins() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let key = Scene::key(service("wallet"), 5);
    let first = scene.ask_as(key, root(1), EASY, 10 * SECOND);
    let second = scene.ask_as(key, root(1), EASY, 10 * SECOND);
    let hold = scene.take_hold();
    assert!(scene.is_quiet(), "one hold for both");
    scene.input(Input::Held { hold });
    let third = scene.ask_as(key, root(1), EASY, 10 * SECOND);
    scene.result(session, root(1), solve(root(1), EASY, None, 0));
    let fourth = scene.ask_as(key, root(1), EASY, 10 * SECOND);
    let order = scene.take_settle();
    scene.settle(order, 16);
    let answers = [first, second, third, fourth].map(|caller| answered(scene.take_reply(caller)));
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    let fifth = scene.ask_as(key, root(1), EASY, SECOND);
    assert_eq!(answered(scene.take_reply(fifth)), answers[0], "the stored answer again");
    assert!(scene.is_quiet());
}

#[test]
fn received_with_a_known_id_and_another_fingerprint_is_a_conflict() {
    let mut scene = Scene::new();
    let key = Scene::key(service("wallet"), 5);
    let first = scene.ask_as(key, root(1), EASY, 10 * SECOND);
    for (other, threshold) in [(root(2), EASY), (root(1), HARD)] {
        let caller = scene.ask_as(key, other, threshold, 10 * SECOND);
        assert_eq!(scene.take_reply(caller), refused(Refusal::Conflict));
    }
    assert_eq!(scene.take_reply(first), None);
    let elsewhere = Scene::key(service("exchange"), 5);
    let caller = scene.ask_as(elsewhere, root(2), EASY, 10 * SECOND);
    assert_eq!(scene.take_reply(caller), None, "ids of different services are unrelated");
}

#[test]
fn an_answered_id_is_forgotten_after_ten_minutes() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let key = Scene::key(service("wallet"), 5);
    scene.ask_as(key, root(1), EASY, 10 * SECOND);
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    scene.result(session, root(1), solve(root(1), EASY, None, 0));
    let order = scene.take_settle();
    scene.settle(order, 16);
    scene.pass(limits::ANSWERED_KEPT);
    let caller = scene.ask_as(key, root(2), EASY, SECOND);
    assert_ne!(scene.take_reply(caller), refused(Refusal::Conflict));
}

#[test]
fn received_with_a_settled_work_is_free_before_any_hold() {
    let settled = found(1, HARD);
    let at = Timestamp::from_micros(1_000_000_000_000_000);
    let mut scene = Scene::with(DispatchPolicy::Broadcast, vec![(service("wallet"), settled, at)]);
    scene.input(Input::StoreDown);
    scene.input(Input::ServiceSuspended { service: service("wallet") });
    let caller = scene.ask(root(1), EASY);
    let answer = answered(scene.take_reply(caller));
    assert_eq!(
        (answer.charged, answer.balance, answer.source),
        (Millicredits::ZERO, None, WorkSource::Cache)
    );
    assert_eq!(answer.work, settled.work);
    assert!(scene.is_quiet());
    let other = Scene::key(service("exchange"), 1);
    let caller = scene.ask_as(other, root(1), EASY, SECOND);
    assert_eq!(scene.take_reply(caller), refused(Refusal::StoreUnavailable), "another service has not paid");
}

#[test]
fn a_settled_work_is_free_for_24_hours_and_only_up_to_its_difficulty() {
    let nonce = solve(root(1), EASY, Some(HARD), 0);
    let weak =
        Found { work: Work::verify(root(1), nonce, EASY).unwrap(), worker: worker(9), payee: payee(9) };
    let at = Timestamp::from_micros(1_000_000_000_000_000);
    let mut scene = Scene::with(DispatchPolicy::Broadcast, vec![(service("wallet"), weak, at)]);
    let caller = scene.ask(root(1), HARD);
    scene.take_hold();
    assert_eq!(scene.take_reply(caller), None);
    scene.now = at + limits::WORK_KEPT - MOMENT;
    let caller = scene.ask(root(1), EASY);
    assert_eq!(answered(scene.take_reply(caller)).charged, Millicredits::ZERO);
    scene.now = at + limits::WORK_KEPT;
    scene.ask(root(1), EASY);
    scene.take_hold();
}

#[test]
fn refusals_hold_nothing_and_come_in_their_order() {
    let over = Threshold::new(policy(DispatchPolicy::Broadcast).threshold_max.as_u64() + 1);
    let under = Threshold::new(EASY.as_u64() - 1);
    let mut scene = Scene::new();
    for threshold in [over, under, Threshold::new(0), Threshold::new(u64::MAX)] {
        let caller = scene.ask(root(1), threshold);
        assert_eq!(scene.take_reply(caller), refused(Refusal::ThresholdOutOfRange));
    }
    scene.input(Input::StoreDown);
    let caller = scene.ask(root(1), EASY);
    assert_eq!(scene.take_reply(caller), refused(Refusal::StoreUnavailable));
    let ends = scene.now + 30 * SECOND;
    scene.input(Input::Drain { ends });
    let caller = scene.ask(root(1), EASY);
    assert_eq!(scene.take_reply(caller), refused(Refusal::Draining));
    let caller = scene.ask(root(1), over);
    assert_eq!(scene.take_reply(caller), refused(Refusal::ThresholdOutOfRange));
    scene.input(Input::ServiceSuspended { service: service("wallet") });
    let caller = scene.ask(root(1), over);
    assert_eq!(scene.take_reply(caller), refused(Refusal::Suspended));
    scene.input(Input::ServiceResumed { service: service("wallet") });
    let caller = scene.ask(root(1), EASY);
    assert_eq!(scene.take_reply(caller), refused(Refusal::Draining));
    assert!(scene.is_quiet() && scene.market.is_idle());
}

#[test]
fn while_the_audit_is_red_nothing_new_is_sold_and_what_is_open_goes_on() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let waiting = scene.ask_held(root(1), EASY);
    let holding = scene.ask(root(2), EASY);
    let hold = scene.take_hold();
    scene.input(Input::LedgerAudited { is_green: false });
    let caller = scene.ask(root(3), EASY);
    assert_eq!(scene.take_reply(caller), refused(Refusal::StoreUnavailable));
    scene.input(Input::Held { hold });
    for (caller, number) in [(waiting, 1), (holding, 2)] {
        scene.result(session, root(number), solve(root(number), EASY, None, 0));
        let order = scene.take_settle();
        scene.settle(order, 16);
        answered(scene.take_reply(caller));
    }
    let again = scene.ask(root(1), EASY);
    answered(scene.take_reply(again));
    scene.input(Input::LedgerAudited { is_green: true });
    scene.ask_held(root(3), EASY);
}

#[test]
fn overload_is_a_refusal_at_once() {
    let mut scene = Scene::new();
    for number in 0..limits::REQUESTS_OPEN_PER_SERVICE_MAX {
        let key = Scene::key(service("wallet"), number as u128);
        scene.ask_as(key, root(1), EASY, SECOND);
        let hold = scene.take_hold();
        scene.input(Input::Held { hold });
    }
    let caller = scene.ask(root(1), EASY);
    assert_eq!(scene.take_reply(caller), refused(Refusal::RateLimited));
    let other = Scene::key(service("exchange"), 1);
    let caller = scene.ask_as(other, root(1), EASY, SECOND);
    assert_eq!(scene.take_reply(caller), None, "another service still has room");
}

#[test]
fn a_ledger_that_is_behind_is_asked_for_nothing_new() {
    let mut scene = Scene::new();
    for number in 0..limits::LEDGER_UNANSWERED_MAX {
        let key = Scene::key(service("wallet"), number as u128);
        scene.ask_as(key, root(1), EASY, SECOND);
    }
    let caller = scene.ask(root(1), EASY);
    assert_eq!(scene.take_reply(caller), refused(Refusal::Overloaded));
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    let caller = scene.ask(root(1), EASY);
    assert_eq!(scene.take_reply(caller), None, "one answer makes room for one request");
}

#[test]
fn holding_held_with_work_in_the_cache_settles_at_once() {
    let kept = found(1, HARD);
    let at = Timestamp::from_micros(1_000_000_000_000_000);
    let mut scene = Scene::with(DispatchPolicy::Broadcast, vec![(service("exchange"), kept, at)]);
    let session = scene.join(1);
    let caller = scene.ask_held(root(1), HARD);
    assert!(scene.listed(session).is_empty());
    let order = scene.take_settle();
    assert_eq!((order.work, order.worker), (kept.work, worker(9)));
    scene.settle(order, 1000);
    assert_eq!(answered(scene.take_reply(caller)).source, WorkSource::Cache);
}

#[test]
fn holding_refused_is_insufficient_credit_and_nothing_is_dispatched() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let caller = scene.ask(root(1), EASY);
    let hold = scene.take_hold();
    scene.input(Input::HoldRefused { hold });
    assert_eq!(scene.take_reply(caller), refused(Refusal::InsufficientCredit));
    assert!(scene.listed(session).is_empty() && scene.market.is_idle() && scene.is_quiet());
}

#[test]
fn holding_withdrawn_or_expired_is_replied_at_once_and_a_late_hold_is_released() {
    for (refusal, is_late) in
        [(Refusal::Cancelled, true), (Refusal::NoWorkers, true), (Refusal::Cancelled, false)]
    {
        let mut scene = Scene::new();
        let key = Scene::key(service("wallet"), 1);
        let caller = scene.ask_as(key, root(1), EASY, SECOND);
        let hold = scene.take_hold();
        match refusal {
            Refusal::Cancelled => scene.input(Input::RequestWithdrawn(Withdrawal::Request(key))),
            _ => scene.pass(SECOND),
        }
        assert_eq!(scene.take_reply(caller), refused(refusal));
        assert_eq!(scene.take_release(), hold);
        if is_late {
            scene.input(Input::Held { hold });
            assert_eq!(scene.take_release(), hold, "held after all: given back");
        } else {
            scene.input(Input::HoldRefused { hold });
        }
        assert!(scene.is_quiet());
        scene.input(Input::Released { hold });
        assert!(scene.market.is_idle() && scene.is_quiet());
    }
}

#[test]
fn a_hold_that_arrives_after_its_release_is_given_back() {
    let mut scene = Scene::new();
    let key = Scene::key(service("wallet"), 1);
    scene.ask_as(key, root(1), EASY, SECOND);
    let hold = scene.take_hold();
    scene.input(Input::RequestWithdrawn(Withdrawal::Request(key)));
    scene.take_release();
    scene.input(Input::Released { hold });
    assert!(scene.market.is_idle());
    scene.input(Input::Held { hold });
    assert_eq!(scene.take_release(), hold);
}

#[test]
fn holding_when_the_store_goes_down_is_refused_and_released_when_it_is_back() {
    let mut scene = Scene::new();
    let caller = scene.ask(root(1), EASY);
    let hold = scene.take_hold();
    scene.input(Input::StoreDown);
    assert_eq!(scene.take_reply(caller), refused(Refusal::StoreUnavailable));
    assert_eq!(scene.take_release(), hold);
    scene.pass(10 * SECOND);
    assert!(scene.is_quiet(), "nothing is repeated while the store is away");
    scene.input(Input::StoreUp);
    assert_eq!(scene.take_release(), hold);
    scene.input(Input::Released { hold });
    assert!(scene.market.is_idle());
}

#[test]
fn waiting_requests_that_one_result_answers_settle_dearest_first() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let easy = scene.ask_held(root(1), EASY);
    let hard = scene.ask_held(root(1), HARD);
    let also_easy = scene.ask_held(root(1), EASY);
    assert_eq!(scene.listed(session), [(root(1), EASY), (root(1), HARD)], "one job for each threshold");
    let nonce = solve(root(1), HARD, None, 0);
    scene.result(session, root(1), nonce);
    assert!(scene.listed(session).is_empty(), "both jobs are closed");
    let orders = [scene.take_settle(), scene.take_settle(), scene.take_settle()];
    assert_eq!(orders.map(|order| order.threshold), [HARD, EASY, EASY]);
    for order in orders {
        scene.settle(order, 1);
    }
    for caller in [easy, hard, also_easy] {
        assert_eq!(answered(scene.take_reply(caller)).work.nonce(), nonce);
    }
    assert!(scene.market.is_idle() && scene.is_quiet());
}

#[test]
fn a_result_below_another_jobs_threshold_leaves_that_job_open() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    scene.ask_held(root(1), EASY);
    let hard = scene.ask_held(root(1), HARD);
    scene.result(session, root(1), solve(root(1), EASY, Some(HARD), 0));
    assert_eq!(scene.take_settle().threshold, EASY);
    assert_eq!(scene.listed(session), [(root(1), HARD)]);
    assert_eq!(scene.take_reply(hard), None);
}

#[test]
fn waiting_withdrawn_is_released_and_replied_at_once() {
    for by_root in [false, true] {
        let mut scene = Scene::new();
        let session = scene.join(1);
        let key = Scene::key(service("wallet"), 77);
        let caller = scene.ask_as(key, root(1), EASY, 10 * SECOND);
        let hold = scene.take_hold();
        scene.input(Input::Held { hold });
        assert_eq!(scene.listed(session).len(), 1);
        let withdrawal = if by_root {
            Withdrawal::Root { service: service("wallet"), root: root(1) }
        } else {
            Withdrawal::Request(key)
        };
        scene.input(Input::RequestWithdrawn(withdrawal));
        assert_eq!(scene.take_reply(caller), refused(Refusal::Cancelled));
        assert_eq!(scene.take_release(), hold);
        assert!(scene.listed(session).is_empty());
        scene.input(Input::Released { hold });
        assert!(scene.market.is_idle() && scene.is_quiet());
    }
}

#[test]
fn one_caller_hanging_up_leaves_the_others_of_its_request() {
    let mut scene = Scene::new();
    scene.join(1);
    let key = Scene::key(service("wallet"), 1);
    let first = scene.ask_as(key, root(1), EASY, 10 * SECOND);
    let second = scene.ask_as(key, root(1), EASY, 10 * SECOND);
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    scene.input(Input::RequestWithdrawn(Withdrawal::Caller(first)));
    assert_eq!(scene.take_reply(first), refused(Refusal::Cancelled));
    assert!(scene.is_quiet());
    scene.input(Input::RequestWithdrawn(Withdrawal::Caller(second)));
    assert_eq!(scene.take_reply(second), refused(Refusal::Cancelled));
    assert_eq!(scene.take_release(), hold);
}

#[test]
fn waiting_past_the_deadline_is_expired_or_no_workers() {
    let mut scene = Scene::new();
    let alone = scene.ask_held(root(1), EASY);
    scene.pass(10 * SECOND);
    assert_eq!(scene.take_reply(alone), refused(Refusal::NoWorkers));
    let hold = scene.take_release();
    scene.input(Input::Released { hold });
    let session = scene.join(1);
    let seen = scene.ask_held(root(2), EASY);
    scene.pass(SECOND);
    scene.input(Input::WorkerLeft { session });
    scene.pass(9 * SECOND);
    assert_eq!(scene.take_reply(seen), refused(Refusal::Expired));
    let hold = scene.take_release();
    scene.input(Input::Released { hold });
    let later = scene.ask_held(root(3), EASY);
    scene.pass(10 * SECOND);
    assert_eq!(scene.take_reply(later), refused(Refusal::NoWorkers));
    let hold = scene.take_release();
    scene.input(Input::Released { hold });
    assert!(scene.market.is_idle());
}

#[test]
fn one_waiters_deadline_never_touches_another() {
    let mut scene = Scene::new();
    let short = Scene::key(service("wallet"), 1);
    let short = scene.ask_as(short, root(1), EASY, SECOND);
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    let long = scene.ask_held(root(1), EASY);
    scene.pass(SECOND);
    assert_eq!(scene.take_reply(short), refused(Refusal::NoWorkers));
    scene.pass(2 * SECOND);
    let session = scene.join(1);
    assert_eq!(scene.listed(session), [(root(1), EASY)]);
    scene.result(session, root(1), solve(root(1), EASY, None, 0));
    let order = scene.take_settle();
    scene.settle(order, 16);
    assert_eq!(answered(scene.take_reply(long)).charged, Millicredits::new(16));
}

#[test]
fn a_job_that_lives_longer_is_listed_again_with_its_new_time() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let key = Scene::key(service("wallet"), 1);
    scene.ask_as(key, root(1), EASY, SECOND);
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    assert_eq!(scene.lists[&session].jobs[0].remaining_ms, 1000);
    scene.ask_held(root(1), EASY);
    assert_eq!(scene.lists[&session].jobs[0].remaining_ms, 10_000);
}

#[test]
fn waiting_goes_on_while_the_store_is_down() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let caller = scene.ask_held(root(1), EASY);
    scene.input(Input::StoreDown);
    scene.result(session, root(1), solve(root(1), EASY, None, 0));
    let order = scene.take_settle();
    assert_eq!(scene.take_reply(caller), None);
    scene.input(Input::StoreUp);
    assert_eq!(scene.take_settle(), order, "repeated with the same id");
    scene.settle(order, 16);
    scene.settle(order, 16);
    answered(scene.take_reply(caller));
    assert_eq!(scene.take_reply(caller), None, "a second answer changes nothing");
}

#[test]
fn settling_refused_is_expired_and_the_work_stays() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let caller = scene.ask_held(root(1), EASY);
    let nonce = solve(root(1), EASY, None, 0);
    scene.result(session, root(1), nonce);
    let order = scene.take_settle();
    scene.input(Input::SettleRefused { hold: order.hold });
    assert_eq!(scene.take_reply(caller), refused(Refusal::Expired));
    assert!(scene.market.is_idle());
    scene.ask_held(root(1), EASY);
    assert_eq!(scene.take_settle().work.nonce(), nonce, "from the cache, and paid to its finder");
}

#[test]
fn settling_ignores_withdrawal_and_deadline_and_says_after_30_s_that_it_is_not_settled() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let key = Scene::key(service("wallet"), 1);
    let caller = scene.ask_as(key, root(1), EASY, 10 * SECOND);
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    scene.result(session, root(1), solve(root(1), EASY, None, 0));
    let order = scene.take_settle();
    scene.input(Input::RequestWithdrawn(Withdrawal::Request(key)));
    scene.pass((10 * SECOND + limits::SETTLE_GRACE).saturating_sub(MOMENT));
    assert_eq!(scene.take_reply(caller), None);
    scene.pass(MOMENT);
    assert_eq!(scene.take_reply(caller), Some(Outcome::Unsettled));
    let joining = scene.ask_as(key, root(1), EASY, SECOND);
    assert_eq!(scene.take_reply(joining), Some(Outcome::Unsettled), "who joins now need not wait for it");
    assert!(!scene.market.is_idle(), "the settlement goes on");
    scene.settle(order, 16);
    assert!(scene.market.is_idle());
    let again = scene.ask(root(1), EASY);
    assert_eq!(answered(scene.take_reply(again)).charged, Millicredits::ZERO);
}

#[test]
fn suspension_releases_what_is_open_and_lets_settlements_complete() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let settling = scene.ask_held(root(1), EASY);
    scene.result(session, root(1), solve(root(1), EASY, None, 0));
    let order = scene.take_settle();
    let waiting = scene.ask_held(root(2), EASY);
    let holding = scene.ask(root(3), EASY);
    scene.input(Input::ServiceSuspended { service: service("wallet") });
    assert_eq!(scene.take_reply(waiting), refused(Refusal::Suspended));
    assert_eq!(scene.take_reply(holding), refused(Refusal::Suspended));
    scene.settle(order, 16);
    answered(scene.take_reply(settling));
}

#[test]
fn the_end_of_a_drain_releases_what_is_open() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let settling = scene.ask_held(root(1), EASY);
    scene.result(session, root(1), solve(root(1), EASY, None, 0));
    let order = scene.take_settle();
    let waiting = scene.ask_held(root(2), EASY);
    let ends = scene.now + 5 * SECOND;
    scene.input(Input::Drain { ends });
    scene.pass((5 * SECOND).saturating_sub(MOMENT));
    assert_eq!(scene.take_reply(waiting), None, "what is in flight may still be answered");
    scene.pass(MOMENT);
    assert_eq!(scene.take_reply(waiting), refused(Refusal::Draining));
    scene.settle(order, 16);
    answered(scene.take_reply(settling));
    let hold = scene.take_release();
    scene.input(Input::Released { hold });
    assert!(scene.market.is_idle());
}

#[test]
fn every_ledger_effect_is_repeated_until_it_is_answered() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let key = Scene::key(service("wallet"), 1);
    scene.ask_as(key, root(1), EASY, 100 * SECOND);
    let hold = scene.take_hold();
    for _ in 0..3 {
        scene.pass(limits::LEDGER_REPEAT);
        assert_eq!(scene.take_hold(), hold);
    }
    scene.input(Input::Held { hold });
    scene.pass(limits::LEDGER_REPEAT);
    assert!(scene.is_quiet());
    scene.result(session, root(1), solve(root(1), EASY, None, 0));
    let order = scene.take_settle();
    scene.pass(limits::LEDGER_REPEAT);
    assert_eq!(scene.take_settle(), order);
    scene.settle(order, 16);
    scene.pass(limits::LEDGER_REPEAT * 2);
    assert_eq!(
        scene.effects.iter().filter(|effect| matches!(effect, marketplace::Effect::Settle(_))).count(),
        0
    );
}

#[test]
fn a_timeout_is_cut_at_its_maximum() {
    let mut scene = Scene::new();
    let key = Scene::key(service("wallet"), 1);
    let caller = scene.ask_as(key, root(1), EASY, Duration::from_secs(u64::MAX));
    scene.pass(limits::TIMEOUT_MAX);
    assert_eq!(scene.take_reply(caller), refused(Refusal::NoWorkers));
}

#[test]
fn callers_of_one_request_are_bounded() {
    let mut scene = Scene::new();
    let key = Scene::key(service("wallet"), 1);
    for _ in 0..limits::CALLERS_PER_REQUEST_MAX {
        scene.ask_as(key, root(1), EASY, SECOND);
    }
    let caller = scene.ask_as(key, root(1), EASY, SECOND);
    assert_eq!(scene.take_reply(caller), refused(Refusal::Overloaded));
}

#[test]
fn time_never_goes_back() {
    let mut scene = Scene::new();
    let caller = scene.ask(root(1), EASY);
    scene.now = scene.now - 100 * SECOND;
    scene.ask_as(Scene::key(service("wallet"), 99), root(1), EASY, SECOND);
    scene.now = scene.now + 100 * SECOND;
    assert_eq!(scene.take_reply(caller), None);
    assert!(scene.market.poll_timeout().unwrap() >= scene.now);
}
