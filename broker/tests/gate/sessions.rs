//! Both ways of messages, rights, take-over, the end.

use broker::bus::{Bus, CloseReason, Down, Up};
use broker::identity::Identity;
use broker::{Gate, GateError, GateSettings, Limits};
use bytes::Bytes;
use shared::Payee;
use shared::protocol::Topic;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use crate::harness::{
    Acquaintances, Connect, Fixture, Version, packet, publish, service, soon, subscribe, text, worker,
};

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
async fn large_messages_go_down_whole() {
    let mut fixture = Fixture::start().await;
    let (mut client, session) = fixture.service("wallet", "a").await;
    client.subscribe(&["service/wallet/reply"]).await;
    for size in [0, 100, 127, 128, 16_383, 16_384, 200_000] {
        let payload = vec![7; size];
        fixture.send(session, Topic::ServiceReply(service("wallet")), &payload);
        client.expect(&publish(0, 0, "service/wallet/reply", &payload)).await;
    }
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

#[tokio::test]
async fn filters_are_granted_or_refused_one_by_one() {
    let mut fixture = Fixture::start().await;
    let own = format!("work/request/{}", worker(1));
    let other = format!("work/request/{}", worker(2));
    let shared = format!("$share/g/{own}");
    let (mut client, _) = fixture.worker(1).await;
    let filters =
        [&own, &other, &shared, "work/#", "#", "stats/#", "work/request/+", "heartbeat", "stats/network"];
    client.subscribe_expecting(&filters, &[0, 0x80, 0x80, 0x80, 0x80, 0, 0x80, 0, 0x80]).await;
    // The ninth was refused for its place alone.
    client.subscribe(&["stats/network", &own]).await;
}

#[tokio::test]
async fn publishing_without_the_right_ends_the_session() {
    let mut fixture = Fixture::start().await;
    let other = worker(2);
    for topic in [
        format!("work/result/{other}"),
        format!("work/request/{}", worker(1)),
        "heartbeat".into(),
        "service/wallet/request".into(),
        "$SYS/x".into(),
        "work/result/+".into(),
        "é".into(),
        String::new(),
    ] {
        let (mut client, session) = fixture.worker(1).await;
        client.send(&publish(1, 1, &topic, b"")).await;
        client.expect_closed().await;
        fixture.left(session).await;
    }
    let (mut client, session) = fixture.operator().await;
    client.send(&publish(0, 0, "stats/network", b"lies")).await;
    client.expect_closed().await;
    fixture.left(session).await;
}

#[tokio::test]
async fn retained_is_an_ordinary_message() {
    let mut fixture = Fixture::start().await;
    for version in Version::ALL {
        let (mut client, session) = fixture.log_in(&Connect::worker(1).version(version)).await;
        let topic = Topic::WorkResult(worker(1));
        let mut retained = version.publish(1, 3, &topic.to_string(), b"kept?");
        retained[0] |= 1;
        client.send(&retained).await;
        client.expect(&[0x40, 2, 0, 3]).await;
        fixture.message(session, topic, b"kept?").await;
        drop(client);
        fixture.left(session).await;
    }
}

/// Many connections with the same login at once: whatever their order, the coordinator sees one at a time. Those that are
/// taken over while they wait are never announced.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn at_a_takeover_the_old_session_leaves_first() {
    const CLIENTS: usize = 20;
    let mut fixture = Fixture::with_limits(|limits| limits.up_messages_max = 1).await;
    let mut closed = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut client = fixture.stranger().await;
        client.send(&Connect::worker(1).bytes()).await;
        closed.spawn(async move {
            let mut answer = Vec::new();
            client.stream.read_to_end(&mut answer).await
        });
    }
    let (mut present, mut closed_count) = (None, 0);
    while closed_count < CLIENTS - 1 || present.is_none() {
        tokio::select! {
            up = fixture.up() => match up {
                Up::Joined { session, .. } => assert_eq!(present.replace(session), None, "two at a time"),
                Up::Left { session } => assert_eq!(present.take(), Some(session)),
                message @ Up::Message { .. } => panic!("{message:?}"),
            },
            _ = closed.join_next() => closed_count += 1,
        }
    }
}

#[tokio::test]
async fn a_service_may_have_several_programs_but_each_once() {
    let mut fixture = Fixture::start().await;
    let (mut first, first_session) = fixture.service("wallet", "a").await;
    let (mut second, _) = fixture.service("wallet", "b").await;
    let mut again = fixture.stranger().await;
    again.send(&Connect::new("wallet", "key", "a").bytes()).await;
    fixture.left(first_session).await;
    fixture.joined().await;
    again.expect(&[0x20, 2, 0, 0]).await;
    first.expect_closed().await;
    second.ping().await;
    again.ping().await;
}

