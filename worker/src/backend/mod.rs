//! How nonces are searched: what a device offers, and each kind of device in a folder of its own.

mod blake2b;
pub mod cpu;
mod device;
pub mod opencl;

use device::rate;
pub use device::{Device, Found, Search, measure};
