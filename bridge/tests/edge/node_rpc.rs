//! `POST /`: a node's RPC for work, to the byte.

use std::time::Duration;

use axum::http::Method;
use bridge::source::WorkRequest;
use shared::{Network, Outcome, Refusal};

use crate::fake::{Fake, NONCE, ROOT, Reply, call, shop, threshold, work_given};

const KEY: (&str, &str) = ("authorization", "Bearer k1");

async fn post(fake: &Fake, body: impl Into<axum::body::Body>) -> Reply {
    let reply = call(fake.router(), Method::POST, "/", &[KEY], body).await;
    assert_eq!(reply.status, 200, "always");
    reply
}

fn error(text: &str) -> String {
    format!("{{\n    \"error\": \"{text}\"\n}}\n")
}

/// A `work_generate` for the root, with these members.
fn generate(members: &str) -> String {
    format!("{{\"action\":\"work_generate\",\"hash\":\"{ROOT}\"{members}}}")
}

fn minimal() -> WorkRequest {
    WorkRequest {
        request: None,
        root: ROOT.parse().unwrap(),
        threshold: Network::Live.send_threshold(),
        account: None,
        timeout: Duration::from_mins(2),
    }
}

#[tokio::test]
async fn work_is_given_as_a_node_gives_it() {
    let fake = Fake::answering(work_given());
    let reply = post(&fake, generate("")).await;
    let expected = format!(
        "{{\n    \"hash\": \"{ROOT}\",\n    \"work\": \"{NONCE}\",\n    \"difficulty\": \"fffffff93c41ec94\",\n    \
         \"multiplier\": \"1.182623871097636\"\n}}\n"
    );
    assert_eq!(reply.body, expected);
    let headers = "Accept, Accept-Language, Authorization, Content-Language, Content-Type";
    for (name, value) in [
        ("content-type", "application/json"),
        ("allow", "POST, OPTIONS"),
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "POST, OPTIONS"),
        ("access-control-allow-headers", headers),
    ] {
        assert_eq!(reply.header(name), Some(value));
    }
    assert_eq!(fake.asked(), [(shop(), minimal())]);
}

/// What a node sends to its work peers, as it lays it out.
#[tokio::test]
async fn a_nodes_own_request_is_understood() {
    let address = "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3";
    let fake = Fake::answering(work_given());
    let body = format!(
        "{{\n    \"action\": \"work_generate\",\n    \"hash\": \"{ROOT}\",\n    \"difficulty\": \"fffffe0000000000\",\n    \
         \"account\": \"{address}\"\n}}\n"
    );
    post(&fake, body).await;
    let expected = WorkRequest {
        threshold: threshold("fffffe0000000000"),
        account: Some(address.parse().unwrap()),
        ..minimal()
    };
    assert_eq!(fake.asked(), [(shop(), expected)]);
}

