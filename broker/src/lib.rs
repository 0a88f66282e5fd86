//! The MQTT gate of `DPoW`: it owns the listener, speaks MQTT 3.1.1 and 5, knows who everybody is, and lets each session do what its
//! identity may and nothing else.
//!
//! Addressed messages travel between sessions and the coordinator over the [`bus`]. Topics that many watch go through the
//! router of rumqttd, which never sees a client, a client's topic or a client's filter.
//!
//! Always: no type of rumqttd is part of this interface.

pub mod bus;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod identity;

mod admission;
mod bounded;
mod bucket;
mod connect;
mod connection;
mod delivery;
mod direct;
mod directory;
mod ending;
mod gate;
mod handshake;
mod inbound;
mod limits;
mod listener;
mod login;
mod metrics;
mod monitor;
mod outbound;
mod packet;
mod penalty;
mod rights;
mod router;
mod session;
mod settings;
mod v311;
mod v5;
mod version;
pub mod websocket;

pub use gate::{Entrance, Gate, GateError};
pub use limits::{Limits, Rate};
pub use monitor::{GateDeath, GateMonitor};
pub use router::RouterError;
pub use settings::GateSettings;
