//! What a run is made of: everything that decides it, in one value that can be written down.

use core::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::class::Class;
use super::random::Random;
use crate::dispatch::DispatchPolicy;

/// One run. The same scenario gives the same run, byte for byte.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// Who is offered what.
    pub dispatch: DispatchPolicy,
    /// What workers do with what they are sent.
    pub clients: Clients,
    /// Who works.
    pub fleet: Fleet,
    /// What is between workers and the coordinator.
    pub wire: Wire,
    /// The ledger's store.
    pub store: StoreModel,
    /// Who asks.
    pub customers: Vec<Customer>,
    /// What all that ask by themselves want together, as a share of the sum of all workers' rates; their own paces are then
    /// only proportions. `None` takes the paces as they stand.
    pub load: Option<f64>,
    /// What operators and the machine do.
    pub mischief: Mischief,
    /// Requests before the first that counts.
    pub warm_up: u32,
    /// Requests that count.
    pub measured: u32,
    /// Whether requests go on coming, uncounted, until the last that counts has its outcome.
    pub lingers: bool,
    /// Whether the auditor looks at every event.
    pub is_audited: bool,
}

/// What workers do with what they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clients {
    /// Each has the list that it was sent last, of at most eight jobs.
    Native(Order),
    /// The clients of the original network: every job is sent to each of them and cancelled at each of them, and each has a
    /// queue of its own, of any length. Nothing is lost on the way. The policy does not matter.
    Original(Order),
}

/// Which of its jobs a client does next. It does not leave a job that it has begun as long as it has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// As listed; and what is listed first is begun at once.
    Listed,
    /// Any.
    Random,
    /// The oldest.
    Fifo,
}

/// Who works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// How many.
    pub workers: u32,
    /// How fast they are.
    pub rates: Vec<RateGroup>,
    /// One-way delay of each, the same all the time, in milliseconds.
    pub delay_ms: Span,
    /// By how much the rates that they announce are wrong: the standard deviation of the natural logarithm of the factor.
    pub announced_sigma: f64,
    /// Jobs that each wants on its list.
    pub capacity: u8,
    /// What they are like, with weights.
    pub characters: Vec<(Character, f64)>,
    /// How they come and go; `None` when they stay.
    pub churn: Option<Churn>,
    /// Many new ids at once; `None` when there are none.
    pub flood: Option<Flood>,
}

/// A part of the workers. Log-uniform in rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateGroup {
    /// Weight beside the other groups.
    pub share: f64,
    /// Slowest and fastest, in hashes a second.
    pub rate: Span,
}

/// A range of numbers, both ends in it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Lowest.
    pub low: f64,
    /// Highest.
    pub high: f64,
}

/// What a worker is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Character {
    /// Does what it is told.
    Honest,
    /// Stops working now and then, some seconds long, without saying so.
    Sleeper,
    /// Says so when it pauses, and changes what it is willing to do.
    Moody,
    /// Searches, finds, and never sends a result.
    Withholder,
    /// Sends nonces that meet nothing, for roots that it was never given, and for jobs that never were; announces a rate that
    /// it does not have.
    Liar,
}

/// How workers come and go.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// Mean time connected, in seconds.
    pub connected_s: f64,
    /// Mean time away, in seconds.
    pub away_s: f64,
    /// How often one comes back before the coordinator has heard that it was gone.
    pub takeover: f64,
}

/// Many new worker ids at once, that announce great rates and do nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flood {
    /// When the first one comes, in seconds; `None` for after as long as between two.
    pub first_s: Option<f64>,
    /// Mean time between two, in seconds.
    pub every_s: f64,
    /// How many ids at a time.
    pub ids: u32,
    /// How long they stay, in seconds.
    pub stay_s: f64,
}

/// What is between workers and the coordinator, besides each worker's delay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wire {
    /// How often a message is lost.
    pub loss: f64,
    /// How often it arrives twice.
    pub duplication: f64,
    /// Up to so much more delay for each message, in milliseconds: they overtake each other.
    pub jitter_ms: f64,
}

/// The ledger's store.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreModel {
    /// Time to the store, and the same again back, in milliseconds. Verbs overtake each other unless both ends are equal.
    pub delay_ms: Span,
    /// How often an answer is lost.
    pub loss: f64,
    /// How often an answer arrives twice.
    pub duplication: f64,
    /// When it is away; `None` when it never is.
    pub outage: Option<Outage>,
    /// What each service has been given, in credits.
    pub granted: u64,
    /// What each service has bought, in credits.
    pub paid: u64,
}

