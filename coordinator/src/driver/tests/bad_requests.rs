//! What services say over MQTT that is wrong, and what becomes of it: the documented refusal, or nothing where there is no request to
//! refuse. Nothing is dispatched, held or charged in either case.

use serde_json::{Value, json};

use super::*;

const SERVICE: SessionId = SessionId::new(2);

impl Rig {
    async fn with_service() -> Self {
        let rig = Self::start().await;
        let identity = Identity::Service { service: wallet(), key: shared::KeyId::from_bytes([1; 8]) };
        rig.joins(SERVICE, identity).await;
        rig
    }

    async fn says_json(&self, body: &Value) {
        self.says(SERVICE, Topic::ServiceRequest(wallet()), body.to_string().into_bytes()).await;
    }

    async fn next_reply(&mut self) -> ServiceReply {
        decode::<ServiceReply>(&self.next(Topic::ServiceReply(wallet())).await).unwrap().0
    }

    /// That nothing was held or charged.
    async fn has_all(&self) {
        let balance = self.store.balance(wallet()).await.unwrap().unwrap();
        assert_eq!((balance.paid, balance.held), (Millicredits::new(10_000), Millicredits::ZERO));
    }
}

/// A good request, with this name.
fn good(request: u128) -> Value {
    json!({
        "request": RequestId::from_u128(request),
        "root": ROOT,
        "demand": { "threshold": NETWORK.receive_threshold() },
        "account": null,
        "timeout_ms": null,
    })
}

fn with(field: &str, value: Value) -> String {
    let mut body = good(1);
    body[field] = value;
    body.to_string()
}

