//! What holds whatever happens. Random inputs drive the market against a small store that answers late, out of order and
//! twice; every effect is checked as it comes, and at the end everything must have come to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::time::Duration;

use marketplace::dispatch::DispatchPolicy;
use marketplace::precache::PrecacheStart;
use marketplace::{
    Caller, Effect, Effects, Input, Marketplace, NewRequest, RequestKey, SettleOrder, Start, Withdrawal,
    WorkerReport, limits,
};
use proptest::prelude::*;
use shared::pow::{Nonce, Root, Threshold, Work};
use shared::protocol::{PauseReason, Verdict, WorkKind, WorkList, WorkResult, WorkerHello, WorkerStatus};
use shared::{HoldId, JobId, Millicredits, Outcome, Refusal, RequestId, SessionId, Timestamp};

use crate::scene::{EASY, HARD, INSTANCE, hello, payee, policy, root, service, solve, worker};

const SERVICES: [&str; 3] = ["wallet", "exchange", "faucet"];

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    Ask { service: usize, request: u128, root: u8, hard: bool, timeout_ms: u64 },
    HangUp(usize),
    WithdrawRequest { service: usize, request: u128 },
    WithdrawRoot { service: usize, root: u8 },
    Store { index: usize, again: bool },
    Join(u8),
    Leave(usize),
    Terms { session: usize, capacity: u8, easy_only: bool },
    Pause { session: usize, paused: bool },
    Solve { session: usize, job: usize, start: u64 },
    Forge { session: usize, root: u8, nonce: u64, counter: u64 },
    Suspend { service: usize, resume: bool },
    StoreDown,
    StoreUp,
    Audited(bool),
    Pass(u64),
    Drain(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let timeout = prop_oneof![Just(50_u64), Just(1000), Just(20_000)];
    prop_oneof![
        8 => (0..3_usize, 0..10_u128, 0..4_u8, any::<bool>(), timeout).prop_map(
            |(service, request, root, hard, timeout_ms)| Step::Ask { service, request, root, hard, timeout_ms }),
        1 => (0..50_usize).prop_map(Step::HangUp),
        1 => (0..3_usize, 0..10_u128).prop_map(|(service, request)| Step::WithdrawRequest { service, request }),
        1 => (0..3_usize, 0..4_u8).prop_map(|(service, root)| Step::WithdrawRoot { service, root }),
        10 => (0..8_usize, any::<bool>()).prop_map(|(index, again)| Step::Store { index, again }),
        2 => (0..5_u8).prop_map(Step::Join),
        1 => (0..5_usize).prop_map(Step::Leave),
        1 => (0..5_usize, 1..9_u8, any::<bool>()).prop_map(
            |(session, capacity, easy_only)| Step::Terms { session, capacity, easy_only }),
        1 => (0..5_usize, any::<bool>()).prop_map(|(session, paused)| Step::Pause { session, paused }),
        4 => (0..5_usize, 0..8_usize, 0..3_u64).prop_map(|(session, job, start)| Step::Solve { session, job, start }),
        1 => (0..5_usize, 0..4_u8, 0..40_u64, 0..9_u64).prop_map(
            |(session, root, nonce, counter)| Step::Forge { session, root, nonce, counter }),
        1 => (0..3_usize, any::<bool>()).prop_map(|(service, resume)| Step::Suspend { service, resume }),
        1 => Just(Step::StoreDown),
        1 => Just(Step::StoreUp),
        1 => any::<bool>().prop_map(Step::Audited),
        3 => (0..3000_u64).prop_map(Step::Pass),
        1 => (0..20_000_u64).prop_map(Step::Drain),
    ]
}

/// What the store knows of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HoldState {
    Open,
    Settled,
    Released,
}

/// What has been seen of a request's hold from outside.
#[derive(Debug, Clone, Copy)]
struct Watched {
    root: Root,
    threshold: Threshold,
    deadline: Timestamp,
    is_waiting: bool,
}

