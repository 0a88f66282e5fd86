//! The section `dispatch`, and `pricing`: the market's rules.

use std::num::NonZeroUsize;

use marketplace::dispatch::DispatchPolicy;
use marketplace::{Policy, Pricing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::pow::{BadMultiplier, Multiplier};

use super::Settings;

/// The section `dispatch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dispatch {
    /// By which rule workers are chosen.
    pub policy: DispatchName,
    /// To how many workers `fastest_k` offers a job.
    #[schemars(extend("unit" = "workers"))]
    pub k: NonZeroUsize,
    /// How much fairness between workers counts beside latency for `adaptive`: at 0 whoever is fast and near earns, at 100 everybody
    /// earns in proportion to its rate, and requests cost more messages and hashes. At most 100.
    #[schemars(extend("unit" = "percent"))]
    pub fairness: u8,
}

/// The rules by which workers are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DispatchName {
    /// Every job to every worker.
    Broadcast,
    /// Every job to the `k` fastest of the workers with the shortest lists.
    FastestK,
    /// Every job to as many workers as it is worth, by their measured rates and round trips and by the load.
    Adaptive,
}

/// The rules by which works are priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PricingName {
    /// In proportion to the expected hashes.
    Proportional,
    /// One credit for anything up to a send, which makes workers prefer receives.
    Flat,
}

impl Settings {
    /// The market's rules.
    ///
    /// # Errors
    /// [`BadMultiplier`] when `limits.multiplier_max` is not above zero.
    pub fn policy(&self) -> Result<Policy, BadMultiplier> {
        let dispatch = match self.dispatch.policy {
            DispatchName::Broadcast => DispatchPolicy::Broadcast,
            DispatchName::FastestK => DispatchPolicy::FastestK { k: self.dispatch.k },
            DispatchName::Adaptive => DispatchPolicy::Adaptive { fairness: self.dispatch.fairness },
        };
        let pricing = match self.pricing {
            PricingName::Proportional => Pricing::Proportional,
            PricingName::Flat => Pricing::Flat,
        };
        let multiplier_max = Multiplier::try_new(self.limits.multiplier_max)?;
        Ok(Policy {
            pricing,
            open_per_service_max: self.limits.open_per_service.get(),
            unpaid_max: self.limits.unpaid_max(self.network),
            ..Policy::of_network(self.network, multiplier_max, dispatch)
        })
    }
}
