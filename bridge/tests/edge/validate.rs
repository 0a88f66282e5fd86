//! `work_validate` against the known-answer vectors.

use axum::http::Method;
use serde_json::Value;
use shared::Network;

use crate::fake::{Fake, call};

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
