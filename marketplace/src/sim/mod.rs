//! The simulator: the real market in a world of its own, in which time is a number and chance has a seed.
//!
//! Services ask, workers search, a store keeps the ledger, messages take their time or are lost, and whatever can go wrong
//! does, as a [`Scenario`] says. An [`Auditor`] that knows nothing of the market's code checks every rule after every event. A
//! run ends in a [`Report`], or in a [`Failure`] that its seed reproduces byte for byte.
//!
//! Read it in this order: [`Scenario`] (what is modelled), `world` (what happens), `worker`, `original`, `store` (who acts),
//! [`auditor`] (what must hold), [`replay`] (how to look at a failure). `docs/simulator.md` says how to run it, what is not
//! modelled, and what figures came out.

mod agenda;
pub mod auditor;
mod class;
mod clock;
mod log;
mod original;
mod random;
pub mod replay;
mod report;
mod scenario;
mod search;
mod store;
mod worker;
mod world;

use core::fmt;

use thiserror::Error;

pub use self::auditor::{Auditor, Broken, Rule};
pub use self::class::Class;
pub use self::log::{Digest, Line};
pub use self::random::Random;
pub use self::report::{ClassReport, RefusalReport, Report};
pub use self::scenario::{
    Arrivals, Character, Churn, Clients, Customer, Fleet, Flood, Mischief, Order, Outage, RateGroup,
    Scenario, Span, StoreModel, Wire,
};
pub use self::store::StoreEvent;
pub use self::world::{Tamper, population};

use self::world::World;

/// A run in which a rule was broken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("seed {seed}: {broken}")]
pub struct Failure {
    /// The seed of its scenario.
    pub seed: u64,
    /// What was broken.
    pub broken: Broken,
}

/// Runs a scenario to its end.
///
/// # Errors
/// The first rule that the auditor finds broken.
pub fn simulate(scenario: &Scenario) -> Result<Report, Failure> {
    World::new(scenario, None, None).run()
}

/// Runs a scenario to its end and writes down everything that goes into the market, comes out of it and happens in its store,
/// one JSON [`Line`] each. What was written stays even if the market panics.
///
/// # Errors
/// The first rule that the auditor finds broken; it is the last line as well.
pub fn simulate_logged(scenario: &Scenario, log: &mut dyn fmt::Write) -> Result<Report, Failure> {
    World::new(scenario, Some(log), None).run()
}

/// Runs a scenario with a market whose effects are changed on their way out, to try whether the auditor finds it.
///
/// # Errors
/// The first rule that the auditor finds broken.
pub fn simulate_tampered(scenario: &Scenario, tamper: Tamper<'_>) -> Result<Report, Failure> {
    World::new(scenario, None, Some(tamper)).run()
}
