//! What every program needs that keeps a connection to the gate: where it is, how long to wait before the next attempt,
//! and from where others may come.

mod backoff;
mod prefix;
mod server;

pub use backoff::Backoff;
pub use prefix::{AddressPrefix, BadAddressPrefix};
pub use server::{BadServer, Server};
