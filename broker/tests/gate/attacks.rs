//! Bytes that are not MQTT, or not what may be sent. After each, a fresh client is served.

use std::net::{Ipv4Addr, SocketAddr};

use shared::protocol::Topic;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Connect, Fixture, packet, publish, subscribe, text, until, worker};

/// Sends these bytes as the first of a connection; the gate closes it without a word.
async fn assert_closed_as_stranger(fixture: &Fixture, name: &str, bytes: &[u8]) {
    println!("{name}, from a stranger");
    let mut client = fixture.stranger().await;
    client.send(bytes).await;
    client.expect_closed().await;
}

/// Sends these bytes after a login; the gate ends the session without a word.
async fn assert_closed_as_worker(fixture: &mut Fixture, name: &str, bytes: &[u8]) {
    println!("{name}, from a worker");
    let (mut client, session) = fixture.worker(1).await;
    client.send(bytes).await;
    client.expect_closed().await;
    fixture.left(session).await;
}

/// Packets that no client may send at any time.
fn forbidden() -> Vec<(&'static str, Vec<u8>)> {
    let topic = format!("work/result/{}", worker(1));
    vec![
        ("type 0", vec![0, 0]),
        ("type 15", vec![0xF0, 0]),
        ("CONNACK", vec![0x20, 2, 0, 0]),
        ("CONNACK of MQTT 5, repeatedly", [0x20, 3, 0, 0, 0].repeat(20)),
        ("SUBACK", vec![0x90, 3, 0, 1, 0]),
        ("UNSUBACK", vec![0xB0, 2, 0, 1]),
        ("PINGRESP", vec![0xD0, 0]),
        ("PUBREC", vec![0x50, 2, 0, 1]),
        ("PUBREL", vec![0x62, 2, 0, 1]),
        ("PUBCOMP", vec![0x70, 2, 0, 1]),
        ("QoS 2", publish(2, 1, &topic, b"")),
        ("QoS 3", publish(3, 1, &topic, b"")),
        ("QoS 1 with packet id 0", publish(1, 0, &topic, b"")),
        ("a topic longer than its packet", vec![0x30, 4, 0xFF, 0xFF, b'a', b'b']),
        ("a topic that is not UTF-8", packet(0x30, &[0, 2, 0xC3, 0x28])),
        ("PUBLISH without a body", vec![0x30, 0]),
        ("SUBSCRIBE with wrong flags", packet(0x80, &[0, 1, 0, 1, b'#', 0])),
        ("SUBSCRIBE without filters", packet(0x82, &[0, 1])),
        ("SUBSCRIBE with packet id 0", subscribe(0, &["heartbeat"])),
        ("SUBSCRIBE at QoS 3", packet(0x82, &[0, 1, 0, 1, b'#', 3])),
        ("UNSUBSCRIBE without filters", packet(0xA2, &[0, 1])),
        ("UNSUBSCRIBE of one byte", packet(0xA2, &[0])),
        ("PINGREQ with a body", packet(0xC0, &[0])),
        ("DISCONNECT with a body", packet(0xE0, &[0, 0])),
        ("PUBACK that is too short", packet(0x40, &[0])),
        ("a length of five bytes", vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
        ("a length of 256 MB", vec![0x30, 0xFF, 0xFF, 0xFF, 0x7F]),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("TLS", vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3]),
    ]
}

#[tokio::test]
async fn what_no_client_may_send_ends_the_connection() {
    let mut fixture = Fixture::start().await;
    for (name, bytes) in forbidden() {
        assert_closed_as_stranger(&fixture, name, &bytes).await;
        assert_closed_as_worker(&mut fixture, name, &bytes).await;
    }
    fixture.assert_serves().await;
    let monitor = fixture.gate.monitor();
    until("health", || monitor.is_healthy()).await;
}

#[tokio::test]
async fn packets_in_the_wrong_order_end_the_connection() {
    let mut fixture = Fixture::start().await;
    assert_closed_as_stranger(&fixture, "PINGREQ first", &[0xC0, 0]).await;
    assert_closed_as_stranger(&fixture, "SUBSCRIBE first", &subscribe(1, &["heartbeat"])).await;
    assert_closed_as_stranger(&fixture, "an empty CONNECT", &[0x10, 0]).await;
    assert_closed_as_worker(&mut fixture, "a second CONNECT", &Connect::worker(1).bytes()).await;
    fixture.assert_serves().await;
}

/// Texts that stop rumqttd's router when they reach it: as a topic, a will, a client id, a shared subscription.
#[tokio::test]
async fn what_stops_the_router_does_not_reach_it() {
    let mut fixture = Fixture::start().await;
    assert_closed_as_worker(&mut fixture, "a topic", &publish(0, 0, "é/x", b"")).await;
    for _ in 0..2 {
        let (client, session) = fixture.service("wallet", "+/#/é").await;
        drop(client);
        fixture.left(session).await;
    }
    let (mut client, session) = fixture.worker(1).await;
    client.subscribe_expecting(&["$share/g/é", "é/#", ""], &[0x80; 3]).await;
    drop(client);
    fixture.left(session).await;
    fixture.assert_serves().await;
    let monitor = fixture.gate.monitor();
    until("health", || monitor.is_healthy()).await;
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
    client.stream.set_nodelay(true).unwrap();
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
    let connect = Connect::worker(1).bytes();
    for length in 0..connect.len() {
        let mut client = fixture.stranger().await;
        client.send(&connect[..length]).await;
        client.stream.shutdown().await.unwrap();
        client.expect_closed().await;
    }
    fixture.assert_serves().await;
}

/// A CONNECT whose announced length does not fit what is in it.
#[tokio::test]
async fn a_connect_may_lie_about_its_length() {
    let mut fixture = Fixture::start().await;
    let connect = Connect::worker(1).bytes();
    let body = &connect[2..];
    for length in 0..body.len() {
        let bytes = packet(0x10, &body[..length]);
        assert_closed_as_stranger(&fixture, "a short CONNECT", &bytes).await;
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
