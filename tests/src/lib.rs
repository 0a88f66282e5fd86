//! What the end-to-end tests need: the real programs as child processes, and clients that know nothing of their insides.
//!
//! Always: a wait ends with its condition or with [`PATIENCE`], never with a sleep; everything listens on loopback, on ports
//! that the system chooses; a process that was started ends with the value that holds it, and then shows what it has printed,
//! which the test harness keeps to itself unless the test fails.

mod bookkeeper;
mod bridge_process;
pub mod fake_node;
mod foreign;
mod home;
mod http;
mod journal;
mod kills;
mod mqtt;
mod node_stand_in;
pub mod oracle;
mod process;
mod program;
mod raw_worker;
mod redis_server;
mod server;
mod siege;
mod tool;
mod worker_process;

use std::env;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

pub use bookkeeper::{Bookkeeper, Summary};
pub use bridge_process::BridgeProcess;
pub use fake_node::FakeNode;
pub use foreign::{Dialect, Library};
pub use home::{Balance, Home, Service};
pub use http::{Answer, Http, Reply};
pub use journal::{Journal, Replay, Settlement};
pub use kills::{Kills, Moment, any_moment};
pub use mqtt::{Delivery, Mqtt};
pub use node_stand_in::NodeJob;
pub use process::{Finished, Line, Process, Signal, Stream, run};
pub use program::{Program, program};
pub use raw_worker::RawWorker;
pub use redis_server::{RedisServer, Sync};
pub use server::Server;
pub use siege::Siege;
pub use tool::{Tool, say, shell};
pub use worker_process::{WorkerProcess, account};

use shared::Network;
use shared::pow::Root;

/// How long anything is waited for before the test has failed. Far more than a busy machine needs.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// The network of all tests: its thresholds take a few hundred hashes.
pub const NETWORK: Network = Network::Dev;

/// What random choices of a run begin with: the number in `DPOW_SEED`, to have a run again, else a new one.
///
/// # Errors
/// When that is no number.
pub fn seed() -> anyhow::Result<u64> {
    Ok(match env::var("DPOW_SEED") {
        Ok(text) => text.parse()?,
        Err(_) => RandomState::new().hash_one(()),
    })
}

/// A root that no other number gives.
pub fn root(number: u64) -> Root {
    let mut bytes = [0xd9; 32];
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    Root::new(bytes)
}
