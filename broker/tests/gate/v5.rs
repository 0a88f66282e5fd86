//! What only MQTT 5 has: properties, reasons, and the last words of a gate.

use std::time::Duration;

use broker::bus::{Bus, CloseReason, Down};
use shared::protocol::Topic;
use tokio::io::AsyncReadExt;

use crate::harness::{Connect, Fixture, PIPE_SIZE, Version, packet, publish, service, soon, text, worker};

/// A CONNECT of MQTT 5 as worker 1 with these flags and properties, and what follows the client id.
fn raw_connect(flags: u8, properties: &[u8], rest: &[&[u8]]) -> Vec<u8> {
    let mut body = text("MQTT");
    body.extend([5, flags, 0, 60, u8::try_from(properties.len()).unwrap()]);
    body.extend(properties);
    body.extend(text(&worker(1).to_string()));
    body.extend(rest.concat());
    packet(0x10, &body)
}

/// A CONNACK that refuses.
const fn refused(code: u8) -> [u8; 5] {
    [0x20, 3, 0, code, 0]
}

/// A PUBLISH of worker 1 with these properties.
fn publish_with(qos: u8, packet_id: u16, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    let mut length = properties.len();
    while length > 127 {
        rest.push(u8::try_from(length % 128).unwrap() | 128);
        length /= 128;
    }
    rest.push(u8::try_from(length).unwrap());
    rest.extend([properties, payload].concat());
    publish(qos, packet_id, &Topic::WorkResult(worker(1)).to_string(), &rest)
}

fn user_property(name: &str, value: &str) -> Vec<u8> {
    [vec![0x26], text(name), text(value)].concat()
}

#[tokio::test]
async fn a_welcome_says_what_is_served() {
    let mut fixture = Fixture::start().await;
    for (keep_alive, instead) in [(60, None), (120, None), (0, Some(120)), (121, Some(120))] {
        let mut client = fixture.stranger().await;
        client.send(&Connect { keep_alive, ..Connect::worker(1).version(Version::V5) }.bytes()).await;
        let (first, body) = client.packet().await;
        let mut properties =
            vec![0x11, 0, 0, 0, 0, 0x21, 0, 100, 0x24, 1, 0x25, 0, 0x28, 1, 0x29, 0, 0x2A, 0];
        properties.extend([0x22, 0, 0, 0x27, 0, 0, 8, 3]);
        if let Some(instead) = instead {
            properties.extend([0x13, 0, instead]);
        }
        let expected = [&[0, 0, u8::try_from(properties.len()).unwrap()][..], &properties].concat();
        assert_eq!((first, body), (0x20, expected));
        let session = fixture.joined().await;
        drop(client);
        fixture.left(session).await;
    }
}

/// Each client without an id is given one that it may come back with, even together with the others.
#[tokio::test]
async fn a_client_without_an_id_is_given_one_of_its_own() {
    let mut fixture = Fixture::start().await;
    let nameless = Connect { clean_session: false, ..Connect::new("wallet", "key", "").version(Version::V5) };
    let mut given = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = fixture.stranger().await;
        client.send(&nameless.bytes()).await;
        let (_, body) = client.packet().await;
        // The last property of this welcome.
        let at = body.iter().position(|byte| *byte == 0x12).unwrap();
        given.push(String::from_utf8(body[at + 3..].to_vec()).unwrap());
        fixture.joined().await;
        clients.push(client);
    }
    assert_ne!(given[0], given[1]);
    for id in given {
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{id}");
        let (client, _) = fixture.log_in(&Connect::new("wallet", "key", &id).version(Version::V5)).await;
        clients.push(client);
    }
    for client in &mut clients {
        client.ping().await;
    }
}

