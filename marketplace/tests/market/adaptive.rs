//! Adaptive dispatch from outside: workers that leave, fall silent, say too much or answer late, and a clock that jumps.

use std::time::Duration;

use crate::scene::{EASY, HARD, INSTANCE, START, Scene, hello, payee, policy, root, session, solve, worker};
use marketplace::dispatch::DispatchPolicy;
use marketplace::precache::PrecacheStart;
use marketplace::{Caller, Input, Marketplace, Policy, Start, WorkerReport};
use shared::pow::Root;
use shared::protocol::{PauseReason, Verdict, WorkResult, WorkerHello, WorkerStatus, decode};
use shared::{Outcome, SessionId};

const SECOND: Duration = Duration::from_secs(1);
pub(crate) const GHS: u64 = 1_000_000_000;

/// A market in which [`HARD`] stands for a send of the live network.
pub(crate) fn market() -> Scene {
    let policy = Policy { hashes_per_hash: 1 << 19, ..policy(DispatchPolicy::Adaptive { fairness: 0 }) };
    let start = Start {
        instance: INSTANCE,
        policy,
        now: START,
        settled: Vec::new(),
        precache: PrecacheStart::default(),
        spent: Vec::new(),
    };
    Scene { market: Marketplace::new(start), ..Scene::new() }
}

pub(crate) fn join(scene: &mut Scene, number: u8, hashes_per_second: u64) -> SessionId {
    let session = session(u64::from(number));
    scene.input(Input::WorkerJoined { session, worker: worker(number), payee: payee(number) });
    let hello = WorkerHello { hashes_per_second, ..hello() };
    scene.input(Input::WorkerReported { session, report: WorkerReport::Hello(hello) });
    session
}

/// The worker pauses, or goes on.
fn says(scene: &mut Scene, session: SessionId, paused: Option<PauseReason>) {
    let status = WorkerStatus {
        hashes_per_second: GHS,
        devices_hashes_per_second: Vec::new(),
        temperature_c: None,
        paused,
    };
    scene.input(Input::WorkerReported { session, report: WorkerReport::Status(status) });
}

/// The worker answers the first of its list, which the store then settles.
fn answer_first(scene: &mut Scene, session: SessionId) -> Root {
    let root = scene.listed(session)[0].0;
    scene.result(session, root, solve(root, HARD, None, 0));
    assert_eq!(scene.take_verdict().verdict, Verdict::Accepted);
    let order = scene.take_settle();
    scene.settle(order, 1000);
    root
}

/// The worker becomes one whose rate is known: it answers so many jobs, each after so long.
fn prove(scene: &mut Scene, session: SessionId, roots: std::ops::Range<u8>, each: Duration) {
    for number in roots {
        scene.ask_held(root(number), HARD);
        scene.pass(each);
        answer_first(scene, session);
    }
}

/// Two workers whose rates are known.
fn fast_and_slow(scene: &mut Scene) -> [SessionId; 2] {
    let fast = join(scene, 1, 3 * GHS);
    prove(scene, fast, 1..20, Duration::from_millis(200));
    says(scene, fast, Some(PauseReason::Owner));
    let slow = join(scene, 2, GHS);
    prove(scene, slow, 20..40, Duration::from_millis(600));
    says(scene, fast, None);
    [fast, slow]
}

fn is_answered(scene: &mut Scene, caller: Caller) -> bool {
    matches!(scene.take_reply(caller), Some(Outcome::Answered(_)))
}

fn roots_of(scene: &Scene, session: SessionId) -> Vec<Root> {
    scene.listed(session).into_iter().map(|(root, _)| root).collect()
}

#[test]
fn when_all_workers_leave_jobs_wait_and_the_next_worker_takes_them_up() {
    let mut scene = market();
    let sessions: Vec<SessionId> = (1..=20).map(|number| join(&mut scene, number, GHS)).collect();
    let callers: Vec<Caller> = (1..=10).map(|number| scene.ask_held(root(number), HARD)).collect();
    for session in sessions {
        scene.input(Input::WorkerLeft { session });
    }
    assert_eq!((scene.market.board().jobs_open(), scene.market.board().jobs_unplaced()), (10, 10));
    scene.pass(SECOND);
    let next = join(&mut scene, 21, GHS);
    for _ in 0..10 {
        scene.pass(Duration::from_millis(500));
        answer_first(&mut scene, next);
    }
    for caller in callers {
        assert!(is_answered(&mut scene, caller));
    }
    assert_eq!(scene.market.board().jobs_open(), 0);
}

