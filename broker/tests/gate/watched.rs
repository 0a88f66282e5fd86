//! Heartbeat, statistics, and what operators see.

use broker::bus::{Bus, Down};
use bytes::Bytes;
use shared::protocol::Topic;
use tokio::io::AsyncReadExt;

use crate::harness::{Fixture, publish, service, soon, until, worker};

fn watched(topic: Topic, payload: &'static str) -> Down {
    Down::Publish { topic, payload: Bytes::from_static(payload.as_bytes()) }
}

#[tokio::test]
async fn a_gate_becomes_healthy_and_does_not_die() {
    let fixture = Fixture::start().await;
    let monitor = fixture.gate.monitor();
    until("health", || monitor.is_healthy()).await;
    tokio::select! {
        biased;
        death = monitor.died() => panic!("{death}"),
        () = std::future::ready(()) => {}
    }
}

#[tokio::test]
async fn everybody_hears_the_heartbeat_and_what_they_asked_for_once() {
    let mut fixture = Fixture::start().await;
    let (mut worker_client, _) = fixture.worker(1).await;
    let (mut service_client, _) = fixture.service("wallet", "a").await;
    worker_client.subscribe(&["heartbeat"]).await;
    service_client.subscribe(&["stats/#", "stats/network", "heartbeat"]).await;
    fixture.bus.send(watched(Topic::StatsNetwork, "{1}"));
    fixture.bus.send(watched(Topic::StatsWorkers, "{2}"));
    service_client.expect(&publish(0, 0, "stats/network", b"{1}")).await;
    service_client.expect(&publish(0, 0, "stats/workers", b"{2}")).await;
    fixture.bus.send(watched(Topic::Heartbeat, ""));
    worker_client.expect(&publish(0, 0, "heartbeat", b"")).await;
    service_client.expect(&publish(0, 0, "heartbeat", b"")).await;
}

#[tokio::test]
async fn operators_see_both_directions_under_the_clients_topics() {
    let mut fixture = Fixture::start().await;
    let (mut operator, _) = fixture.operator().await;
    operator.subscribe(&["work/#", "service/#", "worker/#"]).await;
    let (mut client, session) = fixture.worker(1).await;
    let (result, verdict) = (Topic::WorkResult(worker(1)), Topic::WorkVerdict(worker(1)));
    client.subscribe(&[&verdict.to_string()]).await;
    client.send(&publish(0, 0, &result.to_string(), b"nonce")).await;
    operator.expect(&publish(0, 0, &result.to_string(), b"nonce")).await;
    fixture.message(session, result, b"nonce").await;
    fixture.send(session, Topic::WorkRequest(worker(1)), b"not subscribed, so not sent");
    fixture.send(session, verdict, b"accepted");
    operator.expect(&publish(0, 0, &verdict.to_string(), b"accepted")).await;

    let (mut client, session) = fixture.service("wallet", "a").await;
    let request = Topic::ServiceRequest(service("wallet"));
    client.send(&publish(0, 0, &request.to_string(), &[0; 5000])).await;
    operator.expect(&publish(0, 0, &request.to_string(), &[0; 5000])).await;
    fixture.message(session, request, &[0; 5000]).await;
}

#[tokio::test]
async fn an_operator_that_watches_everything_gets_everything_once() {
    let mut fixture = Fixture::start().await;
    let (mut operator, _) = fixture.operator().await;
    operator.subscribe(&["#", "work/#", "heartbeat", "stats/#"]).await;
    let (mut client, _) = fixture.worker(1).await;
    let hello = Topic::WorkerHello(worker(1)).to_string();
    client.send(&publish(0, 0, &hello, b"hello")).await;
    operator.expect(&publish(0, 0, &hello, b"hello")).await;
    fixture.bus.send(watched(Topic::Heartbeat, ""));
    operator.expect(&publish(0, 0, "heartbeat", b"")).await;
    fixture.bus.send(watched(Topic::StatsServices, "{}"));
    operator.expect(&publish(0, 0, "stats/services", b"{}")).await;
    operator.ping().await;
}

/// The router puts a link that has much to read to sleep; its reader must wake it. Some messages of the burst may be
/// lost, on the way into the router and in the worker's queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_does_not_silence_a_watched_topic() {
    let mut fixture = Fixture::start().await;
    let (mut client, _) = fixture.worker(1).await;
    client.subscribe(&["stats/network"]).await;
    for _ in 0..20 {
        for _ in 0..500 {
            fixture.bus.send(watched(Topic::StatsNetwork, "{}"));
        }
        let message = publish(0, 0, "stats/network", b"{}");
        let mut received = vec![0; message.len()];
        soon(client.stream.read_exact(&mut received)).await.unwrap();
        assert_eq!(received, message);
    }
    let marker = publish(0, 0, "stats/network", b"<>");
    let mut received = vec![0; marker.len()];
    while received != marker {
        fixture.bus.send(watched(Topic::StatsNetwork, "<>"));
        soon(client.stream.read_exact(&mut received)).await.unwrap();
    }
}