#[tokio::test]
async fn refusals_say_why() {
    let mut fixture = Fixture::start().await;
    let connect =
        |user: &str, password: &str| Connect::new(user, password, "id").version(Version::V5).bytes();
    let (user, password) = (text("house"), text("1"));
    let login: &[&[u8]] = &[&user, &password];
    let method = [vec![0x15], text("SCRAM")].concat();
    let many: Vec<u8> = (0..9).flat_map(|_| user_property("a", "b")).collect();
    let cases: Vec<(&str, Vec<u8>, u8)> = vec![
        ("wrong key", connect("wallet", "no"), 0x86),
        ("banned", connect("banned", "x"), 0x87),
        ("undecided", connect("undecided", "x"), 0x88),
        ("no login", raw_connect(0x02, &[], &[]), 0x87),
        ("a password without a user", raw_connect(0x42, &[], &[&password]), 0x87),
        ("a will", raw_connect(0xC6, &[], login), 0x87),
        (
            "a will with a topic that stops a router",
            raw_connect(0xE6, &[], &[&[0], &text("é"), login[0]]),
            0x87,
        ),
        ("a dialogue", raw_connect(0xC2, &method, login), 0x8C),
        ("the reserved flag", raw_connect(0xC3, &[], login), 0x81),
        ("details of no will", raw_connect(0xCA, &[], login), 0x81),
        ("too much after the login", raw_connect(0xC2, &[], &[login[0], login[1], &[0]]), 0x81),
        ("a receive maximum of 0", raw_connect(0xC2, &[0x21, 0, 0], login), 0x82),
        ("a packet size of 0", raw_connect(0xC2, &[0x27, 0, 0, 0, 0], login), 0x82),
        ("a topic alias", raw_connect(0xC2, &[0x23, 0, 1], login), 0x82),
        ("a property twice", raw_connect(0xC2, &[0x22, 0, 1, 0x22, 0, 1], login), 0x82),
        ("too many user properties", raw_connect(0xC2, &many, login), 0x97),
    ];
    for (name, bytes, code) in cases {
        println!("{name}");
        let mut client = fixture.stranger().await;
        client.send(&bytes).await;
        client.expect_end(&refused(code)).await;
    }
    fixture.assert_serves().await;
}

/// A message of MQTT 5 with everything that may stand beside it reaches the coordinator, and a subscriber of each version.
#[tokio::test]
async fn properties_reach_nobody_and_harm_nobody() {
    let mut fixture = Fixture::start().await;
    let mut operators = Vec::new();
    for (version, client_id) in [(Version::V311, "old"), (Version::V5, "new")] {
        let connect = Connect::new("operator", "token", client_id).version(version);
        let (mut operator, _) = fixture.log_in(&connect).await;
        operator.subscribe(&["work/#"]).await;
        operators.push(operator);
    }
    let (mut client, session) = fixture.log_in(&Connect::worker(1).version(Version::V5)).await;
    let properties = [
        vec![0x01, 1, 0x02, 0, 0, 0, 60],
        [vec![0x03], text("application/json")].concat(),
        [vec![0x08], text("reply/here")].concat(),
        vec![0x09, 0, 2, 0xFF, 0],
        (0..8).flat_map(|_| user_property("name", "value")).collect(),
    ];
    let topic = Topic::WorkResult(worker(1));
    client.send(&publish_with(1, 5, &properties.concat(), b"nonce")).await;
    client.expect(&[0x40, 2, 0, 5]).await;
    fixture.message(session, topic, b"nonce").await;
    for operator in &mut operators {
        operator.expect_message(&topic.to_string(), b"nonce").await;
        operator.ping().await;
    }
    client.ping().await;
}

