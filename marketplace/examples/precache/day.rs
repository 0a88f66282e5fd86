//! A simulated day of accounts with mixed rhythms, beside other customers.
//!
//! Time is virtual. A worker searches the first job on its list; a search has no memory, so its end is drawn anew whenever another job
//! comes first. Messages take 20 ms each way, the ledger 2 ms, a block a second to be confirmed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::num::NonZeroUsize;
use std::time::Duration;

use marketplace::dispatch::DispatchPolicy;
use marketplace::precache::{Frontier, PrecacheStart, PrecacheTerms, PrecacheUse, Sight};
use marketplace::{
    Caller, Effect, Effects, Input, Marketplace, NewRequest, Policy, RequestKey, Start, WorkerReport,
};
use shared::pow::{Multiplier, Nonce, Root, Threshold, Work};
use shared::protocol::{ListedJob, WorkKind, WorkResult, WorkerHello};
use shared::{
    Account, HoldId, JobId, Millicredits, Network, Outcome, Payee, RequestId, ServiceId, SessionId,
    Timestamp, WorkerId,
};

use crate::dice::Dice;

const SEED: u64 = 7;
const START: Timestamp = Timestamp::from_micros(1_000_000_000 * 86_400);
const DAYS: u64 = 2;
const WORKERS: u64 = 20;
/// Seconds in which one worker finds a work, on average.
const SEARCH: f64 = 4.0;
/// Seconds between two requests of the other customers, on average.
const OTHERS_EVERY: f64 = 2.0;
const MESSAGE: Duration = Duration::from_millis(20);
const LEDGER: Duration = Duration::from_millis(2);
const CONFIRMATION: Duration = Duration::from_secs(1);
/// How many accounts there are with so many seconds between their blocks, on average.
const RHYTHMS: [(usize, f64); 5] =
    [(50, 300.0), (250, 3600.0), (300, 8.0 * 3600.0), (250, 7.0 * 86_400.0), (150, 30.0 * 86_400.0)];

enum Event {
    Other,
    Block(usize),
    Confirmed(usize),
    List(usize, Vec<ListedJob>),
    Solved { worker: usize, job: JobId, epoch: u64 },
    Result(usize, WorkResult),
    Store(Input),
}

struct Searching {
    list: Vec<ListedJob>,
    epoch: u64,
}

struct Owner {
    previous: Option<Root>,
    root: Root,
    height: u64,
    mean: f64,
}

/// What a request is for.
#[derive(Clone, Copy)]
enum Asker {
    Other,
    Owner(usize),
}

struct World {
    market: Marketplace,
    now: Timestamp,
    /// By time and order of arrival.
    queue: BinaryHeap<Reverse<(Timestamp, u64)>>,
    events: BTreeMap<u64, Event>,
    numbers: u64,
    dice: Dice,
    workers: Vec<Searching>,
    owners: Vec<Owner>,
    holds: BTreeMap<HoldId, Millicredits>,
    paid: BTreeMap<(ServiceId, Root), Work>,
    asked: BTreeMap<Caller, (Asker, Timestamp)>,
    /// What others have waited, and the owners, by day.
    waited: Vec<[Vec<Duration>; 2]>,
    spent: [u64; 2],
}

fn service(asker: Asker) -> ServiceId {
    let name = match asker {
        Asker::Other => "exchange",
        Asker::Owner(_) => "wallet",
    };
    name.parse().expect("a name")
}

fn account(number: usize) -> Account {
    let mut key = [9; 32];
    key[..8].copy_from_slice(&number.to_be_bytes());
    Account::from_public_key(key)
}

fn threshold() -> Threshold {
    Network::Dev.send_threshold()
}

