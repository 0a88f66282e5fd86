//! Every metric of the gate and its labels. A recorder must be installed before the gate starts.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::ending::{Ending, Refused};
use crate::identity::Role;

/// Metrics by role; their handles are kept, since they are touched for every message.
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
}

/// The metrics of a gate.
pub(crate) struct Metrics {
    worker: RoleMetrics,
    service: RoleMetrics,
    operator: RoleMetrics,
    pub(crate) accept_failures: Counter,
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
        Self {
            worker: RoleMetrics::new(Role::Worker),
            service: RoleMetrics::new(Role::Service),
            operator: RoleMetrics::new(Role::Operator),
            accept_failures: counter!("mqtt_accept_failures_total"),
            watched_dropped: counter!("mqtt_watched_dropped_total"),
        }
    }

    /// The metrics of a role.
    pub(crate) fn role(&self, role: Role) -> &RoleMetrics {
        match role {
            Role::Worker => &self.worker,
            Role::Service => &self.service,
            Role::Operator => &self.operator,
        }
    }
}

impl RoleMetrics {
    fn new(role: Role) -> Self {
        let role = role.as_str();
        Self {
            connections: gauge!("mqtt_connections", "role" => role),
            logins: counter!("mqtt_logins_total", "role" => role),
            messages_received: counter!("mqtt_messages_received_total", "role" => role),
            messages_sent: counter!("mqtt_messages_sent_total", "role" => role),
            bytes_received: counter!("mqtt_received_bytes_total", "role" => role),
            bytes_sent: counter!("mqtt_sent_bytes_total", "role" => role),
            queue_overflows: counter!("mqtt_queue_overflows_total", "role" => role),
            publishes_delayed: counter!("mqtt_publishes_delayed_total", "role" => role),
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
    describe_counter!("mqtt_messages_received_total", "Messages from sessions");
    describe_counter!("mqtt_messages_sent_total", "Messages queued for sessions");
    describe_counter!("mqtt_received_bytes_total", "Bytes read from sessions");
    describe_counter!("mqtt_sent_bytes_total", "Bytes written to sessions");
    describe_counter!(
        "mqtt_queue_overflows_total",
        "Messages dropped, or sessions closed, since a client reads too slowly"
    );
    describe_counter!(
        "mqtt_publishes_delayed_total",
        "Messages that were read later because of the rate limit"
    );
    describe_counter!("mqtt_accept_failures_total", "Connections that the system could not accept");
    describe_counter!(
        "mqtt_watched_dropped_total",
        "Messages on watched topics that found the way to the router full"
    );
}