#[tokio::test]
async fn the_last_words_say_what_was_wrong() {
    let mut fixture = Fixture::start().await;
    let many: Vec<u8> = (0..9).flat_map(|_| user_property("a", "b")).collect();
    let large = user_property("a", &"b".repeat(1100));
    let cases: Vec<(&str, Vec<u8>, u8)> = vec![
        ("a topic alias", publish_with(0, 0, &[0x23, 0, 1], b""), 0x94),
        ("an alias for a topic", publish(0, 0, "", &[3, 0x23, 0, 1]), 0x94),
        ("no topic", publish(0, 0, "", &[0]), 0x82),
        ("a subscription identifier", packet(0x82, &[0, 1, 2, 0x0B, 1, 0, 1, b'#', 0]), 0xA1),
        ("a subscription identifier in a message", publish_with(0, 0, &[0x0B, 1], b""), 0x82),
        ("a property of another packet", publish_with(0, 0, &[0x27, 0, 0, 1, 0], b""), 0x82),
        ("an unknown property", publish_with(0, 0, &[0x7F, 0], b""), 0x82),
        ("a property twice", publish_with(0, 0, &[1, 0, 1, 0], b""), 0x82),
        ("a property that is cut off", publish_with(0, 0, &[2, 0, 0], b""), 0x81),
        ("properties beyond the packet", publish(0, 0, "heartbeat", &[99, 1]), 0x81),
        ("no properties", packet(0x30, &text("heartbeat")), 0x81),
        ("too many user properties", publish_with(0, 0, &many, b""), 0x97),
        ("too large user properties", publish_with(0, 0, &large, b""), 0x97),
        ("reserved options", packet(0x82, &[0, 1, 0, 0, 1, b'#', 0x40]), 0x81),
        ("wrong retain handling", packet(0x82, &[0, 1, 0, 0, 1, b'#', 0x30]), 0x82),
        ("QoS 2", Version::V5.publish(2, 1, "heartbeat", b""), 0x9B),
        ("a packet that is too large", vec![0x30, 0x81, 0x10], 0x95),
        ("AUTH", vec![0xF0, 0], 0x81),
    ];
    for (name, bytes, code) in cases {
        println!("{name}");
        let (mut client, session) = fixture.log_in(&Connect::worker(1).version(Version::V5)).await;
        client.send(&bytes).await;
        client.expect_end(&[0xE0, 1, code]).await;
        fixture.left(session).await;
    }
    fixture.assert_serves().await;
}

