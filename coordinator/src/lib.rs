//! The coordinator: the shell round the market. It owns the clock, the store, the gate and the HTTP edge, and moves inputs and
//! effects between them.

mod administration;
pub mod all_in_one;
mod answer;
mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod coordinator;
mod driver;
mod entropy;
mod export;
mod health;
pub mod home;
mod intake;
mod ledger_link;
mod metrics;
mod node;
mod practice;
mod request_log;
mod sessions;
mod snapshot;
pub mod store;

pub use driver::DriverError;
