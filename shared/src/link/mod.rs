//! What every program needs that keeps a connection to the gate: where it is, and how long to wait before the next attempt.

mod backoff;
mod server;

pub use backoff::Backoff;
pub use server::{BadServer, Server};
