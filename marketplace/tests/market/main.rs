//! The market from outside: what goes in, and everything that comes out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod adaptive;
mod classes;
mod flow;
mod policy_change;
mod precache;
mod precache_accounts;
mod precache_properties;
mod properties;
mod results;
mod scene;
mod spending;
mod unpaid;
