//! One connection, from its CONNECT to its end: a reader and a writer in one task.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, timeout};

use crate::admission::Admitted;
use crate::bucket::TokenBucket;
use crate::bus::Up;
use crate::directory::Place;
use crate::ending::{Ending, Refused};
use crate::gate::Shared;
use crate::handshake::{Answer, Refusal, log_in};
use crate::metrics;
use crate::packet::{ClientPacket, ClientPublish, PacketReader};
use crate::rights;
use crate::router::InnerSet;
use crate::session::Session;
use crate::v311::{self, ConnectAnswer, SubscribeAnswer};

/// Serves a connection that has been admitted.
pub(crate) async fn serve<S>(shared: Arc<Shared>, stream: S, remote: SocketAddr, mut admitted: Admitted)
where
    S: AsyncRead + AsyncWrite,
{
    let (read, writer) = tokio::io::split(stream);
    let reader = PacketReader::new(read, shared.limits.connect_packet_max);
    let mut connection = Connection { reader, writer, shared: Arc::clone(&shared) };
    match connection.join(remote, &mut admitted).await {
        Ok(joined) => {
            // A defect in here must not leave the coordinator with a session that has no connection.
            let converse = AssertUnwindSafe(connection.converse(&joined));
            let ending = converse.catch_unwind().await.unwrap_or(Ending::Fault);
            // The client is rid of first: the coordinator may be slow to take notice.
            drop(connection);
            joined.leave(&shared, ending).await;
        }
        Err(refusal) => {
            if refusal.reason == Refused::BadCredentials {
                admitted.login_refused(Instant::now());
            }
            metrics::refused(refusal.reason);
            tracing::debug!(refusal.reason = refusal.reason.as_str(), "connection refused");
            connection.answer(refusal.answer).await;
        }
    }
}

/// Both ends of a stream, and the gate behind it.
struct Connection<S> {
    reader: PacketReader<ReadHalf<S>>,
    writer: WriteHalf<S>,
    shared: Arc<Shared>,
}

/// A session that the coordinator knows of.
struct Joined {
    session: Arc<Session>,
    place: Place,
    silence_max: Duration,
}

impl Joined {
    /// Tells the coordinator, and lets the next session of the same login come.
    async fn leave(self, shared: &Shared, ending: Ending) {
        shared.router.watch(&self.session, InnerSet::default());
        self.session.record_end(ending);
        // Whether or not the coordinator still listens, this session has left.
        let _ = shared.up.send(Up::Left { session: self.session.id }).await;
        drop(self.place);
    }
}

impl<S: AsyncRead + AsyncWrite> Connection<S> {
    /// Logs in, and tells the coordinator once the session before this one has left.
    async fn join(&mut self, remote: SocketAddr, admitted: &mut Admitted) -> Result<Joined, Refusal> {
        let shared = &self.shared;
        let login = log_in(shared, &mut self.reader, remote).await?;
        admitted.authenticated();
        let role = login.identity.role();
        let metrics = shared.metrics.role(role).clone();
        let session = Arc::new(Session::new(login.identity, login.client_id, &shared.limits, metrics));
        let unavailable = |reason| Refusal::answered(reason, ConnectAnswer::Unavailable);
        let mut place = shared.directory.enter(&session).map_err(unavailable)?;
        place.previous_left().await;
        let permit = tokio::select! {
            biased;
            _ = session.outbound.ended() => return Err(Refusal::silent(Refused::EndedEarly)),
            permit = shared.up.reserve() => permit.map_err(|_| unavailable(Refused::ShuttingDown))?,
        };
        permit.send(Up::Joined { session: session.id, identity: session.identity, remote });
        session.record_start();

        self.reader.limit(shared.limits.packet_max(role));
        session.outbound.push_reply(&v311::connect_ack(ConnectAnswer::Accepted));
        Ok(Joined { session, place, silence_max: shared.limits.silence_max(login.keep_alive) })
    }

    /// Reads and writes until one of the two, or somebody else, ends it.
    async fn converse(&mut self, joined: &Joined) -> Ending {
        let Joined { session, silence_max, .. } = joined;
        let limits = &self.shared.limits;
        let rate = limits.publish_rate(session.identity.role());
        let tokens = rate.map(|rate| TokenBucket::new(rate, Instant::now()));
        let mut inbound = Inbound { reader: &mut self.reader, session, shared: &self.shared, tokens };
        tokio::select! {
            biased;
            ending = session.outbound.ended() => ending,
            ending = inbound.read_all(*silence_max) => ending,
            ending = write_all(&mut self.writer, session, limits.write_stall_max) => ending,
        }
    }

    /// Tells a refused client, if it takes it in time.
    async fn answer(&mut self, answer: Answer) {
        let code;
        let bytes: &[u8] = match answer {
            Answer::Silence => return,
            Answer::V311(answer) => {
                code = v311::connect_ack(answer);
                &code
            }
            Answer::V5 => &v311::VERSION_REFUSED_V5,
        };
        let tell = async {
            self.writer.write_all(bytes).await?;
            self.writer.shutdown().await
        };
        // It is closed in any case.
        let _ = timeout(self.shared.limits.write_stall_max, tell).await;
    }
}

