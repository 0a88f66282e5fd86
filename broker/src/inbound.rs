//! The reading half of a session: what its client sends, held to its rights and limits.

use std::sync::Arc;
use std::time::Duration;

use shared::protocol::Filter;
use tokio::io::AsyncRead;
use tokio::time::{Instant, sleep, timeout};

use crate::bucket::TokenBucket;
use crate::bus::Up;
use crate::ending::Ending;
use crate::gate::Shared;
use crate::packet::{ClientPacket, ClientPublish, PacketReader};
use crate::rights;
use crate::router::InnerSet;
use crate::session::Session;
use crate::version::{self, SubscribeAnswer, UnsubscribeAnswer, Version};

/// How shared subscriptions begin (MQTT 5 section 4.8.2).
const SHARED_PREFIX: &str = "$share/";

/// Reads what one session sends.
pub(crate) struct Inbound<'a, R> {
    reader: &'a mut PacketReader<R>,
    session: &'a Arc<Session>,
    shared: &'a Shared,
    tokens: Option<TokenBucket>,
}

impl<'a, R: AsyncRead + Unpin> Inbound<'a, R> {
    pub(crate) fn new(
        reader: &'a mut PacketReader<R>,
        session: &'a Arc<Session>,
        shared: &'a Shared,
    ) -> Self {
        let rate = shared.limits.publish_rate(session.identity.role());
        let tokens = rate.map(|rate| TokenBucket::new(rate, Instant::now()));
        Self { reader, session, shared, tokens }
    }

    /// Reads until something ends the session.
    pub(crate) async fn read_all(&mut self, silence_max: Duration) -> Ending {
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
        let version = self.session.version;
        let packet = version.read(frame.ok_or(Ending::Lost)?)?;
        let outbound = &self.session.outbound;
        match packet {
            ClientPacket::Publish(publish) => self.publish(publish).await?,
            ClientPacket::Subscribe { packet_id, filters } => {
                let answers = self.subscribe(&filters);
                outbound.push_reply(&version.subscribe_ack(packet_id, &answers));
            }
            ClientPacket::Unsubscribe { packet_id, filters } => {
                let answers = self.unsubscribe(&filters);
                outbound.push_reply(&version.unsubscribe_ack(packet_id, &answers));
            }
            ClientPacket::Ping => outbound.push_reply(&version::PING_ANSWER),
            ClientPacket::PublishAck => {}
            ClientPacket::Disconnect => return Err(Ending::Disconnected),
        }
        Ok(())
    }

    /// Hands a message to the coordinator, and acknowledges it when it is in the channel.
    async fn publish(&mut self, publish: ClientPublish) -> Result<(), Ending> {
        let ClientPublish { packet_id, topic, payload } = publish;
        let (session, outbound) = (self.session, &self.session.outbound);
        if session.version == Version::V5 && outbound.publish_acks_waiting() >= self.shared.limits.receive_max
        {
            return Err(Ending::ReceiveMaximum);
        }
        self.wait_for_token().await;
        let Some(topic) = topic.filter(|topic| rights::may_publish(&session.identity, *topic)) else {
            session.metrics.publishes_denied.increment(1);
            // Where the client cannot be told that this message was refused, its session ends.
            let refusal = packet_id.and_then(|packet_id| session.version.publish_refusal(packet_id));
            outbound.push_publish_ack(&refusal.ok_or(Ending::PublishDenied)?);
            return Ok(());
        };
        let permit = self.shared.up.reserve().await.map_err(|_| Ending::CoordinatorGone)?;
        self.shared.router.mirror(topic, &payload);
        permit.send(Up::Message { session: session.id, topic, payload });
        session.metrics.messages_received.increment(1);
        if let Some(packet_id) = packet_id {
            outbound.push_publish_ack(&version::publish_ack(packet_id));
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
        let mut filters = self.session.filters();
        let answers = texts.iter().enumerate();
        let answers = answers.map(|(index, text)| self.subscribe_one(&mut filters, index, text)).collect();
        self.shared.router.watch(self.session, InnerSet::of_filters(&filters));
        answers
    }

    fn subscribe_one(&self, filters: &mut Vec<Filter>, index: usize, text: &str) -> SubscribeAnswer {
        let limits = &self.shared.limits;
        if text.starts_with(SHARED_PREFIX) {
            return SubscribeAnswer::Shared;
        }
        match text.parse() {
            Ok(filter) if !rights::may_subscribe(&self.session.identity, filter) => {
                SubscribeAnswer::NotAllowed
            }
            Ok(filter) if filters.contains(&filter) => SubscribeAnswer::Granted,
            Ok(filter)
                if index < limits.filters_per_subscribe_max
                    && filters.len() < limits.filters_per_session_max =>
            {
                filters.push(filter);
                SubscribeAnswer::Granted
            }
            Ok(_) => SubscribeAnswer::TooMany,
            Err(_) => SubscribeAnswer::NotAllowed,
        }
    }

    /// Removes filters, and answers for each, in order.
    fn unsubscribe(&self, texts: &[String]) -> Vec<UnsubscribeAnswer> {
        let mut filters = self.session.filters();
        let answers = texts.iter().map(|text| {
            match text.parse().ok().and_then(|filter| filters.iter().position(|known| *known == filter)) {
                Some(index) => {
                    filters.remove(index);
                    UnsubscribeAnswer::Removed
                }
                None => UnsubscribeAnswer::Unknown,
            }
        });
        let answers = answers.collect();
        self.shared.router.watch(self.session, InnerSet::of_filters(&filters));
        answers
    }
}
