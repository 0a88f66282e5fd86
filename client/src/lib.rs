//! A service's connection to the network: asks for work over MQTT, for ever.
//!
//! ```no_run
//! use client::{Client, Settings};
//! use shared::network::BlockKind;
//! use shared::protocol::{ServiceDemand, ServiceRequest};
//! use shared::{Network, RequestId};
//!
//! # async fn example(root: shared::pow::Root) -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::start(Settings {
//!     server: "mqtt://127.0.0.1:1883".parse()?,
//!     service: "my-wallet".parse()?,
//!     key: std::fs::read_to_string("my-wallet.key")?.trim().to_owned().into(),
//!     network: Network::Live,
//! });
//! let request = ServiceRequest {
//!     // A name of your own for this request: asked again with the same name, it is never paid for twice.
//!     request: RequestId::from_u128(0x0123_4567_89ab_cdef),
//!     root,
//!     demand: ServiceDemand::Subtype(BlockKind::Send),
//!     account: None,
//!     timeout_ms: Some(30_000),
//!     class: None,
//! };
//! match client.ask(request).await {
//!     Ok(answer) => tracing::info!(work = %answer.work.nonce(), "work"),
//!     Err(unanswered) => tracing::warn!(%unanswered, "no work"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What always holds: a request is sent again after each reconnect, under the same name, until it has its outcome, its time is over
//! or nobody waits for it any more; then it is withdrawn. Work is checked before it is given.

mod link;
mod outbox;

use std::fmt;
use std::time::Duration;

use shared::link::Server;
use shared::protocol::{ReplyOutcome, ServiceRequest};
use shared::{Answer, Network, Refusal, RequestId, ServiceId};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use zeroize::Zeroizing;

/// How long a request may take that does not say, as the coordinator has it.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// How much later than its deadline an outcome may come: it may wait for the ledger, and travels.
const GRACE: Duration = Duration::from_secs(2);

/// How a service connects.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to.
    pub server: Server,
    /// Who it is.
    pub service: ServiceId,
    /// Its key.
    pub key: Key,
    /// Whose thresholds apply.
    pub network: Network,
}

/// A service's key. Never printed, and wiped when dropped.
#[derive(Clone)]
pub struct Key(Zeroizing<String>);

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// Why there is no work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unanswered {
    /// The network has refused. Nothing was charged, but for the exception that [`Refusal::StoreUnavailable`] names.
    #[error("{}", .0.sentence())]
    Refused(Refusal),
    /// There was no outcome in the time that the request had: the network cannot be reached, or has lost the request. Asking again
    /// under the same name is free if it was charged.
    #[error("the network has not answered in time")]
    Away,
    /// The network's answer is no work for this request.
    #[error("the network has answered with something that is no work for this request")]
    NoWork,
}

/// How the connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not there yet.
    Connecting,
    /// Requests are taken.
    Connected,
    /// It was lost, or could not be made; there will be another attempt.
    Disconnected {
        /// One clause for a person.
        reason: String,
        /// When the next attempt is made.
        retry_in: Duration,
    },
}

/// What the client tells the task that has the connection.
#[derive(Debug)]
enum Command {
    Ask {
        request: ServiceRequest,
        reply: oneshot::Sender<ReplyOutcome>,
    },
    /// Somebody has stopped waiting for this request.
    Left(RequestId),
}

/// A connection for any number of requests at once. Copies share it; it ends with the last one.
#[derive(Debug, Clone)]
pub struct Client {
    commands: mpsc::UnboundedSender<Command>,
    state: watch::Receiver<State>,
    network: Network,
}

/// Tells the task that nobody waits any more, unless there was an outcome.
struct Waiting<'a> {
    client: &'a Client,
    request: Option<RequestId>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(request) = self.request {
            // The task lives as long as there is a client.
            let _ = self.client.commands.send(Command::Left(request));
        }
    }
}

impl Client {
    /// Connects, within the current tokio runtime, and returns at once. Requests may be made before the connection is there.
    pub fn start(settings: Settings) -> Self {
        let (commands, received) = mpsc::unbounded_channel();
        let (tell, state) = watch::channel(State::Connecting);
        let network = settings.network;
        tokio::spawn(link::keep(settings, received, tell));
        Self { commands, state, network }
    }

    /// Asks for work, and waits for the outcome. Dropping the future withdraws the request, unless somebody else waits for the same
    /// name.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn ask(&self, request: ServiceRequest) -> Result<Answer, Unanswered> {
        let (reply, outcome) = oneshot::channel();
        let limit =
            request.timeout_ms.map_or(TIMEOUT_DEFAULT, |timeout| Duration::from_millis(timeout.into()));
        // The task lives as long as there is a client.
        let _ = self.commands.send(Command::Ask { request, reply });
        let mut waiting = Waiting { client: self, request: Some(request.request) };
        let outcome = tokio::time::timeout(limit + GRACE, outcome).await;
        let Ok(Ok(outcome)) = outcome else { return Err(Unanswered::Away) };
        waiting.request = None;
        match outcome {
            ReplyOutcome::Work(replied) if replied.root == request.root => {
                replied.verified(request.demand.threshold(self.network)).ok_or(Unanswered::NoWork)
            }
            ReplyOutcome::Work(_) => Err(Unanswered::NoWork),
            ReplyOutcome::Refused(refusal) => Err(Unanswered::Refused(refusal)),
        }
    }

    /// How the connection is, now and later.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }
}
