//! A client that others have written: rumqttc.

use broker::bus::{Bus, Down};
use bytes::Bytes;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet, QoS, v5,
};
use shared::protocol::Topic;

use crate::harness::{Fixture, soon, worker};

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

#[tokio::test]
async fn rumqttc_in_mqtt_5_learns_that_its_version_is_not_served() {
    let fixture = Fixture::start().await;
    let address = fixture.gate.local_addr();
    let mut options = v5::MqttOptions::new("any", address.ip().to_string(), address.port());
    options.set_credentials("house", "1");
    let (_client, mut events) = v5::AsyncClient::new(options, 10);
    match soon(events.poll()).await {
        Err(v5::ConnectionError::ConnectionRefused(code)) => {
            assert_eq!(code, v5::mqttbytes::v5::ConnectReturnCode::UnsupportedProtocolVersion);
        }
        other => panic!("{other:?}"),
    }
}
