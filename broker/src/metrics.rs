//! Every metric of the gate and its labels. A recorder must be installed before the gate starts.

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use crate::ending::{Ending, Refused};
use crate::identity::Role;
use crate::penalty::Sentence;
use crate::version::Version;

/// Metrics by role, and some by version; their handles are kept, since they are touched for every message.
#[derive(Clone)]
pub(crate) struct RoleMetrics {
    pub(crate) connections: Gauge,
    pub(crate) logins: Counter,
    pub(crate) messages_received: Counter,
    pub(crate) messages_sent: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) bytes_sent: Counter,
    pub(crate) queue_overflows: Counter,
    pub(crate) publishes_delayed: Counter,
    pub(crate) publishes_denied: Counter,
}

/// Metrics of the questions who somebody is.
#[derive(Clone)]
pub(crate) struct LoginMetrics {
    pub(crate) asked: Counter,
    pub(crate) cached: Counter,
}

/// The metrics of a gate.
pub(crate) struct Metrics {
    worker: [RoleMetrics; Version::ALL.len()],
    service: [RoleMetrics; Version::ALL.len()],
    operator: [RoleMetrics; Version::ALL.len()],
    pub(crate) login: LoginMetrics,
    pub(crate) accept_failures: Counter,
    pub(crate) accept_delay: Histogram,
    pub(crate) watched_dropped: Counter,
}

impl Metrics {
    /// Describes all metrics and starts every set of labels at zero.
    pub(crate) fn new() -> Self {
        describe();
        for reason in Refused::ALL {
            refused_counter(reason).increment(0);
        }
        for reason in Ending::ALL {
            ended_counter(reason).increment(0);
        }
        for sentence in Sentence::ALL {
            penalties_counter(sentence).increment(0);
        }
        Self {
            worker: of_versions(Role::Worker),
            service: of_versions(Role::Service),
            operator: of_versions(Role::Operator),
            login: LoginMetrics {
                asked: counter!("mqtt_login_questions_total", "answer" => "asked"),
                cached: counter!("mqtt_login_questions_total", "answer" => "cached"),
            },
            accept_delay: histogram!("mqtt_accept_delay_seconds"),
            accept_failures: counter!("mqtt_accept_failures_total"),
            watched_dropped: counter!("mqtt_watched_dropped_total"),
        }
    }

    /// The metrics of a role and a version.
    pub(crate) fn session(&self, role: Role, version: Version) -> &RoleMetrics {
        let versions = match role {
            Role::Worker => &self.worker,
            Role::Service => &self.service,
            Role::Operator => &self.operator,
        };
        &versions[version.index()]
    }
}

fn of_versions(role: Role) -> [RoleMetrics; Version::ALL.len()] {
    Version::ALL.map(|version| RoleMetrics::new(role, version))
}

impl RoleMetrics {
    fn new(role: Role, version: Version) -> Self {
        let (role, version) = (role.as_str(), version.as_str());
        Self {
            connections: gauge!("mqtt_connections", "role" => role, "version" => version),
            logins: counter!("mqtt_logins_total", "role" => role, "version" => version),
            messages_received: counter!("mqtt_messages_received_total", "role" => role),
            messages_sent: counter!("mqtt_messages_sent_total", "role" => role),
            bytes_received: counter!("mqtt_received_bytes_total", "role" => role),
            bytes_sent: counter!("mqtt_sent_bytes_total", "role" => role),
            queue_overflows: counter!("mqtt_queue_overflows_total", "role" => role),
            publishes_delayed: counter!("mqtt_publishes_delayed_total", "role" => role),
            publishes_denied: counter!("mqtt_publishes_denied_total", "role" => role),
        }
    }
}

/// Counts a connection that never became a session.
pub(crate) fn refused(reason: Refused) {
    refused_counter(reason).increment(1);
}

/// Counts a session's end.
pub(crate) fn ended(reason: Ending) {
    ended_counter(reason).increment(1);
}

/// Counts a result that counts against somebody, by what it has led to.
pub(crate) fn penalized(sentence: Sentence) {
    penalties_counter(sentence).increment(1);
}

fn penalties_counter(sentence: Sentence) -> Counter {
    counter!("mqtt_penalties_total", "sentence" => sentence.as_str())
}

fn refused_counter(reason: Refused) -> Counter {
    counter!("mqtt_connections_refused_total", "reason" => reason.as_str())
}

fn ended_counter(reason: Ending) -> Counter {
    counter!("mqtt_sessions_ended_total", "reason" => reason.as_str())
}

fn describe() {
    describe_gauge!("mqtt_connections", "Sessions that are logged in");
    describe_counter!("mqtt_logins_total", "Logins that became sessions");
    describe_counter!("mqtt_connections_refused_total", "Connections that never became sessions");
    describe_counter!("mqtt_sessions_ended_total", "Sessions that have ended");
    describe_counter!(
        "mqtt_login_questions_total",
        "Logins that were decided, by asking or from a fresh answer"
    );
    describe_counter!(
        "mqtt_penalties_total",
        "Results that count against a worker, by the worst that each has led to"
    );
    describe_histogram!(
        "mqtt_accept_delay_seconds",
        Unit::Seconds,
        "How late the loop that accepts connections comes back to it, measured ten times a second"
    );
    describe_counter!("mqtt_messages_received_total", "Messages from sessions");
    describe_counter!("mqtt_messages_sent_total", "Messages queued for sessions");
    describe_counter!("mqtt_received_bytes_total", "Bytes read from sessions");
    describe_counter!("mqtt_sent_bytes_total", "Bytes written to sessions");
    describe_counter!(
        "mqtt_queue_overflows_total",
        "Messages dropped, or sessions closed, since a client reads too slowly or takes no packet of that size"
    );
    describe_counter!(
        "mqtt_publishes_delayed_total",
        "Messages that were read later because of the rate limit"
    );
    describe_counter!("mqtt_publishes_denied_total", "Messages on topics to which the session has no right");
    describe_counter!("mqtt_accept_failures_total", "Connections that the system could not accept");
    describe_counter!(
        "mqtt_watched_dropped_total",
        "Messages on watched topics that found the way to the router full"
    );
}