#[test]
fn a_result_for_a_job_of_the_previous_list_is_taken_while_the_job_is_open() {
    let mut scene = market();
    let (first, second) = (join(&mut scene, 1, GHS), join(&mut scene, 2, GHS));
    let caller = scene.ask_held(root(1), HARD);
    let job = scene.lists[&first].jobs[0].job;
    says(&mut scene, first, Some(PauseReason::Owner));
    assert!(scene.listed(first).is_empty(), "its list is another one now");
    let result = WorkResult { job, root: root(1), nonce: solve(root(1), HARD, None, 0) };
    scene.input(Input::ResultReceived { session: first, result });
    assert_eq!(scene.take_verdict().verdict, Verdict::Accepted);
    let order = scene.take_settle();
    assert_eq!(order.worker, worker(1));
    scene.settle(order, 1000);
    assert!(is_answered(&mut scene, caller));
    // The other one had found it as well, and is told so; nothing speaks against it.
    let nonce = solve(root(1), HARD, None, result.nonce.as_u64() + 1);
    scene.input(Input::ResultReceived { session: second, result: WorkResult { nonce, ..result } });
    let notice = scene.take_verdict();
    assert!(matches!(notice.verdict, Verdict::Late { .. }), "{:?}", notice.verdict);
    assert_eq!(notice.totals.refused, 0);
}

#[test]
fn announced_rates_of_nothing_and_of_everything_are_borne() {
    let mut scene = market();
    for (number, rate) in (1..).zip([0, 1, 1_000_000_000_000_000_000, u64::MAX]) {
        join(&mut scene, number, rate);
    }
    let honest = join(&mut scene, 9, 3 * GHS);
    for number in 1..=20 {
        let caller = scene.ask_held(root(number), HARD);
        scene.pass(SECOND);
        let root = root(number);
        assert!(roots_of(&scene, honest).contains(&root), "{number}: it is given to whom finds it");
        scene.result(honest, root, solve(root, HARD, None, 0));
        let order = scene.take_settle();
        scene.settle(order, 1000);
        assert!(is_answered(&mut scene, caller));
    }
}

#[test]
fn a_rate_below_zero_is_no_message() {
    let hello = |rate: &str| {
        format!(
            r#"{{"software":"x","devices":[],"hashes_per_second":{rate},"capacity":1,"threshold_max":"ffffffffffffffff","precache":true}}"#
        )
    };
    assert!(decode::<WorkerHello>(hello("5").as_bytes()).is_ok());
    for rate in ["-1", "1e30", "18446744073709551616"] {
        assert!(decode::<WorkerHello>(hello(rate).as_bytes()).is_err(), "{rate}");
    }
}

#[test]
fn a_fast_worker_that_falls_silent_loses_its_jobs_within_two_and_a_half_seconds() {
    let mut scene = market();
    let silent = join(&mut scene, 1, 3 * GHS);
    prove(&mut scene, silent, 1..20, Duration::from_millis(200));
    for number in 100..104 {
        scene.ask_held(root(number), HARD);
    }
    assert!(!scene.listed(silent).is_empty());
    let others: Vec<SessionId> = (2..=5).map(|number| join(&mut scene, number, GHS / 2)).collect();
    let has_lost_all = (0..50).any(|_| {
        scene.pass(Duration::from_millis(50));
        scene.listed(silent).is_empty()
    });
    assert!(has_lost_all, "{:?}", scene.listed(silent));
    for other in others {
        assert!(!scene.listed(other).is_empty());
    }
    assert_eq!(scene.market.board().jobs_open(), 4, "none is lost");
}

/// Time passes until this is so, while these send signs of life.
fn is_soon(
    scene: &mut Scene,
    within: Duration,
    living: &[SessionId],
    is_so: impl Fn(&mut Scene) -> bool,
) -> bool {
    let step = Duration::from_millis(50);
    (0..within.as_millis() / step.as_millis()).any(|_| {
        scene.pass(step);
        for session in living {
            says(scene, *session, None);
        }
        is_so(scene)
    })
}

/// Both are so slow that they owe nothing for minutes.
#[test]
fn a_slow_worker_that_sends_no_sign_of_life_loses_its_jobs_and_is_back_with_its_next() {
    let mut scene = market();
    let silent = join(&mut scene, 1, GHS / 100);
    let other = join(&mut scene, 2, GHS / 100);
    scene.ask_held(root(100), HARD);
    assert_eq!((roots_of(&scene, silent), roots_of(&scene, other)), (vec![root(100)], vec![root(100)]));
    let has_lost_it = |scene: &mut Scene| scene.listed(silent).is_empty();
    assert!(!is_soon(&mut scene, 4 * SECOND, &[silent, other], has_lost_it), "it is there");
    assert!(!is_soon(&mut scene, SECOND, &[other], has_lost_it), "a second without a word is nothing");
    assert!(is_soon(&mut scene, 2 * SECOND, &[other], has_lost_it));
    assert!(!is_soon(&mut scene, SECOND / 2, &[other], |scene| !scene.listed(silent).is_empty()));
    says(&mut scene, silent, None);
    assert_eq!(roots_of(&scene, silent), [root(100)], "it is left alone until it says something");
}