#[tokio::test]
async fn who_ends_a_session_is_named() {
    let mut fixture = Fixture::start().await;
    for (reason, code) in
        [(CloseReason::Banned, 0x98), (CloseReason::Penalty, 0x98), (CloseReason::ShuttingDown, 0x8B)]
    {
        let (mut client, session) = fixture.log_in(&Connect::worker(1).version(Version::V5)).await;
        fixture.bus.send(Down::Close { session, reason });
        client.expect_end(&[0xE0, 1, code]).await;
        fixture.left(session).await;
    }
    let (mut old, old_session) = fixture.log_in(&Connect::worker(1).version(Version::V5)).await;
    let mut new = fixture.stranger().await;
    new.send(&Connect::worker(1).bytes()).await;
    old.expect_end(&[0xE0, 1, 0x8E]).await;
    drop(old);
    fixture.left(old_session).await;
    fixture.joined().await;
    new.expect(&[0x20, 2, 0, 0]).await;

    let (mut service, _) = fixture.log_in(&Connect::new("wallet", "key", "a").version(Version::V5)).await;
    let stop = tokio::spawn(fixture.gate.shutdown());
    service.expect_end(&[0xE0, 1, 0x8B]).await;
    drop(service);
    new.expect_closed().await;
    soon(stop).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn silence_is_named() {
    let mut fixture = Fixture::start().await;
    let connect = Connect { keep_alive: 10, ..Connect::worker(1).version(Version::V5) };
    let mut client = fixture.pipe();
    client.log_in(&connect).await;
    fixture.joined().await;
    client.expect_end(&[0xE0, 1, 0x8D]).await;
}

/// A client that is in the middle of a message cannot be told anything any more.
#[tokio::test(start_paused = true)]
async fn last_words_are_not_put_into_a_message() {
    let mut fixture = Fixture::start().await;
    let mut client = fixture.pipe();
    client.log_in(&Connect::new("wallet", "key", "a").version(Version::V5)).await;
    let session = fixture.joined().await;
    let topic = Topic::ServiceReply(service("wallet"));
    client.subscribe(&[&topic.to_string()]).await;
    fixture.send(session, topic, &vec![7; 2 * PIPE_SIZE]);
    tokio::time::advance(Duration::from_secs(1)).await;
    fixture.bus.send(Down::Close { session, reason: CloseReason::Banned });
    fixture.left(session).await;
    let message = Version::V5.publish(0, 0, &topic.to_string(), &vec![7; 2 * PIPE_SIZE]);
    let mut read = Vec::new();
    soon(client.stream.read_to_end(&mut read)).await.unwrap();
    assert!(read.len() < message.len() && message.starts_with(&read));
}

#[tokio::test]
async fn more_on_the_way_than_was_agreed_ends_the_session() {
    let mut fixture = Fixture::with_limits(|limits| limits.receive_max = 3).await;
    let topic = Topic::WorkResult(worker(1)).to_string();
    for (version, count, is_ended) in
        [(Version::V5, 3, false), (Version::V5, 4, true), (Version::V311, 4, false)]
    {
        let mut client = fixture.pipe();
        client.log_in(&Connect::worker(1).version(version)).await;
        fixture.joined().await;
        let messages: Vec<u8> = (1..=count).flat_map(|id| version.publish(1, id, &topic, b"")).collect();
        client.send(&messages).await;
        let acks: Vec<u8> = (1..=count.min(if is_ended { 3 } else { 4 }))
            .flat_map(|id| [0x40, 2, 0, id.to_be_bytes()[1]])
            .collect();
        client.expect(&acks).await;
        if is_ended {
            client.expect_end(&[0xE0, 1, 0x93]).await;
        } else {
            client.ping().await;
        }
        drop(client);
        while !matches!(fixture.up().await, broker::bus::Up::Left { .. }) {}
    }
}

#[tokio::test]
async fn a_client_is_not_sent_more_than_it_takes() {
    let mut fixture = Fixture::start().await;
    let (topic, mut client) = (Topic::WorkVerdict(worker(1)), fixture.stranger().await);
    client.version = Version::V5;
    client.send(&raw_connect(0xC2, &[0x27, 0, 0, 0, 100], &[&text("house"), &text("1")])).await;
    assert_eq!(client.packet().await.0, 0x20);
    let session = fixture.joined().await;
    client.subscribe(&[&topic.to_string()]).await;
    fixture.send(session, topic, &[0; 60]);
    fixture.send(session, topic, b"fits");
    client.expect_message(&topic.to_string(), b"fits").await;
}

#[tokio::test]
async fn filters_are_answered_one_by_one() {
    let mut fixture = Fixture::start().await;
    let (mut client, _) = fixture.log_in(&Connect::worker(1).version(Version::V5)).await;
    let filters = ["heartbeat", "$share/g/heartbeat", "#", "é", "a", "b", "c", "d", "stats/#"];
    client.subscribe_expecting(&filters, &[0, 0x9E, 0x87, 0x87, 0x87, 0x87, 0x87, 0x87, 0x97]).await;
    client.send(&Version::V5.unsubscribe(3, &["heartbeat", "stats/#", "é"])).await;
    client.expect(&Version::V5.filters_ack(0xB0, 3, &[0, 0x11, 0x11])).await;
    // All options that make no difference here, and a reason and properties at the end.
    client.send(&packet(0x82, &[&[0, 4, 0][..], &text("heartbeat"), &[0b0010_1110]].concat())).await;
    client.expect(&Version::V5.filters_ack(0x90, 4, &[0])).await;
    client.send(&[0xE0, 7, 0x04, 5, 0x11, 0, 0, 0, 0]).await;
    client.expect_closed().await;
}
