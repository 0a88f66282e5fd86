//! The market in virtual time: with everything that may go wrong, and beside yardsticks.

mod auditor;
mod determinism;
mod dispatch;
mod faults;
mod yardstick;

/// Whether the long counts are wanted, as `./check --full` says.
#[expect(clippy::disallowed_methods, reason = "a test asks how long it may take; the core does not")]
fn is_full() -> bool {
    std::env::var("DPOW_FULL").is_ok()
}
