//! Confirmations over WebSocket, with a filter that follows the watchlist.
//!
//! Blocks of the former kinds pass no filter of a node; they come as callbacks, or are read.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use shared::{Account, Network};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tracing::{debug, info, warn};

use super::endpoint::Endpoint;
use super::message::{BadMessage, Heard, News};
use super::pause;
use super::status::NodeState;
use super::watchlist::Change;
use crate::metrics::{self, Confirmed};

/// How long a connection, and the acknowledgement of a subscription, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a node is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(15);
/// After this long without a word a node is taken for gone.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Accounts that are named in one frame.
const ACCOUNTS_PER_FRAME: usize = 1000;
/// The id of our subscription.
const SUBSCRIPTION: &str = "dpow";

/// Listens to one node.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) endpoint: Endpoint,
    pub(super) news: Arc<News>,
    pub(super) state: NodeState,
}

/// Why a session has ended.
#[derive(Debug, Error)]
enum Ended {
    #[error("it cannot be connected to ({0})")]
    Connect(#[source] std::io::Error),
    #[error("the connection broke ({0})")]
    Broken(#[from] Box<tungstenite::Error>),
    #[error("it has not answered in time")]
    Silent,
    #[error("it has acknowledged something else than was asked for: is it a node's WebSocket?")]
    WrongAcknowledgement,
    #[error("it has closed the connection")]
    Closed,
}

impl From<tungstenite::Error> for Ended {
    fn from(error: tungstenite::Error) -> Self {
        Self::Broken(Box::new(error))
    }
}

type Socket = WebSocketStream<TcpStream>;

impl Feed {
    /// Listens for ever.
    pub(super) async fn run(self) {
        let mut failed = 0;
        loop {
            let connected = self.state.connections();
            let Err(ended) = self.session().await;
            // One that worked for a while is tried again soon.
            failed = if self.state.connections() > connected { 0 } else { failed + 1 };
            if self.state.lost(ended.to_string()) {
                warn!(node.url = %self.endpoint, error = %ended, "a Nano node's confirmations are lost; trying again");
            }
            tokio::time::sleep(pause(failed)).await;
        }
    }

    async fn session(&self) -> Result<std::convert::Infallible, Ended> {
        let connect = TcpStream::connect(self.endpoint.authority());
        let stream = timeout(PATIENCE, connect).await.map_err(|_| Ended::Silent)?.map_err(Ended::Connect)?;
        let handshake = tokio_tungstenite::client_async(self.endpoint.to_string(), stream);
        let (mut socket, _) = timeout(PATIENCE, handshake).await.map_err(|_| Ended::Silent)??;
        let mut changes = self.news.watchlist.changes();
        self.subscribe(&mut socket).await?;
        if self.state.found() {
            info!(node.url = %self.endpoint, "listening to a Nano node's confirmations");
        }
        // What was confirmed while nobody listened.
        self.news.watchlist.read_all();
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                frame = timeout_at(heard + SILENCE_MAX, socket.next()) => {
                    let frame = frame.map_err(|_| Ended::Silent)?.ok_or(Ended::Closed)??;
                    heard = Instant::now();
                    self.take(&frame).await;
                }
                change = changes.recv() => match change {
                    Ok(change) => self.update(&mut socket, &mut changes, change).await?,
                    // Too many at once: all of them anew.
                    Err(broadcast::error::RecvError::Lagged(_)) => self.subscribe(&mut socket).await?,
                    Err(broadcast::error::RecvError::Closed) => return Err(Ended::Closed),
                },
                _ = pings.tick() => socket.send(Message::text(r#"{"action":"ping"}"#)).await?,
            }
        }
    }

    /// Subscribes to all that are watched, and waits for the acknowledgement of the first of them.
    async fn subscribe(&self, socket: &mut Socket) -> Result<(), Ended> {
        let watched = self.news.watchlist.all();
        let mut parts = watched.chunks(ACCOUNTS_PER_FRAME);
        let call = json!({
            "action": "subscribe", "topic": "confirmation", "ack": true, "id": SUBSCRIPTION,
            "options": {
                // An empty list lets nothing through, and none would let everything through.
                "accounts": addresses(parts.next().unwrap_or_default(), self.news.network),
                "include_block": true,
                "include_sideband_info": true,
            },
        });
        socket.send(Message::text(call.to_string())).await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let frame = timeout_at(deadline, socket.next()).await.map_err(|_| Ended::Silent)?;
            match self.take(&frame.ok_or(Ended::Closed)??).await {
                Some((ack, id)) if ack == "subscribe" && id.as_deref() == Some(SUBSCRIPTION) => break,
                Some((ack, _)) if ack != "pong" => return Err(Ended::WrongAcknowledgement),
                _ => {}
            }
        }
        for part in parts {
            self.send_update(socket, part, &[]).await?;
        }
        Ok(())
    }

    /// Tells the node of a change, and of all that have come meanwhile.
    async fn update(
        &self,
        socket: &mut Socket,
        changes: &mut broadcast::Receiver<Change>,
        first: Change,
    ) -> Result<(), Ended> {
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(Change { account, .. }) = next {
            // As it is by now, whatever it has been since.
            if self.news.watchlist.contains(account) {
                added.push(account);
            } else {
                removed.push(account);
            }
            let has_room = added.len() + removed.len() < ACCOUNTS_PER_FRAME;
            next = if has_room { changes.try_recv().ok() } else { None };
        }
        self.send_update(socket, &added, &removed).await
    }

    async fn send_update(
        &self,
        socket: &mut Socket,
        added: &[Account],
        removed: &[Account],
    ) -> Result<(), Ended> {
        let network = self.news.network;
        let (added, removed) = (addresses(added, network), addresses(removed, network));
        let options = json!({ "accounts_add": added, "accounts_del": removed });
        let call = json!({ "action": "update", "topic": "confirmation", "options": options });
        Ok(socket.send(Message::text(call.to_string())).await?)
    }

    /// Takes in a frame; returns what it acknowledges.
    async fn take(&self, frame: &Message) -> Option<(String, Option<String>)> {
        let Message::Text(text) = frame else { return None };
        match self.news.read_frame(text) {
            Ok(Heard::Confirmation(frontier)) => {
                self.news.tell(frontier).await;
                None
            }
            Ok(Heard::Acknowledged(ack, id)) => Some((ack, id)),
            Ok(Heard::Other) => None,
            Err(error) => {
                self.not_understood(&error);
                None
            }
        }
    }

    fn not_understood(&self, error: &BadMessage) {
        metrics::confirmed(Confirmed::Malformed);
        debug!(node.url = %self.endpoint, %error, "a Nano node has said something that is not understood");
    }
}

fn addresses(accounts: &[Account], network: Network) -> Vec<String> {
    accounts.iter().map(|account| network.format_address(*account)).collect()
}
