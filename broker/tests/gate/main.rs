//! The gate from outside: clients that behave, clients that do not, and the coordinator's end of the bus.

mod harness;
mod sessions;
