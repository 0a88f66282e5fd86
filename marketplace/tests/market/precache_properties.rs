//! What holds of working ahead whatever happens: random blocks, requests, terms and restarts of the store, against a small ledger
//! that answers late and in any order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroUsize;
use std::time::Duration;

use marketplace::dispatch::DispatchPolicy;
use marketplace::precache::{Frontier, PrecacheStart, PrecacheTerms, Sight};
use marketplace::{
    Caller, Effect, Effects, Input, Marketplace, NamedAccounts, NewRequest, Prefetch, SettleOrder, Start,
};
use proptest::prelude::*;
use shared::pow::{Root, Threshold};
use shared::protocol::{WorkKind, WorkList, WorkResult};
use shared::{Account, HoldId, Millicredits, RequestId, ServiceId, SessionId, Timestamp};

use crate::scene::{EASY, HARD, INSTANCE, START, Scene, hello, payee, policy, root, service, solve, worker};

const SERVICES: [&str; 2] = ["wallet", "exchange"];

#[derive(Debug, Clone, Copy)]
enum Step {
    Ask { service: usize, account: u8, root: u8, hard: bool },
    Block { account: u8, root: u8, previous: u8, height: Option<u64>, sight: Sight },
    Terms { service: usize, credits: Option<u64>, in_flight: u32 },
    Name { service: usize, account: u8, is_watched: bool },
    Prefetch { service: usize, root: u8 },
    Answer(usize),
    Solve(u8),
    Store(bool),
    Suspend(usize, bool),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    let (service, account, root) = (0..SERVICES.len(), 100..103_u8, 1..7_u8);
    let sights = prop::sample::select(vec![Sight::Confirmation, Sight::CatchUp, Sight::LookUp]);
    let heights = prop::option::of(1..9_u64);
    prop_oneof![
        4 => (service.clone(), account.clone(), root.clone(), any::<bool>())
            .prop_map(|(service, account, root, hard)| Step::Ask { service, account, root, hard }),
        6 => (account.clone(), root.clone(), 0..7_u8, heights, sights).prop_map(
            |(account, root, previous, height, sight)| Step::Block { account, root, previous, height, sight }
        ),
        2 => (service.clone(), prop::option::of(0..6_u64), 0..4_u32)
            .prop_map(|(service, credits, in_flight)| Step::Terms { service, credits, in_flight }),
        1 => (service.clone(), account, any::<bool>())
            .prop_map(|(service, account, is_watched)| Step::Name { service, account, is_watched }),
        2 => (service.clone(), root.clone()).prop_map(|(service, root)| Step::Prefetch { service, root }),
        12 => any::<usize>().prop_map(Step::Answer),
        5 => root.prop_map(Step::Solve),
        1 => any::<bool>().prop_map(Step::Store),
        1 => (service, any::<bool>()).prop_map(|(service, is)| Step::Suspend(service, is)),
        2 => prop::sample::select(vec![1, 20, 700, 50_000]).prop_map(Step::Pass),
    ]
}

/// A hold in the ledger.
#[derive(Debug, Clone, Copy)]
struct Held {
    service: ServiceId,
    amount: Millicredits,
}

struct World {
    market: Marketplace,
    now: Timestamp,
    asked: VecDeque<Effect>,
    credits: BTreeMap<ServiceId, Millicredits>,
    open: BTreeMap<HoldId, Held>,
    closed: BTreeSet<HoldId>,
    settled: BTreeMap<ServiceId, Vec<SettleOrder>>,
    budgets: BTreeMap<ServiceId, Millicredits>,
    /// What precaches were charged, by service and day.
    spent: BTreeMap<(ServiceId, u64), u64>,
    list: Option<WorkList>,
    callers: u64,
    watched: BTreeSet<Account>,
}

impl World {
    fn new() -> Self {
        let policy = policy(DispatchPolicy::FastestK { k: NonZeroUsize::MIN });
        let (settled, precache) = (Vec::new(), PrecacheStart::default());
        let market = Marketplace::new(Start {
            instance: INSTANCE,
            policy,
            now: START,
            settled,
            precache,
            spent: Vec::new(),
        });
        let credits = SERVICES.map(|name| (service(name), Millicredits::new(9000)));
        let mut world = Self {
            market,
            now: START,
            asked: VecDeque::new(),
            credits: credits.into(),
            open: BTreeMap::new(),
            closed: BTreeSet::new(),
            settled: BTreeMap::new(),
            budgets: BTreeMap::new(),
            spent: BTreeMap::new(),
            list: None,
            callers: 0,
            watched: BTreeSet::new(),
        };
        let session = SessionId::new(1);
        world.input(Input::WorkerJoined { session, worker: worker(1), payee: payee(1) });
        let report = marketplace::WorkerReport::Hello(hello());
        world.input(Input::WorkerReported { session, report });
        world
    }

