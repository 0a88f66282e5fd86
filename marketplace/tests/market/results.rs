//! What becomes of a nonce: one test for each verdict, and for what it does to jobs, money and the worker.

use std::time::Duration;

use crate::scene::{EASY, HARD, INSTANCE, Scene, hello, payee, root, service, solve, worker};
use marketplace::{Input, Step, Withdrawal, WorkClass, WorkerReport, limits};
use shared::pow::Nonce;
use shared::protocol::{PauseReason, Verdict, WorkKind, WorkResult, WorkerStatus};
use shared::{JobId, Millicredits, SessionId};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn late_says_by_how_much_and_earns_nothing_now() {
    let mut scene = Scene::new();
    let (first, second) = (scene.join(1), scene.join(2));
    scene.ask_held(root(1), EASY);
    let job = scene.lists[&second].jobs[0].job;
    let nonce = solve(root(1), EASY, None, 0);
    scene.result(first, root(1), nonce);
    scene.take_verdict();
    scene.take_settle();
    scene.pass(Duration::from_millis(12));
    let nonce = solve(root(1), EASY, None, nonce.as_u64() + 1);
    scene.input(Input::ResultReceived { session: second, result: WorkResult { job, root: root(1), nonce } });
    let notice = scene.take_verdict();
    assert_eq!(notice.verdict, Verdict::Late { by_ms: 12 });
    assert_eq!((notice.totals.late, notice.totals.refused, notice.totals.accepted), (1, 0, 0));
    assert!(scene.is_quiet(), "no settlement");
}

#[test]
fn below_threshold_counts_and_changes_nothing_else() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    scene.ask_held(root(1), HARD);
    let weak = solve(root(1), EASY, Some(HARD), 0);
    scene.result(session, root(1), weak);
    let notice = scene.take_verdict();
    assert!(matches!(notice.verdict, Verdict::BelowThreshold { threshold, .. } if threshold == HARD));
    assert_eq!(notice.totals.refused, 1);
    assert_eq!(scene.listed(session).len(), 1, "the job goes on");
    assert!(scene.is_quiet());
    scene.result(session, root(1), solve(root(1), HARD, None, 0));
    assert_eq!(scene.take_verdict().verdict, Verdict::Accepted);
}

#[test]
fn never_given_counts_even_when_the_nonce_is_good() {
    let mut scene = Scene::new();
    let (first, second) = (scene.join(1), scene.join(2));
    // Two workers are on the job; the third has a copy of a good nonce.
    scene.ask_held(root(1), EASY);
    let thief = scene.join(3);
    assert!(scene.listed(thief).is_empty());
    let job = scene.lists[&first].jobs[0].job;
    let nonce = solve(root(1), EASY, None, 0);
    for stolen in [job, JobId { instance: INSTANCE, counter: 999 }] {
        let result = WorkResult { job: stolen, root: root(1), nonce };
        scene.input(Input::ResultReceived { session: thief, result });
        assert_eq!(scene.take_verdict().verdict, Verdict::NeverGiven);
    }
    assert!(scene.is_quiet());
    scene.result(second, root(1), nonce);
    assert_eq!(scene.take_settle().worker, worker(2));
}

#[test]
fn a_duplicate_is_neither_paid_nor_held_against_the_worker() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    scene.ask_held(root(1), EASY);
    let result = WorkResult {
        job: scene.lists[&session].jobs[0].job,
        root: root(1),
        nonce: solve(root(1), EASY, None, 0),
    };
    for expected in [Verdict::Accepted, Verdict::Duplicate, Verdict::Duplicate] {
        scene.input(Input::ResultReceived { session, result });
        let notice = scene.take_verdict();
        assert_eq!((notice.verdict, notice.totals.refused), (expected, 0));
    }
    scene.take_settle();
    assert!(scene.is_quiet());
}

#[test]
fn a_result_that_nobody_waits_for_any_more_is_kept_and_paid_when_it_is_used() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let key = Scene::key(service("wallet"), 1);
    scene.ask_as(key, root(1), EASY, 10 * SECOND);
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    let job = scene.lists[&session].jobs[0].job;
    scene.input(Input::RequestWithdrawn(Withdrawal::Request(key)));
    let nonce = solve(root(1), EASY, None, 0);
    scene.input(Input::ResultReceived { session, result: WorkResult { job, root: root(1), nonce } });
    let notice = scene.take_verdict();
    assert_eq!((notice.verdict, notice.totals.refused), (Verdict::Cancelled, 0));
    scene.input(Input::WorkerLeft { session });
    scene.ask_held(root(1), EASY);
    let order = scene.take_settle();
    assert_eq!((order.worker, order.payee), (worker(1), payee(1)));
}

#[test]
fn jobs_of_another_run_and_forgotten_ones_are_unknown_and_do_not_count() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let nonce = Nonce::new(1);
    let foreign = WorkResult { job: JobId { instance: INSTANCE + 1, counter: 1 }, root: root(9), nonce };
    scene.input(Input::ResultReceived { session, result: foreign });
    let notice = scene.take_verdict();
    assert_eq!((notice.verdict, notice.totals.refused), (Verdict::UnknownJob, 0));
    scene.ask_held(root(1), EASY);
    let job = scene.lists[&session].jobs[0].job;
    scene.result(session, root(1), solve(root(1), EASY, None, 0));
    scene.take_verdict();
    scene.pass(limits::GIVEN_KEPT + SECOND);
    scene.ask_held(root(2), EASY);
    scene.result(session, root(2), solve(root(2), EASY, None, 0));
    scene.take_verdict();
    scene.input(Input::ResultReceived { session, result: WorkResult { job, root: root(1), nonce } });
    assert_eq!(scene.take_verdict().verdict, Verdict::UnknownJob);
}

