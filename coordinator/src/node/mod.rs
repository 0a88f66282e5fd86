//! Nano nodes: which blocks of watched accounts are confirmed.
//!
//! | file | what |
//! |---|---|
//! | `endpoint` | where a node is |
//! | `watchlist` | which accounts are of interest, and which are to be read |
//! | `message` | what a node says, as a [`Frontier`](marketplace::precache::Frontier) |
//! | `feed` | confirmations over WebSocket, with a filter that follows the watchlist |
//! | `callback` | confirmations over HTTP, which nodes post |
//! | `rpc`, `reading` | frontiers over RPC, after each connection and now and then, for what was missed |
//! | `status` | what works and what does not |
//!
//! Always: a node can say what it likes; the market takes it for a hint on what is worth computing, and nothing else. What it says
//! of accounts that nobody watches ends here.

mod callback;
mod endpoint;
mod feed;
mod message;
mod reading;
mod rpc;
mod status;
mod watchlist;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use marketplace::precache::Frontier;
use shared::Network;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::clock::Clock;

pub(crate) use callback::is_path;
pub(crate) use endpoint::{BadEndpoint, Endpoint, Scheme};
pub(crate) use status::NodeDoor;
use status::NodeStatus;
pub(crate) use watchlist::Watchlist;

/// Frontiers that wait for the driver. When there are more, nothing more is read from nodes.
const WAITING_MAX: usize = 1024;

/// Where nodes are, and how they are listened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeSettings {
    /// Whose addresses nodes speak of.
    pub(crate) network: Network,
    /// Their RPC.
    pub(crate) rpc: Vec<Endpoint>,
    /// Their doors for WebSocket.
    pub(crate) websocket: Vec<Endpoint>,
    /// Where their callbacks are taken, if anywhere, and at which path.
    pub(crate) callback: Option<(SocketAddr, String)>,
    /// How often all frontiers are read.
    pub(crate) catch_up: Duration,
}

/// What listens to nodes.
#[derive(Debug)]
pub(crate) struct Nodes {
    /// How each of them is.
    status: NodeStatus,
    /// Whose blocks are watched for.
    pub(crate) watchlist: Watchlist,
    tasks: Vec<JoinHandle<()>>,
}

/// What of it an operator may look at.
#[derive(Debug, Clone)]
pub(crate) struct NodesView {
    /// How each node is.
    pub(crate) status: NodeStatus,
    /// Whose blocks are watched for.
    pub(crate) watchlist: Watchlist,
}

impl Nodes {
    /// A view of it as it is at any time.
    pub(crate) fn view(&self) -> NodesView {
        NodesView { status: self.status.clone(), watchlist: self.watchlist.clone() }
    }

    /// Begins to listen. What is of interest is told to the other end of the channel.
    ///
    /// # Errors
    /// When callbacks cannot be taken where they are to be.
    pub(crate) async fn start(
        settings: &NodeSettings,
        watchlist: Watchlist,
        clock: Clock,
    ) -> io::Result<(Self, mpsc::Receiver<Frontier>)> {
        let (frontiers, seen) = mpsc::channel(WAITING_MAX);
        let mut tasks = Vec::new();
        let listener = match &settings.callback {
            Some((address, path)) => Some((TcpListener::bind(address).await?, path.clone())),
            None => None,
        };
        let status = NodeStatus::default();
        let news =
            Arc::new(message::News { network: settings.network, watchlist: watchlist.clone(), frontiers });
        if let Some((listener, path)) = listener {
            status.set_callback(listener.local_addr()?);
            tasks.push(tokio::spawn(callback::serve(listener, path, Arc::clone(&news))));
        }
        for endpoint in &settings.websocket {
            let state = status.add(endpoint.to_string(), clock);
            let feed = feed::Feed { endpoint: endpoint.clone(), news: Arc::clone(&news), state };
            tasks.push(tokio::spawn(feed.run()));
        }
        for endpoint in &settings.rpc {
            let state = status.add(endpoint.to_string(), clock);
            let client = rpc::Client::new(endpoint.clone(), settings.network);
            let every = settings.catch_up;
            let reading = reading::Reading { client, news: Arc::clone(&news), state, every };
            tasks.push(tokio::spawn(reading.run()));
        }
        Ok((Self { status, watchlist, tasks }, seen))
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// How long to wait before the next attempt after this many failed ones: longer each time, up to half a minute, and never the
/// same for two that failed together.
fn pause(failed: u32) -> Duration {
    const SHORTEST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(30);
    let longest = SHORTEST.saturating_mul(1 << failed.min(10)).min(LONGEST);
    // Without random numbers nodes are merely asked at the same time.
    let dice = crate::entropy::bytes::<1>().map_or(255, |[dice]| dice);
    longest / 2 + longest / 2 * u32::from(dice) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_minute() {
        for (failed, longest_ms) in [(0, 250), (1, 500), (3, 2000), (7, 30_000), (u32::MAX, 30_000)] {
            let longest = Duration::from_millis(longest_ms);
            assert!((longest / 2..=longest).contains(&pause(failed)), "{failed}");
        }
    }
}
