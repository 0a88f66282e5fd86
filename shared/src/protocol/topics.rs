//! MQTT topics. The only place that spells one.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

use crate::ids::{ServiceId, WorkerId};

/// A concrete topic, of at most 128 bytes. Ids in it are typed, so no wildcard, separator or random text can become part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// `work/request/<worker>`: a worker's list.
    WorkRequest(WorkerId),
    /// `work/result/<worker>`: a worker's result.
    WorkResult(WorkerId),
    /// `work/verdict/<worker>`: what became of it.
    WorkVerdict(WorkerId),
    /// `worker/<worker>/hello`
    WorkerHello(WorkerId),
    /// `worker/<worker>/status`
    WorkerStatus(WorkerId),
    /// `service/<service>/request`
    ServiceRequest(ServiceId),
    /// `service/<service>/cancel`
    ServiceCancel(ServiceId),
    /// `service/<service>/reply`
    ServiceReply(ServiceId),
    /// `heartbeat`
    Heartbeat,
    /// `stats/network`
    StatsNetwork,
    /// `stats/services`
    StatsServices,
    /// `stats/workers`
    StatsWorkers,
}

/// A filter with a wildcard. These are all there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WildcardFilter {
    /// `#`
    Everything,
    /// `work/#`
    Work,
    /// `service/#`
    Service,
    /// `worker/#`
    Worker,
    /// `stats/#`
    Stats,
}

/// What can be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filter {
    /// One topic.
    Exact(Topic),
    /// One of the wildcards.
    Wildcard(WildcardFilter),
}

/// A text that is no topic, or no filter, of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a topic of this protocol")]
pub struct UnknownTopic;

impl WildcardFilter {
    /// All wildcards.
    pub const ALL: [Self; 5] = [Self::Everything, Self::Work, Self::Service, Self::Worker, Self::Stats];

    /// As it is written in a SUBSCRIBE.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Everything => "#",
            Self::Work => "work/#",
            Self::Service => "service/#",
            Self::Worker => "worker/#",
            Self::Stats => "stats/#",
        }
    }

    /// Whether a message on this topic is delivered to a subscriber of this filter.
    pub const fn matches(self, topic: Topic) -> bool {
        match self {
            Self::Everything => true,
            Self::Work => {
                matches!(topic, Topic::WorkRequest(_) | Topic::WorkResult(_) | Topic::WorkVerdict(_))
            }
            Self::Service => {
                matches!(topic, Topic::ServiceRequest(_) | Topic::ServiceCancel(_) | Topic::ServiceReply(_))
            }
            Self::Worker => matches!(topic, Topic::WorkerHello(_) | Topic::WorkerStatus(_)),
            Self::Stats => matches!(topic, Topic::StatsNetwork | Topic::StatsServices | Topic::StatsWorkers),
        }
    }
}

impl Filter {
    /// Whether a message on this topic is delivered to a subscriber of this filter.
    pub fn matches(self, topic: Topic) -> bool {
        match self {
            Self::Exact(exact) => exact == topic,
            Self::Wildcard(wildcard) => wildcard.matches(topic),
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorkRequest(worker) => write!(f, "work/request/{worker}"),
            Self::WorkResult(worker) => write!(f, "work/result/{worker}"),
            Self::WorkVerdict(worker) => write!(f, "work/verdict/{worker}"),
            Self::WorkerHello(worker) => write!(f, "worker/{worker}/hello"),
            Self::WorkerStatus(worker) => write!(f, "worker/{worker}/status"),
            Self::ServiceRequest(service) => write!(f, "service/{service}/request"),
            Self::ServiceCancel(service) => write!(f, "service/{service}/cancel"),
            Self::ServiceReply(service) => write!(f, "service/{service}/reply"),
            Self::Heartbeat => f.write_str("heartbeat"),
            Self::StatsNetwork => f.write_str("stats/network"),
            Self::StatsServices => f.write_str("stats/services"),
            Self::StatsWorkers => f.write_str("stats/workers"),
        }
    }
}

impl FromStr for Topic {
    type Err = UnknownTopic;

