//! The words that every part of DPoW shares: the mathematics of Nano work, accounts, integer money, identifiers,
//! reasons for refusal, and the messages that travel over MQTT.
//!
//! Always: nothing here reads a clock, a file, a socket or a random number.

pub mod account;
pub mod credits;
pub mod ids;
pub mod link;
pub mod network;
pub mod outcome;
pub mod pow;
pub mod protocol;
pub mod refusal;
mod text_form;
pub mod time;

pub use account::Account;
pub use credits::Millicredits;
pub use ids::{HoldId, JobId, KeyId, Payee, RequestId, ServiceId, SessionId, TransferId, WorkerId};
pub use network::Network;
pub use outcome::{Answer, Outcome, WorkSource};
pub use refusal::Refusal;
pub use time::Timestamp;
