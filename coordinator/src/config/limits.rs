//! The section `limits`: bounds of what is sold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The hardest work that is sold.
    #[schemars(extend("unit" = "multiple of the base send threshold"))]
    pub multiplier_max: f64,
}
