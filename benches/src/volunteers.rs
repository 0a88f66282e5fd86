//! The simulator's volunteers, for workers that only take as long as these would: how fast each is, and how far away.

use std::time::Duration;

use marketplace::sim::{Class, Scenario, population};
use shared::Network;

/// A worker that searches on paper.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Volunteer {
    /// Hashes a second, at a threshold that is easier by [`scale`].
    pub rate: f64,
    /// One way between it and the coordinator.
    pub delay: Duration,
}

/// By how much a send of the network `dev` is easier than one of the simulator: with rates smaller by as much, everything takes equally
/// long, and a nonce is found in no time.
pub fn scale() -> f64 {
    Network::Dev.send_threshold().expected_hashes() / Class::Send.hashes()
}

/// Those of the simulator's run with this seed.
pub fn volunteers(seed: u64, count: u32) -> Vec<Volunteer> {
    let population = population(&Scenario::volunteers(seed, count, 1.0, 1));
    population.into_iter().map(|(rate, delay)| Volunteer { rate: rate * scale(), delay }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volunteers_are_as_fast_and_as_far_as_the_simulators() {
        let volunteers = volunteers(3, 1000);
        assert_eq!(volunteers.len(), 1000);
        for Volunteer { rate, delay } in volunteers {
            assert!((5e6 * scale()..3e9 * scale()).contains(&rate), "{rate}");
            assert!((Duration::from_millis(10)..=Duration::from_millis(125)).contains(&delay), "{delay:?}");
        }
    }
}
