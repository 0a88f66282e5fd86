//! Bytes that are not MQTT, or not what may be sent. After each, a fresh client is served.

use std::net::{Ipv4Addr, SocketAddr};

use broker::bus::{Bus, Down};
use bytes::Bytes;
use shared::protocol::Topic;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Client, Connect, Fixture, Version, packet, publish, subscribe, text, until, worker};

/// Sends these bytes as the first of a connection; the gate closes it without a word.
async fn assert_closed_as_stranger(fixture: &Fixture, name: &str, bytes: &[u8]) {
    println!("{name}, from a stranger");
    let mut client = fixture.stranger().await;
    client.send(bytes).await;
    client.expect_closed().await;
}

/// Sends these bytes after a login; the gate ends the session, in MQTT 5 with this reason.
async fn assert_closed_as_worker(
    fixture: &mut Fixture,
    version: Version,
    (name, bytes, reason): (&str, &[u8], u8),
) {
    println!("{name}, from a worker that speaks {version:?}");
    let (mut client, session) = fixture.log_in(&Connect::worker(1).version(version)).await;
    client.send(bytes).await;
    client.expect_end(&version.last_words(reason)).await;
    fixture.left(session).await;
}

/// Somebody who has nothing to do with all this, and must not notice it.
struct Bystander(Client<TcpStream>);

impl Bystander {
    async fn log_in(fixture: &mut Fixture) -> Self {
        let (mut client, _) = fixture.service("bystander", "b").await;
        client.subscribe(&["heartbeat", "service/bystander/reply"]).await;
        Self(client)
    }

    async fn assert_undisturbed(&mut self, fixture: &Fixture) {
        self.0.ping().await;
        fixture.bus.send(Down::Publish { topic: Topic::Heartbeat, payload: Bytes::new() });
        self.0.expect_message("heartbeat", b"").await;
        let monitor = fixture.gate.monitor();
        until("health", || monitor.is_healthy()).await;
    }
}

/// Packets that no client may send at any time, and the reason that MQTT 5 has for each.
pub(crate) fn forbidden(version: Version) -> Vec<(&'static str, Vec<u8>, u8)> {
    const MALFORMED: u8 = 0x81;
    const PROTOCOL_ERROR: u8 = 0x82;
    const TOO_LARGE: u8 = 0x95;
    const QOS_NOT_SUPPORTED: u8 = 0x9B;
    let topic = format!("work/result/{}", worker(1));
    let mut packets = vec![
        ("type 0", vec![0, 0], MALFORMED),
        ("type 15", vec![0xF0, 0], MALFORMED),
        ("CONNACK", vec![0x20, 2, 0, 0], MALFORMED),
        ("CONNACK of MQTT 5, repeatedly", [0x20, 3, 0, 0, 0].repeat(20), MALFORMED),
        ("SUBACK", vec![0x90, 3, 0, 1, 0], MALFORMED),
        ("UNSUBACK", vec![0xB0, 2, 0, 1], MALFORMED),
        ("PINGRESP", vec![0xD0, 0], MALFORMED),
        ("PUBREC", vec![0x50, 2, 0, 1], QOS_NOT_SUPPORTED),
        ("PUBREL", vec![0x62, 2, 0, 1], QOS_NOT_SUPPORTED),
        ("PUBCOMP", vec![0x70, 2, 0, 1], QOS_NOT_SUPPORTED),
        ("QoS 2", version.publish(2, 1, &topic, b""), QOS_NOT_SUPPORTED),
        ("QoS 3", version.publish(3, 1, &topic, b""), MALFORMED),
        ("QoS 1 with packet id 0", version.publish(1, 0, &topic, b""), MALFORMED),
        ("a topic longer than its packet", vec![0x30, 4, 0xFF, 0xFF, b'a', b'b'], MALFORMED),
        ("a topic that is not UTF-8", packet(0x30, &[0, 2, 0xC3, 0x28]), MALFORMED),
        ("PUBLISH without a body", vec![0x30, 0], MALFORMED),
        ("SUBSCRIBE with wrong flags", packet(0x80, &[0, 1, 0, 1, b'#', 0]), MALFORMED),
        ("SUBSCRIBE without filters", version.subscribe(1, &[]), PROTOCOL_ERROR),
        ("SUBSCRIBE with packet id 0", version.subscribe(0, &["heartbeat"]), MALFORMED),
        ("SUBSCRIBE at QoS 3", version.filters(0x82, 1, &["#"], &[3]), PROTOCOL_ERROR),
        ("UNSUBSCRIBE without filters", version.unsubscribe(1, &[]), PROTOCOL_ERROR),
        ("UNSUBSCRIBE of one byte", packet(0xA2, &[0]), MALFORMED),
        ("PINGREQ with a body", packet(0xC0, &[0]), MALFORMED),
        ("PUBACK that is too short", packet(0x40, &[0]), MALFORMED),
        ("a length of five bytes", vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], MALFORMED),
        ("a length of 256 MB", vec![0x30, 0xFF, 0xFF, 0xFF, 0x7F], TOO_LARGE),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), MALFORMED),
        ("TLS", vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3], MALFORMED),
        ("random bytes", (0..200_u8).map(|index| index.wrapping_mul(197) ^ 0x5A).collect(), MALFORMED),
    ];
    if version == Version::V311 {
        packets.push(("DISCONNECT with a body", packet(0xE0, &[0, 0]), MALFORMED));
    }
    packets
}

