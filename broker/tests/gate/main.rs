//! The gate from outside: clients that behave, clients that do not, and the coordinator's end of the bus.

#![expect(clippy::unwrap_used, reason = "what fails here is a failed test")]
#![expect(clippy::print_stdout, reason = "a failed test shows which case it was at")]

mod attacks;
mod bans;
mod foreign;
mod harness;
mod hostile;
mod limits;
mod logins;
mod metrics;
mod rights;
mod sessions;
mod v5;
mod watched;
mod websocket;
