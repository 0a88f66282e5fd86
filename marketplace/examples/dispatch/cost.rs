//! What dispatch takes of a processor: the policy's own part, and all that the market does for the same input.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use marketplace::dispatch::{Adaptive, Dispatch, DispatchPolicy, Event};
use marketplace::precache::PrecacheStart;
use marketplace::sim::Random;
use marketplace::{
    Board, Caller, Effect, Effects, Input, Marketplace, NewRequest, Policy, Pricing, RequestKey, Start,
    WorkerReport,
};
use shared::pow::{Nonce, Root, Threshold, Work};
use shared::protocol::{ListedJob, WorkKind, WorkResult, WorkerHello};
use shared::{Account, HoldId, Millicredits, Payee, RequestId, SessionId, Timestamp, WorkerId};

const WORKERS: u64 = 10_000;
/// Hardly anything to do, and as much as can be done.
const SCENES: [Scene; 2] = [
    Scene { jobs: 1, pace: Duration::from_millis(60), results: 20_000 },
    Scene { jobs: 10_000, pace: Duration::from_micros(150), results: 200_000 },
];

#[derive(Debug, Clone, Copy)]
struct Scene {
    /// Jobs that are kept open.
    jobs: usize,
    /// From one result to the next.
    pace: Duration,
    /// Half of them come before the first that counts, so that workers are known.
    results: u32,
}

/// What one kind of input has taken.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    /// By the policy, and by all of the market.
    policy_nanos: u64,
    time: Duration,
    inputs: u32,
    lists: u32,
}

/// What this thread has taken of a processor, so that a busy machine makes no difference.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// The policy, with what it has taken.
#[derive(Debug)]
struct Timed {
    policy: Adaptive,
    nanos: Arc<AtomicU64>,
}

impl Timed {
    fn time<T>(&mut self, what: impl FnOnce(&mut Adaptive) -> T) -> T {
        let begun = cpu_time();
        let result = what(&mut self.policy);
        let nanos = u64::try_from(cpu_time().saturating_sub(begun).as_nanos()).unwrap_or(0);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        result
    }
}

impl Dispatch for Timed {
    fn react(&mut self, now: Timestamp, event: Event, board: &mut Board) {
        self.time(|policy| policy.react(now, event, board));
    }

    fn wakes_at(&self) -> Option<Timestamp> {
        self.policy.wakes_at()
    }

    fn wake(&mut self, now: Timestamp, board: &mut Board) {
        self.time(|policy| policy.wake(now, board));
    }

    fn can_do(&self, hashes: f64, within: Duration) -> bool {
        self.policy.can_do(hashes, within)
    }
}

/// A market, and what it wants done.
struct Bench {
    scene: Scene,
    market: Marketplace,
    now: Timestamp,
    random: Random,
    lists: BTreeMap<SessionId, Vec<ListedJob>>,
    /// Sums of the rates of all workers up to each.
    rates: Vec<f64>,
    asked: u64,
    lists_sent: u32,
    policy_nanos: Arc<AtomicU64>,
    took: [Cost; 3],
}

pub(crate) fn print() -> anyhow::Result<()> {
    println!("{WORKERS} workers; means, CPU time:");
    println!("| jobs open, input | policy us | lists changed | policy us a list | all of the market us |");
    println!("|---|---|---|---|---|");
    for scene in SCENES {
        Bench::new(scene).run()?;
    }
    Ok(())
}

impl Bench {
    fn new(scene: Scene) -> Self {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let policy = Policy {
            base: Threshold::new(1 << 63),
            threshold_min: Threshold::new(1 << 63),
            threshold_max: Threshold::new(1 << 63),
            pricing: Pricing::Proportional,
            dispatch: DispatchPolicy::Adaptive { fairness: 0 },
            open_per_service_max: usize::MAX,
            unpaid_max: marketplace::UnpaidMax::NONE,
            // Every second nonce will do, and stands for a send.
            hashes_per_hash: 1 << 28,
        };
        let start = Start {
            instance: 1,
            policy,
            now,
            settled: Vec::new(),
            precache: PrecacheStart::default(),
            spent: Vec::new(),
        };
        let policy_nanos = Arc::new(AtomicU64::new(0));
        let timed = Timed { policy: Adaptive::new(0), nanos: Arc::clone(&policy_nanos) };
        Self {
            scene,
            market: Marketplace::with_dispatch(start, Box::new(timed)),
            now,
            random: Random::new(1),
            lists: BTreeMap::new(),
            rates: Vec::new(),
            asked: 0,
            took: [Cost::default(); 3],
            lists_sent: 0,
            policy_nanos,
        }
    }

    fn run(mut self) -> anyhow::Result<()> {
        self.bring_workers();
        let Scene { jobs, results, .. } = self.scene;
        for round in 0..results {
            while self.market.board().jobs_open() < jobs {
                self.ask()?;
            }
            if round == results / 2 {
                self.took = [Cost::default(); 3];
            }
            self.answer()?;
        }
        for (what, cost) in ["a new job", "a result", "what is due"].into_iter().zip(self.took) {
            let (inputs, lists) = (f64::from(cost.inputs.max(1)), f64::from(cost.lists.max(1)));
            let policy = Duration::from_nanos(cost.policy_nanos).as_secs_f64() * 1e6;
            println!(
                "| {jobs}, {what} | {:.1} | {:.2} | {:.1} | {:.1} |",
                policy / inputs,
                lists / inputs,
                policy / lists,
                cost.time.as_secs_f64() * 1e6 / inputs
            );
        }
        Ok(())
    }

