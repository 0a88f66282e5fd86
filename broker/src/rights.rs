//! Who may publish and subscribe to what. Pure; whatever is not listed is denied.
//!
//! The id in a topic is compared with the id of the session, never taken from a payload.

use shared::protocol::{Filter, Topic, WildcardFilter};

use crate::identity::Identity;

/// Whether this identity may publish on this topic.
pub(crate) fn may_publish(identity: &Identity, topic: Topic) -> bool {
    match (identity, topic) {
        (
            Identity::Worker { worker, .. },
            Topic::WorkResult(id) | Topic::WorkerHello(id) | Topic::WorkerStatus(id),
        ) => id == *worker,
        (Identity::Service { service, .. }, Topic::ServiceRequest(id) | Topic::ServiceCancel(id)) => {
            id == *service
        }
        _ => false,
    }
}

/// Whether this identity may subscribe with this filter. The right to `stats/#` is the right to each of its topics.
pub(crate) fn may_subscribe(identity: &Identity, filter: Filter) -> bool {
    if is_public(filter) {
        return true;
    }
    match (identity, filter) {
        (Identity::Worker { worker, .. }, Filter::Exact(Topic::WorkRequest(id) | Topic::WorkVerdict(id))) => {
            id == *worker
        }
        (Identity::Service { service, .. }, Filter::Exact(Topic::ServiceReply(id))) => id == *service,
        (Identity::Operator, Filter::Wildcard(_)) => true,
        _ => false,
    }
}

/// What everybody who has logged in may watch.
fn is_public(filter: Filter) -> bool {
    matches!(
        filter,
        Filter::Wildcard(WildcardFilter::Stats)
            | Filter::Exact(
                Topic::Heartbeat | Topic::StatsNetwork | Topic::StatsServices | Topic::StatsWorkers
            )
    )
}

#[cfg(test)]
mod tests {
    use shared::{Payee, ServiceId, WorkerId};

    use super::*;

    const ROLES: [&str; 3] = ["worker", "service", "operator"];

    fn worker(seed: u8) -> WorkerId {
        WorkerId::of_secret(&[seed; 32])
    }

    fn service(name: &str) -> ServiceId {
        name.parse().unwrap()
    }

    fn identity(role: &str) -> Identity {
        match role {
            "worker" => Identity::Worker { worker: worker(1), payee: Payee::House },
            "service" => {
                Identity::Service { service: service("mine"), key: shared::KeyId::from_bytes([1; 8]) }
            }
            _ => Identity::Operator,
        }
    }

    /// Each row of the table, with whose ids, and the roles that may publish and subscribe there.
    fn table() -> Vec<(String, &'static [&'static str], &'static [&'static str])> {
        let (own, other) = (worker(1), worker(2));
        let all: &[&str] = &ROLES;
        vec![
            (format!("work/request/{own}"), &[], &["worker"]),
            (format!("work/result/{own}"), &["worker"], &[]),
            (format!("work/verdict/{own}"), &[], &["worker"]),
            (format!("worker/{own}/hello"), &["worker"], &[]),
            (format!("worker/{own}/status"), &["worker"], &[]),
            ("service/mine/request".into(), &["service"], &[]),
            ("service/mine/cancel".into(), &["service"], &[]),
            ("service/mine/reply".into(), &[], &["service"]),
            (format!("work/request/{other}"), &[], &[]),
            (format!("work/result/{other}"), &[], &[]),
            (format!("work/verdict/{other}"), &[], &[]),
            (format!("worker/{other}/hello"), &[], &[]),
            (format!("worker/{other}/status"), &[], &[]),
            ("service/theirs/request".into(), &[], &[]),
            ("service/theirs/cancel".into(), &[], &[]),
            ("service/theirs/reply".into(), &[], &[]),
            ("heartbeat".into(), &[], all),
            ("stats/network".into(), &[], all),
            ("stats/services".into(), &[], all),
            ("stats/workers".into(), &[], all),
            ("stats/#".into(), &[], all),
            ("#".into(), &[], &["operator"]),
            ("work/#".into(), &[], &["operator"]),
            ("service/#".into(), &[], &["operator"]),
            ("worker/#".into(), &[], &["operator"]),
        ]
    }

    #[test]
    fn every_role_has_exactly_the_rights_of_the_table() {
        for role in ROLES {
            let identity = identity(role);
            for (text, publishers, subscribers) in table() {
                let publish = text.parse().is_ok_and(|topic| may_publish(&identity, topic));
                let subscribe = text.parse().is_ok_and(|filter| may_subscribe(&identity, filter));
                assert_eq!(publish, publishers.contains(&role), "{role} publishes {text}");
                assert_eq!(subscribe, subscribers.contains(&role), "{role} subscribes {text}");
            }
        }
    }

    #[test]
    fn nothing_outside_the_protocol_can_be_spelled() {
        let own = worker(1);
        for text in [
            "$SYS/#".to_owned(),
            "+/#".to_owned(),
            "work/+".to_owned(),
            "work/request/+".to_owned(),
            format!("$share/g/work/request/{own}"),
            "$share/g/#".to_owned(),
            "service/mine/#".to_owned(),
            "service/+/reply".to_owned(),
            "canary".to_owned(),
            "mirror/work".to_owned(),
            format!("work/request/{}", own.to_string().to_uppercase()),
            String::new(),
        ] {
            assert!(text.parse::<Filter>().is_err(), "{text}");
            assert!(text.parse::<Topic>().is_err(), "{text}");
        }
    }
}
