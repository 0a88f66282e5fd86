//! What can be counted from outside, through the recorder that the coordinator uses.

use broker::bus::{Bus, Down};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use shared::protocol::Topic;

use crate::harness::{Connect, Fixture, Version, service, until, worker};

/// The value of a line; labels as they are written.
fn value(recorder: &PrometheusHandle, name: &str) -> Option<f64> {
    let text = recorder.render();
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn what_happens_is_counted_and_everything_begins_at_zero() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    // The gate's tasks run on this thread.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let mut fixture = Fixture::with_limits(|limits| limits.queue_messages_max = 2).await;
    for (name, label) in [
        ("mqtt_connections", "role=\"worker\",version=\"5\""),
        ("mqtt_connections", "role=\"operator\",version=\"3.1.1\""),
        ("mqtt_connections_refused_total", "reason=\"bad_credentials\""),
        ("mqtt_connections_refused_total", "reason=\"handshake_timeout\""),
        ("mqtt_connections_refused_total", "reason=\"penalized\""),
        ("mqtt_sessions_ended_total", "reason=\"receive_maximum\""),
        ("mqtt_queue_overflows_total", "role=\"service\""),
        ("mqtt_penalties_total", "sentence=\"banned\""),
        ("mqtt_publishes_denied_total", "role=\"worker\""),
        ("mqtt_login_questions_total", "answer=\"cached\""),
        ("mqtt_received_bytes_total", "role=\"worker\""),
    ] {
        assert_eq!(value(&handle, &format!("{name}{{{label}}}")), Some(0.0), "{name} {label}");
    }

    let (mut client, session) = fixture.log_in(&Connect::worker(1).version(Version::V5)).await;
    let workers = "mqtt_connections{role=\"worker\",version=\"5\"}";
    assert_eq!(value(&handle, workers), Some(1.0));
    client.send(&Version::V5.publish(1, 1, "heartbeat", b"")).await;
    client.expect(&[0x40, 3, 0, 1, 0x87]).await;
    assert_eq!(value(&handle, "mqtt_publishes_denied_total{role=\"worker\"}"), Some(1.0));
    let result = Topic::WorkResult(worker(1));
    client.send(&Version::V5.publish(1, 2, &result.to_string(), b"")).await;
    fixture.message(session, result, b"").await;
    assert_eq!(value(&handle, "mqtt_messages_received_total{role=\"worker\"}"), Some(1.0));
    assert!(value(&handle, "mqtt_received_bytes_total{role=\"worker\"}") > Some(40.0));
    assert!(value(&handle, "mqtt_sent_bytes_total{role=\"worker\"}") > Some(20.0));
    for _ in 0..3 {
        fixture.bus.send(Down::Penalize { session });
    }
    client.expect(&[0x40, 2, 0, 2]).await;
    client.expect_end(&[0xE0, 1, 0x98]).await;
    fixture.left(session).await;
    assert_eq!(value(&handle, workers), Some(0.0));
    assert_eq!(value(&handle, "mqtt_penalties_total{sentence=\"counted\"}"), Some(2.0));
    assert_eq!(value(&handle, "mqtt_penalties_total{sentence=\"suspended\"}"), Some(1.0));
    assert_eq!(value(&handle, "mqtt_sessions_ended_total{reason=\"penalty\"}"), Some(1.0));

    let mut guess = fixture.stranger().await;
    guess.send(&Connect::new("wallet", "no", "a").bytes()).await;
    guess.expect_end(&[0x20, 2, 0, 4]).await;
    assert_eq!(value(&handle, "mqtt_connections_refused_total{reason=\"bad_credentials\"}"), Some(1.0));

    let reply = Topic::ServiceReply(service("wallet"));
    // Not a TCP connection: to that the messages would be written at once.
    let mut client = fixture.pipe();
    client.log_in(&Connect::new("wallet", "key", "a")).await;
    let session = fixture.joined().await;
    client.subscribe(&[&reply.to_string()]).await;
    for _ in 0..3 {
        fixture.send(session, reply, b"");
    }
    fixture.left(session).await;
    assert_eq!(value(&handle, "mqtt_queue_overflows_total{role=\"service\"}"), Some(1.0));
    assert_eq!(value(&handle, "mqtt_sessions_ended_total{reason=\"overflow\"}"), Some(1.0));
    until("the delay of accepting", || value(&handle, "mqtt_accept_delay_seconds_count") > Some(1.0)).await;
}
