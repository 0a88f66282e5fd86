//! Requests that nobody waits for: how they begin, what is told of them, and how they are withdrawn.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use futures_util::StreamExt;
use serde_json::{Value, json};
use shared::{Outcome, Refusal, RequestId};
use tower::ServiceExt;

use crate::fake::{Fake, NONCE, ROOT, Reply, call, in_time, shop, work_given};

const KEY: (&str, &str) = ("authorization", "Bearer k1");
const OTHER_KEY: (&str, &str) = ("authorization", "Bearer key of one that has not opted in");
const NAME: RequestId = RequestId::from_u128(0xab);

fn path() -> String {
    format!("/v1/work/{NAME}")
}

fn json_of(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap_or_else(|_| panic!("{} {:?}", reply.status, reply.body))
}

async fn get(router: &axum::Router, path: &str, key: (&str, &str)) -> Reply {
    call(router.clone(), Method::GET, path, &[key], "").await
}

async fn begin(router: &axum::Router) -> Reply {
    let body = json!({ "root": ROOT, "request_id": NAME, "async": true });
    call(router.clone(), Method::POST, "/v1/work", &[KEY], body.to_string()).await
}

#[tokio::test]
async fn a_request_goes_on_by_itself_and_its_work_is_fetched() {
    let fake = Fake::silent();
    let router = fake.router();
    let open = json!({ "request_id": NAME, "state": "open", "result": null, "problem": null });
    let reply = begin(&router).await;
    assert_eq!((reply.status.as_u16(), json_of(&reply)), (202, open.clone()));
    assert_eq!(reply.header("location"), Some(path().as_str()));
    assert_eq!(reply.header("x-request-id"), Some(NAME.to_string().as_str()));
    fake.until_asked(1).await;
    assert_eq!(json_of(&get(&router, &path(), KEY).await), open);

    let waiting = format!("{}?wait_ms=60000", path());
    let waits = get(&router, &waiting, KEY);
    let (waited, ()) = tokio::join!(waits, async { fake.answer_now(work_given()) });
    let status = json_of(&waited);
    assert_eq!((waited.status.as_u16(), &status["state"]), (200, &json!("answered")));
    assert_eq!((&status["result"]["work"], &status["result"]["charged_mc"]), (&json!(NONCE), &json!(1000)));
    assert_eq!((&status["problem"], &status["result"]["request_id"]), (&json!(null), &json!(NAME)));
    assert_eq!(waited.header("cache-control"), Some("no-store"));
    assert_eq!(json_of(&get(&router, &path(), KEY).await), status);
    assert_eq!((fake.asked().len(), fake.dropped()), (1, 0));
}

#[tokio::test]
async fn the_header_prefer_asks_for_it_too() {
    for prefer in ["respond-async", "Respond-Async, wait=10", "handling=lenient, respond-async"] {
        let fake = Fake::silent();
        let body = json!({ "root": ROOT }).to_string();
        let reply = call(fake.router(), Method::POST, "/v1/work", &[KEY, ("prefer", prefer)], body).await;
        assert_eq!(reply.status, 202, "{prefer}");
        fake.until_asked(1).await;
        let name = fake.asked()[0].1.request.expect("a name is drawn");
        assert_eq!(reply.header("location"), Some(format!("/v1/work/{name}").as_str()));
    }
}

#[tokio::test]
async fn asked_again_under_its_name_it_is_the_same_request() {
    let fake = Fake::silent();
    let router = fake.router();
    for _ in 0..3 {
        assert_eq!(begin(&router).await.status, 202);
    }
    fake.until_asked(1).await;
    let other = json!({ "root": "0".repeat(64), "request_id": NAME, "async": true }).to_string();
    let conflict = call(router.clone(), Method::POST, "/v1/work", &[KEY], other).await;
    assert_eq!((conflict.status.as_u16(), &json_of(&conflict)["code"]), (409, &json!("conflict")));
    assert_eq!(fake.asked().len(), 1);
    // Once it has ended it is for the source to say what the name means.
    fake.answer_now(Outcome::Refused(Refusal::Expired));
    let ended = get(&router, &format!("{}?wait_ms=60000", path()), KEY).await;
    assert_eq!(json_of(&ended)["problem"]["code"], "expired");
    assert_eq!(begin(&router).await.status, 202);
    fake.until_asked(2).await;
}

