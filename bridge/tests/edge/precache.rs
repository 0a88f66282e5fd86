//! `/v1/accounts`, `/v1/prefetch` and `/v1/usage`: what is read, what is answered, and every way of saying no.

use axum::http::Method;
use serde_json::{Value, json};
use shared::Account;

use crate::fake::{Fake, ROOT, Reply, call, work_given};

const KEY: (&str, &str) = ("authorization", "Bearer k1");

fn fake() -> Fake {
    Fake::answering(work_given())
}

async fn send(fake: &Fake, method: Method, path: &str, body: &Value) -> Reply {
    call(fake.router(), method, path, &[KEY], body.to_string()).await
}

fn accounts(count: u8) -> Vec<Account> {
    (0..count).map(|number| Account::from_public_key([number; 32])).collect()
}

fn code(reply: &Reply) -> (u16, String) {
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    (reply.status.as_u16(), body["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn accounts_reach_the_source() {
    let fake = fake();
    for (method, is_watched) in [(Method::POST, true), (Method::DELETE, false)] {
        let named = accounts(3);
        let reply = send(&fake, method, "/v1/accounts", &json!({ "accounts": named })).await;
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, r#"{"accounts":3}"#));
        assert_eq!(fake.named(), Some((named, is_watched)));
    }
}

#[tokio::test]
async fn what_is_refused_has_a_code_of_its_own() {
    let fake = fake();
    for (count, expected) in
        [(7, (409, "accounts_limit")), (8, (503, "accounts_full")), (9, (503, "store_unavailable"))]
    {
        let reply = send(&fake, Method::POST, "/v1/accounts", &json!({ "accounts": accounts(count) })).await;
        assert_eq!(code(&reply), (expected.0, expected.1.into()));
        assert!(reply.body.contains("\"charged_mc\":0"), "{}", reply.body);
    }
    for (key, expected) in [
        ("Bearer key of one that has not opted in", (403, "precache_off")),
        ("Bearer key of the suspended", (403, "suspended")),
        ("Bearer wrong", (401, "unauthenticated")),
    ] {
        let body = json!({ "accounts": accounts(1) }).to_string();
        let headers = [("authorization", key)];
        let reply = call(fake.router(), Method::POST, "/v1/accounts", &headers, body).await;
        assert_eq!(code(&reply), (expected.0, expected.1.into()));
    }
    let reply = send(&fake, Method::GET, "/v1/accounts", &json!({})).await;
    assert_eq!(code(&reply), (405, "method_not_allowed".into()));
}

#[tokio::test]
async fn bad_input_is_named_and_reaches_nobody() {
    let fake = fake();
    let many: Vec<String> = (0..1001).map(|_| accounts(1)[0].to_string()).collect();
    for (path, body, named) in [
        ("/v1/accounts", json!({ "accounts": ["nano_1"] }), "`nano_1`: an address has 60 characters"),
        ("/v1/accounts", json!({ "accounts": [7] }), "invalid type"),
        ("/v1/accounts", json!({ "accounts": [] }), "`accounts` is empty"),
        ("/v1/accounts", json!({ "accounts": many }), "more than 1000 entries"),
        ("/v1/accounts", json!({ "account": [] }), "unknown field"),
        ("/v1/accounts", json!({}), "missing field"),
        ("/v1/accounts", json!([]), "JSON"),
        ("/v1/prefetch", json!({ "roots": ["AB"] }), "JSON that is expected"),
        ("/v1/prefetch", json!({ "roots": vec![ROOT; 65] }), "more than 64 entries"),
        ("/v1/prefetch", json!({ "roots": [ROOT], "threshold": 7 }), "JSON that is expected"),
    ] {
        let reply = send(&fake, Method::POST, path, &body).await;
        assert_eq!(code(&reply), (400, "malformed".into()), "{body}");
        assert!(reply.body.contains(named), "{named}: {}", reply.body);
    }
    let reply = call(fake.router(), Method::POST, "/v1/accounts", &[KEY], "not JSON").await;
    assert_eq!(code(&reply), (400, "malformed".into()));
    let huge = " ".repeat(200_000);
    let reply = call(fake.router(), Method::POST, "/v1/accounts", &[KEY], huge).await;
    assert_eq!(code(&reply), (413, "too_large".into()));
    assert_eq!(fake.named(), None);
}

#[tokio::test]
async fn each_root_of_a_prefetch_has_its_state() {
    let fake = fake();
    let reply = send(&fake, Method::POST, "/v1/prefetch", &json!({ "roots": [ROOT, ROOT, ROOT] })).await;
    let states: Value = serde_json::from_str(&reply.body).unwrap();
    let expected = ["ready", "running", "over_budget"].map(|state| json!({ "root": ROOT, "state": state }));
    assert_eq!(states, json!({ "roots": expected }));
    let body = json!({ "roots": [ROOT], "threshold": "0000000000000000" });
    let reply = send(&fake, Method::POST, "/v1/prefetch", &body).await;
    assert_eq!(code(&reply), (422, "threshold_out_of_range".into()));
}

#[tokio::test]
async fn usage_is_told_to_its_service() {
    let fake = fake();
    let reply = call(fake.router(), Method::GET, "/v1/usage", &[KEY], "").await;
    let usage: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(
        (&usage["hits"], &usage["saved_ms"], &usage["precache"]),
        (&json!(3), &json!(1500), &json!(true))
    );
    let reply = call(fake.router(), Method::GET, "/v1/usage", &[], "").await;
    assert_eq!(code(&reply), (401, "unauthenticated".into()));
}
