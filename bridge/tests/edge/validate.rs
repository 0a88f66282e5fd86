//! `work_validate` against the known-answer vectors.

use axum::http::Method;
use serde_json::Value;
use shared::Network;

use crate::fake::{Fake, NONCE, ROOT, call};

const VECTORS: &str = include_str!("../../../shared/tests/vectors/work.json");

/// Validation costs nothing, so it takes no key.
async fn validate(network: Network, members: &str) -> String {
    let fake = Fake::on(network, None);
    let body = format!(r#"{{"action":"work_validate",{members}}}"#);
    call(fake.router(), Method::POST, "/", &[], body).await.body
}

fn flag(vector: &Value, threshold: &str) -> &'static str {
    if vector["meets"][threshold].as_bool().unwrap() { "1" } else { "0" }
}

#[tokio::test]
async fn the_vectors_are_judged_as_the_networks_judge_them() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    assert!(vectors.len() > 50);
    for vector in vectors {
        let (hash, work) = (vector["hash"].as_str().unwrap(), vector["work"].as_str().unwrap());
        for (network, name) in [(Network::Live, "live"), (Network::Beta, "beta"), (Network::Dev, "dev")] {
            let base = network.send_threshold();
            let expected = |valid: &str| {
                let difficulty = vector["difficulty"].as_str().unwrap();
                let multiplier =
                    shared::pow::Multiplier::of(u64::from_str_radix(difficulty, 16).unwrap(), base).unwrap();
                format!(
                    "{{\n{valid}    \"valid_all\": \"{}\",\n    \"valid_receive\": \"{}\",\n    \
                     \"difficulty\": \"{difficulty}\",\n    \"multiplier\": \"{multiplier}\"\n}}\n",
                    flag(vector, &format!("{name}_send")),
                    flag(vector, &format!("{name}_receive")),
                )
            };
            let members = format!(r#""hash":"{hash}","work":"{work}""#);
            assert_eq!(validate(network, &members).await, expected(""), "{vector}");
            for (threshold, at) in vector["extra_thresholds"].as_object().unwrap() {
                let members = format!(r#"{members},"difficulty":{at}"#);
                let valid = format!("    \"valid\": \"{}\",\n", flag(vector, threshold));
                assert_eq!(validate(network, &members).await, expected(&valid), "{threshold} {vector}");
            }
        }
    }
}

#[tokio::test]
async fn valid_is_said_to_those_who_name_a_difficulty() {
    let work = format!(r#""hash":"{ROOT}","work":"{NONCE}""#);
    for (more, valid) in [
        ("", None),
        (r#","multiplier":8"#, None),
        (r#","difficulty":"fffffff93c41ec94""#, Some("1")),
        (r#","difficulty":"fffffff93c41ec95""#, Some("0")),
        (r#","difficulty":0"#, Some("1")),
        // The multiplier decides, but only a difficulty makes the answer speak.
        (r#","difficulty":"ffffffffffffffff","multiplier":1"#, Some("1")),
        (r#","difficulty":0,"multiplier":"8""#, Some("0")),
        // Printed and read back, a multiplier is a little higher than what it was printed from.
        (r#","difficulty":0,"multiplier":"1.182623871097636""#, Some("0")),
    ] {
        let reply: Value =
            serde_json::from_str(&validate(Network::Live, &format!("{work}{more}")).await).unwrap();
        assert_eq!(reply.get("valid").and_then(Value::as_str), valid, "{more}");
        assert_eq!(reply["valid_all"], "1");
        assert_eq!(reply["multiplier"], "1.182623871097636");
    }
}

#[tokio::test]
async fn absent_work_counts_as_zero_and_the_order_of_checks_is_the_nodes() {
    let zero = validate(Network::Dev, &format!(r#""hash":"{ROOT}","work":"0000000000000000""#)).await;
    assert_eq!(validate(Network::Dev, &format!(r#""hash":"{ROOT}""#)).await, zero);
    assert_eq!(validate(Network::Dev, &format!(r#""hash":"{ROOT}","work":0"#)).await, zero);
    assert!(zero.contains("\"valid_all\": \""));
    for (members, text) in [
        (r#""hash":"x","work":"x""#, "Invalid block hash"),
        (r#""hash":"0","work":"x","version":"x""#, "Bad work"),
        (r#""hash":"0","work":"""#, "Bad work"),
        (r#""hash":"0","work":"00000000000000000""#, "Bad work"),
        (r#""hash":"0","version":"x","difficulty":"x""#, "Bad work version"),
        (r#""hash":"0","difficulty":"x","multiplier":"x""#, "Bad difficulty"),
        (r#""hash":"0","multiplier":"x""#, "Bad multiplier"),
    ] {
        let expected = format!("{{\n    \"error\": \"{text}\"\n}}\n");
        assert_eq!(validate(Network::Live, members).await, expected, "{members}");
    }
}
