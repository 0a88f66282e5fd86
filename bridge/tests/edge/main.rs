//! The HTTP edge as its clients see it, with a source that the tests command.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

mod connections;
mod fake;
mod node_rpc;
mod operations;
mod precache;
mod rest;
mod validate;
