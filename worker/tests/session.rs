//! The session as a table: inputs in, actions out.
#![expect(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use shared::pow::{Nonce, Root, Threshold, Work};
use shared::protocol::{
    Form, ListedJob, Verdict, VerdictNotice, WORK_LIST_MAX, WorkKind, WorkList, WorkResult, WorkerTotals,
    decode, encode,
};
use shared::{JobId, Timestamp};
use worker::session::{Action, Input, Judgement, Limits, Session};

const LIMIT: Threshold = Threshold::new(0xffff_ffff_0000_0000);
const LIMITS: Limits = Limits { threshold_max: LIMIT, precache: true };
/// One processor.
const RATE: u64 = 20_000_000;
const REST: Action = Action::Rest { device: 0 };
const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

fn id(counter: u64) -> JobId {
    JobId { instance: 9, counter }
}

fn job(counter: u64) -> ListedJob {
    let root = Root::new([u8::try_from(counter % 256).unwrap(); 32]);
    ListedJob {
        job: id(counter),
        root,
        threshold: Threshold::new(1 << 63),
        kind: WorkKind::OnDemand,
        remaining_ms: 10_000,
    }
}

fn search(job: ListedJob) -> Action {
    Action::Search { device: 0, job }
}

/// Work for that job; the first nonce that is any.
fn work(counter: u64) -> Work {
    let ListedJob { root, threshold, .. } = job(counter);
    (0..).find_map(|nonce| Work::verify(root, Nonce::new(nonce), threshold)).unwrap()
}

fn result(counter: u64) -> WorkResult {
    let work = work(counter);
    WorkResult { job: id(counter), root: work.root(), nonce: work.nonce() }
}

fn notice(counter: u64, verdict: Verdict) -> VerdictNotice {
    VerdictNotice { job: id(counter), root: job(counter).root, verdict, totals: WorkerTotals::default() }
}

/// A session and its clock.
struct Table {
    session: Session,
    now: Timestamp,
}

impl Table {
    fn new() -> Self {
        Self { session: Session::new(LIMITS, &[RATE]), now: NOW }
    }

    fn connected() -> Self {
        let mut table = Self::new();
        assert_eq!(table.give(Input::Connected), [Action::Subscribe, Action::SendHello]);
        table
    }

    fn give(&mut self, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        self.session.handle(self.now, input, &mut actions);
        actions
    }

    fn list(&mut self, sequence: u32, jobs: &[ListedJob]) -> Vec<Action> {
        self.give(Input::Listed(WorkList { sequence, jobs: jobs.to_vec() }))
    }

    fn find(&mut self, counter: u64) -> Vec<Action> {
        self.give(Input::Found { job: id(counter), work: work(counter) })
    }

    fn wait(&mut self, time: Duration) -> Vec<Action> {
        self.now = self.now + time;
        let mut actions = Vec::new();
        self.session.handle_timeout(self.now, &mut actions);
        actions
    }

    fn reconnect(&mut self) -> Vec<Action> {
        assert_eq!(self.give(Input::Disconnected), []);
        let actions = self.give(Input::Connected);
        assert_eq!(actions[..2], [Action::Subscribe, Action::SendHello]);
        actions[2..].to_vec()
    }
}

#[test]
fn a_list_replaces_the_one_before() {
    let mut table = Table::connected();
    assert_eq!(table.list(1, &[job(1), job(2)]), [search(job(1))]);
    // The current job is still first: it goes on, also when what is listed behind it or its remaining time changes.
    assert_eq!(table.list(2, &[job(1)]), []);
    assert_eq!(table.list(3, &[ListedJob { remaining_ms: 5_000, ..job(1) }, job(3)]), []);
    // Another one is first: switch at once, also when the current one is still listed.
    assert_eq!(table.list(4, &[job(2), job(1)]), [search(job(2))]);
    // Nothing is listed: everything is cancelled.
    assert_eq!(table.list(5, &[]), [REST]);
    assert_eq!(table.list(6, &[]), []);
}

