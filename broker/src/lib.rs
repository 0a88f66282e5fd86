//! The MQTT gate of DPoW.

pub mod bus;
pub mod identity;
