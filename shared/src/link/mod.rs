//! What every program needs that keeps a connection to the gate: where it is, how long to wait before the next attempt,
//! and from where others may come.

use std::time::Duration;

mod backoff;
mod prefix;
mod server;

pub use backoff::Backoff;
pub use prefix::{AddressPrefix, BadAddressPrefix};
pub use server::{BadServer, Server};

/// How often a client must be heard: the server drops one that is silent for one and a half of this.
pub const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long connecting, and each write, may take.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest packet that a client reads, in bytes: a list as JSON, which is the largest downlink payload, its topic and header. A
/// larger one ends the connection.
pub const INCOMING_MAX: usize = 8 * 1024;
/// Largest packet that a client writes, in bytes: an uplink payload of 1 KiB, its topic and header.
pub const OUTGOING_MAX: usize = 2 * 1024;
