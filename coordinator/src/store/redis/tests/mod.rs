//! What only this store promises, and the suite that all stores pass, alone and in a cluster.

mod cluster_suite;
mod disturbances;
mod fixture;
mod moving;
mod refusals;
mod sentinel;
mod standalone_suite;
mod takeover;

pub(in crate::store) use self::fixture::{cluster, standalone};
