//! The market itself: one door in, one door out, and the state in between.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use shared::pow::Threshold;
use shared::protocol::{NetworkStatistics, WorkKind};
use shared::{HoldId, JobId, Millicredits, ServiceId, SessionId, Timestamp, WorkerId};

use crate::answer_times::{Searched, WorkClass};
use crate::board::Board;
use crate::cache::{Cache, Found};
use crate::dispatch::{Dispatch, Event, Figures};
use crate::effect::{Effect, Effects};
use crate::given::Given;
use crate::input::{Caller, Input, RequestKey};
use crate::ledger::DaySpent;
use crate::limits::STATISTICS_EVERY;
use crate::policy::Policy;
use crate::precache::{Precache, PrecacheStart};
use crate::requests::Request;
use crate::spending::{Spender, Spending};
use crate::timers::{Timer, Timers};
use crate::unpaid::Unpaid;

/// What a market is started with.
#[derive(Debug)]
pub struct Start {
    /// Drawn at random at each start, so that ids of different runs differ.
    pub instance: u64,
    /// The rules.
    pub policy: Policy,
    /// The present.
    pub now: Timestamp,
    /// What was settled lately, in any order: by whom, what, and when.
    pub settled: Vec<(ServiceId, Found, Timestamp)>,
    /// What is known for working ahead.
    pub precache: PrecacheStart,
    /// What earlier runs have spent of what is bounded by the day.
    pub spent: Vec<DaySpent>,
}

/// Requests, jobs, workers and finished work of one coordinator.
///
/// Always: the same start and the same inputs at the same times give the same effects.
#[derive(Debug)]
pub struct Marketplace {
    pub(crate) instance: u64,
    pub(crate) policy: Policy,
    pub(crate) dispatch: Box<dyn Dispatch>,
    pub(crate) board: Board,
    pub(crate) given: Given,
    pub(crate) cache: Cache,
    pub(crate) precache: Precache,
    pub(crate) unpaid: Unpaid,
    pub(crate) spending: Spending,
    pub(crate) timers: Timers,
    pub(crate) requests: BTreeMap<RequestKey, Request>,
    /// Requests without an outcome, by service.
    pub(crate) open: BTreeMap<ServiceId, BTreeSet<RequestKey>>,
    pub(crate) open_count: usize,
    /// Requests with a hold that is not closed.
    pub(crate) holds: BTreeMap<HoldId, RequestKey>,
    /// Of these, those for which the store was asked for something that it has not answered.
    pub(crate) ledger_unanswered: usize,
    /// Requests whose answer is kept, oldest first.
    pub(crate) answered: VecDeque<(Timestamp, RequestKey)>,
    /// Which request a caller waits for.
    pub(crate) callers: BTreeMap<Caller, RequestKey>,
    pub(crate) sessions: BTreeMap<SessionId, WorkerId>,
    /// Workers that can be given work.
    pub(crate) workers_ready: usize,
    /// When the last one of them left.
    pub(crate) workers_last_seen: Option<Timestamp>,
    pub(crate) suspended: BTreeSet<ServiceId>,
    pub(crate) is_store_up: bool,
    pub(crate) is_ledger_green: bool,
    pub(crate) is_draining: bool,
    pub(crate) statistics: NetworkStatistics,
    pub(crate) searched: Searched,
    jobs_made: u64,
    holds_made: u64,
    now: Timestamp,
}

impl Marketplace {
    /// A market without requests and workers.
    pub fn new(start: Start) -> Self {
        let dispatch = start.policy.dispatch.build();
        Self::with_dispatch(start, dispatch)
    }

