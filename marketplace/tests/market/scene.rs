//! A market with hands: what tests say to it, and what it wants done, kept in lists that can be asked.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use marketplace::dispatch::DispatchPolicy;
use marketplace::ledger::DaySpent;
use marketplace::precache::PrecacheStart;
use marketplace::{
    Caller, Effect, Effects, Found, Input, Marketplace, NewRequest, Policy, RequestKey, Start, Step,
    WorkerReport,
};
use shared::pow::{Multiplier, Nonce, Root, Threshold, Work};
use shared::protocol::{VerdictNotice, WorkKind, WorkList, WorkResult, WorkerHello};
use shared::{
    Account, HoldId, Millicredits, Network, Outcome, Payee, RequestId, ServiceId, SessionId, Timestamp,
    WorkerId,
};

pub(crate) const INSTANCE: u64 = 7;
/// When a scene begins: at a quarter to two at night.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_000_000_000_000_000);

/// Sixteen hashes on average.
pub(crate) const EASY: Threshold = Network::Dev.receive_threshold();
/// 1,024 hashes on average.
pub(crate) const HARD: Threshold = Network::Dev.send_threshold();

pub(crate) struct Scene {
    pub(crate) market: Marketplace,
    pub(crate) now: Timestamp,
    /// Every effect so far that has not been taken.
    pub(crate) effects: Vec<Effect>,
    /// How far requests have come, in order.
    pub(crate) steps: Vec<(RequestKey, Root, Step)>,
    /// The newest list of each session.
    pub(crate) lists: BTreeMap<SessionId, WorkList>,
    pub(crate) callers: u64,
}

pub(crate) fn service(name: &str) -> ServiceId {
    name.parse().unwrap()
}

pub(crate) fn root(number: u8) -> Root {
    Root::new([number; 32])
}

pub(crate) fn worker(number: u8) -> WorkerId {
    WorkerId::from_bytes([number; 16])
}

pub(crate) fn session(number: u64) -> SessionId {
    SessionId::new(number)
}

pub(crate) fn payee(number: u8) -> Payee {
    Payee::Account(Account::from_public_key([number; 32]))
}

pub(crate) fn hello() -> WorkerHello {
    WorkerHello {
        software: "test".into(),
        devices: Vec::new(),
        hashes_per_second: 1_000_000,
        capacity: 8,
        threshold_max: Threshold::new(u64::MAX),
        precache: true,
    }
}

/// The first nonce from `start` on that meets `threshold`, but not `below`.
pub(crate) fn solve(root: Root, threshold: Threshold, below: Option<Threshold>, start: u64) -> Nonce {
    let is_wanted = |nonce: &Nonce| {
        let work = Work::verify(root, *nonce, threshold);
        work.is_some_and(|work| !below.is_some_and(|below| work.meets(below)))
    };
    (start..start + 1_000_000).map(Nonce::new).find(is_wanted).unwrap()
}

