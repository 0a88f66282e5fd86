//! How the programs of `DPoW` read their configuration and set up tracing.
//!
//! A program's settings are plain structs. Their documentation comments are what the operator reads: from them come the
//! commented file, the reference in `docs/config.md`, the list of keys there are, and what is said about a wrong value.
//!
//! ```
//! use config::{Configuration, Invalid};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     /// Where it listens.
//!     #[schemars(extend("form" = "a port", "flag" = "--port"))]
//!     port: u16,
//! }
//!
//! impl Default for Settings {
//!     fn default() -> Self {
//!         Self { port: 5030 }
//!     }
//! }
//!
//! impl Configuration for Settings {
//!     const PROGRAM: &'static str = "app";
//!     const PREFIX: &'static str = "APP";
//! }
//!
//! let flags = serde_json::json!({ "port": null });
//! let loaded = config::load::<Settings>(None, [("APP_PORT".into(), "12345".into())], &flags)?;
//! assert_eq!(loaded.settings.port, 12345);
//!
//! let problems = config::load::<Settings>(None, [("APP_PROT".into(), "1".into())], &flags).err().unwrap();
//! let sentence = "unknown key `prot` in the environment variable APP_PROT: did you mean APP_PORT?";
//! assert_eq!(problems.to_string(), sentence);
//! # Ok::<(), config::Problems>(())
//! ```

pub mod command;
mod document;
mod layers;
mod load;
pub mod problem;
pub mod reference;
pub mod secret;
mod secret_file;
mod suggestion;
pub mod telemetry;

pub use command::Command;
pub use load::{Configuration, Loaded, load};
pub use problem::{Invalid, Problem, Problems};
pub use reference::Reference;
pub use secret::Secret;
pub use telemetry::{LogFlags, LogFormat, Telemetry, TelemetryError};
