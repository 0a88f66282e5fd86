//! The session as a table: inputs in, actions out.
#![expect(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::time::Duration;

use shared::pow::{Nonce, Root, Threshold, Work};
use shared::protocol::{
    Form, ListedJob, Verdict, VerdictNotice, WORK_LIST_MAX, WorkKind, WorkList, WorkResult, WorkerTotals,
    decode, encode,
};
use shared::{JobId, Timestamp};
use worker::session::{Action, Input, Judgement, Limits, Session};

const LIMIT: Threshold = Threshold::new(0xffff_ffff_0000_0000);
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
        Self { session: Session::new(Limits { threshold_max: LIMIT, precache: true }), now: NOW }
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
    assert_eq!(table.list(1, &[job(1), job(2)]), [Action::Search(job(1))]);
    // The current job is still first: it goes on, also when what is listed behind it or its remaining time changes.
    assert_eq!(table.list(2, &[job(1)]), []);
    assert_eq!(table.list(3, &[ListedJob { remaining_ms: 5_000, ..job(1) }, job(3)]), []);
    // Another one is first: switch at once, also when the current one is still listed.
    assert_eq!(table.list(4, &[job(2), job(1)]), [Action::Search(job(2))]);
    // Nothing is listed: everything is cancelled.
    assert_eq!(table.list(5, &[]), [Action::Rest]);
    assert_eq!(table.list(6, &[]), []);
}

#[test]
fn a_list_that_is_not_newer_is_ignored_until_the_next_connection() {
    let mut table = Table::connected();
    assert_eq!(table.list(5, &[job(1)]), [Action::Search(job(1))]);
    assert_eq!(table.list(5, &[job(2)]), []);
    assert_eq!(table.list(4, &[]), []);
    assert_eq!(table.reconnect(), []);
    assert_eq!(table.list(0, &[job(2)]), [Action::Search(job(2))]);
    assert_eq!(table.list(u32::MAX, &[]), [Action::Rest]);
}

#[test]
fn what_the_owner_does_not_allow_is_skipped() {
    let harder = ListedJob { threshold: Threshold::new(LIMIT.as_u64() + 1), ..job(1) };
    let hardest = ListedJob { threshold: LIMIT, ..job(2) };
    let precache = ListedJob { kind: WorkKind::Precache, ..job(3) };
    let over = ListedJob { remaining_ms: 0, ..job(4) };
    let mut table = Table::connected();
    assert_eq!(table.list(1, &[harder, over, hardest]), [Action::Search(hardest)]);
    assert_eq!(table.list(2, &[harder, precache]), [Action::Search(precache)]);

    let mut table = Table::connected();
    table.session = Session::new(Limits { threshold_max: LIMIT, precache: false });
    assert_eq!(table.list(1, &[precache, job(5)]), [Action::Search(job(5))]);
}

#[test]
fn a_job_that_is_listed_twice_is_done_once() {
    let mut table = Table::connected();
    assert_eq!(table.list(1, &[job(1), job(1), job(2), job(1)]), [Action::Search(job(1))]);
    assert_eq!(table.find(1), [Action::Send(result(1)), Action::Search(job(2))]);
    assert_eq!(table.find(2), [Action::Send(result(2)), Action::Rest]);
}

#[test]
fn it_goes_on_with_the_next_job_without_asking_and_repeats_none() {
    let mut table = Table::connected();
    table.list(1, &[job(1), job(2), job(3)]);
    assert_eq!(table.find(1), [Action::Send(result(1)), Action::Search(job(2))]);
    // This list was made before the result arrived.
    assert_eq!(table.list(2, &[job(1), job(2), job(3)]), []);
    assert_eq!(table.find(2), [Action::Send(result(2)), Action::Search(job(3))]);
    // Found twice, by two threads: one result.
    assert_eq!(table.find(2), []);
    assert_eq!(table.list(3, &[job(1), job(2)]), [Action::Rest]);
}

#[test]
fn work_for_a_job_that_has_just_been_cancelled_is_sent() {
    let mut table = Table::connected();
    table.list(1, &[job(1)]);
    assert_eq!(table.list(2, &[job(2)]), [Action::Search(job(2))]);
    assert_eq!(table.find(1), [Action::Send(result(1))]);
}

/// The pool may have been told to search a job anew when the work of its first search arrives.
#[test]
fn a_search_that_was_begun_again_ends_with_the_first_work() {
    let mut table = Table::connected();
    table.list(1, &[job(1)]);
    table.list(2, &[job(2)]);
    table.list(3, &[job(1)]);
    assert_eq!(table.find(1), [Action::Send(result(1)), Action::Rest]);
}

#[test]
fn a_job_ends_with_its_time() {
    let mut table = Table::connected();
    let short = ListedJob { remaining_ms: 1_000, ..job(1) };
    assert_eq!(table.session.poll_timeout(), None);
    table.list(1, &[short, job(2)]);
    assert_eq!(table.session.poll_timeout(), Some(NOW + Duration::from_secs(1)));
    assert_eq!(table.wait(Duration::from_millis(999)), []);
    assert_eq!(table.wait(Duration::from_millis(1)), [Action::Search(job(2))]);
    assert_eq!(table.wait(Duration::from_secs(9)), [Action::Rest]);
    assert_eq!(table.session.poll_timeout(), None);
}

#[test]
fn a_lost_connection_does_not_end_the_search() {
    let mut table = Table::connected();
    table.list(1, &[job(1), job(2)]);
    assert_eq!(table.give(Input::Disconnected), []);
    assert_eq!(table.find(1), [Action::Search(job(2))]);
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