#[tokio::test]
async fn a_service_sees_its_own_alone() {
    let fake = Fake::silent();
    let router = fake.router();
    begin(&router).await;
    let none = ("authorization", "Bearer nobody's");
    for (path, key, expected) in [
        (path(), OTHER_KEY, (404, "unknown_request")),
        (format!("{}/events", path()), OTHER_KEY, (404, "unknown_request")),
        (path(), none, (401, "unauthenticated")),
        (format!("{}/events", path()), none, (401, "unauthenticated")),
        (format!("/v1/work/{}", RequestId::from_u128(1)), KEY, (404, "unknown_request")),
        ("/v1/work/one".into(), KEY, (404, "unknown_request")),
        (format!("{}?wait_ms=60001", path()), KEY, (400, "malformed")),
        (format!("{}?wait_ms=-1", path()), KEY, (400, "malformed")),
    ] {
        let reply = get(&router, &path, key).await;
        assert_eq!(
            (reply.status.as_u16(), &json_of(&reply)["code"]),
            (expected.0, &json!(expected.1)),
            "{path}"
        );
    }
    // Another service's withdrawal names another request, though it has the same name.
    let reply = call(router.clone(), Method::DELETE, &path(), &[OTHER_KEY], "").await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (204, ""));
    assert_eq!(json_of(&get(&router, &path(), KEY).await)["state"], "open");
}

#[tokio::test]
async fn a_withdrawal_ends_it_and_repeated_says_the_same() {
    let fake = Fake::silent();
    let router = fake.router();
    begin(&router).await;
    fake.until_asked(1).await;
    for _ in 0..2 {
        let reply = call(router.clone(), Method::DELETE, &path(), &[KEY], "").await;
        let status = json_of(&reply);
        assert_eq!((reply.status.as_u16(), &status["state"]), (200, &json!("refused")));
        assert_eq!(
            (&status["problem"]["code"], &status["problem"]["charged_mc"]),
            (&json!("cancelled"), &json!(0))
        );
    }
    assert_eq!(fake.withdrawn(), [(shop(), NAME); 2]);
    let unknown = format!("/v1/work/{}", RequestId::from_u128(1));
    assert_eq!(call(router, Method::DELETE, &unknown, &[KEY], "").await.status, 204);
}

/// A settlement under way is not ended by a withdrawal; who withdraws is told so, and does not wait for it.
#[tokio::test(start_paused = true)]
async fn what_is_being_paid_for_is_told_to_be_open() {
    let fake = Fake::silent();
    let router = fake.router();
    let body = json!({ "root": ROOT, "async": true }).to_string();
    let name = json_of(&call(router.clone(), Method::POST, "/v1/work", &[KEY], body).await);
    fake.until_asked(1).await;
    fake.settle();
    let path = format!("/v1/work/{}", name["request_id"].as_str().unwrap());
    let reply = call(router.clone(), Method::DELETE, &path, &[KEY], "").await;
    assert_eq!((reply.status.as_u16(), &json_of(&reply)["state"]), (200, &json!("open")));
    fake.answer_now(work_given());
    let ended = get(&router, &format!("{path}?wait_ms=1000"), KEY).await;
    assert_eq!(json_of(&ended)["state"], "answered");
}

#[tokio::test]
async fn news_comes_as_events() {
    let fake = Fake::silent();
    let router = fake.router();
    begin(&router).await;
    let request = Request::get(format!("{}/events", path())).header(KEY.0, KEY.1);
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut chunks = response.into_body().into_data_stream();
    let first = in_time(chunks.next()).await.unwrap().unwrap();
    assert!(first.starts_with(b"event: open\ndata: {"), "{first:?}");
    fake.answer_now(work_given());
    let second = in_time(chunks.next()).await.unwrap().unwrap();
    let text = core::str::from_utf8(&second).unwrap();
    let data = text.strip_prefix("event: answered\ndata: ").unwrap().trim_end();
    assert_eq!(serde_json::from_str::<Value>(data).unwrap()["result"]["work"], NONCE);
    assert!(in_time(chunks.next()).await.is_none(), "the last event ends the stream");
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_is_kept_for_ten_minutes() {
    let fake = Fake::answering(work_given());
    let router = fake.router();
    begin(&router).await;
    get(&router, &format!("{}?wait_ms=1000", path()), KEY).await;
    tokio::time::advance(Duration::from_secs(590)).await;
    assert_eq!(json_of(&get(&router, &path(), KEY).await)["state"], "answered");
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(get(&router, &path(), KEY).await.status, 404);
}

#[tokio::test]
async fn a_service_may_have_1024_of_them_open() {
    let fake = Fake::silent();
    let router = fake.router();
    let body = json!({ "root": ROOT, "async": true }).to_string();
    for _ in 0..1024 {
        assert_eq!(call(router.clone(), Method::POST, "/v1/work", &[KEY], body.clone()).await.status, 202);
    }
    let reply = call(router.clone(), Method::POST, "/v1/work", &[KEY], body.clone()).await;
    assert_eq!((reply.status.as_u16(), &json_of(&reply)["code"]), (503, &json!("overloaded")));
    assert_eq!(call(router, Method::POST, "/v1/work", &[OTHER_KEY], body).await.status, 202);
}
