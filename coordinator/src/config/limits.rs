//! The section `limits`: bounds of what is sold, and of what one service may ask for.

use std::num::{NonZeroU32, NonZeroUsize};

use marketplace::UnpaidMax;
use marketplace::limits::REQUESTS_OPEN_PER_SERVICE_MAX;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::Network;

use crate::intake::rates::Rate;

/// The section `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The hardest work that is sold.
    #[schemars(extend("unit" = "multiple of the base send threshold"))]
    pub multiplier_max: f64,
    /// How fast one service may go on asking, over HTTP and MQTT together. Asking again under an id that is open does not count.
    #[schemars(extend("unit" = "requests a second"))]
    pub requests_per_second: NonZeroU32,
    /// How many requests of one service may come at once before that holds.
    #[schemars(extend("unit" = "requests"))]
    pub burst: NonZeroU32,
    /// How many requests of one service may be open at a time.
    #[schemars(extend("unit" = "requests"))]
    pub open_per_service: NonZeroUsize,
    /// How much may be searched for one service in an hour, by expected hashes, and then not be paid because its requests expired or
    /// were withdrawn. What it has not used in an hour is lost.
    #[schemars(extend("unit" = "works at the base send threshold"))]
    pub unpaid_allowance: u32,
    /// How much more of that each work gives it which it does pay.
    #[schemars(extend("unit" = "percent of its expected hashes"))]
    pub unpaid_share: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let whole = |number: u32| NonZeroU32::MIN.saturating_add(number - 1);
        Self {
            multiplier_max: 8.0,
            requests_per_second: whole(1000),
            burst: whole(2000),
            open_per_service: NonZeroUsize::MIN.saturating_add(REQUESTS_OPEN_PER_SERVICE_MAX - 1),
            unpaid_allowance: 1_000,
            unpaid_share: 100,
        }
    }
}

impl Limits {
    /// How fast a service may ask.
    pub(crate) const fn rate(&self) -> Rate {
        Rate { per_second: self.requests_per_second, burst: self.burst }
    }

    /// How much may be searched for a service in vain.
    pub(crate) fn unpaid_max(&self, network: Network) -> UnpaidMax {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 2^64, and saturates"
        )]
        let each = network.send_threshold().expected_hashes() as u64;
        let allowance = each.saturating_mul(self.unpaid_allowance.into());
        UnpaidMax { share_percent: self.unpaid_share, allowance }
    }
}
