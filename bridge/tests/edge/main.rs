//! The HTTP edge as its clients see it, with a source that the tests command.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

mod batch;
mod block;
mod connections;
mod detached;
mod fake;
mod hostile;
mod names;
mod node_rpc;
mod openapi;
mod operations;
mod own;
mod precache;
mod quota;
mod rest;
mod socket;
mod validate;
