//! What only this store promises, and the suite that all stores pass, alone and in a cluster.

mod cluster_suite;
mod fixture;
mod standalone_suite;

pub(in crate::store) use self::fixture::{cluster, standalone};
