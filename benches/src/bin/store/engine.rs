//! The engines, and the stores on them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use benches::redis_server::RedisServer;
use coordinator::store::redis::{Access, RedisStore};
use coordinator::store::sqlite::SqliteStore;
use coordinator::store::{Answer, Store, Verb};
use serde::Serialize;
use shared::Network;

use crate::load::{Measured, Seller, run};
use crate::raw_redis::RawRedis;
use crate::{raw_sqlite, sales};

/// What keeps a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Engine {
    /// The embedded one: each commit is synced.
    Sqlite,
    /// Redis that syncs its log before each answer.
    RedisAlways,
    /// Redis that syncs its log once a second.
    RedisEverysec,
}

impl Engine {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Sqlite, Self::RedisAlways, Self::RedisEverysec];

    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite, FULL",
            Self::RedisAlways => "Redis, always",
            Self::RedisEverysec => "Redis, everysec",
        }
    }

    /// Measures a new ledger on it, or the engine alone.
    pub(crate) async fn measure(
        self,
        is_raw: bool,
        callers: usize,
        time: Duration,
        folder: &Path,
    ) -> anyhow::Result<Measured> {
        let folder = tempfile::tempdir_in(folder)?;
        let sync = match self {
            Self::Sqlite if is_raw => {
                let path = folder.path().join("raw.sqlite");
                return tokio::task::spawn_blocking(move || raw_sqlite::run(&path, callers, time)).await?;
            }
            Self::Sqlite => {
                let store = SqliteStore::open(&folder.path().join("ledger.sqlite"), Network::Dev)?;
                return run(StoreSeller::new(Arc::new(store)).await?, callers, time).await;
            }
            Self::RedisAlways => "always",
            Self::RedisEverysec => "everysec",
        };
        let server = RedisServer::start(folder.path(), sync)?;
        let access = Access {
            server: server.url().parse()?,
            network: Network::Dev,
            allows_unsafe: false,
            announces: false,
        };
        let store = RedisStore::open(&access, &folder.path().join("ledger-mark")).await?;
        let seller = StoreSeller::new(Arc::new(store)).await?;
        if is_raw {
            return run(RawRedis::open(server.url(), callers).await?, callers, time).await;
        }
        run(seller, callers, time).await
    }
}

/// A store under load.
struct StoreSeller(Arc<dyn Store>);

impl StoreSeller {
    async fn new(store: Arc<dyn Store>) -> anyhow::Result<Self> {
        let answers = store.execute(sales::start()?).await?;
        ensure!(answers.iter().all(|answer| *answer == Answer::Done), "the ledger cannot be made");
        Ok(Self(store))
    }
}

impl Seller for StoreSeller {
    async fn hold(&self, number: u64) -> anyhow::Result<()> {
        let answers = self.0.execute(vec![sales::hold(number)?]).await?;
        ensure!(matches!(answers[0], Answer::Held { .. }), "not held: {answers:?}");
        Ok(())
    }

    async fn settle(&self, number: u64) -> anyhow::Result<()> {
        let answers = self.0.execute(vec![Verb::Settle(sales::sale(number)?)]).await?;
        ensure!(matches!(answers[0], Answer::Settled { .. }), "not settled: {answers:?}");
        Ok(())
    }
}
