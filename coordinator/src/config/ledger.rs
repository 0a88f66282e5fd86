//! The sections `store` and `ledger`: where the ledger is kept, and when it is audited.

use std::time::Duration;

use config::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Settings;
use crate::store::Place;
use crate::store::redis::{Access, Server};

/// The section `store`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// The Redis server that keeps the ledger. Without one it is a file in the data directory. `redis://host:port/database`,
    /// `redis+unix:///path`, `redis+sentinel://host:port,host:port/master` or `redis+cluster://host:port,host:port`, with
    /// `user:password@` before the host where one is needed. See `docs/redis.md`.
    pub url: Option<Secret>,
    /// Whether a Redis server will do that could lose or drop credits: one that does not log every write, or drops keys when its
    /// memory is full.
    pub allow_unsafe: bool,
}

/// The section `ledger`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// How long after an audit the next one begins. 0: there is none, not even at the start.
    #[schemars(extend("unit" = "seconds"))]
    pub audit_interval_s: u64,
}

impl Settings {
    /// How a ledger's server is used.
    pub(crate) const fn access_to(&self, server: Server) -> Access {
        let (network, allows_unsafe) = (self.network, self.store.allow_unsafe);
        Access { server, network, allows_unsafe, announces: true }
    }

    /// Where the ledger is.
    pub fn ledger_place(&self) -> Place {
        // What cannot be read as a server was refused when the settings were.
        let server = self.store.url.as_ref().and_then(|url| url.expose().parse::<Server>().ok());
        match server {
            Some(server) => Place::server(&self.data_dir, self.access_to(server)),
            None => Place::embedded(&self.data_dir, self.network),
        }
    }

    /// How long after an audit of the ledger the next one begins; `None`: there is none.
    pub const fn audit_interval(&self) -> Option<Duration> {
        match self.ledger.audit_interval_s {
            0 => None,
            seconds => Some(Duration::from_secs(seconds)),
        }
    }
}
