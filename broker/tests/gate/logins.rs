//! What a first packet is answered with.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::{Connect, Fixture, Version, packet, text};

/// A CONNECT whose flags and payload are free.
fn raw_connect(name: &str, level: u8, flags: u8, payload: &[&str]) -> Vec<u8> {
    let mut body = text(name);
    body.extend([level, flags, 0, 60]);
    for field in payload {
        body.extend(text(field));
    }
    packet(0x10, &body)
}

/// A CONNACK that refuses.
const fn refused(code: u8) -> [u8; 4] {
    [0x20, 2, 0, code]
}

#[tokio::test]
async fn refusals_say_what_the_standard_says() {
    let mut fixture = Fixture::start().await;
    let connect = |user: &str, password: &str| Connect::new(user, password, "id").bytes();
    let keep_session = Connect { clean_session: false, ..Connect::new("wallet", "key", "") };
    let will = raw_connect("MQTT", 4, 0xC6, &["id", "é", "last words", "wallet", "key"]);
    let cases: [(&str, Vec<u8>, &[u8]); 13] = [
        ("wrong key", connect("wallet", "no"), &refused(4)),
        ("wrong token", connect("operator", "no"), &refused(4)),
        (
            "another's worker id",
            Connect::new("house", "1", "aaaaaaaaaaaaaaaaaaaaaaaaaa").bytes(),
            &refused(4),
        ),
        ("banned", connect("banned", "x"), &refused(5)),
        ("undecided", connect("undecided", "x"), &refused(3)),
        ("no login", raw_connect("MQTT", 4, 0x02, &["id"]), &refused(5)),
        ("a will", will, &refused(5)),
        ("no id, but a session", keep_session.bytes(), &refused(2)),
        ("MQTT 3.1", raw_connect("MQIsdp", 3, 0x02, &["id"]), &refused(1)),
        ("MQTT 6", raw_connect("MQTT", 6, 0x02, &["id"]), &refused(1)),
        ("another protocol", raw_connect("AMQP", 4, 0x02, &["id"]), &[]),
        ("the reserved flag", raw_connect("MQTT", 4, 0x03, &["id"]), &[]),
        ("a password without a user", raw_connect("MQTT", 4, 0x42, &["id", "key"]), &[]),
    ];
    for (name, bytes, answer) in cases {
        let mut client = fixture.stranger().await;
        client.send(&bytes).await;
        println!("{name}");
        client.expect_end(answer).await;
    }
    fixture.assert_serves().await;
}

#[tokio::test]
async fn clients_without_an_id_do_not_take_each_other_over() {
    let mut fixture = Fixture::start().await;
    let (mut first, _) = fixture.service("wallet", "").await;
    let (mut second, _) = fixture.service("wallet", "").await;
    first.ping().await;
    second.ping().await;
}

#[tokio::test]
async fn an_unkept_session_is_never_present() {
    let mut fixture = Fixture::start().await;
    let connect = Connect { clean_session: false, ..Connect::new("wallet", "key", "a") };
    for _ in 0..2 {
        let (client, session) = fixture.log_in(&connect).await;
        drop(client);
        fixture.left(session).await;
    }
}

#[tokio::test]
async fn operators_come_from_this_machine_only() {
    let mut fixture = Fixture::start().await;
    let operator = Connect::new("operator", "token", "console");
    let mut abroad = fixture.pipe_from([192, 0, 2, 1]);
    abroad.send(&operator.bytes()).await;
    abroad.expect_end(&refused(5)).await;
    fixture.log_in(&operator).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_or_too_little_is_closed_after_five_seconds() {
    let fixture = Fixture::start().await;
    for version in Version::ALL {
        let connect = Connect::worker(1).version(version).bytes();
        for count in [0, 1, 2, connect.len() - 1] {
            let started = Instant::now();
            let mut client = fixture.pipe();
            client.send(&connect[..count]).await;
            client.expect_closed().await;
            assert_eq!(started.elapsed().as_secs(), 5, "{version:?}, {count} bytes");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_authenticator_that_does_not_answer_is_waited_for_three_seconds() {
    let fixture = Fixture::start().await;
    let started = Instant::now();
    let mut client = fixture.pipe();
    client.send(&Connect::new("unanswered", "x", "id").bytes()).await;
    client.expect_end(&refused(3)).await;
    assert!((Duration::from_secs(3)..Duration::from_secs(4)).contains(&started.elapsed()));
}