/// What a worker says it does, in hashes a second: the truth.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few dozen")]
fn rate() -> u64 {
    (threshold().expected_hashes() / SEARCH) as u64
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

impl World {
    fn new(dispatch: DispatchPolicy, is_on: bool) -> Self {
        let wallet = service(Asker::Owner(0));
        let terms = PrecacheTerms { budget_per_day: Millicredits::new(100_000_000), in_flight_max: 16 };
        let multiplier = Multiplier::try_new(8.0).expect("above zero");
        let market = Marketplace::new(Start {
            instance: 1,
            policy: Policy::of_network(Network::Dev, multiplier, dispatch),
            now: START,
            settled: Vec::new(),
            precache: PrecacheStart {
                terms: is_on.then_some((wallet, terms)).into_iter().collect(),
                ..PrecacheStart::default()
            },
            spent: Vec::new(),
        });
        let mut dice = Dice::new(SEED);
        let owners = RHYTHMS.iter().flat_map(|(count, mean)| vec![*mean; *count]);
        let owners = owners
            .map(|mean| Owner { previous: None, root: Root::new(dice.bytes()), height: 1, mean })
            .collect();
        let mut world = Self {
            market,
            now: START,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            numbers: 0,
            dice,
            workers: Vec::new(),
            owners,
            holds: BTreeMap::new(),
            paid: BTreeMap::new(),
            asked: BTreeMap::new(),
            waited: (0..DAYS).map(|_| [Vec::new(), Vec::new()]).collect(),
            spent: [0; 2],
        };
        for number in 0..WORKERS {
            let session = SessionId::new(number);
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            world.workers.push(Searching { list: Vec::new(), epoch: 0 });
            let worker = WorkerId::from_bytes(id);
            world.input(Input::WorkerJoined { session, worker, payee: Payee::House });
            let hello = WorkerHello {
                software: "simulated".into(),
                devices: Vec::new(),
                hashes_per_second: rate(),
                capacity: 4,
                threshold_max: Threshold::new(u64::MAX),
                precache: true,
            };
            world.input(Input::WorkerReported { session, report: WorkerReport::Hello(hello) });
        }
        world.plan(Duration::ZERO, Event::Other);
        for owner in 0..world.owners.len() {
            let mean = world.owners[owner].mean;
            let first = seconds(world.dice.exponential(mean));
            world.plan(first, Event::Block(owner));
        }
        world
    }

    fn plan(&mut self, after: Duration, event: Event) {
        self.numbers += 1;
        self.events.insert(self.numbers, event);
        self.queue.push(Reverse((self.now + after, self.numbers)));
    }

    fn run(&mut self) {
        let end = START + Duration::from_hours(24 * DAYS);
        loop {
            let next = self.queue.peek().map(|Reverse((at, _))| *at);
            let wake = self.market.poll_timeout();
            let Some(at) = next.into_iter().chain(wake).min().filter(|at| *at < end) else { return };
            self.now = at;
            if wake.is_some_and(|wake| wake <= at) {
                let mut effects = Effects::new();
                self.market.handle_timeout(at, &mut effects);
                self.carry_out(effects);
            } else if let Some(Reverse((_, number))) = self.queue.pop()
                && let Some(event) = self.events.remove(&number)
            {
                self.happen(event);
            }
        }
    }

    fn input(&mut self, input: Input) {
        let mut effects = Effects::new();
        self.market.handle(self.now, input, &mut effects);
        self.carry_out(effects);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Other => {
                let root = Root::new(self.dice.bytes());
                self.ask(Asker::Other, root, None);
                let next = seconds(self.dice.exponential(OTHERS_EVERY));
                self.plan(next, Event::Other);
            }
            Event::Block(owner) => {
                self.ask(Asker::Owner(owner), self.owners[owner].root, Some(account(owner)));
            }
            Event::Confirmed(owner) => {
                let hash = Some(self.owners[owner].root);
                let (height, sight) = (Some(self.owners[owner].height), Sight::Confirmation);
                let (account, previous) = (account(owner), self.owners[owner].previous);
                self.input(Input::FrontierSeen(Frontier { account, hash, previous, height, sight }));
            }
            Event::List(worker, list) => self.take_list(worker, list),
            Event::Solved { worker, job, epoch } => self.solved(worker, job, epoch),
            Event::Result(worker, result) => {
                let session = SessionId::new(u64::try_from(worker).expect("a few"));
                self.input(Input::ResultReceived { session, result });
            }
            Event::Store(input) => self.input(input),
        }
    }

    fn ask(&mut self, asker: Asker, root: Root, account: Option<Account>) {
        self.numbers += 1;
        let caller = Caller(self.numbers);
        let key = RequestKey { service: service(asker), request: RequestId::from_u128(self.numbers.into()) };
        self.asked.insert(caller, (asker, self.now));
        let timeout = Duration::from_mins(2);
        let threshold = threshold();
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

    fn take_list(&mut self, worker: usize, list: Vec<ListedJob>) {
        let searching = &mut self.workers[worker];
        let before = searching.list.first().map(|job| job.job);
        searching.list = list;
        let first = searching.list.first().map(|job| job.job);
        if first != before {
            searching.epoch += 1;
            self.search(worker);
        }
    }

    fn search(&mut self, worker: usize) {
        let Searching { list, epoch } = &self.workers[worker];
        let (epoch, first) = (*epoch, list.first().map(|job| job.job));
        if let Some(job) = first {
            let time = seconds(self.dice.exponential(SEARCH));
            self.plan(time, Event::Solved { worker, job, epoch });
        }
    }

    fn solved(&mut self, worker: usize, job: JobId, epoch: u64) {
        if self.workers[worker].epoch != epoch {
            return;
        }
        let searching = &mut self.workers[worker];
        let listed = searching.list.remove(0);
        searching.epoch += 1;
        let root = listed.root;
        let start = self.dice.next() >> 1;
        let nonces = (start..).map(Nonce::new);
        let nonce = nonces.into_iter().find(|nonce| Work::verify(root, *nonce, listed.threshold).is_some());
        let nonce = nonce.expect("there are enough");
        self.plan(MESSAGE, Event::Result(worker, WorkResult { job, root, nonce }));
        self.search(worker);
    }

    fn carry_out(&mut self, mut effects: Effects) {
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::List { session, list, .. } => {
                    let worker = usize::try_from(session.as_u64()).expect("a few");
                    self.plan(MESSAGE, Event::List(worker, list.jobs));
                }
                Effect::Hold { hold, amount, .. } => {
                    self.holds.insert(hold, amount);
                    self.plan(LEDGER, Event::Store(Input::Held { hold }));
                }
                Effect::Release { hold } => {
                    self.holds.remove(&hold);
                    self.plan(LEDGER, Event::Store(Input::Released { hold }));
                }
                Effect::Settle(order) => {
                    let amount = self.holds.remove(&order.hold).unwrap_or(Millicredits::ZERO);
                    let before = self.paid.insert((order.service, order.work.root()), order.work);
                    let charged = if before.is_some() { Millicredits::ZERO } else { amount };
                    let is_owner = order.service == service(Asker::Owner(0));
                    self.spent[usize::from(is_owner)] += charged.as_u64();
                    let (hold, balance, earned) = (order.hold, Millicredits::ZERO, Millicredits::ZERO);
                    self.plan(LEDGER, Event::Store(Input::Settled { hold, charged, balance, earned }));
                }
                Effect::Reply { caller, outcome, .. } => self.told(caller, outcome),
                _ => {}
            }
        }
    }

    fn told(&mut self, caller: Caller, outcome: Outcome) {
        let Some((asker, since)) = self.asked.remove(&caller) else { return };
        let day = usize::try_from(since.since(START).as_secs() / 86_400).expect("a few");
        let waited = self.now.since(since);
        let is_owner = matches!(asker, Asker::Owner(_));
        // What was not answered in its two minutes has waited at least those.
        self.waited[day][usize::from(is_owner)].push(waited);
        if let Asker::Owner(owner) = asker {
            if matches!(outcome, Outcome::Answered(_)) {
                let hash = Root::new(self.dice.bytes());
                self.owners[owner].previous = Some(std::mem::replace(&mut self.owners[owner].root, hash));
                self.owners[owner].height += 1;
                self.plan(CONFIRMATION, Event::Confirmed(owner));
            }
            let mean = self.owners[owner].mean;
            let next = seconds(self.dice.exponential(mean));
            self.plan(next, Event::Block(owner));
        }
    }
}

