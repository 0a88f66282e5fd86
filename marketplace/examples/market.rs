//! Runs the market in virtual time with any population and policy, and prints what came of it.
//!
//! `cargo run --release -p dpow-marketplace --features sim --example market -- --help`

#![expect(clippy::print_stdout, reason = "it is a program for people")]
#![expect(
    clippy::disallowed_methods,
    reason = "a program around the core reads the clock and writes files; the core does not"
)]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use marketplace::dispatch::DispatchPolicy;
use marketplace::sim::{
    Arrivals, Character, Churn, Class, Clients, Flood, Order, Outage, RateGroup, Report, Scenario, Span,
    simulate, simulate_logged,
};

/// Runs the market in virtual time and prints latencies, messages, efficiency and fairness.
///
/// Without options: 1,000 volunteers (70 % with 5 to 60 MH/s, 30 % with 0.3 to 3 GH/s, one-way delays of 10 to 125 ms), four
/// services that ask for sends independently, at a load of a fifth of all rates; 10,000 requests count, and half as many go before
/// them.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seeds, each a run; for example 0 1 2.
    #[arg(long, num_args = 1.., default_values_t = [0])]
    seed: Vec<u64>,
    /// Loads as shares of the sum of all rates, each a run.
    #[arg(long, num_args = 1.., default_values_t = [0.2])]
    load: Vec<f64>,
    /// Policies, each a run: `broadcast`, or `fastest:8` for the eight fastest with the shortest lists.
    #[arg(long, num_args = 1.., value_parser = parse_policy, default_values = ["fastest:8"])]
    policy: Vec<DispatchPolicy>,
    /// What a client does next of what it has.
    #[arg(long, value_enum, default_value_t = Queue::List)]
    queue: Queue,
    /// Number of workers.
    #[arg(long, default_value_t = 1000)]
    workers: u32,
    /// Requests that count; half as many again go before them.
    #[arg(long, default_value_t = 10_000)]
    requests: u32,
    /// Groups of workers, each `share:slowest:fastest` in hashes a second; replaces the volunteers.
    #[arg(long, num_args = 1.., value_parser = parse_group)]
    rates: Vec<RateGroup>,
    /// One-way delays, `lowest:highest` in milliseconds.
    #[arg(long, value_parser = parse_span, default_value = "10:125")]
    delay_ms: Span,
    /// Jobs on a worker's list, at most 8.
    #[arg(long, default_value_t = 8)]
    capacity: u8,
    /// What is asked for, each `class:weight`: receive, send, raised.
    #[arg(long, num_args = 1.., value_parser = parse_class, default_values = ["send:1"])]
    mix: Vec<(Class, f64)>,
    /// How services ask.
    #[arg(long, value_enum, default_value_t = Asking::Poisson)]
    arrivals: Asking,
    /// Mean size of a burst.
    #[arg(long, default_value_t = 20.0)]
    burst: f64,
    /// Callers of each service in a closed loop, which ignores the load.
    #[arg(long, default_value_t = 25)]
    callers: u32,
    /// Mean time to think in a closed loop, in milliseconds.
    #[arg(long, default_value_t = 1000.0)]
    think_ms: f64,
    /// How long a request may take, in milliseconds.
    #[arg(long, default_value_t = 120_000.0)]
    timeout_ms: f64,
    /// Share of callers that hang up before they have an answer.
    #[arg(long, default_value_t = 0.0)]
    impatience: f64,
    /// Share of messages that are lost.
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// Share of messages that arrive twice.
    #[arg(long, default_value_t = 0.0)]
    duplication: f64,
    /// More delay for each message, up to so many milliseconds.
    #[arg(long, default_value_t = 0.0)]
    jitter_ms: f64,
    /// Workers stay so many seconds and are away so many, on average: `connected:away`.
    #[arg(long, value_parser = parse_span)]
    churn: Option<Span>,
    /// Shares of workers that fall asleep, change their mind, withhold what they find, and lie: `0.1:0:0:0.05`.
    #[arg(long, value_parser = parse_characters)]
    characters: Option<[f64; 4]>,
    /// So many new ids at once every ten seconds, for five seconds.
    #[arg(long)]
    flood: Option<u32>,
    /// One way to the store, `lowest:highest` in milliseconds.
    #[arg(long, value_parser = parse_span, default_value = "0:0")]
    store_ms: Span,
    /// The store is there so many seconds and away so many, on average: `there:away`.
    #[arg(long, value_parser = parse_span)]
    outage: Option<Span>,
    /// Run the faults of these seeds instead, as the tests do; only `--log` matters besides.
    #[arg(long)]
    faults: bool,
    /// Leave the auditor out.
    #[arg(long)]
    unaudited: bool,
    /// Write every event here, for the example `replay`.
    #[arg(long)]
    log: Option<PathBuf>,
    /// Write the figures of all runs here, as comma-separated values.
    #[arg(long)]
    csv: Option<PathBuf>,
}

/// What a client does next of what it has.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Queue {
    /// The first of the list that it was sent.
    List,
    /// Any of that list.
    ListRandom,
    /// The oldest of that list.
    ListFifo,
    /// As the original network: everything to everybody, queues of any length, and any of it.
    Random,
    /// The same, and the oldest of it.
    Fifo,
}