#[test]
fn a_list_that_is_not_newer_is_ignored_until_the_next_connection() {
    let mut table = Table::connected();
    assert_eq!(table.list(5, &[job(1)]), [search(job(1))]);
    assert_eq!(table.list(5, &[job(2)]), []);
    assert_eq!(table.list(4, &[]), []);
    assert_eq!(table.reconnect(), []);
    assert_eq!(table.list(0, &[job(2)]), [search(job(2))]);
    assert_eq!(table.list(u32::MAX, &[]), [REST]);
}

#[test]
fn what_the_owner_does_not_allow_is_skipped() {
    let harder = ListedJob { threshold: Threshold::new(LIMIT.as_u64() + 1), ..job(1) };
    let hardest = ListedJob { threshold: LIMIT, ..job(2) };
    let precache = ListedJob { kind: WorkKind::Precache, ..job(3) };
    let over = ListedJob { remaining_ms: 0, ..job(4) };
    let mut table = Table::connected();
    assert_eq!(table.list(1, &[harder, over, hardest]), [search(hardest)]);
    assert_eq!(table.list(2, &[harder, precache]), [search(precache)]);

    let mut table = Table::connected();
    table.session = Session::new(Limits { precache: false, ..LIMITS }, &[RATE]);
    assert_eq!(table.list(1, &[precache, job(5)]), [search(job(5))]);
}

#[test]
fn a_job_that_is_listed_twice_is_done_once() {
    let mut table = Table::connected();
    assert_eq!(table.list(1, &[job(1), job(1), job(2), job(1)]), [search(job(1))]);
    assert_eq!(table.find(1), [Action::Send(result(1)), search(job(2))]);
    assert_eq!(table.find(2), [Action::Send(result(2)), REST]);
}

#[test]
fn it_goes_on_with_the_next_job_without_asking_and_repeats_none() {
    let mut table = Table::connected();
    table.list(1, &[job(1), job(2), job(3)]);
    assert_eq!(table.find(1), [Action::Send(result(1)), search(job(2))]);
    // This list was made before the result arrived.
    assert_eq!(table.list(2, &[job(1), job(2), job(3)]), []);
    assert_eq!(table.find(2), [Action::Send(result(2)), search(job(3))]);
    // Found twice, by two threads: one result.
    assert_eq!(table.find(2), []);
    assert_eq!(table.list(3, &[job(1), job(2)]), [REST]);
}

#[test]
fn work_for_a_job_that_has_just_been_cancelled_is_sent() {
    let mut table = Table::connected();
    table.list(1, &[job(1)]);
    assert_eq!(table.list(2, &[job(2)]), [search(job(2))]);
    assert_eq!(table.find(1), [Action::Send(result(1))]);
}

/// The pool may have been told to search a job anew when the work of its first search arrives.
#[test]
fn a_search_that_was_begun_again_ends_with_the_first_work() {
    let mut table = Table::connected();
    table.list(1, &[job(1)]);
    table.list(2, &[job(2)]);
    table.list(3, &[job(1)]);
    assert_eq!(table.find(1), [Action::Send(result(1)), REST]);
}

#[test]
fn a_job_ends_with_its_time() {
    let mut table = Table::connected();
    let short = ListedJob { remaining_ms: 1_000, ..job(1) };
    assert_eq!(table.session.poll_timeout(), None);
    table.list(1, &[short, job(2)]);
    assert_eq!(table.session.poll_timeout(), Some(NOW + Duration::from_secs(1)));
    assert_eq!(table.wait(Duration::from_millis(999)), []);
    assert_eq!(table.wait(Duration::from_millis(1)), [search(job(2))]);
    assert_eq!(table.wait(Duration::from_secs(9)), [REST]);
    assert_eq!(table.session.poll_timeout(), None);
}

#[test]
fn a_lost_connection_does_not_end_the_search() {
    let mut table = Table::connected();
    table.list(1, &[job(1), job(2)]);
    assert_eq!(table.give(Input::Disconnected), []);
    assert_eq!(table.find(1), [search(job(2))]);
    let actions = table.give(Input::Connected);
    assert_eq!(actions, [Action::Subscribe, Action::SendHello, Action::Send(result(1))]);
}