/// When the store is away. What reaches it then is lost, or is done and its answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// Mean time between two, in seconds.
    pub every_s: f64,
    /// Mean time that it lasts, in seconds.
    pub lasts_s: f64,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    /// When it asks.
    pub arrivals: Arrivals,
    /// For what, with weights.
    pub mix: Vec<(Class, f64)>,
    /// How long a request may take, in milliseconds.
    pub timeout_ms: Span,
    /// How often a caller hangs up, or a service withdraws, before it has its answer.
    pub impatience: f64,
    /// How often it asks for a root that was asked for before, by itself or another service.
    pub known_root: f64,
    /// How often it asks with a request id that it has used before.
    pub known_id: f64,
    /// How often it asks for what is not sold.
    pub odd: f64,
    /// How often it asks for what may go behind everything on demand.
    pub behind: f64,
}

/// When a service asks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Arrivals {
    /// Independently, so often a second.
    Poisson {
        /// Requests a second.
        pace: f64,
    },
    /// In bursts, whose sizes are geometric.
    Bursty {
        /// Requests a second.
        pace: f64,
        /// Mean size of a burst.
        burst: f64,
    },
    /// So many callers, each of which asks, waits for its answer, thinks, and asks again.
    ClosedLoop {
        /// How many.
        callers: u32,
        /// Mean time to think, in milliseconds.
        think_ms: f64,
    },
}

/// What operators and the machine do. Each is a mean time between two such events in seconds; `None` for never.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mischief {
    /// The driver's clock jumps, to either side, by up to an hour forwards and a minute backwards.
    pub clock_jump_s: Option<f64>,
    /// The operator changes prices, or who is offered what.
    pub policy_change_s: Option<f64>,
    /// The operator suspends a service, and lets it go on after a while.
    pub suspension_s: Option<f64>,
    /// An audit finds something wrong with the ledger, and the next one does not.
    pub red_audit_s: Option<f64>,
    /// The coordinator crashes and starts again with what the store has.
    pub crash_s: Option<f64>,
    /// At the end, the coordinator is told to stop and has this long to finish.
    pub drain_s: Option<f64>,
}

impl Span {
    /// Both ends.
    pub const fn new(low: f64, high: f64) -> Self {
        Self { low, high }
    }

    /// One number.
    pub const fn exactly(value: f64) -> Self {
        Self::new(value, value)
    }

    pub(super) fn draw(self, random: &mut Random) -> f64 {
        random.uniform(self.low, self.high)
    }
}

impl Character {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Honest, Self::Sleeper, Self::Moody, Self::Withholder, Self::Liar];
}

impl Scenario {
    /// A population of volunteers: 70 % have 5 to 60 MH/s, 30 % have 0.3 to 3 GH/s; one-way delays are 10 to 125 ms. Four
    /// services ask for sends, independently. Nothing fails. Half as many requests go before the first that counts.
    ///
    /// It is the population of the yardsticks in `docs/simulator.md`.
    pub fn volunteers(seed: u64, workers: u32, load: f64, measured: u32) -> Self {
        let customer = Customer {
            arrivals: Arrivals::Poisson { pace: 1.0 },
            mix: vec![(Class::Send, 1.0)],
            timeout_ms: Span::exactly(120_000.0),
            impatience: 0.0,
            known_root: 0.0,
            known_id: 0.0,
            odd: 0.0,
            behind: 0.0,
        };
        Self {
            seed,
            dispatch: DispatchPolicy::FastestK { k: NonZeroUsize::MIN.saturating_add(7) },
            clients: Clients::Native(Order::Listed),
            fleet: Fleet {
                workers,
                rates: vec![
                    RateGroup { share: 0.7, rate: Span::new(5e6, 60e6) },
                    RateGroup { share: 0.3, rate: Span::new(0.3e9, 3e9) },
                ],
                delay_ms: Span::new(10.0, 125.0),
                announced_sigma: 0.0,
                capacity: 8,
                characters: vec![(Character::Honest, 1.0)],
                churn: None,
                flood: None,
            },
            wire: Wire { loss: 0.0, duplication: 0.0, jitter_ms: 0.0 },
            store: StoreModel {
                delay_ms: Span::exactly(0.0),
                loss: 0.0,
                duplication: 0.0,
                outage: None,
                granted: 0,
                paid: 1_000_000_000,
            },
            customers: vec![customer; 4],
            load: Some(load),
            mischief: Mischief::default(),
            warm_up: measured / 2,
            measured,
            lingers: true,
            is_audited: true,
        }
    }