fn quantiles(waited: &mut [Duration]) -> String {
    waited.sort_unstable();
    let at =
        |share: usize| waited.get(waited.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
    let (p50, p99) = (at(50).as_secs_f64() * 1000.0, at(99).as_secs_f64() * 1000.0);
    format!("{} requests, p50 {p50:.0} ms, p99 {p99:.0} ms", waited.len())
}

pub(crate) fn measure() {
    let accounts: usize = RHYTHMS.iter().map(|(count, _)| count).sum();
    println!("{accounts} accounts, {WORKERS} workers of {SEARCH} s a work, seed {SEED}");
    let fastest = DispatchPolicy::FastestK { k: NonZeroUsize::MIN.saturating_add(7) };
    let policies = [("adaptive", DispatchPolicy::Adaptive { fairness: 0 }), ("fastest_k with 8", fastest)];
    for ((name, policy), is_on) in policies.into_iter().flat_map(|policy| [(policy, false), (policy, true)]) {
        let mut world = World::new(policy, is_on);
        world.run();
        println!("{name}, precaching {}:", if is_on { "on" } else { "off" });
        for (day, [others, owners]) in (1..).zip(&mut world.waited) {
            println!("  day {day}: others {}", quantiles(others));
            println!("         owners {}", quantiles(owners));
        }
        let used = world.market.precache_used().0;
        if is_on {
            report(&used);
        }
        println!("  owners paid {} mc, others {} mc", world.spent[1], world.spent[0]);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of some thousands")]
fn report(used: &PrecacheUse) {
    let asked = used.hits + used.late + used.missed;
    println!(
        "  hit rate {:.1} % ({} hits, {} late, {} missed); {} computed, {} wasted, {} superseded, {} not foreseen; a hit cost {:.0} mc",
        used.hits as f64 * 100.0 / asked.max(1) as f64,
        used.hits,
        used.late,
        used.missed,
        used.computed,
        used.wasted,
        used.superseded,
        used.irregular,
        used.charged.as_u64() as f64 / used.hits.max(1) as f64,
    );
}