    fn from_str(text: &str) -> Result<Self, UnknownTopic> {
        let worker = |id: &str| id.parse::<WorkerId>().map_err(|_| UnknownTopic);
        let service = |id: &str| id.parse::<ServiceId>().map_err(|_| UnknownTopic);
        let mut levels = text.split('/');
        Ok(match (levels.next(), levels.next(), levels.next(), levels.next()) {
            (Some("work"), Some("request"), Some(id), None) => Self::WorkRequest(worker(id)?),
            (Some("work"), Some("result"), Some(id), None) => Self::WorkResult(worker(id)?),
            (Some("work"), Some("verdict"), Some(id), None) => Self::WorkVerdict(worker(id)?),
            (Some("worker"), Some(id), Some("hello"), None) => Self::WorkerHello(worker(id)?),
            (Some("worker"), Some(id), Some("status"), None) => Self::WorkerStatus(worker(id)?),
            (Some("service"), Some(id), Some("request"), None) => Self::ServiceRequest(service(id)?),
            (Some("service"), Some(id), Some("cancel"), None) => Self::ServiceCancel(service(id)?),
            (Some("service"), Some(id), Some("reply"), None) => Self::ServiceReply(service(id)?),
            (Some("heartbeat"), None, ..) => Self::Heartbeat,
            (Some("stats"), Some("network"), None, _) => Self::StatsNetwork,
            (Some("stats"), Some("services"), None, _) => Self::StatsServices,
            (Some("stats"), Some("workers"), None, _) => Self::StatsWorkers,
            _ => return Err(UnknownTopic),
        })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(topic) => topic.fmt(f),
            Self::Wildcard(wildcard) => f.write_str(wildcard.as_str()),
        }
    }
}

impl FromStr for Filter {
    type Err = UnknownTopic;

    fn from_str(text: &str) -> Result<Self, UnknownTopic> {
        match WildcardFilter::ALL.into_iter().find(|wildcard| wildcard.as_str() == text) {
            Some(wildcard) => Ok(Self::Wildcard(wildcard)),
            None => text.parse().map(Self::Exact),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_topics() -> Vec<Topic> {
        let worker = WorkerId::of_secret(&[1; 32]);
        let service: ServiceId = "wallet".parse().unwrap();
        vec![
            Topic::WorkRequest(worker),
            Topic::WorkResult(worker),
            Topic::WorkVerdict(worker),
            Topic::WorkerHello(worker),
            Topic::WorkerStatus(worker),
            Topic::ServiceRequest(service),
            Topic::ServiceCancel(service),
            Topic::ServiceReply(service),
            Topic::Heartbeat,
            Topic::StatsNetwork,
            Topic::StatsServices,
            Topic::StatsWorkers,
        ]
    }

    #[test]
    fn every_topic_reads_back_as_itself() {
        for topic in all_topics() {
            let text = topic.to_string();
            assert_eq!(text.parse(), Ok(topic), "{text}");
            assert_eq!(text.parse(), Ok(Filter::Exact(topic)), "{text}");
            assert!(text.is_ascii());
        }
    }

    /// The gate counts on topics of at most 128 bytes; the ids are what makes one long.
    #[test]
    fn the_longest_topic_is_far_below_the_gates_limit() {
        let longest: ServiceId = "x".repeat(ServiceId::LENGTH_MAX).parse().unwrap();
        let topics =
            [Topic::ServiceRequest(longest), Topic::ServiceCancel(longest), Topic::ServiceReply(longest)];
        let length = all_topics().iter().chain(&topics).map(|topic| topic.to_string().len()).max();
        assert_eq!(length, Some("service/".len() + ServiceId::LENGTH_MAX + "/request".len()));
        assert!(length <= Some(128));
    }

    #[test]
    fn wildcards_and_near_misses_are_no_topics() {
        for text in [
            "",
            "/",
            "#",
            "+",
            "work/#",
            "work/request/+",
            "work/request",
            "work/request/",
            "heartbeat/",
            "/heartbeat",
            "stats",
            "stats/",
            "stats/network/",
            "service/a/b/c",
            "service//request",
            "work/request/AAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$SYS/#",
            "$share/g/#",
        ] {
            assert_eq!(text.parse::<Topic>(), Err(UnknownTopic), "{text}");
        }
        for text in ["+/+", "work/+", "work/request/#", "$share/g/work/#", "##", "heartbeat/#"] {
            assert_eq!(text.parse::<Filter>(), Err(UnknownTopic), "{text}");
        }
    }

    #[test]
    fn each_wildcard_covers_its_first_level_and_no_other() {
        for wildcard in WildcardFilter::ALL {
            for topic in all_topics() {
                let level = wildcard.as_str().trim_end_matches('#');
                assert_eq!(
                    wildcard.matches(topic),
                    topic.to_string().starts_with(level),
                    "{wildcard:?} {topic}"
                );
            }
        }
    }
}