#[test]
fn a_result_is_sent_again_until_it_has_been_acknowledged() {
    let mut table = Table::connected();
    table.list(1, &[job(1), job(2), job(3)]);
    table.find(1);
    table.find(2);
    assert_eq!(table.reconnect(), [Action::Send(result(1)), Action::Send(result(2))]);
    assert_eq!(table.give(Input::Acknowledged(id(1))), []);
    assert_eq!(table.reconnect(), [Action::Send(result(2))]);
    assert_eq!(table.give(Input::Acknowledged(id(2))), []);
    assert_eq!(table.reconnect(), []);
}

#[test]
fn a_verdict_acknowledges_as_well_and_is_reported() {
    let mut table = Table::connected();
    table.list(1, &[job(1)]);
    table.now = table.now + Duration::from_millis(812);
    table.find(1);
    let verdict = Verdict::Late { by_ms: 12 };
    let judgement = Judgement {
        job: id(1),
        verdict,
        difficulty: Some(work(1).difficulty()),
        elapsed: Some(Duration::from_millis(812)),
        totals: WorkerTotals::default(),
    };
    assert_eq!(table.give(Input::Judged(notice(1, verdict))), [Action::Report(judgement)]);
    assert_eq!(table.reconnect(), []);
    // One about a job of long ago.
    let unknown =
        Judgement { job: id(77), verdict: Verdict::UnknownJob, difficulty: None, elapsed: None, ..judgement };
    assert_eq!(table.give(Input::Judged(notice(77, Verdict::UnknownJob))), [Action::Report(unknown)]);
}

#[test]
fn the_outbox_has_bounds_in_number_and_time() {
    let mut table = Table::connected();
    table.give(Input::Disconnected);
    for counter in 0..40 {
        table.find(counter);
    }
    let sent = table.give(Input::Connected);
    let newest: Vec<_> = (8..40).map(|counter| Action::Send(result(counter))).collect();
    assert_eq!(sent[2..], newest);
    table.wait(Duration::from_mins(2));
    assert_eq!(table.reconnect(), []);
}

/// The limit of a list is held where it is read, so a longer one never reaches the session.
#[test]
fn nine_jobs_are_refused_by_the_decoder() {
    for (count, is_read) in [(WORK_LIST_MAX, true), (WORK_LIST_MAX + 1, false)] {
        let list = WorkList { sequence: 1, jobs: (0..).map(job).take(count).collect() };
        for form in [Form::Binary, Form::Json] {
            assert_eq!(decode::<WorkList>(&encode(&list, form)).is_ok(), is_read, "{count} {form:?}");
        }
    }
}