/// How services ask.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Asking {
    Poisson,
    Bursty,
    ClosedLoop,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut csv = format!("policy,queue,workers,load,seed,{}\n", Report::CSV_COLUMNS);
    for policy in &arguments.policy {
        for load in &arguments.load {
            for seed in &arguments.seed {
                let scenario = if arguments.faults {
                    Scenario::faults(*seed)
                } else {
                    arguments.scenario(*policy, *load, *seed)
                };
                let name = policy_name(scenario.dispatch, arguments.queue);
                let begun = Instant::now();
                let report = arguments.run(&scenario)?;
                let took = begun.elapsed();
                println!(
                    "{name}, load {load}, {} workers, seed {seed} ({:.2} s to simulate)",
                    scenario.fleet.workers,
                    took.as_secs_f64()
                );
                println!("{report}");
                for line in report.csv() {
                    writeln!(
                        csv,
                        "{name},{:?},{},{load},{seed},{line}",
                        arguments.queue, scenario.fleet.workers
                    )?;
                }
            }
        }
    }
    if let Some(path) = &arguments.csv {
        std::fs::write(path, csv).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

impl Arguments {
    fn run(&self, scenario: &Scenario) -> anyhow::Result<Report> {
        let Some(path) = &self.log else { return Ok(simulate(scenario)?) };
        let mut log = String::new();
        let result = simulate_logged(scenario, &mut log);
        std::fs::write(path, log).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(result?)
    }

    fn scenario(&self, policy: DispatchPolicy, load: f64, seed: u64) -> Scenario {
        let mut scenario = Scenario::volunteers(seed, self.workers, load, self.requests);
        scenario.dispatch = policy;
        scenario.clients = match self.queue {
            Queue::List => Clients::Native(Order::Listed),
            Queue::ListRandom => Clients::Native(Order::Random),
            Queue::ListFifo => Clients::Native(Order::Fifo),
            Queue::Random => Clients::Original(Order::Random),
            Queue::Fifo => Clients::Original(Order::Fifo),
        };
        scenario.is_audited = !self.unaudited;
        self.fleet(&mut scenario);
        scenario.wire.loss = self.loss;
        scenario.wire.duplication = self.duplication;
        scenario.wire.jitter_ms = self.jitter_ms;
        scenario.store.delay_ms = self.store_ms;
        scenario.store.outage =
            self.outage.map(|outage| Outage { every_s: outage.low, lasts_s: outage.high });
        if let Asking::ClosedLoop = self.arrivals {
            scenario.load = None;
        }
        for customer in &mut scenario.customers {
            customer.mix.clone_from(&self.mix);
            customer.timeout_ms = Span::exactly(self.timeout_ms);
            customer.impatience = self.impatience;
            customer.arrivals = match self.arrivals {
                Asking::Poisson => Arrivals::Poisson { pace: 1.0 },
                Asking::Bursty => Arrivals::Bursty { pace: 1.0, burst: self.burst },
                Asking::ClosedLoop => Arrivals::ClosedLoop { callers: self.callers, think_ms: self.think_ms },
            };
        }
        scenario
    }

    fn fleet(&self, scenario: &mut Scenario) {
        let fleet = &mut scenario.fleet;
        if !self.rates.is_empty() {
            fleet.rates.clone_from(&self.rates);
        }
        fleet.delay_ms = self.delay_ms;
        fleet.capacity = self.capacity.clamp(1, 8);
        fleet.churn =
            self.churn.map(|span| Churn { connected_s: span.low, away_s: span.high, takeover: 0.1 });
        fleet.flood = self.flood.map(|ids| Flood { first_s: None, every_s: 10.0, ids, stay_s: 5.0 });
        if let Some(shares) = self.characters {
            let honest = 1.0 - shares.iter().sum::<f64>();
            fleet.characters =
                Character::ALL.into_iter().zip(core::iter::once(honest).chain(shares)).collect();
        }
    }
}

fn policy_name(policy: DispatchPolicy, queue: Queue) -> String {
    match (queue, policy) {
        (Queue::Random, _) => "original network, random queues".into(),
        (Queue::Fifo, _) => "original network, first-in-first-out queues".into(),
        (_, DispatchPolicy::Broadcast) => "broadcast".into(),
        (_, DispatchPolicy::Adaptive { fairness }) => format!("adaptive:{fairness}"),
        (_, DispatchPolicy::FastestK { k }) => format!("fastest:{k}"),
    }
}

fn parse_policy(text: &str) -> anyhow::Result<DispatchPolicy> {
    match text.split_once(':') {
        None if text == "broadcast" => Ok(DispatchPolicy::Broadcast),
        None if text == "adaptive" => Ok(DispatchPolicy::Adaptive { fairness: 0 }),
        Some(("adaptive", fairness)) => {
            let fairness =
                fairness.parse().ok().filter(|percent| *percent <= 100).context("0 to 100 percent")?;
            Ok(DispatchPolicy::Adaptive { fairness })
        }
        Some(("fastest", k)) => {
            Ok(DispatchPolicy::FastestK { k: k.parse().context("a number of workers, 1 or more")? })
        }
        _ => bail!("`broadcast` or `fastest:8`"),
    }
}

fn parse_span(text: &str) -> anyhow::Result<Span> {
    let (low, high) = text.split_once(':').context("two numbers with a colon between")?;
    Ok(Span::new(low.parse()?, high.parse()?))
}

fn parse_group(text: &str) -> anyhow::Result<RateGroup> {
    let (share, rate) = text.split_once(':').context("share:slowest:fastest")?;
    Ok(RateGroup { share: share.parse()?, rate: parse_span(rate)? })
}

fn parse_class(text: &str) -> anyhow::Result<(Class, f64)> {
    let (name, weight) = text.split_once(':').context("class:weight")?;
    let class = Class::of_name(name).context("receive, send or raised")?;
    Ok((class, weight.parse()?))
}

fn parse_characters(text: &str) -> anyhow::Result<[f64; 4]> {
    let shares: Vec<f64> = text.split(':').map(str::parse).collect::<Result<_, _>>()?;
    shares.try_into().ok().context("four shares: sleepers, moody, withholders, liars")
}
