//! `POST /v1/work/batch`: each request has an outcome and a charge of its own, in their order.

use axum::http::Method;
use serde_json::{Value, json};
use shared::{Outcome, Refusal, RequestId};

use crate::fake::{Fake, NONCE, ROOT, Reply, call, work_given};

const KEY: (&str, &str) = ("authorization", "Bearer k1");

async fn send(fake: &Fake, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
    let Reply { status, body, .. } =
        call(fake.router(), Method::POST, "/v1/work/batch", headers, body.to_string()).await;
    (status.as_u16(), serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn each_request_has_its_own_outcome_in_its_place() {
    let fake = Fake::answering(work_given());
    let body = json!({ "requests": [{ "root": ROOT }, { "root": "00" }, 7, { "root": ROOT, "async": true }, { "root": ROOT }] });
    let (status, answer) = send(&fake, &[KEY], &body).await;
    assert_eq!((status, &answer["charged_mc"]), (200, &json!(2000)));
    let results = answer["results"].as_array().unwrap();
    let statuses: Vec<_> = results.iter().map(|result| result["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 400, 400, 400, 200]);
    for place in [0, 4] {
        assert_eq!(
            (&results[place]["result"]["work"], &results[place]["problem"]),
            (&json!(NONCE), &Value::Null)
        );
    }
    let detail = |place: usize| results[place]["problem"]["detail"].as_str().unwrap();
    assert!(detail(1).starts_with("`root` is wrong") && detail(2).contains("not an object"));
    assert_eq!(detail(3), "`async` is not a field of this request.");
    assert_eq!((&results[1]["result"], fake.asked().len()), (&Value::Null, 2));
}

#[tokio::test]
async fn what_is_refused_costs_nothing() {
    let fake = Fake::answering(Outcome::Refused(Refusal::InsufficientCredit));
    let (status, answer) = send(&fake, &[KEY], &json!({ "requests": [{ "root": ROOT }] })).await;
    assert_eq!((status, &answer["charged_mc"]), (200, &json!(0)));
    let result = &answer["results"][0];
    assert_eq!((&result["status"], &result["problem"]["code"]), (&json!(402), &json!("insufficient_credit")));
}

/// Sent again under its name, a batch is the same requests.
#[tokio::test]
async fn the_name_of_a_batch_names_its_requests() {
    let fake = Fake::answering(work_given());
    let own = RequestId::from_u128(7);
    let body =
        json!({ "requests": [{ "root": ROOT }, { "root": ROOT, "request_id": own }, { "root": ROOT }] });
    let headers = [KEY, ("idempotency-key", "\"000000000000000000000000000000a0\"")];
    send(&fake, &headers, &body).await;
    send(&fake, &headers, &body).await;
    let names: Vec<_> = fake.asked().iter().map(|(_, request)| request.request.unwrap()).collect();
    let (first, third) = (RequestId::from_u128(0xa0), RequestId::from_u128(0xa2));
    assert_eq!(names, [first, own, third, first, own, third]);
}

#[tokio::test]
async fn a_batch_can_go_on_by_itself() {
    for (headers, more) in [(vec![KEY], true), (vec![KEY, ("prefer", "respond-async")], false)] {
        let fake = Fake::silent();
        let body = json!({ "requests": [{ "root": ROOT }, { "root": "x" }], "async": more });
        let (status, answer) = send(&fake, &headers, &body).await;
        let statuses = [&answer["results"][0]["status"], &answer["results"][1]["status"]];
        assert_eq!((status, statuses), (200, [&json!(202), &json!(400)]));
        fake.until_asked(1).await;
        let name = fake.asked()[0].1.request.unwrap();
        assert_eq!(answer["results"][0]["location"], format!("/v1/work/{name}"));
    }
}

#[tokio::test]
async fn what_is_no_batch_is_refused_as_a_whole() {
    let fake = Fake::silent();
    let many: Vec<_> = (0..65).map(|_| json!({ "root": ROOT })).collect();
    for body in [
        json!({}),
        json!({ "requests": [] }),
        json!({ "requests": many }),
        json!({ "requests": 1 }),
        json!([]),
    ] {
        let (status, answer) = send(&fake, &[KEY], &body).await;
        assert_eq!((status, &answer["code"], &answer["charged_mc"]), (400, &json!("malformed"), &json!(0)));
    }
    let (status, _) = send(&fake, &[], &json!({ "requests": [{ "root": ROOT }] })).await;
    let (large, _) = send(&fake, &[KEY], &json!({ "requests": ["x".repeat(140_000)] })).await;
    assert_eq!((status, large, fake.asked().len()), (401, 413, 0));
}
