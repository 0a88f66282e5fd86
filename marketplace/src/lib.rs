//! The market: a state machine without I/O, clock or hidden randomness. Inputs go in one at a time with the present time;
//! everything that is to happen comes out as effects, in the order in which it is to be carried out.
//!
//! Read it in this order: [`Input`], [`Effect`], `requests` (the life of a request), `results` (what becomes of a nonce),
//! `board` and [`dispatch`] (who searches for what), [`ledger`] (what a settlement moves).
//!
//! Always: every caller of a request gets exactly one reply; every hold is settled once or released once; nothing is listed for
//! a worker that has left; a solution answers every waiter of its root whose threshold it meets; a waiter's end never touches
//! another waiter. `tests/market/properties.rs` holds these whatever happens, `tests/market/flow.rs` row by row.

mod answer_times;
mod board;
mod cache;
pub mod dispatch;
mod effect;
mod given;
mod input;
pub mod ledger;
pub mod limits;
mod market;
mod money;
mod policy;
pub mod precache;
mod requests;
mod results;
#[cfg(feature = "sim")]
pub mod sim;
mod spending;
mod timers;
mod unpaid;
mod workers;

pub use answer_times::WorkClass;
pub use board::{Board, Job, Worker};
pub use cache::Found;
pub use effect::{Effect, Effects, SettleOrder, Step};
pub use input::{Caller, Input, NamedAccounts, NewRequest, Prefetch, RequestKey, Withdrawal, WorkerReport};
pub use market::{Marketplace, Start};
pub use policy::{Policy, Pricing};
pub use spending::Spender;
pub use unpaid::UnpaidMax;