/// Writes what is queued until the queue finishes.
async fn write_all<W: AsyncWrite + Unpin>(writer: &mut W, session: &Session, stall_max: Duration) -> Ending {
    while let Some(mut batch) = session.outbound.next_batch().await {
        session.metrics.bytes_sent.increment(batch.len() as u64);
        while batch.has_remaining() {
            match timeout(stall_max, writer.write_buf(&mut batch)).await {
                Ok(Ok(0) | Err(_)) => return Ending::Lost,
                Ok(Ok(_)) => {}
                Err(_) => return Ending::WriteStall,
            }
        }
        // Streams with a buffer of their own, such as TLS, write it only now.
        match timeout(stall_max, writer.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ending::Lost,
            Err(_) => return Ending::WriteStall,
        }
    }
    Ending::Flushed
}

/// The reading half of a session.
struct Inbound<'a, R> {
    reader: &'a mut PacketReader<R>,
    session: &'a Arc<Session>,
    shared: &'a Shared,
    tokens: Option<TokenBucket>,
}

impl<R: AsyncRead + Unpin> Inbound<'_, R> {
    /// Reads until something ends the session.
    async fn read_all(&mut self, silence_max: Duration) -> Ending {
        loop {
            match self.read_one(silence_max).await {
                Ok(()) => {}
                Err(ending) => return ending,
            }
        }
    }

    /// Reads and carries out one packet. The client's silence counts from when it is listened to, not while it has to wait.
    async fn read_one(&mut self, silence_max: Duration) -> Result<(), Ending> {
        self.session.outbound.reply_room().await;
        let frame = timeout(silence_max, self.reader.next()).await.map_err(|_| Ending::KeepAlive)??;
        self.session.metrics.bytes_received.increment(self.reader.take_bytes_read());
        let packet = v311::read(frame.ok_or(Ending::Lost)?)?;
        let outbound = &self.session.outbound;
        match packet {
            ClientPacket::Publish(publish) => self.publish(publish).await?,
            ClientPacket::Subscribe { packet_id, filters } => {
                let answers = self.subscribe(&filters);
                outbound.push_reply(&v311::subscribe_ack(packet_id, &answers));
            }
            ClientPacket::Unsubscribe { packet_id, filters } => {
                self.unsubscribe(&filters);
                outbound.push_reply(&v311::unsubscribe_ack(packet_id));
            }
            ClientPacket::Ping => outbound.push_reply(&v311::PING_ANSWER),
            ClientPacket::PublishAck => {}
            ClientPacket::Disconnect => return Err(Ending::Disconnected),
        }
        Ok(())
    }

    /// Hands a message to the coordinator, and acknowledges it when it is in the channel.
    async fn publish(&mut self, publish: ClientPublish) -> Result<(), Ending> {
        let ClientPublish { packet_id, topic, payload } = publish;
        let session = self.session;
        let permitted = topic.filter(|topic| rights::may_publish(&session.identity, *topic));
        // A client of MQTT 3.1.1 cannot be told that it may not.
        let topic = permitted.ok_or(Ending::PublishDenied)?;
        self.wait_for_token().await;
        let permit = self.shared.up.reserve().await.map_err(|_| Ending::CoordinatorGone)?;
        self.shared.router.mirror(topic, &payload);
        permit.send(Up::Message { session: session.id, topic, payload });
        session.metrics.messages_received.increment(1);
        if let Some(packet_id) = packet_id {
            session.outbound.push_reply(&v311::publish_ack(packet_id));
        }
        Ok(())
    }

    /// Waits until the session's rate allows another message. Nothing is read from the client meanwhile.
    async fn wait_for_token(&mut self) {
        let Some(tokens) = &mut self.tokens else { return };
        let mut is_delayed = false;
        loop {
            let now = Instant::now();
            tokens.refund(self.session.take_results_asked(), now);
            let Err(wait) = tokens.try_take(now) else { return };
            if !is_delayed {
                self.session.metrics.publishes_delayed.increment(1);
                is_delayed = true;
            }
            sleep(wait).await;
        }
    }

    /// Adds the filters that the session has a right to, and answers for each, in order.
    fn subscribe(&self, texts: &[String]) -> Vec<SubscribeAnswer> {
        let limits = &self.shared.limits;
        let mut filters = self.session.filters();
        let answers = texts.iter().enumerate().map(|(index, text)| {
            let granted =
                text.parse().ok().filter(|filter| rights::may_subscribe(&self.session.identity, *filter));
            match granted {
                Some(filter) if filters.contains(&filter) => SubscribeAnswer::GrantedQos0,
                Some(filter)
                    if index < limits.filters_per_subscribe_max
                        && filters.len() < limits.filters_per_session_max =>
                {
                    filters.push(filter);
                    SubscribeAnswer::GrantedQos0
                }
                _ => SubscribeAnswer::Refused,
            }
        });
        let answers = answers.collect();
        self.shared.router.watch(self.session, InnerSet::of_filters(&filters));
        answers
    }

    /// Removes filters, known or not.
    fn unsubscribe(&self, texts: &[String]) {
        let mut filters = self.session.filters();
        filters.retain(|filter| !texts.iter().any(|text| *text == filter.to_string()));
        self.shared.router.watch(self.session, InnerSet::of_filters(&filters));
    }
}
