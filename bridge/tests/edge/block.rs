//! The block that a request on `/v1` may come with: what is taken from it, and what is wrong with it.

use axum::http::Method;
use bridge::source::WorkRequest;
use serde_json::{Value, json};

use crate::fake::{Fake, NONCE, ROOT, call, threshold, work_given};

const KEY: (&str, &str) = ("authorization", "Bearer k1");
const ACCOUNT: &str = "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3";
const PUBLIC_KEY: &str = "E89208DD038FBB269987689621D52292AE9C35941A7484756ECCED92A65093BA";
const SEND: &str = "fffffff800000000";
const RECEIVE: &str = "fffffe0000000000";

/// A state block that is neither signed nor worked yet.
fn state() -> Value {
    json!({
        "type": "state", "account": ACCOUNT, "previous": ROOT, "representative": ACCOUNT,
        "balance": "1", "link": "0".repeat(64),
    })
}

fn with(mut block: Value, members: &[(&str, &str)]) -> Value {
    for (name, value) in members {
        block[*name] = json!(value);
    }
    block
}

/// What a body asks the source for, or the sentence that refuses it.
async fn asked(body: &Value) -> Result<WorkRequest, String> {
    let fake = Fake::answering(work_given());
    let reply = call(fake.router(), Method::POST, "/v1/work", &[KEY], body.to_string()).await;
    if let [(_, request)] = fake.asked()[..] {
        return Ok(request);
    }
    let problem: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!((reply.status.as_u16(), &problem["charged_mc"]), (400, &json!(0)));
    Err(problem["detail"].as_str().unwrap().into())
}

#[tokio::test]
async fn root_account_and_threshold_are_taken_from_the_block() {
    let zero = "0".repeat(64);
    let unsigned = [("signature", ""), ("work", "")];
    for (block, root, expected) in [
        (state(), ROOT, SEND),
        (with(state(), &unsigned), ROOT, SEND),
        (with(state(), &[("subtype", "receive")]), ROOT, RECEIVE),
        (with(state(), &[("subtype", "epoch")]), ROOT, RECEIVE),
        (with(state(), &[("subtype", "send")]), ROOT, SEND),
        (with(state(), &[("previous", &zero)]), PUBLIC_KEY, RECEIVE),
        // Its work is for another threshold.
        (with(state(), &[("work", "0000000000000000"), ("subtype", "receive")]), ROOT, RECEIVE),
    ] {
        for body in [json!({ "block": block }), json!({ "block": block.to_string() })] {
            let request = asked(&body).await.unwrap();
            assert_eq!(
                (request.root, request.threshold),
                (root.parse().unwrap(), threshold(expected)),
                "{body}"
            );
            assert_eq!(request.account, Some(ACCOUNT.parse().unwrap()));
        }
    }
    let legacy = json!({ "type": "receive", "previous": ROOT, "source": ROOT });
    let request = asked(&json!({ "block": legacy })).await.unwrap();
    assert_eq!(
        (request.root, request.threshold, request.account),
        (ROOT.parse().unwrap(), threshold(SEND), None)
    );
}

#[tokio::test]
async fn what_is_said_beside_the_block_goes_before_it() {
    let block = with(state(), &[("subtype", "receive")]);
    for (beside, expected) in [
        (json!({ "root": ROOT }), RECEIVE),
        (json!({ "threshold": SEND }), SEND),
        (json!({ "multiplier": 1 }), SEND),
        (json!({ "subtype": "receive" }), RECEIVE),
    ] {
        let mut body = beside;
        body["block"] = block.clone();
        assert_eq!(asked(&body).await.unwrap().threshold, threshold(expected), "{body}");
    }
}

#[tokio::test]
async fn a_block_that_is_none_or_says_something_else_is_refused() {
    let no_block = "`block` is not a block as a node prints it: a field is missing or not well formed.";
    let enough = "`block` has work already that is enough; nothing has to be computed.";
    let receive = with(state(), &[("subtype", "receive")]);
    for (body, sentence) in [
        (json!({ "block": 1 }), no_block),
        (json!({ "block": null }), no_block),
        (json!({ "block": [] }), no_block),
        (json!({ "block": {} }), no_block),
        (json!({ "block": "{}" }), no_block),
        (json!({ "block": with(state(), &[("type", "stake")]) }), no_block),
        (json!({ "block": with(state(), &[("previous", "x")]) }), no_block),
        (json!({ "block": with(state(), &[("balance", "-1")]) }), no_block),
        (json!({ "block": with(state(), &[("signature", "x")]) }), no_block),
        (json!({ "block": with(state(), &[("work", "x")]) }), no_block),
        (
            json!({ "block": state(), "root": PUBLIC_KEY }),
            "`root` is not the root of `block`; leave out one of them.",
        ),
        (
            json!({ "block": receive, "subtype": "send" }),
            "`block` says that it is another kind of block than `subtype`; leave out one of them.",
        ),
        (json!({ "block": with(state(), &[("work", NONCE)]) }), enough),
    ] {
        assert_eq!(asked(&body).await.unwrap_err(), sentence, "{body}");
    }
}