    fn bring_workers(&mut self) {
        for number in 0..WORKERS {
            let session = SessionId::new(number);
            let worker = WorkerId::from_bytes(self.random.bytes());
            let payee = Payee::Account(Account::from_public_key(self.random.bytes()));
            self.step(Input::WorkerJoined { session, worker, payee });
            let is_fast = self.random.chance(0.3);
            let rate = if is_fast {
                self.random.log_uniform(0.3e9, 3e9)
            } else {
                self.random.log_uniform(5e6, 60e6)
            };
            self.rates.push(rate + self.rates.last().copied().unwrap_or(0.0));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and small")]
            let hello = WorkerHello {
                software: String::new(),
                devices: Vec::new(),
                hashes_per_second: rate as u64,
                capacity: 8,
                threshold_max: Threshold::new(u64::MAX),
                precache: true,
            };
            self.step(Input::WorkerReported { session, report: WorkerReport::Hello(hello) });
        }
    }

    fn ask(&mut self) -> anyhow::Result<()> {
        self.asked += 1;
        let key =
            RequestKey { service: "service".parse()?, request: RequestId::from_u128(self.asked.into()) };
        let new = NewRequest {
            caller: Caller(self.asked),
            key,
            root: Root::new(self.random.bytes()),
            threshold: Threshold::new(1 << 63),
            timeout: Duration::from_mins(2),
            account: None,
            class: WorkKind::OnDemand,
            spender: None,
        };
        let holds = self.step(Input::RequestReceived(new));
        let hold = *holds.first().context("the request is admitted")?;
        self.timed(0, |market, now, effects| market.handle(now, Input::Held { hold }, effects));
        Ok(())
    }

    /// Who finds next: the faster, the more often.
    fn finder(&mut self) -> anyhow::Result<SessionId> {
        let all = self.rates.last().copied().context("there are workers")?;
        let at = self.random.uniform(0.0, all);
        Ok(SessionId::new(u64::try_from(self.rates.partition_point(|sum| *sum <= at))?))
    }

    /// A worker finds the first of its list.
    fn answer(&mut self) -> anyhow::Result<()> {
        let (session, listed) = loop {
            let session = self.finder()?;
            if let Some(listed) = self.lists.get(&session).and_then(|list| list.first()) {
                break (session, *listed);
            }
        };
        let nonce = (0..u64::MAX)
            .map(Nonce::new)
            .find(|nonce| Work::verify(listed.root, *nonce, listed.threshold).is_some())
            .context("every second nonce will do")?;
        self.now = self.now + self.scene.pace;
        self.due();
        let result = WorkResult { job: listed.job, root: listed.root, nonce };
        self.timed(1, |market, now, effects| {
            market.handle(now, Input::ResultReceived { session, result }, effects);
        });
        Ok(())
    }

    fn timed(&mut self, kind: usize, what: impl FnOnce(&mut Marketplace, Timestamp, &mut Effects)) {
        let (lists, nanos) = (self.lists_sent, self.policy_nanos.load(Ordering::Relaxed));
        let mut effects = Effects::new();
        let begun = cpu_time();
        what(&mut self.market, self.now, &mut effects);
        let time = cpu_time().saturating_sub(begun);
        self.carry_out(&mut effects, &mut Vec::new());
        let cost = &mut self.took[kind];
        cost.time += time;
        cost.policy_nanos += self.policy_nanos.load(Ordering::Relaxed) - nanos;
        cost.inputs += 1;
        cost.lists += self.lists_sent - lists;
    }

    /// Hands in an input. The holds that are asked for.
    fn step(&mut self, input: Input) -> Vec<HoldId> {
        let (mut effects, mut holds) = (Effects::new(), Vec::new());
        self.market.handle(self.now, input, &mut effects);
        self.carry_out(&mut effects, &mut holds);
        holds
    }

    /// What the time has brought: workers and jobs that are to be looked at, and deadlines.
    fn due(&mut self) {
        if self.market.poll_timeout().is_some_and(|at| at <= self.now) {
            self.timed(2, Marketplace::handle_timeout);
        }
    }

    fn carry_out(&mut self, effects: &mut Effects, holds: &mut Vec<HoldId>) {
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::Hold { hold, .. } => holds.push(hold),
                Effect::List { session, list, .. } => {
                    self.lists_sent += 1;
                    self.lists.insert(session, list.jobs);
                }
                Effect::Settle(order) => {
                    let settled = Input::Settled {
                        hold: order.hold,
                        charged: Millicredits::CREDIT,
                        balance: Millicredits::CREDIT,
                        earned: Millicredits::CREDIT,
                    };
                    self.market.handle(self.now, settled, &mut Effects::new());
                }
                _ => {}
            }
        }
    }
}