#[tokio::test]
async fn what_no_client_may_send_ends_the_connection() {
    let mut fixture = Fixture::start().await;
    let mut bystander = Bystander::log_in(&mut fixture).await;
    for version in Version::ALL {
        for (name, bytes, reason) in forbidden(version) {
            assert_closed_as_stranger(&fixture, name, &bytes).await;
            assert_closed_as_worker(&mut fixture, version, (name, &bytes, reason)).await;
            fixture.assert_serves().await;
        }
    }
    bystander.assert_undisturbed(&fixture).await;
}

#[tokio::test]
async fn packets_in_the_wrong_order_end_the_connection() {
    let mut fixture = Fixture::start().await;
    assert_closed_as_stranger(&fixture, "PINGREQ first", &[0xC0, 0]).await;
    assert_closed_as_stranger(&fixture, "an empty CONNECT", &[0x10, 0]).await;
    for version in Version::ALL {
        assert_closed_as_stranger(&fixture, "SUBSCRIBE first", &version.subscribe(1, &["heartbeat"])).await;
        let again = Connect::worker(1).version(version).bytes();
        assert_closed_as_worker(&mut fixture, version, ("a second CONNECT", &again, 0x82)).await;
    }
    fixture.assert_serves().await;
}

/// Texts that stop rumqttd's router when they reach it: as a topic, a will, a client id, a shared subscription.
#[tokio::test]
async fn what_stops_the_router_does_not_reach_it() {
    let mut fixture = Fixture::start().await;
    let mut bystander = Bystander::log_in(&mut fixture).await;
    for version in Version::ALL {
        let topic = version.publish(0, 0, "é/x", b"");
        assert_closed_as_worker(&mut fixture, version, ("a topic", &topic, 0x87)).await;
        for _ in 0..2 {
            let connect = Connect::new("wallet", "key", "+/#/é").version(version);
            let (client, session) = fixture.log_in(&connect).await;
            drop(client);
            fixture.left(session).await;
        }
        let (mut client, session) = fixture.log_in(&Connect::worker(1).version(version)).await;
        let answers = match version {
            Version::V311 => [0x80; 3],
            Version::V5 => [0x9E, 0x87, 0x87],
        };
        client.subscribe_expecting(&["$share/g/é", "é/#", ""], &answers).await;
        drop(client);
        fixture.left(session).await;
        fixture.assert_serves().await;
    }
    bystander.assert_undisturbed(&fixture).await;
}

/// Topics and filters by the thousand: what is not of this protocol leaves nothing behind, here or in the router.
#[tokio::test]
async fn a_flood_of_topics_and_filters_is_only_answered() {
    const ROUNDS: u32 = 500;
    let mut fixture = Fixture::start().await;
    let mut bystander = Bystander::log_in(&mut fixture).await;
    let (mut client, session) =
        fixture.log_in(&Connect::new("wallet", "key", "a").version(Version::V5)).await;
    for round in 0..ROUNDS {
        let topics: Vec<String> = (0..8).map(|index| format!("service/x{round}-{index}/request")).collect();
        for topic in &topics {
            client.send(&Version::V5.publish(1, 9, topic, b"")).await;
        }
        client.expect(&[0x40, 3, 0, 9, 0x87].repeat(8)).await;
        let filters: Vec<&str> = topics.iter().map(String::as_str).collect();
        client.subscribe_expecting(&filters, &[0x87; 8]).await;
    }
    drop(client);
    fixture.left(session).await;
    fixture.assert_serves().await;
    bystander.assert_undisturbed(&fixture).await;
}

