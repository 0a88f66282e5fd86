//! The topics inside the router.

use shared::protocol::{Filter, Topic, WildcardFilter};

/// All topics there are inside the router. Mirrors carry the client's topic in the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InnerTopic {
    Heartbeat,
    StatsNetwork,
    StatsServices,
    StatsWorkers,
    MirrorWork,
    MirrorService,
    MirrorWorker,
    Canary,
}

/// A set of inner topics, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct InnerSet(u8);

impl InnerTopic {
    /// All of them, by [`Self::index`].
    pub(crate) const ALL: [Self; 8] = [
        Self::Heartbeat,
        Self::StatsNetwork,
        Self::StatsServices,
        Self::StatsWorkers,
        Self::MirrorWork,
        Self::MirrorService,
        Self::MirrorWorker,
        Self::Canary,
    ];

    /// Its place in [`Self::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Its name inside the router; for those that clients can watch, the same as outside.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::StatsNetwork => "stats/network",
            Self::StatsServices => "stats/services",
            Self::StatsWorkers => "stats/workers",
            Self::MirrorWork => "mirror/work",
            Self::MirrorService => "mirror/service",
            Self::MirrorWorker => "mirror/worker",
            Self::Canary => "canary",
        }
    }

    /// Whether its messages have no payload.
    pub(crate) const fn is_empty(self) -> bool {
        matches!(self, Self::Heartbeat | Self::Canary)
    }

    /// Whether the client's topic is in the payload.
    pub(crate) const fn is_mirror(self) -> bool {
        matches!(self, Self::MirrorWork | Self::MirrorService | Self::MirrorWorker)
    }

    /// Where a watched topic travels.
    pub(crate) const fn watched(topic: Topic) -> Option<Self> {
        match topic {
            Topic::Heartbeat => Some(Self::Heartbeat),
            Topic::StatsNetwork => Some(Self::StatsNetwork),
            Topic::StatsServices => Some(Self::StatsServices),
            Topic::StatsWorkers => Some(Self::StatsWorkers),
            _ => None,
        }
    }

    /// Where an addressed message is shown to the operators.
    pub(crate) const fn mirror_of(topic: Topic) -> Option<Self> {
        match topic {
            Topic::WorkRequest(_) | Topic::WorkResult(_) | Topic::WorkVerdict(_) => Some(Self::MirrorWork),
            Topic::ServiceRequest(_) | Topic::ServiceCancel(_) | Topic::ServiceReply(_) => {
                Some(Self::MirrorService)
            }
            Topic::WorkerHello(_) | Topic::WorkerStatus(_) => Some(Self::MirrorWorker),
            Topic::Heartbeat | Topic::StatsNetwork | Topic::StatsServices | Topic::StatsWorkers => None,
        }
    }
}

impl InnerSet {
    /// What these filters cover together. Each topic is in it once, so overlapping filters do not deliver twice. Addressed
    /// topics have no part in it.
    pub(crate) fn of_filters(filters: &[Filter]) -> Self {
        filters.iter().fold(Self::default(), |set, filter| Self(set.0 | Self::of_filter(*filter).0))
    }

    fn of_filter(filter: Filter) -> Self {
        const STATS: [InnerTopic; 3] =
            [InnerTopic::StatsNetwork, InnerTopic::StatsServices, InnerTopic::StatsWorkers];
        match filter {
            Filter::Exact(topic) => {
                InnerTopic::watched(topic).map_or(Self::default(), |topic| Self::of(&[topic]))
            }
            Filter::Wildcard(WildcardFilter::Stats) => Self::of(&STATS),
            Filter::Wildcard(WildcardFilter::Work) => Self::of(&[InnerTopic::MirrorWork]),
            Filter::Wildcard(WildcardFilter::Service) => Self::of(&[InnerTopic::MirrorService]),
            Filter::Wildcard(WildcardFilter::Worker) => Self::of(&[InnerTopic::MirrorWorker]),
            Filter::Wildcard(WildcardFilter::Everything) => {
                Self(Self::of(&InnerTopic::ALL).0 & !Self::of(&[InnerTopic::Canary]).0)
            }
        }
    }

    fn of(topics: &[InnerTopic]) -> Self {
        Self(topics.iter().fold(0, |bits, topic| bits | 1 << topic.index()))
    }

    /// Whether the topic is in it.
    pub(crate) fn contains(self, topic: InnerTopic) -> bool {
        self.0 & 1 << topic.index() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(filters: &[&str]) -> Vec<&'static str> {
        let filters: Vec<Filter> = filters.iter().map(|text| text.parse().unwrap()).collect();
        let set = InnerSet::of_filters(&filters);
        InnerTopic::ALL.into_iter().filter(|topic| set.contains(*topic)).map(InnerTopic::as_str).collect()
    }

    #[test]
    fn topics_stand_at_their_index() {
        for (index, topic) in InnerTopic::ALL.into_iter().enumerate() {
            assert_eq!(topic.index(), index);
        }
    }

    #[test]
    fn overlapping_filters_cover_each_topic_once() {
        assert_eq!(covered(&[]), [""; 0]);
        assert_eq!(covered(&["heartbeat"]), ["heartbeat"]);
        assert_eq!(
            covered(&["stats/#", "stats/network"]),
            ["stats/network", "stats/services", "stats/workers"]
        );
        assert_eq!(covered(&["work/#", "worker/#"]), ["mirror/work", "mirror/worker"]);
        let everything = covered(&["#", "work/#", "heartbeat"]);
        assert_eq!(everything.len(), 7);
        assert!(!everything.contains(&"canary"));
    }
}
