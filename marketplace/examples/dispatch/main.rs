//! The tables of `docs/dispatch.md`, each by one command: adaptive dispatch in the simulator, beside what it is compared with.
//!
//! `cargo run --release -p dpow-marketplace --features sim --example dispatch -- --help`

#![expect(clippy::print_stdout, reason = "it is a program for people")]

mod cost;

use clap::{Parser, Subcommand};
use marketplace::dispatch::DispatchPolicy;
use marketplace::sim::{
    Arrivals, Character, Churn, Class, Clients, Flood, Order, RateGroup, Report, Scenario, Span, simulate,
};

/// Prints the tables of `docs/dispatch.md`.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which table.
    #[command(subcommand)]
    table: Table,
    /// Seeds; figures are means over them.
    #[arg(long, global = true, num_args = 1.., default_values_t = [0, 1, 2])]
    seed: Vec<u64>,
    /// Requests that count in each run.
    #[arg(long, global = true, default_value_t = 60_000)]
    requests: u32,
    /// Numbers of workers, where `scale` compares them.
    #[arg(long, global = true, num_args = 1.., default_values_t = [1000, 10_000])]
    workers: Vec<u32>,
    /// Only these loads.
    #[arg(long, global = true, num_args = 1..)]
    load: Vec<f64>,
    /// Fairness between workers in percent.
    #[arg(long, global = true, default_value_t = 0)]
    fairness: u8,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Table {
    /// Latency beside broadcast with random queues, messages and efficiency, from a load of 0.02 to one of 0.95.
    Targets,
    /// The same figures for 1,000 and for 10,000 workers.
    Scale,
    /// Fleets of one, two and eight equal workers of 1 GH/s, a mean round trip away.
    Small,
    /// One and a half times what all workers can do.
    Overload,
    /// Half receives, half sends, beside receives alone.
    Mixed,
    /// Churn, losses, wrong rates and bursts, each alone and all at once.
    Stress,
    /// The price of fairness: an hour of 100 workers at each position of the knob.
    Fairness,
    /// 10,000 new ids that announce much and do nothing: at the start, when nobody has been proven yet, and when the first request
    /// that counts is asked.
    Flood,
    /// Workers that take jobs and never answer.
    Withholders,
    /// CPU time of the market for a new job and for a result, at 10,000 workers and 10,000 open jobs.
    Cost,
}

/// What a row says, as means over seeds.
#[derive(Debug, Default)]
struct Row {
    p50: f64,
    p95: f64,
    p99: f64,
    messages: f64,
    changes: f64,
    efficiency: f64,
    fairness: f64,
    served: f64,
    capacity: f64,
    flood: f64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.table {
        Table::Targets => arguments.targets(),
        Table::Scale => arguments.scale(),
        Table::Small => arguments.small(),
        Table::Overload => arguments.overload(),
        Table::Mixed => arguments.mixed(),
        Table::Stress => arguments.stress(),
        Table::Fairness => arguments.fairness(),
        Table::Flood => arguments.flood(),
        Table::Withholders => arguments.withholders(),
        Table::Cost => cost::print(),
    }
}

impl Arguments {
    fn adaptive(&self, seed: u64, workers: u32, load: f64) -> Scenario {
        Scenario {
            dispatch: DispatchPolicy::Adaptive { fairness: self.fairness },
            is_audited: false,
            ..Scenario::volunteers(seed, workers, load, self.requests)
        }
    }

    /// Those of these that are wanted.
    fn loads(&self, all: &[f64]) -> Vec<f64> {
        if self.load.is_empty() { all.to_vec() } else { self.load.clone() }
    }

    /// The mean over all seeds, of one class.
    fn mean(&self, class: Class, scenario: impl Fn(u64) -> Scenario) -> anyhow::Result<Row> {
        let mut mean = Row::default();
        let part = 1.0 / f64::from(u32::try_from(self.seed.len())?);
        for seed in &self.seed {
            add(&mut mean, &simulate(&scenario(*seed))?, class, part);
        }
        Ok(mean)
    }

