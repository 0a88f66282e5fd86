//! What an operator may change while the market runs.

use serde::{Deserialize, Serialize};
use shared::credits::price;
use shared::pow::{Multiplier, Threshold};
use shared::{Millicredits, Network};

use crate::dispatch::DispatchPolicy;
use crate::limits::REQUESTS_OPEN_PER_SERVICE_MAX;
use crate::unpaid::UnpaidMax;

/// The rules for requests from now on. A change never touches the price of a request that was admitted before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The base send threshold, which costs one credit.
    pub base: Threshold,
    /// Below this no request is taken.
    pub threshold_min: Threshold,
    /// Above this no request is taken.
    pub threshold_max: Threshold,
    /// What a work costs.
    pub pricing: Pricing,
    /// Who is offered what.
    pub dispatch: DispatchPolicy,
    /// Most requests of one service without an outcome, so that one cannot take the room of all.
    pub open_per_service_max: usize,
    /// How much may be searched for one service in vain.
    pub unpaid_max: UnpaidMax,
    /// Hashes that one expected hash of a threshold stands for: 1 on every network. The simulator makes thresholds easier than
    /// they are outside, and says here by how much.
    pub hashes_per_hash: u32,
}

/// How the price follows from the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Pricing {
    /// By expected hashes: 1000 mc for a send, 16 mc for a receive.
    #[default]
    Proportional,
    /// One credit for everything up to a send; by expected hashes above it. Workers then prefer receives.
    Flat,
}

impl Policy {
    /// The rules of a network, with thresholds up to `multiplier_max` times its base, and no bound on what is searched in vain.
    pub fn of_network(network: Network, multiplier_max: Multiplier, dispatch: DispatchPolicy) -> Self {
        let base = network.send_threshold();
        Self {
            base,
            threshold_min: network.receive_threshold().min(base),
            threshold_max: multiplier_max.to_threshold(base).max(base),
            pricing: Pricing::Proportional,
            dispatch,
            open_per_service_max: REQUESTS_OPEN_PER_SERVICE_MAX,
            unpaid_max: UnpaidMax::NONE,
            hashes_per_hash: 1,
        }
    }

    /// Whether work at this threshold is sold.
    pub fn sells(&self, threshold: Threshold) -> bool {
        (self.threshold_min..=self.threshold_max).contains(&threshold)
    }

    /// Mean number of hashes that a search for this threshold takes.
    pub fn hashes(&self, threshold: Threshold) -> f64 {
        threshold.expected_hashes() * f64::from(self.hashes_per_hash)
    }

    /// What work at this threshold costs.
    pub fn price(&self, threshold: Threshold) -> Millicredits {
        match self.pricing {
            Pricing::Flat if threshold <= self.base => Millicredits::CREDIT,
            Pricing::Flat | Pricing::Proportional => price(threshold, self.base),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_sells_from_receive_to_eight_times_send() {
        let policy =
            Policy::of_network(Network::Live, Multiplier::try_new(8.0).unwrap(), DispatchPolicy::Broadcast);
        for (threshold, sold) in [
            (0xffff_fdff_ffff_ffff, false),
            (0xffff_fe00_0000_0000, true),
            (0xffff_fff8_0000_0000, true),
            (0xffff_ffff_0000_0000, true),
            (0xffff_ffff_0000_0001, false),
            (0, false),
            (u64::MAX, false),
        ] {
            assert_eq!(policy.sells(Threshold::new(threshold)), sold, "{threshold:x}");
        }
        assert_eq!(policy.price(policy.threshold_max), Millicredits::new(8000));
        let flat = Policy { pricing: Pricing::Flat, ..policy };
        assert_eq!(flat.price(policy.threshold_min), Millicredits::CREDIT);
        assert_eq!(flat.price(policy.threshold_max), Millicredits::new(8000));
    }
}
