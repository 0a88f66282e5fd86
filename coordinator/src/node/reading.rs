//! Reading frontiers for what was missed: of accounts that are new, of all after each connection and now and then, and of those
//! whose news do not tell which block is the later one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::message::News;
use super::pause;
use super::rpc::{Client, RpcError};
use super::status::NodeState;
use super::watchlist::NextRead;

/// Accounts that are asked for in one call.
const ACCOUNTS_PER_CALL: usize = 500;

/// Reads from one node. Several share what is to be read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) client: Client,
    pub(super) news: Arc<News>,
    pub(super) state: NodeState,
    pub(super) every: Duration,
}

impl Reading {
    /// Reads for ever.
    pub(super) async fn run(self) {
        let mut rounds = interval(self.every);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failed = 0;
        loop {
            tokio::select! {
                _ = rounds.tick() => self.news.watchlist.read_all(),
                () = self.news.watchlist.more_to_read() => {}
            }
            while let Err(error) = self.read_what_there_is().await {
                if self.state.lost(error.to_string()) {
                    warn!(node.url = %self.client.endpoint, %error, "a Nano node cannot be read; trying again");
                }
                failed += 1;
                tokio::time::sleep(pause(failed)).await;
            }
            failed = 0;
        }
    }

    async fn read_what_there_is(&self) -> Result<(), RpcError> {
        while let Some(next) = self.news.watchlist.take_read(ACCOUNTS_PER_CALL) {
            let read = match &next {
                NextRead::Frontiers(accounts) => self.client.frontiers(accounts).await,
                NextRead::Height(account) => self.client.confirmed(*account).await.map(|one| vec![one]),
            };
            let frontiers = match (read, &next) {
                (Ok(frontiers), _) => frontiers,
                // It will not say anything else when it is asked again.
                (Err(RpcError::Refused(text)), NextRead::Height(account)) => {
                    debug!(work.account = %account, error = text, "a Nano node refuses to be asked for an account");
                    continue;
                }
                (Err(error), _) => {
                    self.news.watchlist.put_back(next);
                    return Err(error);
                }
            };
            if self.state.found() {
                info!(node.url = %self.client.endpoint, "reading frontiers from a Nano node");
            }
            for frontier in frontiers {
                self.news.tell(frontier).await;
            }
        }
        Ok(())
    }
}
