//! What a service asks about itself over `/v1`: its balance, its quota and its keys.

use anyhow::Context;
use e2e::{Home, Server, Service, Signal};
use serde_json::{Value, json};

fn open() -> anyhow::Result<(Home, Service, Server)> {
    let (home, wallet) = Home::with_wallet(10)?;
    let server = home.serve()?;
    Ok((home, wallet, server))
}

fn text(json: &Value, field: &str) -> anyhow::Result<String> {
    Ok(json[field].as_str().with_context(|| format!("no {field} in {json}"))?.to_owned())
}

#[test]
fn a_service_sees_what_it_has_and_may() -> anyhow::Result<()> {
    let (_home, wallet, server) = open()?;
    let get = |path: &str| server.client().get_with(path, &wallet.key)?.json();
    let balance = json!({ "service": "wallet", "granted_mc": 10_000, "paid_mc": 0, "held_mc": 0 });
    assert_eq!(get("/v1/balance")?, balance);
    let quota = get("/v1/quota")?;
    assert_eq!((&quota["timeout_max_ms"], &quota["batch_max"]), (&json!(120_000), &json!(64)));
    assert!(quota["left"].as_u64() <= quota["burst"].as_u64() && quota["burst"].is_u64(), "{quota}");
    assert_eq!((&quota["multiplier_max"], &quota["spend_per_day_mc"]), (&json!(8.0), &Value::Null));
    server.stop(Signal::Terminate)
}

/// A key is made, replaces another, and is revoked; what has ended opens nothing at once, and the last one is kept.
#[test]
fn a_service_changes_its_own_keys() -> anyhow::Result<()> {
    let (home, wallet, server) = open()?;
    let other = home.add_service("other")?;
    let http = server.client();
    let first = http.get_with("/v1/keys", &wallet.key)?.json()?["keys"][0].clone();
    assert_eq!((&first["current"], &first["valid"]), (&json!(true), &json!(true)));
    let first_id = text(&first, "key")?;

    let last = http.delete(&format!("/v1/keys/{first_id}"), &wallet.key, "")?;
    assert_eq!((last.status, last.problem()?.as_str()), (409, "last_key"));
    let issued = http.post("/v1/keys", Some(&wallet.key), r#"{"label":"second"}"#)?;
    assert_eq!((issued.status, issued.header("cache-control")), (201, Some("no-store")));
    let second = text(&issued.json()?, "api_key")?;
    assert_eq!(http.get_with("/v1/balance", &second)?.status, 200);
    let rotated = http.post(&format!("/v1/keys/{first_id}/rotate"), Some(&second), r#"{"overlap_s":0}"#)?;
    let third = text(&rotated.json()?, "api_key")?;
    assert_eq!((rotated.status, http.get_with("/v1/balance", &third)?.status), (201, 200));
    assert_eq!(http.get_with("/v1/balance", &wallet.key)?.status, 401, "its overlap is over");

    // Neither another service's key nor one that is none can be touched.
    let third_id = text(&rotated.json()?, "key")?;
    for (path, key) in [(format!("/v1/keys/{third_id}"), &other.key), ("/v1/keys/none".into(), &second)] {
        let unknown = http.delete(&path, key, "")?;
        assert_eq!((unknown.status, unknown.problem()?.as_str()), (404, "unknown_key"));
    }
    for _ in 0..2 {
        let revoked = http.delete(&format!("/v1/keys/{third_id}"), &second, "")?;
        assert_eq!((revoked.status, &revoked.json()?["valid"]), (200, &json!(false)));
    }
    assert_eq!(http.get_with("/v1/balance", &third)?.status, 401);
    server.stop(Signal::Terminate)
}

/// A key that is good for less than others cannot make one that is good for more.
#[test]
fn a_key_with_an_end_changes_no_keys() -> anyhow::Result<()> {
    let (_home, wallet, server) = open()?;
    let http = server.client();
    let issued = http.post("/v1/keys", Some(&wallet.key), r#"{"expires_s":3600}"#)?.json()?;
    let limited = text(&issued, "api_key")?;
    let id = text(&http.get_with("/v1/keys", &wallet.key)?.json()?["keys"][0], "key")?;
    for reply in [
        http.post("/v1/keys", Some(&limited), "{}")?,
        http.post(&format!("/v1/keys/{id}/rotate"), Some(&limited), "{}")?,
        http.delete(&format!("/v1/keys/{id}"), &limited, "")?,
    ] {
        assert_eq!((reply.status, reply.problem()?.as_str()), (403, "limited_key"));
    }
    // It is not counted as one that would be left.
    let last = http.delete(&format!("/v1/keys/{id}"), &wallet.key, "")?;
    assert_eq!(last.problem()?, "last_key");
    assert_eq!(http.delete(&format!("/v1/keys/{id}?confirm=true"), &wallet.key, "")?.status, 200);
    assert_eq!(http.get_with("/v1/balance", &wallet.key)?.status, 401);
    server.stop(Signal::Terminate)
}
