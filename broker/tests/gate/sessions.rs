//! Logins, both ways of messages, rights, take-over, the end.

use broker::bus::{Bus, CloseReason, Down, Up};
use broker::identity::Identity;
use broker::{Gate, GateError, GateSettings};
use shared::Payee;
use shared::protocol::Topic;

use crate::harness::{Connect, Fixture, packet, publish, service, soon, subscribe, text, worker};

#[tokio::test]
async fn a_worker_joins_reports_is_answered_and_leaves() {
    let mut fixture = Fixture::start().await;
    let mut client = fixture.stranger().await;
    client.log_in(&Connect::worker(1)).await;
    let (id, local) = (worker(1), client.stream.local_addr().unwrap());
    let session = match fixture.up().await {
        Up::Joined { session, identity, remote } => {
            assert_eq!(identity, Identity::Worker { worker: id, payee: Payee::House });
            assert_eq!(remote, local);
            session
        }
        other => panic!("{other:?}"),
    };
    client.subscribe(&[&format!("work/request/{id}"), "heartbeat"]).await;
    client.send(&publish(1, 9, &format!("worker/{id}/hello"), b"hello")).await;
    client.expect(&[0x40, 2, 0, 9]).await;
    fixture.message(session, Topic::WorkerHello(id), b"hello").await;
    client.send(&publish(0, 0, &format!("worker/{id}/status"), b"")).await;
    fixture.message(session, Topic::WorkerStatus(id), b"").await;

    fixture.send(session, Topic::WorkVerdict(id), b"not subscribed");
    fixture.send(session, Topic::WorkRequest(id), b"list");
    client.expect(&publish(0, 0, &format!("work/request/{id}"), b"list")).await;
    client.send(&[0xE0, 0]).await;
    client.expect_closed().await;
    fixture.left(session).await;
}

#[tokio::test]
async fn unsubscribing_is_always_answered_and_ends_delivery() {
    let mut fixture = Fixture::start().await;
    let (mut client, session) = fixture.service("wallet", "a").await;
    client.subscribe(&["service/wallet/reply"]).await;
    let mut body = vec![0, 5];
    body.extend(text("service/wallet/reply"));
    body.extend(text("never/subscribed"));
    client.send(&packet(0xA2, &body)).await;
    client.expect(&[0xB0, 2, 0, 5]).await;
    fixture.send(session, Topic::ServiceReply(service("wallet")), b"dropped");
    fixture.bus.send(Down::Close { session, reason: CloseReason::Banned });
    client.expect_closed().await;
    fixture.left(session).await;
}
