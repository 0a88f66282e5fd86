//! The section `registration`: services that make themselves known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::Millicredits;

use super::Settings;
use crate::intake::registration::RegistrationTerms;

/// The section `registration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Whether whoever can reach the HTTP port may make a service known there, with `POST /v1/register`.
    pub enabled: bool,
    /// What it is given to begin with, once. What workers earn from that is never paid out.
    #[schemars(range(max = 1_000_000), extend("unit" = "credits"))]
    pub credits: u64,
    /// How many services make themselves known in a day (UTC), from one address at most; of IPv6, from one /64.
    #[schemars(extend("unit" = "services"))]
    pub per_address_per_day: u32,
    /// The same, from all addresses.
    #[schemars(extend("unit" = "services"))]
    pub per_day: u32,
}

impl Default for Registration {
    fn default() -> Self {
        Self { enabled: false, credits: 10, per_address_per_day: 1, per_day: 100 }
    }
}

impl Settings {
    /// On which terms services make themselves known; `None`: they do not.
    pub(crate) fn registration(&self) -> Option<RegistrationTerms> {
        let Registration { enabled, credits, per_address_per_day: per_address, per_day } = self.registration;
        let granted = Millicredits::from_credits(credits).unwrap_or_default();
        enabled.then_some(RegistrationTerms { granted, per_address, per_day })
    }
}
