//! What only this store promises, and the suite that all stores pass, alone and in a cluster.

mod cluster;
mod fixture;
mod standalone;
