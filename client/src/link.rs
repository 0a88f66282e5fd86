//! The MQTT connection (v3.1.1): keeps one open for as long as there is a client.
//!
//! Every connection has a client and an event loop of rumqttc's own, so that nothing of an old one reaches a new one; what must not be
//! lost is in the outbox. An acknowledgement is not waited for: what has no outcome is sent again on the next connection.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, Incoming, MqttOptions, NetworkOptions,
    QoS, SubscribeReasonCode,
};
use shared::ServiceId;
use shared::link::{Backoff, INCOMING_MAX, KEEP_ALIVE, OUTGOING_MAX, WRITE_TIMEOUT};
use shared::protocol::{Form, Message, ServiceCancel, ServiceReply, Topic, decode, encode};
use tokio::sync::{mpsc, watch};

use crate::outbox::Outbox;
use crate::{Command, Settings, State};

/// Packets that wait to be written.
const QUEUE_LENGTH: usize = 64;
/// Publications without an acknowledgement.
const INFLIGHT_MAX: u16 = 100;

/// What a connection tells.
enum Heard {
    /// Replies will be heard from now on.
    Subscribed,
    Reply(ServiceReply),
}

/// Why a connection ended.
enum End {
    SubscriptionRefused,
    Failed(ConnectionError),
}

impl End {
    /// Whether a person has to do something before another attempt can succeed.
    fn is_refusal(&self) -> bool {
        match self {
            Self::SubscriptionRefused => true,
            Self::Failed(error) => {
                matches!(error, ConnectionError::ConnectionRefused(code) if *code != ConnectReturnCode::ServiceUnavailable)
            }
        }
    }

    /// One clause for a person.
    fn sentence(&self) -> String {
        match self {
            Self::SubscriptionRefused => "the server does not let this service hear its replies".into(),
            Self::Failed(ConnectionError::ConnectionRefused(code)) => match code {
                ConnectReturnCode::ServiceUnavailable => "the server takes no services now".into(),
                _ => "the server refused the login: check the service's name and its key".into(),
            },
            Self::Failed(ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout) => {
                "the server does not answer in time".into()
            }
            Self::Failed(error) => error.to_string(),
        }
    }
}

/// Keeps a connection until there is no client any more.
pub(crate) async fn keep(
    settings: Settings,
    mut commands: mpsc::UnboundedReceiver<Command>,
    state: watch::Sender<State>,
) {
    let options = options(&settings);
    let (mut outbox, mut backoff) = (Outbox::default(), Backoff::default());
    loop {
        let (client, event_loop) = AsyncClient::new(options.clone(), QUEUE_LENGTH);
        let (tell, heard) = mpsc::unbounded_channel();
        let mut subscribed = None;
        let end = tokio::select! {
            end = poll(event_loop, &client, settings.service, tell) => end,
            () = serve(&client, settings.service, &mut outbox, &mut commands, heard, |since| {
                subscribed = Some(since);
                state.send_replace(State::Connected);
            }) => return,
        };
        let lasted = subscribed.map_or(Duration::ZERO, |since: Instant| since.elapsed());
        let retry_in = backoff.after(lasted, end.is_refusal(), random_fraction());
        let reason = end.sentence();
        tracing::debug!(reason, retry_ms = retry_in.as_millis(), "the connection to the network is lost");
        state.send_replace(State::Disconnected { reason, retry_in });
        if wait(retry_in, &mut outbox, &mut commands).await.is_none() {
            return;
        }
    }
}

/// Until the next attempt, requests are only taken. `None` when there is no client any more.
async fn wait(
    time: Duration,
    outbox: &mut Outbox,
    commands: &mut mpsc::UnboundedReceiver<Command>,
) -> Option<()> {
    let deadline = tokio::time::Instant::now() + time;
    loop {
        match tokio::time::timeout_at(deadline, commands.recv()).await {
            Err(_) => return Some(()),
            Ok(None) => return None,
            Ok(Some(Command::Ask { request, reply })) => drop(outbox.ask(request, reply)),
            Ok(Some(Command::Left(request))) => drop(outbox.left(request)),
        }
    }
}

