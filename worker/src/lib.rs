//! The worker: takes lists of jobs from a coordinator over MQTT, searches nonces, sends what it finds.
//!
//! [`Worker::run`] is all that a program needs. Inside, [`session`] decides (without I/O and clock), `link` talks MQTT, and
//! [`backend`] searches.

pub mod backend;
mod backoff;
mod data_directory;
mod entropy;
mod link;
mod secret;
mod server;
pub mod session;
mod worker;

pub use data_directory::{DataDirectory, DataDirectoryError};
pub use secret::{BadSecret, Secret};
pub use server::{BadServer, Server};
pub use worker::{Event, Settings, Worker, WorkerError, threshold_max_default};