#[test]
fn who_is_there_but_owes_too_much_is_not_saved_by_signs_of_life() {
    let mut scene = market();
    let withholder = join(&mut scene, 1, 3 * GHS);
    prove(&mut scene, withholder, 1..20, Duration::from_millis(200));
    let other = join(&mut scene, 2, GHS / 100);
    scene.ask_held(root(100), HARD);
    let both = [withholder, other];
    assert!(is_soon(&mut scene, 3 * SECOND, &both, |scene| scene.listed(withholder).is_empty()));
    assert!(!is_soon(&mut scene, SECOND / 2, &both, |scene| !scene.listed(withholder).is_empty()));
}

#[test]
fn what_is_on_its_way_and_a_short_pause_are_not_owed() {
    let mut scene = market();
    let far = join(&mut scene, 1, 3 * GHS);
    // Found after a fifth of a second, and a quarter of a second away.
    prove(&mut scene, far, 1..20, Duration::from_millis(450));
    let other = join(&mut scene, 2, GHS / 100);
    for number in 100..120 {
        scene.ask_held(root(number), EASY);
        // A 64th of a send, of which it finds a hundred in this time.
        let has_lost_it = |scene: &mut Scene| !roots_of(scene, far).contains(&root(number));
        assert!(!is_soon(&mut scene, Duration::from_millis(400), &[far, other], has_lost_it), "{number}");
        scene.result(far, root(number), solve(root(number), EASY, None, 0));
        assert_eq!(scene.take_verdict().verdict, Verdict::Accepted);
        let order = scene.take_settle();
        scene.settle(order, 1000);
    }
}

#[test]
fn a_worker_that_never_sends_signs_of_life_is_judged_by_its_results() {
    let mut scene = market();
    let terse = join(&mut scene, 1, GHS / 100);
    scene.ask_held(root(100), HARD);
    let other = join(&mut scene, 2, GHS / 100);
    assert!(!is_soon(&mut scene, 9 * SECOND, &[other], |scene| scene.listed(terse).is_empty()));
}

#[test]
fn nobody_is_silent_while_the_coordinator_hears_nothing() {
    let mut scene = market();
    let both = [1, 2].map(|number| join(&mut scene, number, GHS / 100));
    for session in both {
        says(&mut scene, session, None);
    }
    scene.ask_held(root(100), HARD);
    // The market is not woken for three seconds, and what has come meanwhile still waits.
    scene.now = scene.now + Duration::from_secs(3);
    let has_one_lost_it = |scene: &mut Scene| both.iter().any(|session| scene.listed(*session).is_empty());
    assert!(!is_soon(&mut scene, SECOND, &[], has_one_lost_it));
    assert!(is_soon(&mut scene, 2 * SECOND, &[], has_one_lost_it), "but those who then say nothing are");
}

#[test]
fn what_a_slow_worker_does_not_find_in_time_is_given_to_another_as_well() {
    let mut scene = market();
    let slow = join(&mut scene, 1, GHS / 2);
    prove(&mut scene, slow, 1..20, SECOND);
    let other = join(&mut scene, 2, GHS / 2);
    says(&mut scene, other, Some(PauseReason::Owner));
    scene.ask_held(root(100), HARD);
    assert_eq!(roots_of(&scene, slow), [root(100)]);
    let sequence = scene.lists[&slow].sequence;
    // Three searches of 1.1 s, and a quarter of a second.
    scene.pass(Duration::from_secs(4));
    assert!(scene.lists[&slow].sequence > sequence, "its list is sent again, in case it was lost");
    says(&mut scene, other, None);
    assert_eq!(roots_of(&scene, other), [root(100)], "and it helps as soon as it is there");
}

#[test]
fn what_nobody_can_begin_waits_behind_what_is_found_first() {
    let mut scene = market();
    let [fast, slow] = fast_and_slow(&mut scene);
    scene.ask_held(root(100), HARD);
    scene.ask_held(root(101), HARD);
    let heads = [roots_of(&scene, fast)[0], roots_of(&scene, slow)[0]];
    assert!(heads.contains(&root(100)) && heads.contains(&root(101)), "{heads:?}");
    // Both are busy: the third one is begun by the faster one as soon as it has found what it searches.
    scene.ask_held(root(102), HARD);
    assert_eq!(roots_of(&scene, fast), [heads[0], root(102)]);
    answer_first(&mut scene, fast);
    assert_eq!(roots_of(&scene, fast)[0], root(102));
}