    fn input(&mut self, input: Input) {
        let mut effects = Effects::new();
        self.market.handle(self.now, input, &mut effects);
        self.take(effects);
    }

    fn take(&mut self, mut effects: Effects) {
        while let Some(effect) = effects.pop() {
            match &effect {
                Effect::List { list, .. } => self.list = Some(list.clone()),
                Effect::Watch { account, is_watched: true } => assert!(self.watched.insert(*account)),
                Effect::Watch { account, is_watched: false } => assert!(self.watched.remove(account)),
                Effect::Hold { .. } | Effect::Settle(_) | Effect::Release { .. } => {
                    self.asked.push_back(effect);
                }
                _ => {}
            }
        }
    }

    /// The ledger carries out one of the things that it was asked for.
    fn answer(&mut self, index: usize) {
        // Those of one hold stay in their order, as in the driver.
        let Some(effect) = (!self.asked.is_empty()).then(|| index % self.asked.len()) else { return };
        let hold_of = |effect: &Effect| match effect {
            Effect::Hold { hold, .. } | Effect::Release { hold } => *hold,
            Effect::Settle(order) => order.hold,
            _ => unreachable!("only these are asked for"),
        };
        let hold = hold_of(&self.asked[effect]);
        let first = self.asked.iter().position(|effect| hold_of(effect) == hold).unwrap();
        match self.asked.remove(first).unwrap() {
            Effect::Hold { hold, service, amount, .. } => self.hold(hold, Held { service, amount }),
            Effect::Release { hold } => {
                if let Some(Held { service, amount }) = self.open.remove(&hold) {
                    assert!(self.closed.insert(hold), "a hold is closed once");
                    *self.credits.get_mut(&service).unwrap() = sum(self.credits[&service], amount);
                }
                self.input(Input::Released { hold });
            }
            Effect::Settle(order) => self.settle(order),
            _ => unreachable!("only these are asked for"),
        }
    }

    fn hold(&mut self, hold: HoldId, held: Held) {
        // Sent again after its answer was lost, or after it was closed.
        if self.open.contains_key(&hold) || self.closed.contains(&hold) {
            return self.input(Input::Held { hold });
        }
        let Some(left) = self.credits[&held.service].checked_sub(held.amount) else {
            return self.input(Input::HoldRefused { hold });
        };
        self.credits.insert(held.service, left);
        self.open.insert(hold, held);
        if hold.is_precache() {
            let spent = self.spent.get(&(held.service, self.day())).copied().unwrap_or(0);
            let of_it = |(id, open): (&HoldId, &Held)| {
                if id.is_precache() && open.service == held.service { open.amount.as_u64() } else { 0 }
            };
            let under_way: u64 = self.open.iter().map(of_it).sum();
            let budget = self.budgets[&held.service].as_u64();
            // A budget that was lowered, and a day that began, do not end what is under way.
            assert!(spent + under_way <= budget.max(6000), "{spent} and {under_way} of {budget}");
        }
        self.input(Input::Held { hold });
    }

    fn settle(&mut self, order: SettleOrder) {
        let Some(Held { service, amount }) = self.open.remove(&order.hold) else {
            return self.input(Input::SettleRefused { hold: order.hold });
        };
        assert!(self.closed.insert(order.hold), "a hold is closed once");
        assert!(order.work.meets(order.threshold));
        let earlier = self.settled.entry(service).or_default();
        let is_repeat = earlier.iter().any(|other| {
            other.work.root() == order.work.root()
                && other.work.meets(order.threshold)
                && self.now.since(other.at) < Duration::from_hours(24)
        });
        earlier.push(order);
        let charged = if is_repeat { Millicredits::ZERO } else { amount };
        let back = sum(self.credits[&service], amount.saturating_sub(charged));
        self.credits.insert(service, back);
        if order.hold.is_precache() {
            *self.spent.entry((service, order.at.day())).or_default() += charged.as_u64();
        }
        let (hold, balance, earned) = (order.hold, back, Millicredits::ZERO);
        self.input(Input::Settled { hold, charged, balance, earned });
    }

    fn day(&self) -> u64 {
        self.now.day()
    }

    fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.market.poll_timeout().filter(|at| *at <= end) {
            // An hour of seconds in which nothing happens teaches nothing.
            self.now = self.now.max(at);
            let mut effects = Effects::new();
            self.market.handle_timeout(self.now, &mut effects);
            self.take(effects);
            if end.since(self.now) > Duration::from_mins(30) {
                self.now = self.now + Duration::from_mins(10);
            }
        }
        self.now = end;
    }

    fn take_step(&mut self, step: Step) {
        let name = |index: usize| service(SERVICES[index]);
        let account = |number: u8| Account::from_public_key([number; 32]);
        self.callers += 1;
        let caller = Caller(self.callers);
        match step {
            Step::Ask { service, account: number, root: asked, hard } => {
                let key = Scene::key(name(service), u128::from(self.callers));
                let (threshold, account) = (if hard { HARD } else { EASY }, Some(account(number)));
                let (root, timeout) = (root(asked), Duration::from_secs(10));
                assert_ne!(key.request, RequestId::from_u128(0));
                self.input(Input::RequestReceived(NewRequest {
                    caller,
                    key,
                    root,
                    threshold,
                    timeout,
                    account,
                    class: WorkKind::OnDemand,
                    spender: None,
                }));
            }
            Step::Block { account: number, root: seen, previous, height, sight } => {
                let previous = (previous > 0).then(|| root(previous));
                let (account, hash) = (account(number), Some(root(seen)));
                self.input(Input::FrontierSeen(Frontier { account, hash, previous, height, sight }));
            }
            Step::Terms { service, credits, in_flight } => {
                let terms = credits.map(|credits| PrecacheTerms {
                    budget_per_day: Millicredits::from_credits(credits).unwrap(),
                    in_flight_max: in_flight,
                });
                let budget = terms.map_or(Millicredits::ZERO, |terms| terms.budget_per_day);
                self.budgets.insert(name(service), budget);
                self.input(Input::PrecacheSet { service: name(service), terms });
            }
            Step::Name { service, account: number, is_watched } => {
                let (service, accounts) = (name(service), vec![account(number)]);
                self.input(Input::AccountsNamed(NamedAccounts { caller, service, accounts, is_watched }));
            }
            Step::Prefetch { service, root: wanted } => {
                let (service, roots, threshold) = (name(service), vec![root(wanted)], HARD);
                self.input(Input::PrefetchReceived(Prefetch { caller, service, roots, threshold }));
            }
            Step::Answer(index) => self.answer(index),
            Step::Solve(number) => self.solve(root(number)),
            Step::Store(is_up) => self.input(if is_up { Input::StoreUp } else { Input::StoreDown }),
            Step::Suspend(service, true) => {
                self.input(Input::ServiceSuspended { service: name(service) });
            }
            Step::Suspend(service, false) => self.input(Input::ServiceResumed { service: name(service) }),
            Step::Pass(seconds) => self.pass(seconds),
        }
        let known: BTreeSet<Account> = self.market.watched_accounts().collect();
        assert_eq!(known, self.watched, "nodes are told of every account, once");
    }

    fn solve(&mut self, root: Root) {
        let listed = self.list.as_ref().and_then(|list| list.jobs.iter().find(|job| job.root == root));
        let Some((job, threshold)) = listed.map(|listed| (listed.job, listed.threshold)) else { return };
        let nonce = solve(root, threshold, None::<Threshold>, 0);
        let result = WorkResult { job, root, nonce };
        self.input(Input::ResultReceived { session: SessionId::new(1), result });
    }

    /// Everything comes to rest.
    fn end(mut self) {
        self.input(Input::StoreUp);
        self.input(Input::Drain { ends: self.now });
        for _ in 0..20 {
            self.pass(60);
            while !self.asked.is_empty() {
                self.answer(0);
            }
        }
        assert!(self.market.is_idle());
        assert!(self.open.is_empty(), "{:?}", self.open);
        assert_eq!(self.market.precache_used().1, 0, "nothing is under way");
        let used = self.market.precache_used().0;
        assert_eq!(
            used.charged.as_u64(),
            self.spent.values().sum::<u64>(),
            "what is said is what was charged"
        );
        for name in SERVICES {
            let state = self.market.precache_of(self.now, service(name));
            let today = self.spent.get(&(service(name), self.day())).copied().unwrap_or(0);
            assert_eq!((state.running, state.spent_today.as_u64()), (0, today));
        }
    }
}

fn sum(one: Millicredits, other: Millicredits) -> Millicredits {
    [one, other].into_iter().sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn working_ahead_closes_its_holds_and_keeps_to_its_budget(steps in prop::collection::vec(steps(), 1..120)) {
        let mut world = World::new();
        for service in 0..SERVICES.len() {
            world.take_step(Step::Terms { service, credits: Some(6), in_flight: 2 });
        }
        for step in steps {
            world.take_step(step);
        }
        world.end();
    }
}