    fn targets(&self) -> anyhow::Result<()> {
        println!(
            "| load | p50 s | p99 s | broadcast p50, p99 s | ratio p50, p99 | messages | changes | efficiency |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        for load in self.loads(&[0.02, 0.2, 0.5, 0.8, 0.95]) {
            let adaptive = self.mean(Class::Send, |seed| self.adaptive(seed, 1000, load))?;
            // At low loads broadcast has settled long before, and each of its jobs costs 2,000 messages.
            let requests = if load < 0.7 { self.requests.min(8000) } else { self.requests };
            let broadcast = self.mean(Class::Send, |seed| Scenario {
                clients: Clients::Original(Order::Random),
                dispatch: DispatchPolicy::Broadcast,
                is_audited: false,
                ..Scenario::volunteers(seed, 1000, load, requests)
            })?;
            println!(
                "| {load} | {:.3} | {:.3} | {:.3}, {:.3} | {:.2}, {:.2} | {:.1} | {:.1} | {:.3} |",
                adaptive.p50,
                adaptive.p99,
                broadcast.p50,
                broadcast.p99,
                adaptive.p50 / broadcast.p50,
                adaptive.p99 / broadcast.p99,
                adaptive.messages,
                adaptive.changes,
                adaptive.efficiency
            );
        }
        Ok(())
    }

    fn scale(&self) -> anyhow::Result<()> {
        heading("workers, load");
        for load in self.loads(&[0.02, 0.2, 0.5, 0.8, 0.95]) {
            for workers in self.workers.iter().copied() {
                let row = self.mean(Class::Send, |seed| self.adaptive(seed, workers, load))?;
                row.print(&format!("{workers}, {load}"));
            }
        }
        Ok(())
    }

    fn small(&self) -> anyhow::Result<()> {
        heading("workers, load");
        for workers in [1, 2, 8] {
            for load in self.loads(&[0.2, 0.5, 0.8]) {
                let row = self.mean(Class::Send, |seed| {
                    let mut scenario = self.adaptive(seed, workers, load);
                    scenario.fleet.rates = vec![RateGroup { share: 1.0, rate: Span::exactly(1e9) }];
                    scenario.fleet.delay_ms = Span::exactly(67.5);
                    scenario
                })?;
                row.print(&format!("{workers}, {load}"));
            }
        }
        Ok(())
    }

    fn overload(&self) -> anyhow::Result<()> {
        println!(
            "| timeout s | served of capacity | p50 s | p99 s | refused at once | refused later | 99 % refused within s |"
        );
        println!("|---|---|---|---|---|---|---|");
        for timeout_s in [5.0, 30.0] {
            for seed in &self.seed {
                let mut scenario = self.adaptive(*seed, 1000, 1.5);
                for customer in &mut scenario.customers {
                    customer.timeout_ms = Span::exactly(1000.0 * timeout_s);
                }
                let report = simulate(&scenario)?;
                let class = &report.classes[&Class::Send];
                let seconds = |share| class.quantile(share).map_or(f64::NAN, |time| time.as_secs_f64());
                let refused = |code: &str| report.refusals.get(code).map_or(0, |refusal| refusal.times.len());
                let within = report
                    .refusals
                    .get("overloaded")
                    .map_or(0.0, |refusal| refusal.quantile(0.99).as_secs_f64());
                println!(
                    "| {timeout_s} | {:.3} | {:.2} | {:.2} | {} | {} | {within:.3} |",
                    report.served_over_capacity,
                    seconds(0.5),
                    seconds(0.99),
                    refused("overloaded"),
                    refused("expired"),
                );
            }
        }
        Ok(())
    }

    fn mixed(&self) -> anyhow::Result<()> {
        heading("class, load");
        for load in self.loads(&[0.2, 0.5, 0.8]) {
            let mix = |seed, mix: &[(Class, f64)], load| {
                let mut scenario = self.adaptive(seed, 1000, load);
                for customer in &mut scenario.customers {
                    customer.mix = mix.to_vec();
                }
                scenario
            };
            let both = [(Class::Receive, 1.0), (Class::Send, 1.0)];
            self.mean(Class::Receive, |seed| mix(seed, &both, load))?
                .print(&format!("receive in the mix, {load}"));
            self.mean(Class::Send, |seed| mix(seed, &both, load))?.print(&format!("send in the mix, {load}"));
            // As many receives a second as in the mix.
            let alone = load / 65.0;
            let receives = [(Class::Receive, 1.0)];
            self.mean(Class::Receive, |seed| mix(seed, &receives, alone))?
                .print(&format!("receive alone, {alone:.4}"));
        }
        Ok(())
    }