#[tokio::test]
async fn texts_numbers_and_booleans_are_the_same() {
    let at = |text| WorkRequest { threshold: threshold(text), ..minimal() };
    for (members, expected) in [
        (r#","difficulty":"fffffffa780aff94""#, at("fffffffa780aff94")),
        (r#","difficulty":"FFFFFFFA780AFF94""#, at("fffffffa780aff94")),
        (r#","difficulty":"0""#, at("0000000000000000")),
        (r#","difficulty":"12""#, at("0000000000000012")),
        (r#","difficulty":12"#, at("0000000000000012")),
        (r#","difficulty":1e1"#, at("00000000000001e1")),
        (r#","multiplier":1.5"#, at("fffffffaaaaaaaab")),
        (r#","multiplier":"1.5""#, at("fffffffaaaaaaaab")),
        (r#","multiplier":2,"difficulty":"ff""#, at("fffffffc00000000")),
        (r#","multiplier":"inf""#, at("ffffffffffffffff")),
        (r#","version":"work_1""#, minimal()),
        (r#","use_peers":true,"json_block":"true","block":{"type":"state"},"id":[1],"key":3"#, minimal()),
        (r#","difficulty":"fffffe0000000000","difficulty":"no""#, at("fffffe0000000000")),
    ] {
        let fake = Fake::answering(work_given());
        let reply = post(&fake, generate(members)).await;
        assert!(reply.body.contains(NONCE), "{members}: {}", reply.body);
        assert_eq!(fake.asked(), [(shop(), expected)], "{members}");
    }
}

#[tokio::test]
async fn a_short_hash_is_zero_extended() {
    for (hash, padded) in [("\"aB\"", "AB"), ("12", "12"), ("\"0\"", "0")] {
        let fake = Fake::answering(work_given());
        post(&fake, format!(r#"{{"action":"work_generate","hash":{hash}}}"#)).await;
        assert_eq!(fake.asked()[0].1.root.to_string(), format!("{padded:0>64}"));
    }
}

#[tokio::test]
async fn either_prefix_of_the_network_is_an_account() {
    let digits = "3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3";
    for (network, prefix, is_good) in [
        (Network::Live, "nano_", true),
        (Network::Live, "xrb_", true),
        (Network::Live, "ban_", false),
        (Network::Banano, "ban_", true),
        (Network::Banano, "nano_", false),
    ] {
        let fake = Fake::on(network, Some(work_given()));
        let reply = post(&fake, generate(&format!(r#","account":"{prefix}{digits}""#))).await;
        assert_eq!(reply.body == error("Bad account number"), !is_good, "{network} {prefix}");
        assert_eq!(fake.asked().first().is_some_and(|(_, request)| request.account.is_some()), is_good);
    }
}

#[tokio::test]
async fn the_first_thing_that_is_wrong_is_named_in_the_nodes_words() {
    let brackets = |count: usize| format!("{{\"action\":\"none\",\"id\":\"{}\"}}", "[".repeat(count - 1));
    for (body, text) in [
        (String::new(), "Unable to parse JSON"),
        ("work_generate".into(), "Unable to parse JSON"),
        (r#"["action"]"#.into(), "Unable to parse JSON"),
        ("\"action\"".into(), "Unable to parse JSON"),
        ("{}".into(), "Unable to parse JSON"),
        (generate("") + "x", "Unable to parse JSON"),
        (generate("")[..90].into(), "Unable to parse JSON"),
        (r#"{"action":"work_generate"}"#.into(), "Unable to parse JSON"),
        (r#"{"Action":"work_generate"}"#.into(), "Unable to parse JSON"),
        (r#"{"action":"work_cancel"}"#.into(), "Unable to parse JSON"),
        (r#"{"action":"work_validate"}"#.into(), "Unable to parse JSON"),
        (r#"{"action":"Work_generate"}"#.into(), "Unknown command"),
        (r#"{"action":"stop"}"#.into(), "Unknown command"),
        (r#"{"action":{"work_generate":1}}"#.into(), "Unknown command"),
        (r#"{"action":null}"#.into(), "Unknown command"),
        (brackets(20), "Unknown command"),
        (brackets(21), "Max JSON depth exceeded"),
        ("[".repeat(30_000), "Max JSON depth exceeded"),
        (generate(r#","version":"work_2","account":"x","difficulty":"x""#), "Bad work version"),
        (generate(r#","version":1"#), "Bad work version"),
        (r#"{"action":"work_generate","hash":"x","account":"x"}"#.into(), "Bad account number"),
        (generate(r#","account":"""#), "Bad account number"),
        (generate(r#","account":true"#), "Bad account number"),
        (r#"{"action":"work_generate","hash":"x","difficulty":"x"}"#.into(), "Invalid block hash"),
        (r#"{"action":"work_generate","hash":""}"#.into(), "Invalid block hash"),
        (r#"{"action":"work_generate","hash":null}"#.into(), "Invalid block hash"),
        (r#"{"action":"work_generate","hash":{}}"#.into(), "Invalid block hash"),
        (r#"{"action":"work_generate","hash":"\ud800"}"#.into(), "Invalid block hash"),
        (format!(r#"{{"action":"work_generate","hash":"0{ROOT}"}}"#), "Invalid block hash"),
        (r#"{"action":"work_cancel","hash":"x"}"#.into(), "Invalid block hash"),
        (generate(r#","difficulty":"","multiplier":"x""#), "Bad difficulty"),
        (generate(r#","difficulty":"0x1""#), "Bad difficulty"),
        (generate(r#","difficulty":"-1""#), "Bad difficulty"),
        (generate(r#","difficulty":1.5"#), "Bad difficulty"),
        (generate(r#","difficulty":true"#), "Bad difficulty"),
        (generate(r#","difficulty":"0fffffff800000000""#), "Bad difficulty"),
        (generate(r#","difficulty":"x","multiplier":1"#), "Bad difficulty"),
        (generate(r#","multiplier":"x""#), "Bad multiplier"),
        (generate(r#","multiplier":"""#), "Bad multiplier"),
        (generate(r#","multiplier":true"#), "Bad multiplier"),
        (generate(r#","multiplier":0"#), "Bad multiplier"),
        (generate(r#","multiplier":-1.5"#), "Bad multiplier"),
        (generate(r#","multiplier":"nan""#), "Bad multiplier"),
    ] {
        let fake = Fake::answering(work_given());
        assert_eq!(post(&fake, body.clone()).await.body, error(text), "{body}");
        assert!(fake.asked().is_empty() && fake.roots_withdrawn().is_empty(), "{body}");
    }
    let fake = Fake::silent();
    assert_eq!(post(&fake, b"{\"action\":\"\xff\"}".to_vec()).await.body, error("Unable to parse JSON"));
}

#[tokio::test]
async fn every_refusal_has_its_words() {
    for (refusal, text) in [
        (Refusal::Malformed, "Unable to parse JSON"),
        (Refusal::TooLarge, "Unable to parse JSON"),
        (Refusal::Unauthenticated, "Unauthorized"),
        (Refusal::Suspended, "Service suspended"),
        (Refusal::ThresholdOutOfRange, "Difficulty above config limit or below publish threshold"),
        (Refusal::Conflict, "Work service unavailable"),
        (Refusal::Draining, "Work service unavailable"),
        (Refusal::StoreUnavailable, "Work service unavailable"),
        (Refusal::RateLimited, "Rate limit exceeded"),
        (Refusal::Overloaded, "Work service unavailable"),
        (Refusal::InsufficientCredit, "Insufficient credits"),
        (Refusal::Cancelled, "Cancelled"),
        (Refusal::NoWorkers, "Work service unavailable"),
        (Refusal::Expired, "Work request timed out"),
        (Refusal::Fault, "Work service unavailable"),
    ] {
        let fake = Fake::answering(Outcome::Refused(refusal));
        assert_eq!(post(&fake, generate("")).await.body, error(text), "{refusal}");
    }
}

#[tokio::test]
async fn the_key_is_in_the_header_the_query_or_the_body() {
    for (path, header, members, text) in [
        ("/", Some("Bearer k1"), "", None),
        ("/?key=k1", None, "", None),
        ("/?a=b&key=k%31", None, "", None),
        ("/", None, r#","key":"k1""#, None),
        ("/", Some("Basic azE="), r#","key":"k1""#, None),
        ("/", None, "", Some("Unauthorized")),
        ("/?key=", None, "", Some("Unauthorized")),
        // The first place that has a key decides.
        ("/?key=k1", Some("Bearer k2"), r#","key":"k1""#, Some("Unauthorized")),
        ("/?key=k2", None, r#","key":"k1""#, Some("Unauthorized")),
        ("/", None, r#","key":"key of the suspended""#, Some("Service suspended")),
        ("/", None, r#","key":"key while the store is away""#, Some("Work service unavailable")),
    ] {
        let fake = Fake::answering(work_given());
        let headers: Vec<_> = header.map(|value| ("authorization", value)).into_iter().collect();
        let reply = call(fake.router(), Method::POST, path, &headers, generate(members)).await;
        assert_eq!(reply.status, 200);
        match text {
            None => assert!(reply.body.contains(NONCE), "{path} {header:?} {members}: {}", reply.body),
            Some(text) => assert_eq!(reply.body, error(text), "{path} {header:?} {members}"),
        }
        assert_eq!(fake.asked().len(), usize::from(text.is_none()));
    }
}

#[tokio::test]
async fn cancel_withdraws_the_root_of_this_service() {
    let fake = Fake::silent();
    let body = format!("{{\n    \"action\": \"work_cancel\",\n    \"hash\": \"{ROOT}\"\n}}\n");
    assert_eq!(post(&fake, body.clone()).await.body, "{\n    \"success\": \"\"\n}\n");
    assert_eq!(fake.roots_withdrawn(), [(shop(), ROOT.parse().unwrap())]);
    let reply = call(fake.router(), Method::POST, "/", &[], body).await;
    assert_eq!((reply.status.as_u16(), reply.body), (200, error("Unauthorized")));
    assert_eq!(fake.roots_withdrawn().len(), 1);
}

#[tokio::test]
async fn a_body_may_have_32768_bytes() {
    let exact = format!("{:<32768}", generate(""));
    let fake = Fake::answering(work_given());
    assert!(post(&fake, exact.clone()).await.body.contains(NONCE));
    assert_eq!(post(&fake, exact + " ").await.body, error("Unable to parse JSON"));
}

#[tokio::test]
async fn other_methods_are_told_so_and_browsers_may_call() {
    let fake = Fake::silent();
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let reply = call(fake.router(), method, "/", &[], "").await;
        assert_eq!(
            (reply.status.as_u16(), reply.body.as_str()),
            (200, error("Can only POST requests").as_str())
        );
        assert_eq!(reply.header("allow"), Some("POST, OPTIONS"));
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    let reply = call(fake.router(), Method::OPTIONS, "/", &[("origin", "https://wallet.example")], "").await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, ""));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert_eq!(reply.header("access-control-allow-methods"), Some("POST, OPTIONS"));
}
