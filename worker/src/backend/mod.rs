//! How nonces are searched: what a device offers, and each kind of device in a folder of its own.

pub mod cpu;
mod device;
pub mod opencl;

pub use device::{Device, Found, Search, measure};
