//! Who may publish and subscribe to what, asked of the gate from outside, in both versions.

use broker::bus::Up;
use shared::SessionId;
use tokio::net::TcpStream;

use crate::harness::{Client, Connect, Fixture, Version, worker};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Worker,
    Service,
    Operator,
}

const ROLES: [Role; 3] = [Role::Worker, Role::Service, Role::Operator];
const EVERYBODY: &[Role] = &ROLES;
const NOBODY: &[Role] = &[];

impl Role {
    fn connect(self, version: Version) -> Connect {
        let connect = match self {
            Self::Worker => Connect::worker(1),
            Self::Service => Connect::new("mine", "key", "a"),
            Self::Operator => Connect::new("operator", "token", "a"),
        };
        connect.version(version)
    }
}

/// A text, who may publish there, and who may subscribe to it.
type Row = (String, &'static [Role], &'static [Role]);

/// All topics with the own id and with another's, all filters, and what looks like one.
fn rows() -> Vec<Row> {
    let (own, other) = (worker(1), worker(2));
    let mut rows: Vec<Row> = vec![
        (format!("work/request/{own}"), NOBODY, &[Role::Worker]),
        (format!("work/result/{own}"), &[Role::Worker], NOBODY),
        (format!("work/verdict/{own}"), NOBODY, &[Role::Worker]),
        (format!("worker/{own}/hello"), &[Role::Worker], NOBODY),
        (format!("worker/{own}/status"), &[Role::Worker], NOBODY),
        ("service/mine/request".into(), &[Role::Service], NOBODY),
        ("service/mine/cancel".into(), &[Role::Service], NOBODY),
        ("service/mine/reply".into(), NOBODY, &[Role::Service]),
        ("stats/#".into(), NOBODY, EVERYBODY),
    ];
    for public in ["heartbeat", "stats/network", "stats/services", "stats/workers"] {
        rows.push((public.into(), NOBODY, EVERYBODY));
    }
    for everything in ["#", "work/#", "service/#", "worker/#"] {
        rows.push((everything.into(), NOBODY, &[Role::Operator]));
    }
    for denied in [
        &format!("work/request/{other}"),
        &format!("work/result/{other}"),
        &format!("work/verdict/{other}"),
        &format!("worker/{other}/hello"),
        &format!("worker/{other}/status"),
        "service/theirs/request",
        "service/theirs/cancel",
        "service/theirs/reply",
        "+",
        "+/+",
        "+/+/+",
        "work/request/+",
        "work/result/+",
        "service/+/reply",
        "service/mine/#",
        "worker/+/hello",
        "heartbeat/#",
        "$SYS/#",
        "canary",
        "mirror/work",
        &format!("work/request/{}", own.to_string().to_uppercase()),
        &format!("/work/request/{own}"),
        &format!("work/request/{own}/"),
    ] {
        rows.push((denied.into(), NOBODY, NOBODY));
    }
    let shared: Vec<Row> =
        rows.iter().map(|(text, ..)| (format!("$share/g/{text}"), NOBODY, NOBODY)).collect();
    rows.extend(shared);
    rows
}

#[tokio::test]
async fn each_role_subscribes_to_its_rows_and_to_no_other() {
    let mut fixture = Fixture::start().await;
    for version in Version::ALL {
        for role in ROLES {
            let (mut client, session) = fixture.log_in(&role.connect(version)).await;
            for (filter, _, subscribers) in rows() {
                let code = match version {
                    _ if subscribers.contains(&role) => 0,
                    Version::V311 => 0x80,
                    Version::V5 if filter.starts_with("$share/") => 0x9E,
                    Version::V5 => 0x87,
                };
                println!("{version:?} {role:?} subscribes to {filter}");
                client.subscribe_expecting(&[&filter], &[code]).await;
                client.send(&version.unsubscribe(2, &[&filter])).await;
                let codes: &[u8] = match (version, code) {
                    (Version::V311, _) => &[],
                    (Version::V5, 0) => &[0],
                    (Version::V5, _) => &[0x11],
                };
                client.expect(&version.filters_ack(0xB0, 2, codes)).await;
            }
            drop(client);
            fixture.left(session).await;
        }
    }
}

/// A session that publishes, and is there again after it was closed.
struct Publisher {
    role: Role,
    version: Version,
    client: Client<TcpStream>,
    session: SessionId,
}

impl Publisher {
    async fn log_in(fixture: &mut Fixture, role: Role, version: Version) -> Self {
        let (client, session) = fixture.log_in(&role.connect(version)).await;
        Self { role, version, client, session }
    }

    async fn assert_allowed(&mut self, fixture: &mut Fixture, topic: &str) {
        self.client.send(&self.version.publish(1, 5, topic, b"x")).await;
        self.client.expect(&[0x40, 2, 0, 5]).await;
        self.client.send(&self.version.publish(0, 0, topic, b"y")).await;
        for expected in [b"x", b"y"] {
            match fixture.up().await {
                Up::Message { session, topic: seen, payload } => {
                    assert_eq!((session, seen.to_string()), (self.session, topic.to_owned()));
                    assert_eq!(payload.as_ref(), expected);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    async fn assert_denied(&mut self, fixture: &mut Fixture, topic: &str) {
        if self.version == Version::V5 {
            self.client.send(&self.version.publish(1, 5, topic, b"x")).await;
            self.client.expect(&[0x40, 3, 0, 5, 0x87]).await;
        }
        let qos = u8::from(self.version == Version::V311);
        self.client.send(&self.version.publish(qos, 6, topic, b"x")).await;
        self.client.expect_end(&self.version.last_words(0x87)).await;
        // Nothing of it has reached the coordinator.
        fixture.left(self.session).await;
        *self = Self::log_in(fixture, self.role, self.version).await;
    }
}

#[tokio::test]
async fn each_role_publishes_on_its_rows_and_on_no_other() {
    let mut fixture = Fixture::start().await;
    for version in Version::ALL {
        for role in ROLES {
            let mut publisher = Publisher::log_in(&mut fixture, role, version).await;
            for (topic, publishers, _) in rows() {
                println!("{version:?} {role:?} publishes on {topic}");
                if publishers.contains(&role) {
                    publisher.assert_allowed(&mut fixture, &topic).await;
                } else {
                    publisher.assert_denied(&mut fixture, &topic).await;
                }
            }
            drop(publisher.client);
            fixture.left(publisher.session).await;
        }
    }
}