struct World {
    market: Marketplace,
    now: Timestamp,
    /// Ledger effects that the store has not answered.
    asked: Vec<Effect>,
    store: BTreeMap<HoldId, HoldState>,
    credits: u64,
    callers: Vec<(Caller, RequestKey, Root, Threshold)>,
    replied: BTreeSet<Caller>,
    holds: BTreeMap<HoldId, Watched>,
    deadlines: BTreeMap<RequestKey, Timestamp>,
    sessions: Vec<(SessionId, u8, u8)>,
    joined: u64,
    lists: BTreeMap<SessionId, WorkList>,
    paid: BTreeSet<(RequestKey, Root)>,
}

impl World {
    fn new(dispatch: DispatchPolicy) -> Self {
        let now = Timestamp::from_micros(1_000_000_000);
        let precache = PrecacheStart::default();
        let start = Start {
            instance: INSTANCE,
            policy: policy(dispatch),
            now,
            settled: Vec::new(),
            precache,
            spent: Vec::new(),
        };
        Self {
            market: Marketplace::new(start),
            now,
            asked: Vec::new(),
            store: BTreeMap::new(),
            credits: 60_000,
            callers: Vec::new(),
            replied: BTreeSet::new(),
            holds: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            sessions: Vec::new(),
            joined: 0,
            lists: BTreeMap::new(),
            paid: BTreeSet::new(),
        }
    }

    fn input(&mut self, input: Input) {
        let (mut effects, seen) = (Effects::new(), input.clone());
        self.market.handle(self.now, input, &mut effects);
        self.check(effects, Some(&seen));
        self.check_board();
    }

    fn check(&mut self, mut effects: Effects, input: Option<&Input>) {
        let mut settling = BTreeSet::new();
        let mut accepted = None;
        while let Some(effect) = effects.pop() {
            match &effect {
                Effect::Reply { caller, key, outcome } => self.check_reply(*caller, *key, *outcome),
                Effect::List { session, list, .. } => self.check_list(*session, list),
                Effect::Verdict { notice, .. } if notice.verdict == Verdict::Accepted => {
                    accepted = Some(notice.root);
                }
                Effect::Hold { hold, expires, .. } => self.watch(*hold, *expires, input),
                Effect::Settle(order) => {
                    let watched = self.holds.get_mut(&order.hold).expect("only what was held is settled");
                    assert!(order.work.meets(watched.threshold) && order.work.root() == watched.root);
                    watched.is_waiting = false;
                    settling.insert(order.hold);
                }
                Effect::Release { hold } => {
                    if let Some(watched) = self.holds.get_mut(hold) {
                        watched.is_waiting = false;
                    }
                }
                _ => {}
            }
            if matches!(effect, Effect::Hold { .. } | Effect::Settle(_) | Effect::Release { .. }) {
                self.asked.push(effect);
            }
        }
        if let (Some(root), Some(Input::ResultReceived { result, .. })) = (accepted, input) {
            let work = Work::verify(root, result.nonce, Threshold::new(0)).unwrap();
            let left = self
                .holds
                .values()
                .any(|held| held.is_waiting && held.root == root && work.meets(held.threshold));
            assert!(!left, "a solution answers every waiter of its root whose threshold it meets");
        }
    }

    /// No job stands on no list while a worker that would do it has nothing to do.
    fn check_board(&self) {
        let board = self.market.board();
        for job in board.unplaced() {
            let free = board
                .workers()
                .find(|(_, worker)| worker.list().is_empty() && worker.has_room() && worker.accepts(job));
            assert!(free.is_none(), "{:?} has no worker, but {free:?} is free", job.id);
        }
    }

    fn watch(&mut self, hold: HoldId, expires: Timestamp, input: Option<&Input>) {
        if let Some(Input::RequestReceived(new)) = input {
            let deadline = expires - limits::HOLD_GRACE;
            let watched = Watched { root: new.root, threshold: new.threshold, deadline, is_waiting: false };
            self.holds.insert(hold, watched);
            self.deadlines.insert(new.key, deadline);
        }
    }

