//! The version of the wire protocol, apart from the version of the programs.

/// First byte of every binary payload. A new field is a new version with its own structs; the one before stays understood.
pub const VERSION: u8 = 1;
