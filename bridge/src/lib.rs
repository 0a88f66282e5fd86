//! The HTTP edge of DPoW.

pub mod source;
