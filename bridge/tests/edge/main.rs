//! The HTTP edge as its clients see it, with a source that the tests command.

mod connections;
mod fake;
mod node_rpc;
mod operations;
mod rest;
mod validate;
