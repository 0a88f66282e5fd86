//! `/v1/balance`, `/v1/quota` and `/v1/keys` where nobody knows of them, as beside a wallet, and what is wrong with their bodies.

use axum::http::Method;
use serde_json::{Value, json};

use crate::fake::{Fake, call, work_given};

const KEY: (&str, &str) = ("authorization", "Bearer k1");

async fn code(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let reply = call(Fake::answering(work_given()).router(), method, path, headers, body.to_owned()).await;
    let json: Value = serde_json::from_str(&reply.body).unwrap();
    (reply.status.as_u16(), json["code"].clone())
}

#[tokio::test]
async fn what_is_asked_elsewhere_is_said_to_be_there() {
    let key = "aaaaaaaaaaaaa";
    for (method, path) in [
        (Method::GET, "/v1/balance".to_owned()),
        (Method::GET, "/v1/keys".into()),
        (Method::POST, "/v1/keys".into()),
        (Method::POST, format!("/v1/keys/{key}/rotate")),
        (Method::DELETE, format!("/v1/keys/{key}")),
    ] {
        assert_eq!(code(method.clone(), &path, &[KEY], "").await, (404, json!("not_here")), "{path}");
        assert_eq!(code(method, &path, &[], "").await, (401, json!("unauthenticated")), "{path}");
    }
    let reply = call(Fake::answering(work_given()).router(), Method::GET, "/v1/quota", &[KEY], "").await;
    let quota: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!((reply.status.as_u16(), &quota["socket_in_flight_max"]), (200, &json!(256)));
}

#[tokio::test]
async fn a_body_that_is_none_is_refused() {
    for (path, body) in [
        ("/v1/keys", "[]"),
        ("/v1/keys", r#"{"label":1}"#),
        ("/v1/keys", r#"{"expires_s":-1}"#),
        ("/v1/keys", r#"{"overlap_s":1}"#),
        ("/v1/keys", r#"{"secret":""}"#),
        // What is read field by field from an array as well is refused all the same.
        ("/v1/keys", "[null,60,null]"),
        ("/v1/register", r#"["shop"]"#),
        ("/v1/accounts", r#"[["nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3"]]"#),
        ("/v1/prefetch", r#"[["718CC2121C3E641059BC1C2CFC45666C99E8AE922F7A807B7D07B62C995D79E2"],null]"#),
        (
            "/v1/work/batch",
            r#" [[{"root":"718CC2121C3E641059BC1C2CFC45666C99E8AE922F7A807B7D07B62C995D79E2"}],false]"#,
        ),
        ("/v1/keys/aaaaaaaaaaaaa/rotate", r#"{"overlap_s":2592001}"#),
    ] {
        assert_eq!(code(Method::POST, path, &[KEY], body).await, (400, json!("malformed")), "{body}");
    }
}