/// Reads and writes until the connection ends.
async fn poll(
    mut event_loop: EventLoop,
    client: &AsyncClient,
    service: ServiceId,
    tell: mpsc::UnboundedSender<Heard>,
) -> End {
    let mut options = NetworkOptions::new();
    options.set_tcp_nodelay(true);
    options.set_connection_timeout(WRITE_TIMEOUT.as_secs());
    event_loop.set_network_options(options);
    let replies = Topic::ServiceReply(service).to_string();
    loop {
        let heard = match event_loop.poll().await {
            Err(error) => return End::Failed(error),
            Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                // The queue of a new client is empty.
                let _ = client.try_subscribe(&replies, QoS::AtMostOnce);
                continue;
            }
            Ok(Event::Incoming(Incoming::SubAck(ack))) => {
                if ack.return_codes.contains(&SubscribeReasonCode::Failure) {
                    return End::SubscriptionRefused;
                }
                Heard::Subscribed
            }
            Ok(Event::Incoming(Incoming::Publish(publish))) if publish.topic == replies => {
                match decode::<ServiceReply>(&publish.payload) {
                    Ok((reply, _)) => Heard::Reply(reply),
                    Err(error) => {
                        tracing::warn!(%error, "a reply of the network cannot be read");
                        continue;
                    }
                }
            }
            Ok(_) => continue,
        };
        // Whoever listens lives as long as this future.
        let _ = tell.send(heard);
    }
}

/// Sends what is to be sent, and hands out what comes, until there is no client any more.
async fn serve(
    client: &AsyncClient,
    service: ServiceId,
    outbox: &mut Outbox,
    commands: &mut mpsc::UnboundedReceiver<Command>,
    mut heard: mpsc::UnboundedReceiver<Heard>,
    mut subscribed: impl FnMut(Instant),
) {
    let mut is_subscribed = false;
    loop {
        tokio::select! {
            biased;
            Some(heard) = heard.recv() => match heard {
                Heard::Reply(reply) => outbox.reply(reply),
                Heard::Subscribed => {
                    is_subscribed = true;
                    subscribed(Instant::now());
                    for request in outbox.open() {
                        publish(client, Topic::ServiceRequest(service), &request).await;
                    }
                }
            },
            command = commands.recv() => match command {
                None => return,
                Some(Command::Ask { request, reply }) => {
                    if outbox.ask(request, reply) && is_subscribed {
                        publish(client, Topic::ServiceRequest(service), &request).await;
                    }
                }
                Some(Command::Left(request)) => {
                    if outbox.left(request) && is_subscribed {
                        publish(client, Topic::ServiceCancel(service), &ServiceCancel { request }).await;
                    }
                }
            },
        }
    }
}

/// Waits for a place in the queue. What is not sent because the connection has ended is sent on the next one.
async fn publish<M: Message>(client: &AsyncClient, topic: Topic, message: &M) {
    let payload = encode(message, Form::Binary);
    let _ = client.publish(topic.to_string(), QoS::AtLeastOnce, false, payload).await;
}

fn options(settings: &Settings) -> MqttOptions {
    let Settings { server, service, key, .. } = settings;
    // Programs of one service must have different ids.
    let id = format!("{service}-{:016x}", RandomState::new().hash_one(()));
    let mut options = MqttOptions::new(id, server.host(), server.port());
    options
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_session(true)
        .set_credentials(service.as_str(), key.0.as_str())
        .set_max_packet_size(INCOMING_MAX, OUTGOING_MAX)
        .set_inflight(INFLIGHT_MAX);
    options
}

/// A fraction of `[0, 1)`, which need not be secret.
#[expect(clippy::cast_precision_loss, reason = "53 bits are what a fraction holds")]
fn random_fraction() -> f64 {
    (RandomState::new().hash_one(()) >> 11) as f64 / (1_u64 << 53) as f64
}