    /// The same, with another way of sharing out than its policy names, until the policy changes.
    pub fn with_dispatch(start: Start, dispatch: Box<dyn Dispatch>) -> Self {
        let mut cache = Cache::new();
        for (service, found, at) in start.settled {
            cache.settle(start.now, at, service, found.work);
            cache.keep(start.now, at, found);
        }
        let precache = Precache::new(start.now, start.precache, &start.spent);
        let mut timers = Timers::default();
        timers.set(start.now + STATISTICS_EVERY, Timer::Statistics);
        let mut board = Board::default();
        board.keep_ranks(dispatch.needs_ranks());
        Self {
            instance: start.instance,
            policy: start.policy,
            dispatch,
            board,
            given: Given::default(),
            cache,
            precache,
            unpaid: Unpaid::default(),
            spending: Spending::new(&start.spent),
            timers,
            requests: BTreeMap::new(),
            open: BTreeMap::new(),
            open_count: 0,
            holds: BTreeMap::new(),
            ledger_unanswered: 0,
            answered: VecDeque::new(),
            callers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            workers_ready: 0,
            workers_last_seen: None,
            suspended: BTreeSet::new(),
            is_store_up: true,
            is_ledger_green: true,
            is_draining: false,
            statistics: NetworkStatistics::default(),
            searched: Searched::default(),
            jobs_made: 0,
            holds_made: 0,
            now: start.now,
        }
    }

    /// Takes one input, and writes down everything that is to be done about it.
    ///
    /// Time never goes back: an earlier `now` than the last is taken as the last.
    pub fn handle(&mut self, now: Timestamp, input: Input, effects: &mut Effects) {
        let now = self.advance(now);
        match input {
            Input::RequestReceived(request) => self.receive(now, request, effects),
            Input::RequestWithdrawn(withdrawal) => self.withdraw(now, withdrawal, effects),
            Input::Held { hold } => self.held(now, hold, effects),
            Input::HoldRefused { hold } => self.hold_refused(now, hold, effects),
            Input::Settled { hold, charged, balance, earned } => {
                self.settled(now, hold, (charged, balance, earned), effects);
            }
            Input::SettleRefused { hold } => self.settle_refused(now, hold, effects),
            Input::Released { hold } => self.released(now, hold),
            Input::ResultReceived { session, result } => self.result(now, session, result, effects),
            Input::WorkerJoined { session, worker, payee } => self.worker_joined(now, session, worker, payee),
            Input::WorkerLeft { session } => self.worker_left(now, session),
            Input::WorkerReported { session, report } => self.worker_reported(now, session, report),
            Input::FrontierSeen(frontier) => self.frontier_seen(now, frontier, effects),
            Input::PrecacheSet { service, terms } => self.set_precache(now, service, terms, effects),
            Input::AccountsNamed(named) => self.accounts_named(now, &named, effects),
            Input::PrefetchReceived(prefetch) => self.prefetch(now, &prefetch, effects),
            Input::PolicyChanged(policy) => self.change_policy(now, policy),
            Input::ServiceSuspended { service } => self.suspend(now, service, effects),
            Input::ServiceResumed { service } => {
                self.suspended.remove(&service);
            }
            Input::StoreDown => self.store_down(now, effects),
            Input::StoreUp => self.store_up(now, effects),
            Input::LedgerAudited { is_green } => self.is_ledger_green = is_green,
            Input::Drain { ends } => {
                self.is_draining = true;
                self.timers.set(ends, Timer::DrainEnds);
                self.end_all_precaches(now, effects);
            }
        }
        self.start_precaches(now, effects);
        self.send_lists(now, effects);
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        [self.timers.next(), self.dispatch.wakes_at()].into_iter().flatten().min()
    }

