//! How the programs of `DPoW` read their configuration and set up tracing.

pub mod layers;
pub mod telemetry;

pub use layers::{ConfigError, Sources, load};
pub use telemetry::{LogFormat, Telemetry, TelemetryError};
