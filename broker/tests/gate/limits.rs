//! Bounds in time, space and number.

use std::time::Duration;

use broker::Rate;
use broker::bus::{Bus, Up};
use shared::SessionId;
use shared::protocol::Topic;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::time::{Instant, timeout};

use crate::harness::{Client, Connect, Fixture, PIPE_SIZE, Version, packet, publish, service, text, worker};

const AN_HOUR: Duration = Duration::from_hours(1);

/// A session over a pipe, with these filters.
async fn piped(
    fixture: &mut Fixture,
    connect: &Connect,
    filters: &[&str],
) -> (Client<DuplexStream>, SessionId) {
    let mut client = fixture.pipe();
    client.log_in(connect).await;
    let session = fixture.joined().await;
    client.subscribe(filters).await;
    (client, session)
}

/// How long it takes until the session leaves, with the clock standing still while anything is to be done.
async fn time_to_leave(fixture: &mut Fixture, session: SessionId) -> Duration {
    let started = Instant::now();
    let up = timeout(AN_HOUR, fixture.bus.receive()).await.unwrap();
    assert_eq!(up, Some(Up::Left { session }));
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_session_after_one_and_a_half_keep_alives() {
    let mut fixture = Fixture::start().await;
    for (keep_alive, seconds) in [(10, 15), (0, 180), (u16::MAX, 180)] {
        let connect = Connect { keep_alive, ..Connect::worker(1) };
        let (_client, session) = piped(&mut fixture, &connect, &["heartbeat"]).await;
        assert_eq!(time_to_leave(&mut fixture, session).await.as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn only_whole_packets_are_signs_of_life() {
    let mut fixture = Fixture::start().await;
    let connect = Connect { keep_alive: 10, ..Connect::worker(1) };
    let (mut client, session) = piped(&mut fixture, &connect, &["heartbeat"]).await;
    tokio::time::advance(Duration::from_secs(14)).await;
    client.ping().await;
    tokio::time::advance(Duration::from_secs(14)).await;
    client.send(&[0xC0]).await;
    assert!(time_to_leave(&mut fixture, session).await < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn the_keep_alive_holds_while_a_write_is_blocked() {
    let mut fixture = Fixture::with_limits(|limits| limits.write_stall_max = AN_HOUR).await;
    let connect = Connect { keep_alive: 10, ..Connect::worker(1) };
    let (_client, session) = piped(&mut fixture, &connect, &[&format!("work/request/{}", worker(1))]).await;
    fixture.send(session, Topic::WorkRequest(worker(1)), &vec![0; 2 * PIPE_SIZE]);
    assert_eq!(time_to_leave(&mut fixture, session).await.as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_stalls_ends_the_session() {
    let mut fixture = Fixture::start().await;
    let connect = Connect { keep_alive: 0, ..Connect::worker(1) };
    let (_client, session) = piped(&mut fixture, &connect, &[&format!("work/request/{}", worker(1))]).await;
    fixture.send(session, Topic::WorkRequest(worker(1)), &vec![0; 2 * PIPE_SIZE]);
    assert_eq!(time_to_leave(&mut fixture, session).await.as_secs(), 10);
}

/// A worker that does not read misses old lists and gets the newest.
#[tokio::test(start_paused = true)]
async fn a_slow_worker_loses_the_oldest() {
    const LISTS: u32 = 4000;
    let mut fixture = Fixture::start().await;
    let topic = Topic::WorkRequest(worker(1));
    let (mut client, session) = piped(&mut fixture, &Connect::worker(1), &[&topic.to_string()]).await;
    for index in 0..LISTS {
        let mut payload = vec![0; 200];
        payload[..4].copy_from_slice(&index.to_be_bytes());
        fixture.send(session, topic, &payload);
    }
    let size = publish(0, 0, &topic.to_string(), &[0; 200]).len();
    let (mut received, mut last) = (0, None);
    while last != Some(LISTS - 1) {
        let mut message = vec![0; size];
        client.stream.read_exact(&mut message).await.unwrap();
        let index = u32::from_be_bytes(message[size - 200..size - 196].try_into().unwrap());
        assert!(last < Some(index), "in order");
        last = Some(index);
        received += 1;
    }
    assert!(received < LISTS / 2, "{received}");
    client.ping().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_service_is_disconnected() {
    let mut fixture = Fixture::start().await;
    let topic = Topic::ServiceReply(service("wallet"));
    let connect = Connect::new("wallet", "key", "a");
    let (_client, session) = piped(&mut fixture, &connect, &[&topic.to_string()]).await;
    for _ in 0..4000 {
        fixture.send(session, topic, &[0; 200]);
    }
    assert!(time_to_leave(&mut fixture, session).await < Duration::from_secs(1));
}

/// In MQTT 5 it is told, unless it is in the middle of a message.
#[tokio::test]
async fn a_service_that_falls_behind_is_told() {
    let mut fixture = Fixture::with_limits(|limits| limits.queue_messages_max = 2).await;
    let topic = Topic::ServiceReply(service("wallet"));
    let connect = Connect::new("wallet", "key", "a").version(Version::V5);
    let (mut client, session) = piped(&mut fixture, &connect, &[&topic.to_string()]).await;
    for _ in 0..3 {
        fixture.send(session, topic, b"");
    }
    client.expect_end(&Version::V5.last_words(0x97)).await;
    fixture.left(session).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_way_up_stops_the_reading_and_the_acknowledging() {
    let mut fixture = Fixture::with_limits(|limits| limits.up_messages_max = 2).await;
    let topic = Topic::WorkResult(worker(1));
    let (mut client, session) = piped(&mut fixture, &Connect::worker(1), &["heartbeat"]).await;
    for packet_id in 1..=4 {
        client.send(&publish(1, packet_id, &topic.to_string(), &[0])).await;
    }
    client.expect(&[0x40, 2, 0, 1, 0x40, 2, 0, 2]).await;
    // The clock moves only when nothing else can: nobody will answer without the coordinator.
    let early = timeout(Duration::from_secs(10), client.stream.read_u8()).await;
    assert!(early.is_err(), "acknowledged without being in the channel");
    fixture.message(session, topic, &[0]).await;
    client.expect(&[0x40, 2, 0, 3]).await;
    for _ in 2..=4 {
        fixture.message(session, topic, &[0]).await;
    }
    client.expect(&[0x40, 2, 0, 4]).await;
}

#[tokio::test(start_paused = true)]
async fn too_many_messages_are_read_later_unless_they_were_asked_for() {
    let rate = Rate { per_second: 1, burst: 2 };
    let mut fixture = Fixture::with_limits(|limits| limits.worker_publish_rate = Some(rate)).await;
    let (result, list) = (Topic::WorkResult(worker(1)), Topic::WorkRequest(worker(1)));
    let (mut client, session) = piped(&mut fixture, &Connect::worker(1), &[&list.to_string()]).await;
    let started = Instant::now();
    let mut waits = Vec::new();
    for packet_id in 1..=6 {
        if packet_id == 5 {
            fixture.send(session, list, b"");
            client.expect(&publish(0, 0, &list.to_string(), b"")).await;
        }
        client.send(&publish(1, packet_id, &result.to_string(), &[])).await;
        client.expect(&[0x40, 2, 0, packet_id.to_be_bytes()[1]]).await;
        fixture.message(session, result, &[]).await;
        waits.push(started.elapsed().as_millis() / 100);
    }
    assert_eq!(waits, [0, 0, 10, 20, 20, 20]);
}

#[tokio::test]
async fn packets_beyond_the_size_of_the_role_end_the_session() {
    let mut fixture = Fixture::start().await;
    let topic = format!("work/result/{}", worker(1));
    let (mut client, session) = fixture.worker(1).await;
    let largest = 2048 - 2 - topic.len() - 2;
    client.send(&publish(1, 1, &topic, &vec![0; largest])).await;
    client.expect(&[0x40, 2, 0, 1]).await;
    fixture.message(session, Topic::WorkResult(worker(1)), &vec![0; largest]).await;
    client.send(&publish(1, 2, &topic, &vec![0; largest + 1])).await;
    client.expect_closed().await;
    fixture.left(session).await;

    let topic = Topic::ServiceRequest(service("wallet"));
    let (mut client, session) = fixture.service("wallet", "a").await;
    client.send(&publish(1, 1, &topic.to_string(), &[0; 8000])).await;
    client.expect(&[0x40, 2, 0, 1]).await;
    fixture.message(session, topic, &[0; 8000]).await;
    client.send(&publish(1, 1, &topic.to_string(), &[0; 8192])).await;
    client.expect_closed().await;
    fixture.left(session).await;
}

#[tokio::test]
async fn a_connect_beyond_its_size_is_closed() {
    let mut fixture = Fixture::start().await;
    let mut client = fixture.stranger().await;
    client.send(&Connect::new(&"x".repeat(3000), "key", "id").bytes()).await;
    client.expect_closed().await;
    fixture.assert_serves().await;
}

#[tokio::test]
async fn one_address_cannot_take_all_connections() {
    let mut fixture = Fixture::start().await;
    let stranger = [192, 0, 2, 7];
    let mut held = Vec::new();
    for _ in 0..32 {
        held.push(fixture.pipe_from(stranger));
    }
    fixture.pipe_from(stranger).expect_closed().await;
    for _ in 0..100 {
        held.push(fixture.pipe());
    }
    let mut other = fixture.pipe_from([192, 0, 2, 8]);
    other.log_in(&Connect::worker(1)).await;
    fixture.joined().await;
    drop(held);
    fixture.assert_serves().await;
}

#[tokio::test]
async fn strangers_beyond_their_number_are_closed_and_do_not_lock_out_for_ever() {
    let mut fixture = Fixture::with_limits(|limits| limits.unauthenticated_max = 3).await;
    let (mut known, _) = fixture.worker(1).await;
    let held: Vec<_> = (0..3).map(|_| fixture.pipe()).collect();
    fixture.stranger().await.expect_closed().await;
    known.ping().await;
    for mut client in held {
        client.send(&[0]).await;
        client.expect_closed().await;
    }
    fixture.assert_serves().await;
}

#[tokio::test]
async fn many_filters_do_not_add_up() {
    let mut fixture = Fixture::start().await;
    let (mut client, session) = fixture.worker(1).await;
    for _ in 0..100 {
        client.subscribe(&["heartbeat", "stats/#"]).await;
    }
    let mut body = vec![0, 1];
    for index in 0..60 {
        body.extend(text(&format!("topic/{index}")));
        body.push(0);
    }
    client.send(&packet(0x82, &body)).await;
    let mut refused = vec![0, 1];
    refused.extend([0x80; 60]);
    client.expect(&packet(0x90, &refused)).await;
    drop(client);
    fixture.left(session).await;
}