/// What may happen to a session, with few jobs so that they meet often.
#[derive(Debug, Clone)]
enum Step {
    Connect,
    Disconnect,
    List { sequence: u32, jobs: Vec<ListedJob> },
    Find(u64),
    Acknowledge(u64),
    Judge(u64),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let listed = (0..12_u64, 0..4_u32, any::<bool>(), any::<bool>()).prop_map(
        |(counter, seconds, is_hard, is_precache)| {
            let threshold = if is_hard { Threshold::new(u64::MAX) } else { job(counter).threshold };
            let kind = if is_precache { WorkKind::Precache } else { WorkKind::OnDemand };
            ListedJob { threshold, kind, remaining_ms: seconds * 1_000, ..job(counter) }
        },
    );
    let list = (0..20_u32, prop::collection::vec(listed, 0..=WORK_LIST_MAX))
        .prop_map(|(sequence, jobs)| Step::List { sequence, jobs });
    let step = prop_oneof![
        1 => Just(Step::Connect),
        1 => Just(Step::Disconnect),
        6 => list,
        4 => (0..12_u64).prop_map(Step::Find),
        1 => (0..12_u64).prop_map(Step::Acknowledge),
        1 => (0..12_u64).prop_map(Step::Judge),
        3 => (0..2_000_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

/// The rules in their plainest form: nothing is kept but what was said, and each answer is computed from the beginning.
#[derive(Default)]
struct Model {
    is_connected: bool,
    newest: Option<u32>,
    list: Vec<(ListedJob, Timestamp)>,
    finished: BTreeSet<JobId>,
    unacknowledged: BTreeSet<JobId>,
}

impl Model {
    fn take(&mut self, step: &Step, now: Timestamp) {
        match step {
            Step::Connect => (self.is_connected, self.newest) = (true, None),
            Step::Disconnect => self.is_connected = false,
            Step::List { sequence, jobs } if self.newest.is_none_or(|newest| *sequence > newest) => {
                self.newest = Some(*sequence);
                let deadline = |job: &ListedJob| now + Duration::from_millis(job.remaining_ms.into());
                // Of a job that is listed twice, the first that is allowed counts.
                self.list = jobs.iter().map(|job| (*job, deadline(job))).collect();
            }
            Step::Find(counter) => {
                if self.finished.insert(id(*counter)) {
                    self.unacknowledged.insert(id(*counter));
                }
            }
            Step::Acknowledge(counter) | Step::Judge(counter) => {
                self.unacknowledged.remove(&id(*counter));
            }
            Step::List { .. } | Step::Wait(_) => {}
        }
    }

    /// The job to be searched.
    fn wanted(&self, now: Timestamp) -> Option<JobId> {
        let mut seen = BTreeSet::new();
        let allowed =
            self.list.iter().filter(|(job, _)| job.threshold <= LIMIT && job.kind == WorkKind::OnDemand);
        let once = allowed.filter(|(job, _)| seen.insert(job.job));
        let mut doable = once.filter(|(job, deadline)| *deadline > now && !self.finished.contains(&job.job));
        doable.next().map(|(job, _)| job.job)
    }
}

proptest! {
    /// Whatever happens in whatever order, the session searches what the plain rules say, and sends each result while connected
    /// and again after each connect until it is acknowledged.
    #[test]
    fn the_session_follows_the_plain_rules(steps in steps()) {
        let mut session = Session::new(Limits { precache: false, ..LIMITS }, &[RATE]);
        let (mut model, mut now, mut searched) = (Model::default(), NOW, None);
        for step in steps {
            let is_new = matches!(&step, Step::Find(counter) if !model.finished.contains(&id(*counter)));
            let mut actions = Vec::new();
            match step.clone() {
                Step::Wait(millis) => {
                    now = now + Duration::from_millis(millis);
                    session.handle_timeout(now, &mut actions);
                }
                Step::Connect => session.handle(now, Input::Connected, &mut actions),
                Step::Disconnect => session.handle(now, Input::Disconnected, &mut actions),
                Step::List { sequence, jobs } => {
                    session.handle(now, Input::Listed(WorkList { sequence, jobs }), &mut actions);
                }
                Step::Find(counter) => {
                    session.handle(now, Input::Found { job: id(counter), work: work(counter) }, &mut actions);
                }
                Step::Acknowledge(counter) => session.handle(now, Input::Acknowledged(id(counter)), &mut actions),
                Step::Judge(counter) => {
                    session.handle(now, Input::Judged(notice(counter, Verdict::Accepted)), &mut actions);
                }
            }
            model.take(&step, now);
            let mut sent = BTreeSet::new();
            for action in actions {
                match action {
                    Action::Search { job, .. } => searched = Some(job.job),
                    Action::Rest { .. } => searched = None,
                    Action::Send(result) => { sent.insert(result.job); }
                    Action::Subscribe | Action::SendHello | Action::Report(_) => {}
                }
            }
            prop_assert_eq!(searched, model.wanted(now));
            let expected = match step {
                Step::Connect => model.unacknowledged.clone(),
                Step::Find(counter) if is_new && model.is_connected => BTreeSet::from([id(counter)]),
                _ => BTreeSet::new(),
            };
            prop_assert_eq!(sent, expected);
        }
    }
}
