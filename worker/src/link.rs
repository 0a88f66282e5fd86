//! The MQTT connection (v3.1.1): keeps one open for ever, and turns packets into messages.
//!
//! rumqttc reconnects by itself, but at once and in a hurry, keeps what it had read of the old connection and throws away
//! what waited to be sent. So every connection here has a client and an event loop of its own: nothing of an old one can
//! reach a new one, and what must not be lost is in the session's outbox.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::time::{Duration, Instant};

use rumqttc::{
    AsyncClient, ClientError, ConnectReturnCode, ConnectionError, Event, EventLoop, Incoming, MqttOptions,
    NetworkOptions, Outgoing, QoS, StateError, SubscribeFilter, SubscribeReasonCode,
};
use shared::link::{Backoff, INCOMING_MAX, KEEP_ALIVE, OUTGOING_MAX, WRITE_TIMEOUT};
use shared::protocol::{
    Form, Message, Topic, VerdictNotice, WorkList, WorkResult, WorkerHello, WorkerStatus, decode, encode,
};
use shared::{JobId, WorkerId};
use tokio::sync::mpsc;

use crate::entropy::random_fraction;

/// Packets that wait to be written: all of the outbox and what opens a connection, with room to spare.
const QUEUE_LENGTH: usize = 64;
/// Publications without an acknowledgement.
const INFLIGHT_MAX: u16 = 32;

/// What the link tells.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// The server accepted the login. Everything before this has nothing to do with the new connection.
    Connected(Connection),
    /// The connection, or the attempt, failed.
    Disconnected {
        /// One clause for a person.
        reason: String,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// A publication left, with this packet id.
    Sent(u16),
    /// The server has the publication with this packet id.
    Acknowledged(u16),
    /// A list arrived.
    List(WorkList),
    /// A verdict arrived.
    Verdict(VerdictNotice),
}

/// Connects, and connects again, until a DISCONNECT has been sent by [`Connection::close`]. Never ends before that.
pub(crate) async fn run(options: MqttOptions, worker: WorkerId, events: mpsc::Sender<LinkEvent>) {
    let mut backoff = Backoff::default();
    loop {
        let mut lasted = Lasted::default();
        let Err(end) = poll_connection(options.clone(), worker, &events, &mut lasted).await;
        if let End::Closed = end {
            return;
        }
        let retry_in = backoff.after(lasted.time(), end.is_refusal(), random_fraction());
        // The receiver outlives this future, so sending to it cannot fail, here and below.
        let _ = events.send(LinkEvent::Disconnected { reason: end.sentence(), retry_in }).await;
        tokio::time::sleep(retry_in).await;
    }
}

/// How a worker connects.
pub(crate) fn options(server: &crate::Server, user: &str, secret: &crate::Secret) -> MqttOptions {
    let mut options = MqttOptions::new(secret.worker_id().to_string(), server.host(), server.port());
    options
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_session(true)
        .set_credentials(user, secret.to_hex().as_str())
        .set_max_packet_size(INCOMING_MAX, OUTGOING_MAX)
        .set_inflight(INFLIGHT_MAX);
    options
}

/// Since when the server has accepted the login.
#[derive(Debug, Default)]
struct Lasted(Option<Instant>);

impl Lasted {
    fn time(&self) -> Duration {
        self.0.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// Why a connection ended.
#[derive(Debug)]
enum End {
    /// We closed it.
    Closed,
    /// The server does not let this worker subscribe.
    SubscriptionRefused,
    /// Anything else.
    Failed(ConnectionError),
}

impl End {
    /// Whether a person has to do something before another attempt can succeed.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Closed => false,
            Self::SubscriptionRefused => true,
            Self::Failed(error) => {
                matches!(error, ConnectionError::ConnectionRefused(code) if *code != ConnectReturnCode::ServiceUnavailable)
            }
        }
    }

    /// One clause for the volunteer.
    fn sentence(&self) -> String {
        let text = match self {
            Self::Closed => "closed",
            Self::SubscriptionRefused => "the server does not give work to this login",
            Self::Failed(ConnectionError::ConnectionRefused(code)) => match code {
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
                    "the server refused the login: check the account and the network, or ask the operator"
                }
                ConnectReturnCode::BadClientId => "the server refused the worker id: check the secret",
                ConnectReturnCode::RefusedProtocolVersion => "the server does not speak MQTT 3.1.1",
                ConnectReturnCode::ServiceUnavailable | ConnectReturnCode::Success => {
                    "the server takes no workers now"
                }
            },
            Self::Failed(ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout) => {
                "the server does not answer in time"
            }
            Self::Failed(ConnectionError::MqttState(StateError::ConnectionAborted)) => {
                "the server closed the connection"
            }
            Self::Failed(ConnectionError::MqttState(StateError::AwaitPingResp)) => "the server went silent",
            Self::Failed(ConnectionError::Io(error) | ConnectionError::MqttState(StateError::Io(error))) => {
                return error.to_string();
            }
            Self::Failed(error) => return error.to_string(),
        };
        text.into()
    }
}