/// It may be anybody's bytes: no name can be taken from it, so nobody is answered.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_dropped() {
    let mut rig = Rig::with_service().await;
    let mut bad: Vec<Vec<u8>> = Vec::new();
    for (field, values) in [
        ("request", vec![json!(1), json!(null), json!("ff"), json!(["0"]), json!("g".repeat(32))]),
        ("root", vec![json!(1), json!(null), json!("00"), json!({}), json!("\u{0}".repeat(64))]),
        (
            "demand",
            vec![
                json!(null),
                json!("threshold"),
                json!({}),
                json!({ "threshold": 1 }),
                json!({ "threshold": "ff" }),
                json!({ "multiplier": "1" }),
                json!({ "multiplier": 0 }),
                json!({ "multiplier": -1 }),
                json!({ "subtype": "Send" }),
                json!({ "subtype": "send", "multiplier": 1 }),
                json!({ "hardest": null }),
            ],
        ),
        ("account", vec![json!(1), json!("nano_1"), json!([])]),
        ("timeout_ms", vec![json!(-1), json!(1.5), json!("1"), json!(4_294_967_296_u64), json!({})]),
        ("more", vec![json!(1)]),
    ] {
        bad.extend(values.into_iter().map(|value| with(field, value).into_bytes()));
    }
    let whole = good(1).to_string();
    let binary = encode(&serde_json::from_value::<ServiceRequest>(good(1)).unwrap(), Form::Binary);
    bad.extend([
        Vec::new(),
        b"{".to_vec(),
        b"{}".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        whole.replacen('{', r#"{"root":"00","#, 1).into_bytes(),
        whole.replacen("\"root\"", "\"ro\\u006ft\":1,\"root\"", 1).into_bytes(),
        format!("{whole} {whole}").into_bytes(),
        whole.replacen("null", "NaN", 1).into_bytes(),
        with("root", json!("x".repeat(2000))).into_bytes(),
        format!(r#"{{"root":{}{}}}"#, "[".repeat(400), "]".repeat(400)).into_bytes(),
        [whole.as_bytes(), b"\xff"].concat(),
        b"{\"root\":\"\xff\"}".to_vec(),
        binary[..binary.len() - 1].to_vec(),
        [binary.as_slice(), b"\0"].concat(),
        [b"\x02", &binary[1..]].concat(),
        vec![0xff; 60],
    ]);
    for payload in bad {
        rig.says(SERVICE, Topic::ServiceRequest(wallet()), payload).await;
    }
    // The first thing that is heard again is about the request that can be read.
    let mut conflicting = good(9);
    conflicting["demand"] = json!({ "threshold": "0000000000000001" });
    rig.says_json(&conflicting).await;
    let reply = rig.next_reply().await;
    assert_eq!(reply.request, RequestId::from_u128(9));
    assert_eq!(reply.outcome, ReplyOutcome::Refused(Refusal::ThresholdOutOfRange));
    rig.has_all().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_out_of_range_is_refused() {
    let mut rig = Rig::with_service().await;
    rig.worker_joins(1).await;
    let least = NETWORK.receive_threshold().as_u64();
    for (number, demand) in [
        json!({ "threshold": "0000000000000000" }),
        json!({ "threshold": format!("{:016x}", least - 1) }),
        json!({ "threshold": "ffffffffffffffff" }),
        json!({ "multiplier": 8.1 }),
        json!({ "multiplier": 1e300 }),
        json!({ "multiplier": 1e-300 }),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = good(number as u128);
        body["demand"] = demand;
        rig.says_json(&body).await;
        let reply = rig.next_reply().await;
        assert_eq!(reply.outcome, ReplyOutcome::Refused(Refusal::ThresholdOutOfRange), "{body}");
    }
    rig.has_all().await;
}

/// No time at all is over at once; more than there is, is as much as there is.
#[tokio::test(start_paused = true)]
async fn a_timeout_is_cut_to_what_there_is() {
    let mut rig = Rig::with_service().await;
    rig.worker_joins(1).await;
    for (number, timeout_ms, ends_after) in [(1, 0, 0), (2, 1, 1), (3, u32::MAX, 120_000)] {
        let mut body = good(number);
        body["timeout_ms"] = json!(timeout_ms);
        let began = tokio::time::Instant::now();
        rig.says_json(&body).await;
        let reply = rig.next_reply().await;
        assert_eq!(reply.outcome, ReplyOutcome::Refused(Refusal::Expired), "{timeout_ms}");
        let elapsed = began.elapsed().as_millis();
        assert!((ends_after..ends_after + 100).contains(&elapsed), "{timeout_ms} ms ended after {elapsed}");
        // The hold is given back; the store is asked for that once the reply has left.
        tokio::time::sleep(Duration::from_secs(1)).await;
        rig.has_all().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_in_use_for_something_else_is_a_conflict() {
    let mut rig = Rig::with_service().await;
    rig.worker_joins(1).await;
    rig.says_json(&good(1)).await;
    while rig.next_list().await.jobs.is_empty() {}
    let other_root = {
        let mut body = good(1);
        body["root"] = json!(Root::new([8; 32]));
        body
    };
    let harder = {
        let mut body = good(1);
        body["demand"] = json!({ "threshold": NETWORK.send_threshold() });
        body
    };
    for body in [other_root, harder] {
        rig.says_json(&body).await;
        let reply = rig.next_reply().await;
        assert_eq!(reply.outcome, ReplyOutcome::Refused(Refusal::Conflict), "{body}");
    }
    rig.says(
        SERVICE,
        Topic::ServiceCancel(wallet()),
        json!({ "request": RequestId::from_u128(1) }).to_string().into_bytes(),
    )
    .await;
    assert_eq!(rig.next_reply().await.outcome, ReplyOutcome::Refused(Refusal::Cancelled));
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.has_all().await;
}

/// A key for tests is answered by the process itself: nothing is listed for a worker, and nothing is charged.
#[tokio::test(start_paused = true)]
async fn what_is_asked_with_a_key_for_tests_reaches_no_worker() {
    let mut rig = Rig::with_service().await;
    rig.worker_joins(1).await;
    let limits = crate::store::KeyLimits { is_test: true, ..Default::default() };
    rig.source.registry.limit_key(shared::KeyId::from_bytes([1; 8]), limits);
    let mut body = good(1);
    for (number, refusal) in [(1, Refusal::Expired), (2, Refusal::NoWorkers), (3, Refusal::StoreUnavailable)]
    {
        body["root"] = json!(format!("{number:064}"));
        rig.says_json(&body).await;
        assert_eq!(rig.next_reply().await.outcome, ReplyOutcome::Refused(refusal));
    }
    body["root"] = json!(format!("{:064}", 1));
    rig.says_json(&body).await;
    let cancel = json!({ "request": RequestId::from_u128(1) }).to_string();
    rig.says(SERVICE, Topic::ServiceCancel(wallet()), cancel.into_bytes()).await;
    assert_eq!(rig.next_reply().await.outcome, ReplyOutcome::Refused(Refusal::Cancelled));
    rig.has_all().await;
    while let Ok(down) = rig.down.try_recv() {
        if let Down::Message { topic: Topic::WorkRequest(_), payload, .. } = down {
            assert!(decode::<WorkList>(&payload).unwrap().0.jobs.is_empty());
        }
    }
}