    /// A small market in which anything may go wrong, drawn from its seed.
    pub fn faults(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0xfa17_0000_0000_0000);
        let most = if random.chance(0.15) { 2 } else { 24 };
        let workers = 1 + u32::try_from(random.below(most)).unwrap_or(0);
        let dispatch = any_dispatch(&mut random);
        let base = Self::volunteers(seed, workers, 1.0, 0);
        let order = *random
            .pick(&[Order::Listed, Order::Listed, Order::Random, Order::Fifo])
            .unwrap_or(&Order::Listed);
        let original = random.chance(0.1);
        Self {
            dispatch,
            clients: if original { Clients::Original(order) } else { Clients::Native(order) },
            fleet: faulty_fleet(base.fleet, &mut random),
            wire: Wire {
                loss: sometimes(&mut random, 0.1),
                duplication: sometimes(&mut random, 0.2),
                jitter_ms: sometimes(&mut random, 200.0),
            },
            store: StoreModel {
                delay_ms: Span::new(0.0, sometimes(&mut random, 3000.0)),
                loss: sometimes(&mut random, 0.2),
                duplication: sometimes(&mut random, 0.3),
                outage: random.chance(0.5).then(|| Outage {
                    every_s: random.uniform(5.0, 60.0),
                    lasts_s: random.uniform(0.5, 20.0),
                }),
                granted: u64::try_from(random.below(40)).unwrap_or(0),
                paid: u64::try_from(random.below(200)).unwrap_or(0),
            },
            customers: (0..=random.below(4)).map(|_| faulty_customer(&mut random)).collect(),
            load: random.chance(0.5).then(|| random.uniform(0.05, 3.0)),
            mischief: Mischief {
                clock_jump_s: random.chance(0.3).then(|| random.uniform(5.0, 60.0)),
                policy_change_s: random.chance(0.3).then(|| random.uniform(2.0, 30.0)),
                suspension_s: random.chance(0.3).then(|| random.uniform(5.0, 60.0)),
                red_audit_s: random.chance(0.2).then(|| random.uniform(5.0, 60.0)),
                crash_s: random.chance(0.25).then(|| random.uniform(10.0, 90.0)),
                drain_s: random.chance(0.3).then(|| random.uniform(0.0, 20.0)),
            },
            warm_up: 0,
            measured: 40 + u32::try_from(random.below(260)).unwrap_or(0),
            lingers: false,
            ..base
        }
    }
}

/// Any way to share jobs out, mostly the one that is meant for all loads.
pub(super) fn any_dispatch(random: &mut Random) -> DispatchPolicy {
    match random.below(5) {
        0 => DispatchPolicy::Broadcast,
        1 => DispatchPolicy::FastestK { k: NonZeroUsize::MIN.saturating_add(random.below(6)) },
        2 => DispatchPolicy::Adaptive { fairness: u8::try_from(random.below(101)).unwrap_or(100) },
        _ => DispatchPolicy::Adaptive { fairness: 0 },
    }
}

/// Zero half of the time, else up to `most`.
fn sometimes(random: &mut Random, most: f64) -> f64 {
    if random.chance(0.5) { random.uniform(0.0, most) } else { 0.0 }
}

fn faulty_fleet(fleet: Fleet, random: &mut Random) -> Fleet {
    Fleet {
        delay_ms: Span::new(0.0, random.uniform(1.0, 300.0)),
        announced_sigma: sometimes(random, 2.0),
        capacity: 1 + u8::try_from(random.below(8)).unwrap_or(0),
        characters: Character::ALL
            .map(|character| match character {
                Character::Honest => (character, 1.0),
                _ => (character, sometimes(random, 0.6)),
            })
            .into(),
        churn: random.chance(0.6).then(|| Churn {
            connected_s: random.uniform(1.0, 60.0),
            away_s: random.log_uniform(0.1, 100.0),
            takeover: sometimes(random, 0.5),
        }),
        flood: random.chance(0.3).then(|| Flood {
            first_s: None,
            every_s: random.uniform(5.0, 60.0),
            ids: 1 + u32::try_from(random.below(60)).unwrap_or(0),
            stay_s: random.uniform(0.1, 10.0),
        }),
        ..fleet
    }
}

fn faulty_customer(random: &mut Random) -> Customer {
    let pace = random.log_uniform(0.5, 30.0);
    Customer {
        arrivals: match random.below(3) {
            0 => Arrivals::Poisson { pace },
            1 => Arrivals::Bursty { pace, burst: random.uniform(2.0, 30.0) },
            _ => Arrivals::ClosedLoop {
                callers: 1 + u32::try_from(random.below(12)).unwrap_or(0),
                think_ms: random.uniform(0.0, 2000.0),
            },
        },
        mix: vec![
            (Class::Receive, 0.2 + random.unit()),
            (Class::Send, random.unit()),
            (Class::Raised, 0.05 * random.unit()),
        ],
        timeout_ms: Span::new(random.uniform(1.0, 2000.0), random.uniform(2000.0, 40_000.0)),
        impatience: sometimes(random, 0.3),
        known_root: sometimes(random, 0.6),
        known_id: sometimes(random, 0.3),
        odd: sometimes(random, 0.05),
        behind: sometimes(random, 0.5),
    }
}