    fn stress(&self) -> anyhow::Result<()> {
        heading("what, load");
        for load in self.loads(&[0.2, 0.5, 0.8]) {
            for what in ["nothing", "churn", "losses", "wrong rates", "very wrong rates", "bursts", "all"] {
                let row = self.mean(Class::Send, |seed| {
                    let mut scenario = self.adaptive(seed, 1000, load);
                    if matches!(what, "churn" | "all") {
                        scenario.fleet.churn =
                            Some(Churn { connected_s: 600.0, away_s: 60.0, takeover: 0.1 });
                    }
                    if matches!(what, "losses" | "all") {
                        scenario.wire.loss = 0.01;
                    }
                    if matches!(what, "wrong rates" | "all") {
                        scenario.fleet.announced_sigma = 0.7;
                    }
                    if what == "very wrong rates" {
                        scenario.fleet.announced_sigma = 3.0;
                    }
                    if matches!(what, "bursts" | "all") {
                        // A twentieth of all requests comes in bursts.
                        let pace = 4.0 / 19.0;
                        let mut bursty = scenario.customers[0].clone();
                        bursty.arrivals = Arrivals::Bursty { pace, burst: 200.0 };
                        scenario.customers.push(bursty);
                    }
                    scenario
                })?;
                row.print(&format!("{what}, {load}"));
            }
        }
        Ok(())
    }

    fn fairness(&self) -> anyhow::Result<()> {
        heading("fairness %, load");
        for load in self.loads(&[0.2, 0.5, 0.8]) {
            for fairness in [0, 10, 25, 50, 100] {
                let row = self.mean(Class::Send, |seed| {
                    let scenario = Scenario::volunteers(seed, 100, load, hour_of(100, load));
                    let dispatch = DispatchPolicy::Adaptive { fairness };
                    Scenario { dispatch, is_audited: false, ..scenario }
                })?;
                row.print(&format!("{fairness}, {load}"));
            }
        }
        Ok(())
    }

    fn flood(&self) -> anyhow::Result<()> {
        heading("flood, load");
        for load in self.loads(&[0.2, 0.8]) {
            // The time in which the requests come that do not count.
            let warm_up_s = f64::from(self.requests / 2) / f64::from(hour_of(1000, load)) * 3600.0;
            for (when, first_s) in [("none", None), ("at the start", Some(1.0)), ("later", Some(warm_up_s))] {
                let row = self.mean(Class::Send, |seed| {
                    let mut scenario = self.adaptive(seed, 1000, load);
                    scenario.fleet.flood =
                        first_s.map(|_| Flood { first_s, every_s: 1e6, ids: 10_000, stay_s: 1e6 });
                    scenario
                })?;
                row.print(&format!("{when}, {load}"));
            }
        }
        Ok(())
    }

    fn withholders(&self) -> anyhow::Result<()> {
        heading("share, load of the honest");
        for load in self.loads(&[0.2, 0.5, 0.8]) {
            for share in [0.0, 0.3] {
                let row = self.mean(Class::Send, |seed| {
                    // What is asked is a share of all rates, those of withholders as well.
                    let mut scenario = self.adaptive(seed, 1000, load * (1.0 - share));
                    scenario.fleet.characters =
                        vec![(Character::Honest, 1.0 - share), (Character::Withholder, share)];
                    scenario
                })?;
                row.print(&format!("{share}, {load}"));
            }
        }
        Ok(())
    }
}

/// Sends that so many workers are asked for in an hour, about.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
fn hour_of(workers: u32, load: f64) -> u32 {
    // 0.37 GH/s each on average.
    (3600.0 * load * f64::from(workers) * 0.37e9 / Class::Send.hashes()) as u32
}

fn heading(first: &str) {
    println!(
        "| {first} | p50 s | p95 s | p99 s | messages | changes | efficiency | fairness | answered | of capacity | to flood |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
}

fn add(mean: &mut Row, report: &Report, class: Class, part: f64) {
    let seconds =
        |share| report.classes[&class].quantile(share).map_or(f64::INFINITY, |time| time.as_secs_f64());
    mean.p50 += part * seconds(0.5);
    mean.p95 += part * seconds(0.95);
    mean.p99 += part * seconds(0.99);
    mean.messages += part * report.messages_per_work;
    mean.changes += part * report.changes_per_work;
    mean.efficiency += part * report.efficiency;
    mean.fairness += part * report.fairness.unwrap_or(0.0);
    mean.served += part * report.served_over_offered;
    mean.capacity += part * report.served_over_capacity;
    mean.flood += part * report.flood_share;
}

impl Row {
    fn print(&self, first: &str) {
        println!(
            "| {first} | {:.4} | {:.3} | {:.3} | {:.1} | {:.1} | {:.3} | {:.3} | {:.4} | {:.3} | {:.4} |",
            self.p50,
            self.p95,
            self.p99,
            self.messages,
            self.changes,
            self.efficiency,
            self.fairness,
            self.served,
            self.capacity,
            self.flood
        );
    }
}