    /// Exactly one reply per caller; work only if it is valid and paid for; the end of time only at its own time.
    fn check_reply(&mut self, caller: Caller, key: RequestKey, outcome: Outcome) {
        assert!(self.replied.insert(caller), "one outcome per caller");
        let (.., root, threshold) =
            *self.callers.iter().find(|(known, ..)| *known == caller).expect("a known caller");
        match outcome {
            Outcome::Answered(answer) => {
                assert_eq!(answer.work.root(), root);
                assert!(answer.work.meets(threshold));
                let paid = self.paid.iter().any(|(paid, of)| paid.service == key.service && *of == root);
                assert!(paid, "no answer before a settlement of this service");
            }
            Outcome::Refused(Refusal::Expired | Refusal::NoWorkers) => {
                assert!(self.deadlines[&key] <= self.now, "one waiter's timeout never touches another");
            }
            Outcome::Unsettled => {
                assert!(self.deadlines[&key] + limits::SETTLE_GRACE <= self.now);
            }
            Outcome::Refused(_) => {}
        }
    }

    fn check_list(&mut self, session: SessionId, list: &WorkList) {
        let (.., capacity) =
            *self.sessions.iter().find(|(known, ..)| *known == session).expect("no list for the gone");
        assert!(list.jobs.len() <= usize::from(capacity));
        let distinct: BTreeSet<JobId> = list.jobs.iter().map(|job| job.job).collect();
        assert_eq!(distinct.len(), list.jobs.len());
        let before = self.lists.insert(session, list.clone());
        assert!(before.is_none_or(|before| before.sequence < list.sequence));
    }

    /// The store answers one of the effects it was asked for, and may keep it to answer it again.
    fn store(&mut self, index: usize, again: bool) {
        if self.asked.is_empty() {
            return;
        }
        let index = index % self.asked.len();
        let effect = if again { self.asked[index].clone() } else { self.asked.remove(index) };
        match effect {
            Effect::Hold { hold, amount, .. } => match self.store.get(&hold) {
                Some(HoldState::Open) => self.held(hold),
                Some(HoldState::Settled) => self.input(Input::HoldRefused { hold }),
                // A store need not remember what it has released: a hold that is repeated after that is a new one.
                Some(HoldState::Released) | None if self.credits < amount.as_u64() => {
                    self.input(Input::HoldRefused { hold });
                }
                Some(HoldState::Released) | None => {
                    self.credits -= amount.as_u64();
                    self.store.insert(hold, HoldState::Open);
                    self.held(hold);
                }
            },
            Effect::Settle(order) => self.settle(order),
            Effect::Release { hold } => {
                if let Some(state) = self.store.get_mut(&hold) {
                    assert_ne!(*state, HoldState::Settled, "one settle or release per hold");
                    *state = HoldState::Released;
                }
                self.input(Input::Released { hold });
            }
            _ => unreachable!("only ledger effects are kept"),
        }
    }

    fn held(&mut self, hold: HoldId) {
        if let Some(watched) = self.holds.get_mut(&hold) {
            watched.is_waiting = false;
        }
        let before = self.asked.len();
        self.input(Input::Held { hold });
        let closing = self.asked[before..].iter().any(|effect| !matches!(effect, Effect::Hold { .. }));
        let is_known = self.asked.iter().any(|effect| match effect {
            Effect::Settle(order) => order.hold == hold,
            Effect::Release { hold: other } => *other == hold,
            _ => false,
        });
        let open = self.store.get(&hold) == Some(&HoldState::Open);
        if let Some(watched) = self.holds.get_mut(&hold) {
            watched.is_waiting = open && !closing && !is_known && watched.deadline > self.now;
        }
    }