    /// Does what is due. Calling it too early or twice is harmless.
    pub fn handle_timeout(&mut self, now: Timestamp, effects: &mut Effects) {
        let now = self.advance(now);
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Deadline(key) => self.deadline(now, key, effects),
                Timer::SettleOverdue(key) => self.settle_overdue(now, key, effects),
                Timer::LedgerRepeat(hold) => self.repeat_ledger_effect(now, hold, effects),
                Timer::DrainEnds => self.drain_ends(now, effects),
                Timer::Statistics => {
                    self.timers.set(now + STATISTICS_EVERY, Timer::Statistics);
                    self.precache.is_due = true;
                    self.searched.turn(now);
                    effects.push(Effect::Statistics(self.statistics()));
                }
            }
        }
        self.start_precaches(now, effects);
        if self.dispatch.wakes_at().is_some_and(|at| at <= now) {
            self.dispatch.wake(now, &mut self.board);
        }
        self.send_lists(now, effects);
    }

    /// The state of the market in numbers. How many lists were sent is not known here: of several that leave at once, the shell
    /// sends the newest.
    pub fn statistics(&self) -> NetworkStatistics {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let Figures { efficiency, fairness } = self.dispatch.figures();
        NetworkStatistics {
            workers: count(self.workers_ready),
            hashes_per_second: self
                .board
                .workers()
                .fold(0, |sum, (_, worker)| worker.rate.saturating_add(sum)),
            jobs_open: count(self.board.jobs_open()),
            jobs_unplaced: count(self.board.jobs_unplaced()),
            requests_open: count(self.open_count),
            works_cached: count(self.cache.len()),
            efficiency_percent: efficiency.map(percent),
            fairness_percent: fairness.map(percent),
            searched: self.searched.times(),
            ..self.statistics
        }
    }

    /// Requests for which the ledger was asked for something and has not answered. With [`LEDGER_UNANSWERED_MAX`] of them, further
    /// ones are refused.
    ///
    /// [`LEDGER_UNANSWERED_MAX`]: crate::limits::LEDGER_UNANSWERED_MAX
    pub const fn ledger_unanswered(&self) -> usize {
        self.ledger_unanswered
    }

    /// Whether every request has its outcome and every hold is closed, so that the coordinator may stop.
    pub fn is_idle(&self) -> bool {
        self.open_count == 0 && self.holds.is_empty()
    }

    /// What a key may still spend today, beside what its open requests may cost.
    pub fn spending_left(&self, now: Timestamp, spender: Spender) -> Millicredits {
        self.spending.left(now, spender)
    }

    /// Workers, jobs and lists, for views.
    pub const fn board(&self) -> &Board {
        &self.board
    }

    pub(crate) fn next_job(&mut self) -> JobId {
        self.jobs_made += 1;
        JobId { instance: self.instance, counter: self.jobs_made }
    }

    pub(crate) fn next_hold(&mut self, kind: WorkKind) -> HoldId {
        self.holds_made += 1;
        match kind {
            WorkKind::OnDemand => HoldId { instance: self.instance, counter: self.holds_made },
            WorkKind::Precache => HoldId::of_precache(self.instance, self.holds_made),
        }
    }

    /// Whether a job of this run with that counter has been made.
    pub(crate) const fn has_made(&self, job: JobId) -> bool {
        job.instance == self.instance && job.counter <= self.jobs_made
    }

    pub(crate) fn tell_dispatch(&mut self, now: Timestamp, event: Event) {
        self.dispatch.react(now, event, &mut self.board);
    }

    /// Sends every list that has changed, and remembers who was given what.
    pub(crate) fn send_lists(&mut self, now: Timestamp, effects: &mut Effects) {
        while let Some((worker, session, list)) = self.board.take_changed(now) {
            for job in &list.jobs {
                self.given.note(worker, job.root, job.threshold, job.job.counter);
            }
            effects.push(Effect::List { session, worker, list });
        }
    }

    /// What is open is new to another way of sharing out, which may want it on further lists.
    fn change_policy(&mut self, now: Timestamp, policy: Policy) {
        let before = std::mem::replace(&mut self.policy, policy);
        if policy.dispatch != before.dispatch {
            self.dispatch = policy.dispatch.build();
            self.board.keep_ranks(self.dispatch.needs_ranks());
            let open: Vec<JobId> = self.board.jobs().map(|job| job.id).collect();
            for job in open {
                self.tell_dispatch(now, Event::JobOpened(job));
            }
            let workers: Vec<WorkerId> = self.board.workers().map(|(worker, _)| worker).collect();
            for worker in workers {
                self.tell_dispatch(now, Event::WorkerReady(worker));
            }
        }
    }

    /// What kind of work a request is for.
    pub(crate) fn class_of(&self, kind: WorkKind, threshold: Threshold) -> WorkClass {
        WorkClass { kind, is_receive: threshold < self.policy.base }
    }

    /// The present, as of the input that is being handled.
    pub(crate) const fn now(&self) -> Timestamp {
        self.now
    }

    fn advance(&mut self, now: Timestamp) -> Timestamp {
        self.now = self.now.max(now);
        self.now
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
fn percent(ratio: f64) -> u8 {
    (100.0 * ratio).round().clamp(0.0, 100.0) as u8
}
