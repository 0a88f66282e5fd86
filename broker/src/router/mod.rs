//! Watched topics, through rumqttd's router: many readers, loss allowed.
//!
//! Only the router and the codec of rumqttd are used, never its listeners. Inside the router there is a fixed handful of
//! topics, each with one link that reads it: the router never frees a topic or a filter, so nothing a client says becomes one.

mod hub;
mod ingress;
mod topic;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rumqttd::{Broker, Config, RouterConfig, SegmentConfig};
use shared::protocol::Topic;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::monitor::{CANARY_INTERVAL, GateMonitor};
use crate::packet::put_text;
use crate::session::Session;
use hub::Hub;
use ingress::Ingress;
pub(crate) use topic::{InnerSet, InnerTopic};

/// Links of one router: one per inner topic, and the ingress.
const LINKS_MAX: usize = 2 * (InnerTopic::ALL.len() + 1);
/// Messages that one link is given at once. Below the 200 at which the router puts a link to sleep.
const BATCH_MESSAGES_MAX: u64 = 100;
/// The router keeps two segments of this many bytes of each topic; a reader that falls further behind misses messages.
const SEGMENT_BYTES: usize = 256 * 1024;
const SEGMENTS: usize = 2;
/// The same for topics whose messages are empty. Only topic and payload count, while the router keeps some 400 bytes beside them:
/// in a large segment, empty messages of each second would pile up for half a day. The router takes no smaller one.
const SMALL_SEGMENT_BYTES: usize = 1024;

/// The router could not be started.
#[derive(Debug, Error)]
#[error("the MQTT router could not be started")]
pub struct RouterError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// The gate's side of the router.
pub(crate) struct Router {
    ingress: Ingress,
    hubs: Vec<Arc<Hub>>,
}

impl Router {
    /// Starts a router and a reader for each inner topic. Blocks for some milliseconds. The router's own thread cannot be
    /// stopped; the readers end with `readers`.
    pub(crate) fn start(
        monitor: &GateMonitor,
        dropped: metrics::Counter,
        readers: &mut JoinSet<()>,
    ) -> Result<Arc<Self>, RouterError> {
        let broker = Broker::new(Config {
            router: RouterConfig {
                max_connections: LINKS_MAX,
                max_outgoing_packet_count: BATCH_MESSAGES_MAX,
                max_segment_size: SEGMENT_BYTES,
                max_segment_count: SEGMENTS,
                custom_segment: Some(small_segments()),
                ..RouterConfig::default()
            },
            ..Config::default()
        });
        let mut hubs = Vec::with_capacity(InnerTopic::ALL.len());
        for topic in InnerTopic::ALL {
            let (mut sender, receiver) =
                broker.link(&format!("hub-{}", topic.index())).map_err(RouterError::new)?;
            sender.subscribe(topic.as_str()).map_err(RouterError::new)?;
            let hub = Arc::new(Hub::new(topic));
            let reader = hub::read(receiver, Arc::clone(&hub), monitor.clone());
            readers.spawn(monitor.clone().supervise(reader));
            hubs.push(hub);
        }
        let (sender, _) = broker.link("ingress").map_err(RouterError::new)?;
        let ingress = Ingress::start(sender, monitor.clone(), dropped).map_err(RouterError::new)?;
        let router = Arc::new(Self { ingress, hubs });
        readers.spawn(monitor.clone().supervise(send_canaries(Arc::downgrade(&router), monitor.clone())));
        Ok(router)
    }

    /// Publishes to whoever watches; dropped and counted if the way is full. Topics that are not watched are ignored.
    pub(crate) fn publish(&self, topic: Topic, payload: Bytes) {
        if let Some(inner) = InnerTopic::watched(topic) {
            self.ingress.publish(inner, payload);
        }
    }

    /// Shows an addressed message to the operators. Costs one comparison while none is looking.
    pub(crate) fn mirror(&self, topic: Topic, payload: &[u8]) {
        if let Some(inner) = InnerTopic::mirror_of(topic)
            && self.hub(inner).is_watched()
        {
            let mut message = Vec::new();
            put_text(&mut message, &topic.to_string());
            message.extend_from_slice(payload);
            self.ingress.publish(inner, message.into());
        }
    }

    /// Makes a session a reader of exactly these topics.
    pub(crate) fn watch(&self, session: &Arc<Session>, topics: InnerSet) {
        for hub in &self.hubs {
            if topics.contains(hub.topic()) {
                hub.join(session);
            } else {
                hub.leave(session.id);
            }
        }
    }

    fn hub(&self, topic: InnerTopic) -> &Hub {
        &self.hubs[topic.index()]
    }
}

/// The topics that keep less than the others.
fn small_segments() -> HashMap<String, SegmentConfig> {
    let small = SegmentConfig { max_segment_size: SMALL_SEGMENT_BYTES, max_segment_count: SEGMENTS };
    let empty = InnerTopic::ALL.into_iter().filter(|topic| topic.is_empty());
    empty.map(|topic| (topic.as_str().into(), small.clone())).collect()
}

impl RouterError {
    fn new(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(source))
    }
}

/// Sends the canary round until the router is dropped.
async fn send_canaries(router: std::sync::Weak<Router>, monitor: GateMonitor) {
    let mut ticks = interval(CANARY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(router) = router.upgrade() else { return };
        monitor.check_canary();
        router.ingress.publish(InnerTopic::Canary, Bytes::new());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::monitor::GateDeath;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A name that begins with a character of more than one byte stops the router's thread. Here it stands for any defect of
    /// the router; no client's text ever gets there.
    #[tokio::test]
    async fn a_router_that_dies_is_noticed() {
        let broker = Broker::new(Config {
            router: RouterConfig {
                max_connections: 4,
                max_outgoing_packet_count: 1,
                max_segment_size: 1024,
                max_segment_count: 1,
                ..RouterConfig::default()
            },
            ..Config::default()
        });
        let monitor = GateMonitor::new();
        let (mut sender, receiver) = broker.link("hub-0").unwrap();
        sender.subscribe("heartbeat").unwrap();
        let reader = hub::read(receiver, Arc::new(Hub::new(InnerTopic::Heartbeat)), monitor.clone());
        let reader = tokio::spawn(reader);
        sender.publish("é", "").unwrap();
        timeout(PATIENCE, reader).await.unwrap().unwrap();
        assert_eq!(timeout(PATIENCE, monitor.died()).await.unwrap(), GateDeath::RouterGone);
        assert!(!monitor.is_healthy());
    }

    /// What comes each second without a payload is not kept for longer than a reader could need it.
    #[test]
    fn empty_messages_do_not_pile_up() {
        let small = small_segments();
        for topic in [InnerTopic::Heartbeat, InnerTopic::Canary] {
            let SegmentConfig { max_segment_size, max_segment_count } = &small[topic.as_str()];
            let messages_kept = max_segment_size * max_segment_count / topic.as_str().len();
            assert!((100..1000).contains(&messages_kept), "{messages_kept}");
        }
        assert_eq!(small.len(), 2);
    }

    #[tokio::test]
    async fn the_canary_comes_back() {
        let monitor = GateMonitor::new();
        let mut readers = JoinSet::new();
        let _router = Router::start(&monitor, metrics::Counter::noop(), &mut readers).unwrap();
        let healthy = async {
            while !monitor.is_healthy() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, healthy).await.unwrap();
    }
}
