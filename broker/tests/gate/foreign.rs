//! Clients that others have written: rumqttc, and Mosquitto's programs where they are installed.

use std::io::ErrorKind;
use std::process::{Child, Command, Stdio};

use broker::bus::{Bus, Down};
use bytes::Bytes;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet, QoS, v5,
};
use shared::protocol::Topic;

use crate::harness::{Fixture, soon, until, worker};

fn worker_options(fixture: &Fixture, seed: u8) -> MqttOptions {
    let address = fixture.gate.local_addr();
    let mut options = MqttOptions::new(worker(seed).to_string(), address.ip().to_string(), address.port());
    options.set_credentials("house", seed.to_string());
    options
}

/// Polls until a packet comes that is wanted.
async fn next<T>(events: &mut EventLoop, mut wanted: impl FnMut(Packet) -> Option<T>) -> T {
    loop {
        if let Event::Incoming(packet) = soon(events.poll()).await.unwrap()
            && let Some(found) = wanted(packet)
        {
            return found;
        }
    }
}

#[tokio::test]
async fn rumqttc_works_both_ways() {
    let mut fixture = Fixture::start().await;
    let (client, mut events) = AsyncClient::new(worker_options(&fixture, 1), 10);
    let (list, result) = (Topic::WorkRequest(worker(1)), Topic::WorkResult(worker(1)));
    client.subscribe(list.to_string(), QoS::AtLeastOnce).await.unwrap();
    client.subscribe("heartbeat", QoS::AtMostOnce).await.unwrap();
    client.publish(result.to_string(), QoS::AtLeastOnce, false, "nonce").await.unwrap();
    let acknowledged = |packet| matches!(packet, Packet::PubAck(_)).then_some(());
    next(&mut events, acknowledged).await;
    let session = fixture.joined().await;
    fixture.message(session, result, b"nonce").await;

    fixture.send(session, list, b"list");
    let published = |packet| match packet {
        Packet::Publish(publish) => Some(publish),
        _ => None,
    };
    let publish = next(&mut events, published).await;
    assert_eq!((publish.topic, publish.payload.as_ref()), (list.to_string(), b"list".as_slice()));
    assert_eq!(publish.qos, QoS::AtMostOnce);

    fixture.bus.send(Down::Publish { topic: Topic::Heartbeat, payload: Bytes::new() });
    assert_eq!(next(&mut events, published).await.topic, "heartbeat");
    client.disconnect().await.unwrap();
    while soon(events.poll()).await.is_ok() {}
    fixture.left(session).await;
}

#[tokio::test]
async fn rumqttc_is_told_why_it_is_refused() {
    let fixture = Fixture::start().await;
    let mut options = worker_options(&fixture, 1);
    options.set_credentials("house", "2");
    let (_client, mut events) = AsyncClient::new(options, 10);
    match soon(events.poll()).await {
        Err(ConnectionError::ConnectionRefused(code)) => {
            assert_eq!(code, ConnectReturnCode::BadUserNamePassword);
        }
        other => panic!("{other:?}"),
    }
}

/// Polls until a packet comes that is wanted.
async fn next_v5<T>(
    events: &mut v5::EventLoop,
    mut wanted: impl FnMut(v5::mqttbytes::v5::Packet) -> Option<T>,
) -> T {
    loop {
        if let v5::Event::Incoming(packet) = soon(events.poll()).await.unwrap()
            && let Some(found) = wanted(packet)
        {
            return found;
        }
    }
}

#[tokio::test]
async fn rumqttc_works_both_ways_in_mqtt_5() {
    use v5::mqttbytes::QoS;
    use v5::mqttbytes::v5::Packet;

    let mut fixture = Fixture::start().await;
    let address = fixture.gate.local_addr();
    let mut options = v5::MqttOptions::new(worker(1).to_string(), address.ip().to_string(), address.port());
    options.set_credentials("house", "1");
    let (client, mut events) = v5::AsyncClient::new(options, 10);
    let (list, result) = (Topic::WorkRequest(worker(1)), Topic::WorkResult(worker(1)));
    client.subscribe(list.to_string(), QoS::AtLeastOnce).await.unwrap();
    client.publish(result.to_string(), QoS::AtLeastOnce, false, "nonce").await.unwrap();
    next_v5(&mut events, |packet| matches!(packet, Packet::PubAck(_)).then_some(())).await;
    let session = fixture.joined().await;
    fixture.message(session, result, b"nonce").await;

    fixture.send(session, list, b"list");
    let published = |packet| match packet {
        Packet::Publish(publish) => Some(publish),
        _ => None,
    };
    let publish = next_v5(&mut events, published).await;
    assert_eq!(publish.topic, list.to_string());
    assert_eq!(publish.payload.as_ref(), b"list");
    client.disconnect().await.unwrap();
    while soon(events.poll()).await.is_ok() {}
    fixture.left(session).await;
}

/// Starts one of Mosquitto's programs as worker 1; `None`, said aloud, where it is not installed.
fn mosquitto(fixture: &Fixture, program: &str, arguments: &[&str]) -> Option<Child> {
    let address = fixture.gate.local_addr();
    let child = Command::new(program)
        .args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()])
        .args(["-i", &worker(1).to_string(), "-u", "house", "-P", "1"])
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn();
    match child {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("skipped: {program} is not installed");
            None
        }
        child => Some(child.unwrap()),
    }
}

#[tokio::test]
async fn mosquitto_pub_is_acknowledged() {
    let mut fixture = Fixture::start().await;
    let topic = Topic::WorkResult(worker(1));
    let arguments = ["-q", "1", "-t", &topic.to_string(), "-m", "nonce"];
    let Some(mut child) = mosquitto(&fixture, "mosquitto_pub", &arguments) else { return };
    let session = fixture.joined().await;
    fixture.message(session, topic, b"nonce").await;
    fixture.left(session).await;
    until("its end", || child.try_wait().unwrap().is_some()).await;
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn mosquitto_sub_receives() {
    let mut fixture = Fixture::start().await;
    let arguments = ["-C", "1", "-v", "-t", "stats/#", "-t", "heartbeat"];
    let Some(mut child) = mosquitto(&fixture, "mosquitto_sub", &arguments) else { return };
    let session = fixture.joined().await;
    until("its end", || {
        let payload = Bytes::from_static(b"{}");
        fixture.bus.send(Down::Publish { topic: Topic::StatsNetwork, payload });
        child.try_wait().unwrap().is_some()
    })
    .await;
    assert_eq!(child.wait_with_output().unwrap().stdout, b"stats/network {}\n");
    fixture.left(session).await;
}