pub(crate) fn policy(dispatch: DispatchPolicy) -> Policy {
    Policy::of_network(Network::Dev, Multiplier::try_new(8.0).unwrap(), dispatch)
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(DispatchPolicy::FastestK { k: NonZeroUsize::new(2).unwrap() }, Vec::new())
    }

    pub(crate) fn with(dispatch: DispatchPolicy, settled: Vec<(ServiceId, Found, Timestamp)>) -> Self {
        Self::started(dispatch, settled, PrecacheStart::default(), Vec::new())
    }

    pub(crate) fn started(
        dispatch: DispatchPolicy,
        settled: Vec<(ServiceId, Found, Timestamp)>,
        precache: PrecacheStart,
        spent: Vec<DaySpent>,
    ) -> Self {
        let (now, policy) = (START, policy(dispatch));
        let market = Marketplace::new(Start { instance: INSTANCE, policy, now, settled, precache, spent });
        Self { market, now, effects: Vec::new(), steps: Vec::new(), lists: BTreeMap::new(), callers: 0 }
    }

    pub(crate) fn input(&mut self, input: Input) {
        let mut effects = Effects::new();
        self.market.handle(self.now, input, &mut effects);
        self.take(effects);
    }

    fn take(&mut self, mut effects: Effects) {
        while let Some(effect) = effects.pop() {
            if let Effect::List { session, list, .. } = &effect {
                self.lists.insert(*session, list.clone());
            }
            match effect {
                Effect::Progress { key, root, step } => self.steps.push((key, root, step)),
                Effect::Statistics(_) => {}
                effect => self.effects.push(effect),
            }
        }
    }

    /// Lets time pass, waking the market whenever it wants to be.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = self.market.poll_timeout().filter(|at| *at <= end);
            self.now = next.unwrap_or(end).max(self.now);
            let mut effects = Effects::new();
            self.market.handle_timeout(self.now, &mut effects);
            self.take(effects);
            if next.is_none() {
                return;
            }
        }
    }

    pub(crate) fn key(service: ServiceId, request: u128) -> RequestKey {
        RequestKey { service, request: RequestId::from_u128(request) }
    }

    /// A service asks for work under a request id.
    pub(crate) fn ask_as(
        &mut self,
        key: RequestKey,
        root: Root,
        threshold: Threshold,
        timeout: Duration,
    ) -> Caller {
        self.callers += 1;
        let caller = Caller(self.callers);
        self.input(Input::RequestReceived(NewRequest {
            caller,
            key,
            root,
            threshold,
            timeout,
            account: None,
            class: WorkKind::OnDemand,
            spender: None,
        }));
        caller
    }

    /// The service `wallet` asks for work under a new id, with ten seconds.
    pub(crate) fn ask(&mut self, root: Root, threshold: Threshold) -> Caller {
        let key = Self::key(service("wallet"), 1000 + u128::from(self.callers));
        self.ask_as(key, root, threshold, Duration::from_secs(10))
    }

    /// Asks, and the store grants the hold.
    pub(crate) fn ask_held(&mut self, root: Root, threshold: Threshold) -> Caller {
        let caller = self.ask(root, threshold);
        let hold = self.take_hold();
        self.input(Input::Held { hold });
        caller
    }

    pub(crate) fn join(&mut self, number: u8) -> SessionId {
        let session = session(u64::from(number));
        self.input(Input::WorkerJoined { session, worker: worker(number), payee: payee(number) });
        self.input(Input::WorkerReported { session, report: WorkerReport::Hello(hello()) });
        session
    }

    /// A worker sends a nonce for the job that its list names for this root, or for job 0 of this run.
    pub(crate) fn result(&mut self, session: SessionId, root: Root, nonce: Nonce) {
        let listed = self.lists.get(&session).and_then(|list| list.jobs.iter().find(|job| job.root == root));
        let job = listed.map_or(shared::JobId { instance: INSTANCE, counter: 0 }, |job| job.job);
        self.input(Input::ResultReceived { session, result: WorkResult { job, root, nonce } });
    }

    pub(crate) fn listed(&self, session: SessionId) -> Vec<(Root, Threshold)> {
        self.lists
            .get(&session)
            .map(|list| list.jobs.iter().map(|job| (job.root, job.threshold)).collect())
            .unwrap_or_default()
    }

    pub(crate) fn take_first<T>(&mut self, want: impl Fn(&Effect) -> Option<T>) -> Option<T> {
        let index = self.effects.iter().position(|effect| want(effect).is_some())?;
        want(&self.effects.remove(index))
    }

    /// The hold that was asked for.
    pub(crate) fn take_hold(&mut self) -> HoldId {
        self.take_first(|effect| if let Effect::Hold { hold, .. } = effect { Some(*hold) } else { None })
            .expect("a hold")
    }

    pub(crate) fn take_release(&mut self) -> HoldId {
        self.take_first(|effect| if let Effect::Release { hold } = effect { Some(*hold) } else { None })
            .expect("a release")
    }

    pub(crate) fn take_settle(&mut self) -> marketplace::SettleOrder {
        self.take_first(|effect| if let Effect::Settle(order) = effect { Some(*order) } else { None })
            .expect("a settlement")
    }

    pub(crate) fn take_verdict(&mut self) -> VerdictNotice {
        self.take_first(
            |effect| if let Effect::Verdict { notice, .. } = effect { Some(*notice) } else { None },
        )
        .expect("a verdict")
    }

    /// The outcome for a caller, if it has been told.
    pub(crate) fn take_reply(&mut self, caller: Caller) -> Option<Outcome> {
        self.take_first(|effect| match effect {
            Effect::Reply { caller: other, outcome, .. } if *other == caller => Some(*outcome),
            _ => None,
        })
    }

    pub(crate) fn settle(&mut self, order: marketplace::SettleOrder, charged: u64) {
        let amount = Millicredits::new;
        self.input(Input::Settled {
            hold: order.hold,
            charged: amount(charged),
            balance: amount(500),
            earned: amount(charged * 9 / 10),
        });
    }

    /// Drops the lists and verdicts that a test is not about, and says whether anything else is left.
    pub(crate) fn is_quiet(&self) -> bool {
        self.effects.iter().all(|effect| matches!(effect, Effect::List { .. } | Effect::Verdict { .. }))
    }
}