/// The life of one connection.
async fn poll_connection(
    options: MqttOptions,
    worker: WorkerId,
    events: &mpsc::Sender<LinkEvent>,
    lasted: &mut Lasted,
) -> Result<Infallible, End> {
    let (client, mut event_loop) = AsyncClient::new(options, QUEUE_LENGTH);
    event_loop.set_network_options(network_options());
    let mut client = Some(client);
    loop {
        let event = match next(&mut event_loop).await? {
            Event::Incoming(Incoming::ConnAck(_)) => {
                lasted.0 = Some(Instant::now());
                // A client loop connects once: its second CONNACK would be of a reconnect, and an error ends it before.
                let Some(client) = client.take() else { continue };
                LinkEvent::Connected(Connection::new(client, worker))
            }
            Event::Incoming(Incoming::SubAck(ack))
                if ack.return_codes.contains(&SubscribeReasonCode::Failure) =>
            {
                return Err(End::SubscriptionRefused);
            }
            Event::Incoming(Incoming::Publish(publish)) => {
                match read(worker, &publish.topic, &publish.payload) {
                    Some(event) => event,
                    None => continue,
                }
            }
            Event::Incoming(Incoming::PubAck(ack)) => LinkEvent::Acknowledged(ack.pkid),
            Event::Outgoing(Outgoing::Publish(packet)) => LinkEvent::Sent(packet),
            Event::Outgoing(Outgoing::Disconnect) => return Err(End::Closed),
            Event::Incoming(_) | Event::Outgoing(_) => continue,
        };
        let _ = events.send(event).await;
    }
}

async fn next(event_loop: &mut EventLoop) -> Result<Event, End> {
    event_loop.poll().await.map_err(End::Failed)
}

/// Small messages that must not wait for more.
fn network_options() -> NetworkOptions {
    let mut options = NetworkOptions::new();
    options.set_tcp_nodelay(true);
    options.set_connection_timeout(WRITE_TIMEOUT.as_secs());
    options
}

/// A downlink message. One that cannot be read is left out: the next list heals whatever it was about.
fn read(worker: WorkerId, topic: &str, payload: &[u8]) -> Option<LinkEvent> {
    fn message<M: Message>(topic: &str, payload: &[u8]) -> Option<M> {
        match decode(payload) {
            Ok((message, _)) => Some(message),
            Err(error) => {
                tracing::warn!(topic, %error, "a message of the server cannot be read");
                None
            }
        }
    }
    match topic.parse() {
        Ok(Topic::WorkRequest(id)) if id == worker => message(topic, payload).map(LinkEvent::List),
        Ok(Topic::WorkVerdict(id)) if id == worker => message(topic, payload).map(LinkEvent::Verdict),
        _ => None,
    }
}

/// The sending side of one connection. It remembers which packet carries which result, for MQTT acknowledges packets.
#[derive(Debug)]
pub(crate) struct Connection {
    client: AsyncClient,
    worker: WorkerId,
    /// Publications in the order in which they will leave; `None` is one that needs no acknowledgement.
    waiting: VecDeque<Option<JobId>>,
    in_flight: BTreeMap<u16, JobId>,
}

impl Connection {
    const fn new(client: AsyncClient, worker: WorkerId) -> Self {
        Self { client, worker, waiting: VecDeque::new(), in_flight: BTreeMap::new() }
    }

    /// Subscribes to lists and verdicts.
    pub(crate) fn subscribe(&self) {
        let topics = [Topic::WorkRequest(self.worker), Topic::WorkVerdict(self.worker)];
        let filters = topics.map(|topic| SubscribeFilter::new(topic.to_string(), QoS::AtMostOnce));
        is_queued(&self.client.try_subscribe_many(filters));
    }

    /// Says what this worker is.
    pub(crate) fn send_hello(&mut self, hello: &WorkerHello) {
        self.publish(Topic::WorkerHello(self.worker), hello, QoS::AtLeastOnce, None);
    }

    /// Says how this worker does.
    pub(crate) fn send_status(&mut self, status: &WorkerStatus) {
        self.publish(Topic::WorkerStatus(self.worker), status, QoS::AtLeastOnce, None);
    }

    /// Says so again, though nothing has changed. If it is lost, the next one comes soon.
    pub(crate) fn send_sign_of_life(&mut self, status: &WorkerStatus) {
        self.publish(Topic::WorkerStatus(self.worker), status, QoS::AtMostOnce, None);
    }

    /// Sends a result. If it cannot, the session still has it.
    pub(crate) fn send_result(&mut self, result: &WorkResult) {
        self.publish(Topic::WorkResult(self.worker), result, QoS::AtLeastOnce, Some(result.job));
    }

    /// Sends a DISCONNECT after all that waits; [`run`] ends when it has left.
    pub(crate) fn close(&self) {
        is_queued(&self.client.try_disconnect());
    }

    /// Takes note of [`LinkEvent::Sent`].
    pub(crate) fn sent(&mut self, packet: u16) {
        if let Some(Some(job)) = self.waiting.pop_front() {
            self.in_flight.insert(packet, job);
        }
    }

    /// The job whose result [`LinkEvent::Acknowledged`] is about.
    pub(crate) fn acknowledged(&mut self, packet: u16) -> Option<JobId> {
        self.in_flight.remove(&packet)
    }

    fn publish<M: Message>(&mut self, topic: Topic, message: &M, qos: QoS, job: Option<JobId>) {
        let payload = encode(message, Form::Binary);
        if is_queued(&self.client.try_publish(topic.to_string(), qos, false, payload)) {
            self.waiting.push_back(job);
        }
    }
}

/// Whether the packet will be sent. Where it will not, the session sends what matters again on the next connection.
fn is_queued(sent: &Result<(), ClientError>) -> bool {
    if sent.is_err() {
        tracing::warn!("a packet was not sent: the connection has just ended, or too many wait");
    }
    sent.is_ok()
}