    fn settle(&mut self, order: SettleOrder) {
        let hold = order.hold;
        match self.store.get(&hold) {
            Some(HoldState::Released) | None => self.input(Input::SettleRefused { hold }),
            Some(HoldState::Open | HoldState::Settled) => {
                self.store.insert(hold, HoldState::Settled);
                let request = RequestId::from_u128(0);
                self.paid.insert((RequestKey { service: order.service, request }, order.work.root()));
                let (charged, balance, earned) =
                    (Millicredits::new(10), Millicredits::new(5), Millicredits::new(9));
                self.input(Input::Settled { hold, charged, balance, earned });
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = self.market.poll_timeout().filter(|at| *at <= end);
            self.now = next.unwrap_or(end).max(self.now);
            let mut effects = Effects::new();
            self.market.handle_timeout(self.now, &mut effects);
            self.check(effects, None);
            if next.is_none() {
                return;
            }
        }
    }

    fn session(&self, index: usize) -> Option<SessionId> {
        (!self.sessions.is_empty()).then(|| self.sessions[index % self.sessions.len()].0)
    }

    fn join(&mut self, number: u8) {
        if let Some(index) = self.sessions.iter().position(|(_, known, _)| *known == number) {
            self.leave(index);
        }
        self.joined += 1;
        let session = SessionId::new(self.joined);
        self.sessions.push((session, number, 8));
        self.input(Input::WorkerJoined { session, worker: worker(number), payee: payee(number) });
        self.input(Input::WorkerReported { session, report: WorkerReport::Hello(hello()) });
    }

    fn leave(&mut self, index: usize) {
        if self.sessions.is_empty() {
            return;
        }
        let (session, ..) = self.sessions.remove(index % self.sessions.len());
        self.input(Input::WorkerLeft { session });
    }

    fn ask(&mut self, key: RequestKey, number: u8, hard: bool, timeout_ms: u64) {
        let caller = Caller(self.callers.len() as u64);
        let threshold = if hard { HARD } else { EASY };
        self.callers.push((caller, key, root(number), threshold));
        let timeout = Duration::from_millis(timeout_ms);
        let class = if timeout_ms.is_multiple_of(3) { WorkKind::Precache } else { WorkKind::OnDemand };
        self.input(Input::RequestReceived(NewRequest {
            caller,
            key,
            root: root(number),
            threshold,
            timeout,
            account: None,
            class,
            spender: None,
        }));
    }

    fn solve(&mut self, session: SessionId, job: usize, start: u64) {
        let Some(list) = self.lists.get(&session).filter(|list| !list.jobs.is_empty()) else { return };
        let job = list.jobs[job % list.jobs.len()];
        let nonce = solve(job.root, job.threshold, None, start * 1_000_000);
        self.input(Input::ResultReceived {
            session,
            result: WorkResult { job: job.job, root: job.root, nonce },
        });
    }

    fn step(&mut self, step: Step) {
        let key = |service_index: usize, request| RequestKey {
            service: service(SERVICES[service_index]),
            request: RequestId::from_u128(request),
        };
        match step {
            Step::Ask { service, request, root, hard, timeout_ms } => {
                self.ask(key(service, request), root, hard, timeout_ms);
            }
            Step::HangUp(index) => {
                if let Some((caller, ..)) = self.callers.get(index).copied() {
                    self.input(Input::RequestWithdrawn(Withdrawal::Caller(caller)));
                }
            }
            Step::WithdrawRequest { service, request } => {
                self.input(Input::RequestWithdrawn(Withdrawal::Request(key(service, request))));
            }
            Step::WithdrawRoot { service, root: number } => {
                let service = key(service, 0).service;
                self.input(Input::RequestWithdrawn(Withdrawal::Root { service, root: root(number) }));
            }
            Step::Store { index, again } => self.store(index, again),
            Step::Join(number) => self.join(number),
            Step::Leave(index) => self.leave(index),
            Step::Suspend { service, resume: false } => {
                self.input(Input::ServiceSuspended { service: key(service, 0).service });
            }
            Step::Suspend { service, resume: true } => {
                self.input(Input::ServiceResumed { service: key(service, 0).service });
            }
            Step::StoreDown => self.input(Input::StoreDown),
            Step::StoreUp => self.input(Input::StoreUp),
            Step::Audited(is_green) => self.input(Input::LedgerAudited { is_green }),
            Step::Pass(time_ms) => self.pass(Duration::from_millis(time_ms)),
            Step::Drain(time_ms) => {
                let ends = self.now + Duration::from_millis(time_ms);
                self.input(Input::Drain { ends });
            }
            of_worker => self.step_of_worker(of_worker),
        }
    }

    fn step_of_worker(&mut self, step: Step) {
        match step {
            Step::Terms { session: index, capacity, easy_only } => {
                let Some(session) = self.session(index) else { return };
                let threshold_max = if easy_only { EASY } else { Threshold::new(u64::MAX) };
                let known = self.sessions.iter_mut().find(|(known, ..)| *known == session);
                known.expect("it is connected").2 = capacity;
                let report = WorkerReport::Hello(WorkerHello { capacity, threshold_max, ..hello() });
                self.input(Input::WorkerReported { session, report });
            }
            Step::Pause { session: index, paused } => {
                let Some(session) = self.session(index) else { return };
                let paused = paused.then_some(PauseReason::Owner);
                let status = WorkerStatus {
                    hashes_per_second: 5,
                    devices_hashes_per_second: vec![],
                    temperature_c: None,
                    paused,
                };
                self.input(Input::WorkerReported { session, report: WorkerReport::Status(status) });
            }
            Step::Solve { session: index, job, start } => {
                if let Some(session) = self.session(index) {
                    self.solve(session, job, start);
                }
            }
            Step::Forge { session: index, root: number, nonce, counter } => {
                let Some(session) = self.session(index) else { return };
                let job = JobId { instance: INSTANCE, counter };
                let result = WorkResult { job, root: root(number), nonce: Nonce::new(nonce) };
                self.input(Input::ResultReceived { session, result });
            }
            _ => unreachable!("all others are steps of the market"),
        }
    }

    /// Everything comes to rest: the store answers all it is asked, time goes on past every deadline.
    fn rest(&mut self) {
        self.input(Input::StoreUp);
        for _ in 0..4 {
            while !self.asked.is_empty() {
                self.store(0, false);
            }
            self.pass(limits::TIMEOUT_MAX);
        }
        assert!(self.market.is_idle(), "every request has ended and every hold is closed");
        let unanswered = self.callers.iter().filter(|(caller, ..)| !self.replied.contains(caller)).count();
        assert_eq!(unanswered, 0, "every caller has its outcome");
        assert!(self.store.values().all(|state| *state != HoldState::Open), "no hold is left over");
        let jobs = self.market.board().jobs_open();
        assert_eq!(jobs, 0);
    }
}

fn run(dispatch: DispatchPolicy, steps: Vec<Step>) {
    let mut world = World::new(dispatch);
    for step in steps {
        world.step(step);
    }
    world.rest();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn one_outcome_and_one_closing_whatever_happens_with_fastest_k(steps in proptest::collection::vec(step(), 1..150)) {
        run(DispatchPolicy::FastestK { k: NonZeroUsize::new(2).unwrap() }, steps);
    }

    #[test]
    fn one_outcome_and_one_closing_whatever_happens_with_adaptive(
        fairness in 0_u8..=100,
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        run(DispatchPolicy::Adaptive { fairness }, steps);
    }

    #[test]
    fn one_outcome_and_one_closing_whatever_happens_with_broadcast(steps in proptest::collection::vec(step(), 1..150)) {
        run(DispatchPolicy::Broadcast, steps);
    }
}

/// The same start and the same inputs give the same effects, byte for byte.
#[test]
fn a_replay_gives_the_same_effects() {
    let effects = || {
        let mut scene = crate::scene::Scene::new();
        for number in 1..=4 {
            scene.join(number);
        }
        for number in 1..=9 {
            scene.ask_held(root(number), EASY);
            scene.pass(Duration::from_millis(300));
        }
        format!("{:?}", scene.effects)
    };
    assert_eq!(effects(), effects());
}
