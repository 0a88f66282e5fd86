//! The suite that all stores pass, on a cluster of three nodes.

use super::fixture::cluster;
use crate::store::conformance::conformance;

conformance!(match cluster().await {
    Some(store) => ((), store),
    None => return,
});
