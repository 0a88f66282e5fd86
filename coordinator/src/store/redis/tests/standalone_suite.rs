//! The suite that all stores pass, on one server.

use super::fixture::standalone;
use crate::store::conformance::conformance;

conformance!(match standalone().await {
    Some(store) => ((), store),
    None => return,
});
