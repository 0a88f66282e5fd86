//! What a decision takes of a processor: the whole market's part in it, so that dispatch takes less.

#![expect(
    clippy::disallowed_methods,
    reason = "a program around the core reads the clock; the core does not"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use marketplace::dispatch::DispatchPolicy;
use marketplace::precache::PrecacheStart;
use marketplace::sim::Random;
use marketplace::{
    Caller, Effect, Effects, Input, Marketplace, NewRequest, Policy, Pricing, RequestKey, Start, WorkerReport,
};
use shared::pow::{Nonce, Root, Threshold, Work};
use shared::protocol::{ListedJob, WorkResult, WorkerHello};
use shared::{Account, HoldId, Millicredits, Payee, RequestId, SessionId, Timestamp, WorkerId};

const WORKERS: u64 = 10_000;
const JOBS: usize = 10_000;
const ROUNDS: usize = 50_000;

/// A market, and what it wants done.
struct Bench {
    market: Marketplace,
    now: Timestamp,
    random: Random,
    lists: BTreeMap<SessionId, Vec<ListedJob>>,
    asked: u64,
    took: [(Duration, u32); 2],
}

pub(crate) fn print() -> anyhow::Result<()> {
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
    let market = Marketplace::new(Start {
        instance: 1,
        policy,
        now,
        settled: Vec::new(),
        precache: PrecacheStart::default(),
    });
    let none = (Duration::ZERO, 0);
    let mut bench =
        Bench { market, now, random: Random::new(1), lists: BTreeMap::new(), asked: 0, took: [none; 2] };
    bench.bring_workers();
    while bench.market.board().jobs_open() < JOBS {
        bench.ask()?;
    }
    bench.took = [none; 2];
    for _ in 0..ROUNDS {
        bench.answer()?;
        while bench.market.board().jobs_open() < JOBS {
            bench.ask()?;
        }
    }
    let open = bench.market.board().jobs_open();
    println!("{WORKERS} workers, {open} jobs open, {ROUNDS} results; mean of the whole market's CPU time:");
    for (what, (took, count)) in ["a new job", "a result"].into_iter().zip(bench.took) {
        println!("{what}: {:.1} us", took.as_secs_f64() * 1e6 / f64::from(count.max(1)));
    }
    Ok(())
}

impl Bench {
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
            spender: None,
        };
        let holds = self.step(Input::RequestReceived(new));
        let hold = *holds.first().context("the request is admitted")?;
        let begun = Instant::now();
        self.step(Input::Held { hold });
        self.took[0].0 += begun.elapsed();
        self.took[0].1 += 1;
        Ok(())
    }

    /// A worker finds the first of its list.
    fn answer(&mut self) -> anyhow::Result<()> {
        let session = SessionId::new(self.random.next() % WORKERS);
        let Some(listed) = self.lists.get(&session).and_then(|list| list.first()).copied() else {
            return Ok(());
        };
        let nonce = (0..u64::MAX)
            .map(Nonce::new)
            .find(|nonce| Work::verify(listed.root, *nonce, listed.threshold).is_some())
            .context("every second nonce will do")?;
        self.now = self.now + Duration::from_micros(150);
        let result = WorkResult { job: listed.job, root: listed.root, nonce };
        let begun = Instant::now();
        self.step(Input::ResultReceived { session, result });
        self.took[1].0 += begun.elapsed();
        self.took[1].1 += 1;
        Ok(())
    }

    /// Hands in an input. The holds that are asked for.
    fn step(&mut self, input: Input) -> Vec<HoldId> {
        let (mut effects, mut holds) = (Effects::new(), Vec::new());
        self.market.handle(self.now, input, &mut effects);
        if self.market.poll_timeout().is_some_and(|at| at <= self.now) {
            self.market.handle_timeout(self.now, &mut effects);
        }
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::Hold { hold, .. } => holds.push(hold),
                Effect::List { session, list, .. } => {
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
        holds
    }
}