#[test]
fn an_unknown_job_with_an_open_root_that_was_given_is_taken() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    scene.ask_held(root(1), EASY);
    let nonce = solve(root(1), EASY, None, 0);
    let job = JobId { instance: INSTANCE + 5, counter: 3 };
    scene.input(Input::ResultReceived { session, result: WorkResult { job, root: root(1), nonce } });
    assert_eq!(scene.take_verdict().verdict, Verdict::Accepted);
    scene.take_settle();
}

#[test]
fn a_reconnected_worker_may_send_what_it_found_before() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    scene.ask_held(root(1), EASY);
    let job = scene.lists[&session].jobs[0].job;
    scene.input(Input::WorkerLeft { session });
    let again = SessionId::new(100);
    scene.input(Input::WorkerJoined { session: again, worker: worker(1), payee: payee(1) });
    let nonce = solve(root(1), EASY, None, 0);
    scene.input(Input::ResultReceived { session: again, result: WorkResult { job, root: root(1), nonce } });
    assert_eq!(scene.take_verdict().verdict, Verdict::Accepted);
}

#[test]
fn a_session_that_has_ended_says_nothing() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    scene.ask_held(root(1), EASY);
    scene.input(Input::WorkerLeft { session });
    scene.result(session, root(1), solve(root(1), EASY, None, 0));
    assert!(scene.is_quiet());
    assert!(scene.effects.iter().all(|effect| !matches!(effect, marketplace::Effect::Verdict { .. })));
}

#[test]
fn workers_get_only_what_they_are_willing_to_do() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    scene.ask_held(root(1), EASY);
    scene.ask_held(root(2), HARD);
    assert_eq!(scene.listed(session).len(), 2);
    let modest = shared::protocol::WorkerHello { threshold_max: EASY, ..hello() };
    scene.input(Input::WorkerReported { session, report: WorkerReport::Hello(modest) });
    assert_eq!(scene.listed(session), [(root(1), EASY)]);
    let small = shared::protocol::WorkerHello { capacity: 1, ..hello() };
    scene.input(Input::WorkerReported { session, report: WorkerReport::Hello(small) });
    assert_eq!(scene.listed(session).len(), 1);
}

#[test]
fn a_paused_worker_has_nothing_on_its_list_until_it_goes_on() {
    let mut scene = Scene::new();
    let (first, second) = (scene.join(1), scene.join(2));
    let third = scene.join(3);
    scene.ask_held(root(1), EASY);
    assert_eq!([first, second, third].map(|session| scene.listed(session).len()), [1, 1, 0]);
    let status = |paused| {
        WorkerReport::Status(WorkerStatus {
            hashes_per_second: 5,
            devices_hashes_per_second: vec![],
            temperature_c: None,
            paused,
        })
    };
    scene.input(Input::WorkerReported { session: first, report: status(Some(PauseReason::Battery)) });
    assert_eq!(
        [first, second, third].map(|session| scene.listed(session).len()),
        [0, 1, 1],
        "another takes its place"
    );
    scene.ask_held(root(2), EASY);
    assert!(scene.listed(first).is_empty());
    scene.input(Input::WorkerLeft { session: second });
    scene.input(Input::WorkerReported { session: first, report: status(None) });
    assert_eq!(scene.listed(first).len(), 2);
}

#[test]
fn jobs_without_a_place_wait_and_the_oldest_goes_first() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    for number in 1..=10 {
        scene.ask_held(root(number), EASY);
    }
    assert_eq!(scene.listed(session).len(), 8);
    assert_eq!(scene.market.statistics().jobs_unplaced, 2);
    scene.result(session, root(4), solve(root(4), EASY, None, 0));
    let expected: Vec<_> = [1, 2, 3, 5, 6, 7, 8, 9].map(|number| (root(number), EASY)).into();
    assert_eq!(scene.listed(session), expected);
}

#[test]
fn lists_of_a_session_are_numbered_upwards() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let mut last = 0;
    for number in 1..=5 {
        scene.ask_held(root(number), EASY);
        let sequence = scene.lists[&session].sequence;
        assert!(sequence > last);
        last = sequence;
    }
}

/// For the log: which job a request waits for, whose result answers it, and out of which hold it is paid.
#[test]
fn the_steps_of_a_request_are_told_in_order() {
    let mut scene = Scene::new();
    let session = scene.join(1);
    let caller = scene.ask_held(root(1), EASY);
    let job = scene.lists[&session].jobs[0].job;
    scene.result(session, root(1), solve(root(1), EASY, None, 0));
    let order = scene.take_settle();
    scene.settle(order, 16);
    scene.take_reply(caller).expect("an answer");
    let settled =
        |hold, charged, searched| Step::Settled { hold, charged: Millicredits::new(charged), searched };
    let told = |scene: &mut Scene| -> Vec<Step> {
        let steps = std::mem::take(&mut scene.steps).into_iter();
        steps.inspect(|(.., of, _)| assert_eq!(*of, root(1))).map(|(.., step)| step).collect()
    };
    let (worker, class) = (worker(1), WorkClass { kind: WorkKind::OnDemand, is_receive: true });
    let searched = Some((class, Duration::ZERO));
    let expected = [Step::Waiting { job }, Step::Solved { job, worker }, settled(order.hold, 16, searched)];
    assert_eq!(told(&mut scene), expected);

    let other = Scene::key(service("exchange"), 1);
    scene.ask_as(other, root(1), EASY, Duration::from_secs(10));
    let hold = scene.take_hold();
    scene.input(Input::Held { hold });
    let order = scene.take_settle();
    scene.settle(order, 8);
    assert_eq!(told(&mut scene), [Step::Cached { worker }, settled(hold, 8, None)]);
}