#[test]
fn no_more_waits_on_a_list_than_lasts_three_round_trips() {
    let mut scene = market();
    let only = join(&mut scene, 1, GHS);
    prove(&mut scene, only, 1..2, Duration::from_millis(100));
    prove(&mut scene, only, 2..20, Duration::from_millis(600));
    for number in 100..120 {
        scene.ask_held(root(number), HARD);
    }
    let waiting = roots_of(&scene, only).len() - 1;
    assert!((1..=2).contains(&waiting), "{waiting}: it is at most 0.1 s away, and each takes 0.5 s");
    assert_eq!(scene.market.board().jobs_unplaced(), 19 - waiting);
}

#[test]
fn a_job_whose_time_runs_out_goes_in_front() {
    let mut scene = market();
    let only = join(&mut scene, 1, GHS);
    prove(&mut scene, only, 1..2, Duration::from_millis(100));
    prove(&mut scene, only, 2..20, Duration::from_millis(600));
    let wallet = || crate::scene::service("wallet");
    for (number, timeout) in [(100, 120), (101, 4)] {
        scene.ask_as(Scene::key(wallet(), number.into()), root(number), HARD, Duration::from_secs(timeout));
        let hold = scene.take_hold();
        scene.input(Input::Held { hold });
    }
    assert_eq!(roots_of(&scene, only), [root(100), root(101)]);
    scene.pass(Duration::from_millis(1900));
    assert_eq!(roots_of(&scene, only), [root(100), root(101)], "it has more than half of its time");
    scene.pass(Duration::from_millis(200));
    assert_eq!(roots_of(&scene, only), [root(101), root(100)]);
    assert_eq!(answer_first(&mut scene, only), root(101));
    assert_eq!(roots_of(&scene, only), [root(100)], "the other one goes on");
}

#[test]
fn after_a_jump_of_the_clock_nobody_counts_as_silent() {
    let mut scene = market();
    let fast = join(&mut scene, 1, 3 * GHS);
    prove(&mut scene, fast, 1..20, Duration::from_millis(200));
    scene.ask_as(Scene::key(crate::scene::service("wallet"), 7), root(100), HARD, Duration::from_mins(2));
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    assert_eq!(roots_of(&scene, fast), [root(100)]);
    // A minute at once: three hundred finds would have been to be expected.
    scene.now = scene.now + Duration::from_mins(1);
    scene.pass(SECOND);
    assert_eq!(roots_of(&scene, fast), [root(100)]);
    // Backwards: time stands still.
    scene.now = START;
    let caller = scene.ask_held(root(101), HARD);
    answer_first(&mut scene, fast);
    answer_first(&mut scene, fast);
    assert!(is_answered(&mut scene, caller));
}

#[test]
fn what_ends_because_the_clock_jumps_makes_nobody_look_slow() {
    let mut scene = market();
    let [fast, slow] = fast_and_slow(&mut scene);
    says(&mut scene, slow, Some(PauseReason::Owner));
    let caller = scene.ask_held(root(100), HARD);
    assert_eq!(roots_of(&scene, fast), [root(100)]);
    scene.now = scene.now + Duration::from_hours(1);
    scene.pass(Duration::ZERO);
    assert!(matches!(scene.take_reply(caller), Some(Outcome::Refused { .. })));
    says(&mut scene, slow, None);
    for number in 101..104 {
        scene.ask_held(root(number), HARD);
    }
    assert_eq!(roots_of(&scene, fast)[1..], [root(103)], "it is still the one that is free first");
}

/// A thousandth of its jobs it has known before, and answers at once; it does not search.
#[test]
fn a_worker_that_answers_one_job_in_a_thousand_at_once_is_never_alone_with_a_job_for_long() {
    let mut scene = market();
    let honest: Vec<SessionId> = (1..=8).map(|number| join(&mut scene, number, GHS)).collect();
    let cheat = join(&mut scene, 9, 60 * GHS);
    for round in 0..2000_u32 {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&round.to_be_bytes());
        let root = Root::new(bytes);
        let caller = scene.ask_held(root, HARD);
        let is_known = round % 1000 == 0 && roots_of(&scene, cheat).contains(&root);
        if !is_known {
            scene.pass(Duration::from_millis(400));
        }
        let finder = honest.iter().copied().find(|session| roots_of(&scene, *session).contains(&root));
        let finder = if is_known { cheat } else { finder.unwrap() };
        scene.result(finder, root, solve(root, HARD, None, 0));
        let order = scene.take_settle();
        scene.settle(order, 1000);
        assert!(is_answered(&mut scene, caller), "{round}");
    }
}