#[tokio::test]
async fn stopping_writes_what_is_queued_and_ends_the_bus() {
    let mut fixture = Fixture::start().await;
    let (mut client, session) = fixture.service("wallet", "a").await;
    client.subscribe(&["service/wallet/reply"]).await;
    let address = fixture.gate.local_addr();
    for index in 0..100 {
        fixture.send(session, Topic::ServiceReply(service("wallet")), &[index]);
    }
    let mut bus = fixture.bus;
    let stop = tokio::spawn(fixture.gate.shutdown());
    for index in 0..100 {
        client.expect(&publish(0, 0, "service/wallet/reply", &[index])).await;
    }
    client.expect_closed().await;
    assert_eq!(soon(bus.receive()).await, Some(Up::Left { session }));
    soon(stop).await.unwrap();
    assert_eq!(soon(bus.receive()).await, None);
    let settings = GateSettings { listen: address, ..GateSettings::default() };
    Gate::start(settings, Acquaintances::shared()).await.map(|_| ()).expect("the port is free again");
}

#[tokio::test]
async fn a_client_that_does_not_read_cannot_hold_up_the_stop() {
    let limit = |limits: &mut Limits| limits.flush_timeout = std::time::Duration::from_millis(50);
    let mut fixture = Fixture::with_limits(limit).await;
    let mut client = fixture.pipe();
    client.send(&Connect::new("wallet", "key", "a").bytes()).await;
    client.send(&subscribe(1, &["service/wallet/reply"])).await;
    let session = fixture.joined().await;
    client.expect(&[0x20, 2, 0, 0, 0x90, 3, 0, 1, 0]).await;
    fixture.send(session, Topic::ServiceReply(service("wallet")), &vec![0; 200_000]);
    soon(fixture.gate.shutdown()).await;
    assert_eq!(soon(fixture.bus.receive()).await, Some(Up::Left { session }));
}

#[tokio::test]
async fn a_gate_that_is_dropped_stops() {
    let mut fixture = Fixture::start().await;
    let (mut client, session) = fixture.worker(1).await;
    drop(fixture.gate);
    client.expect_closed().await;
    assert_eq!(soon(fixture.bus.receive()).await, Some(Up::Left { session }));
    assert_eq!(soon(fixture.bus.receive()).await, None);
}

/// The coordinator has much to do, and bans somebody: the client is gone before the coordinator takes notice.
#[tokio::test]
async fn a_ban_is_effective_while_the_way_up_is_full() {
    let mut fixture = Fixture::with_limits(|limits| limits.up_messages_max = 1).await;
    let (mut client, session) = fixture.worker(1).await;
    let topic = Topic::WorkResult(worker(1));
    client.send(&publish(1, 1, &topic.to_string(), b"")).await;
    client.expect(&[0x40, 2, 0, 1]).await;
    client.send(&publish(1, 2, &topic.to_string(), b"")).await;
    fixture.bus.send(Down::Close { session, reason: CloseReason::Banned });
    client.expect_closed().await;
    fixture.message(session, topic, b"").await;
    fixture.left(session).await;
}

#[tokio::test]
async fn without_a_coordinator_sessions_end() {
    let mut fixture = Fixture::start().await;
    let (mut client, _) = fixture.worker(1).await;
    drop(fixture.bus);
    client.expect_closed().await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let fixture = Fixture::start().await;
    let address = fixture.gate.local_addr();
    let settings = GateSettings { listen: address, ..GateSettings::default() };
    let Err(error) = Gate::start(settings, Acquaintances::shared()).await else {
        panic!("two gates on one port")
    };
    assert!(matches!(error, GateError::Listen { .. }));
    assert!(error.to_string().contains(&address.to_string()));
}

#[tokio::test]
async fn messages_for_sessions_that_have_gone_are_dropped() {
    let mut fixture = Fixture::start().await;
    let (client, session) = fixture.worker(1).await;
    drop(client);
    fixture.left(session).await;
    fixture.send(session, Topic::WorkRequest(worker(1)), b"");
    fixture.bus.send(Down::Close { session, reason: CloseReason::ShuttingDown });
    fixture.bus.send(Down::Publish { topic: Topic::WorkRequest(worker(1)), payload: Bytes::new() });
    fixture.assert_serves().await;
}
