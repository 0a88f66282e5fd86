//! What the instruments share: how a process is looked at, how figures are kept and printed, and the small clients.

pub mod coordinator;
pub mod figures;
pub mod fleet;
pub mod http;
pub mod machine;
pub mod mqtt;
pub mod process;
pub mod redis_server;
pub mod report;
pub mod socket;
pub mod volunteers;