#[tokio::test]
async fn packets_may_come_one_byte_at_a_time() {
    let mut fixture = Fixture::start().await;
    let id = worker(1);
    let mut bytes = Connect::worker(1).bytes();
    bytes.extend(subscribe(1, &["heartbeat"]));
    bytes.extend(publish(1, 2, &format!("work/result/{id}"), &[0; 200]));
    bytes.extend([0xC0, 0]);
    let mut client = fixture.stranger().await;
    for byte in &bytes {
        client.send(&[*byte]).await;
    }
    client.expect(&[0x20, 2, 0, 0, 0x90, 3, 0, 1, 0, 0x40, 2, 0, 2, 0xD0, 0]).await;
    let session = fixture.joined().await;
    fixture.message(session, Topic::WorkResult(id), &[0; 200]).await;
}

#[tokio::test]
async fn packets_may_come_all_at_once() {
    let mut fixture = Fixture::start().await;
    let mut bytes = Connect::worker(1).bytes();
    bytes.extend(subscribe(1, &["heartbeat"]));
    bytes.extend([0xC0, 0]);
    let mut client = fixture.stranger().await;
    client.send(&bytes).await;
    client.expect(&[0x20, 2, 0, 0, 0x90, 3, 0, 1, 0, 0xD0, 0]).await;
    fixture.joined().await;
}

/// A CONNECT that ends anywhere.
#[tokio::test]
async fn a_connect_may_end_anywhere() {
    let mut fixture = Fixture::start().await;
    for version in Version::ALL {
        let connect = Connect::worker(1).version(version).bytes();
        for length in 0..connect.len() {
            let mut client = fixture.stranger().await;
            client.send(&connect[..length]).await;
            client.stream.shutdown().await.unwrap();
            client.expect_closed().await;
        }
    }
    fixture.assert_serves().await;
}

/// A CONNECT whose announced length does not fit what is in it.
#[tokio::test]
async fn a_connect_may_lie_about_its_length() {
    let mut fixture = Fixture::start().await;
    for version in Version::ALL {
        let connect = Connect::worker(1).version(version).bytes();
        for length in 0..connect.len() - 2 {
            let mut client = fixture.stranger().await;
            client.send(&packet(0x10, &connect[2..2 + length])).await;
            // Once the version can be read, a client of MQTT 5 is told.
            let is_told = version == Version::V5 && length >= 7;
            client.expect_end(if is_told { &[0x20, 3, 0, 0x81, 0] } else { &[] }).await;
        }
    }
    let mut inner = text("MQTT");
    inner.extend([4, 0xC2, 0, 60, 0xFF, 0xFF, b'x']);
    assert_closed_as_stranger(&fixture, "a client id beyond the packet", &packet(0x10, &inner)).await;
    fixture.assert_serves().await;
}

#[tokio::test]
async fn a_flood_of_half_open_connections_leaves_room() {
    let mut fixture = Fixture::with_limits(|limits| limits.unauthenticated_max = 200).await;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, fixture.gate.local_addr().port()));
    let mut flood = Vec::new();
    for _ in 0..400 {
        flood.push(TcpStream::connect(address).await.unwrap());
    }
    drop(flood);
    let mut tries = 0;
    loop {
        let mut client = fixture.stranger().await;
        let connect = Connect::worker(1).bytes();
        // While the flood is being counted off, connections are closed.
        if client.stream.write_all(&connect).await.is_ok() {
            let mut answer = [0; 4];
            if client.stream.read_exact(&mut answer).await.is_ok() {
                break;
            }
        }
        tries += 1;
        assert!(tries < 100_000);
    }
    let session = fixture.joined().await;
    fixture.left(session).await;
    fixture.assert_serves().await;
}
