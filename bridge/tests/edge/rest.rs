//! `POST /v1/work`: what is read, what is answered, and every way of saying no.

use std::time::Duration;

use axum::http::Method;
use bridge::Settings;
use bridge::source::WorkRequest;
use shared::protocol::WorkKind;
use shared::{Network, Outcome, Refusal, RequestId};

use crate::fake::{DRAWN, Fake, NONCE, ROOT, Reply, call, shop, threshold, work_given};

const KEY: (&str, &str) = ("authorization", "Bearer k1");

async fn ask(fake: &Fake, body: impl Into<axum::body::Body>) -> Reply {
    call(fake.router(), Method::POST, "/v1/work", &[KEY], body).await
}

/// The least request: a root. The rest has defaults.
fn minimal() -> WorkRequest {
    WorkRequest {
        request: None,
        root: ROOT.parse().unwrap(),
        threshold: Network::Live.send_threshold(),
        account: None,
        timeout: Duration::from_secs(30),
        class: WorkKind::OnDemand,
    }
}

#[tokio::test]
async fn work_is_answered_with_what_it_cost() {
    let fake = Fake::answering(work_given());
    let reply = ask(&fake, format!(r#"{{"root":"{ROOT}"}}"#)).await;
    let expected = format!(
        "{{\"request_id\":\"0000000000000000000000000000000d\",\"root\":\"{ROOT}\",\"work\":\"{NONCE}\",\
         \"difficulty\":\"fffffff93c41ec94\",\"multiplier\":1.1826238710976358,\"source\":\"ondemand\",\
         \"elapsed_ms\":1204,\"charged_mc\":1000,\"balance_mc\":41500}}"
    );
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, expected.as_str()));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("x-request-id"), Some("0000000000000000000000000000000d"));
    assert_eq!(fake.asked(), [(shop(), minimal())]);
}

#[tokio::test]
async fn a_free_repeat_has_no_balance() {
    let Outcome::Answered(mut answer) = work_given() else { unreachable!() };
    answer.balance = None;
    let fake = Fake::answering(Outcome::Answered(answer));
    let reply = ask(&fake, format!(r#"{{"root":"{ROOT}"}}"#)).await;
    assert!(reply.body.ends_with("\"balance_mc\":null}"), "{}", reply.body);
}

#[tokio::test]
async fn every_field_reaches_the_source() {
    let account = "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3";
    let other = "xrb_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3";
    let known = Some(account.parse().unwrap());
    let at = |text| WorkRequest { threshold: threshold(text), ..minimal() };
    for (more, expected) in [
        (String::new(), minimal()),
        (r#","threshold":"FFFFFE0000000000""#.into(), at("fffffe0000000000")),
        (r#","multiplier":2"#.into(), at("fffffffc00000000")),
        (r#","multiplier":0.015625"#.into(), at("fffffe0000000000")),
        (r#","multiplier":"1.5""#.into(), at("fffffffaaaaaaaab")),
        (r#","multiplier":1e300"#.into(), at("ffffffffffffffff")),
        (r#","subtype":"send""#.into(), at("fffffff800000000")),
        (r#","subtype":"change""#.into(), at("fffffff800000000")),
        (r#","subtype":"receive""#.into(), at("fffffe0000000000")),
        (r#","subtype":"open""#.into(), at("fffffe0000000000")),
        (r#","subtype":"epoch""#.into(), at("fffffe0000000000")),
        (format!(r#","account":"{account}""#), WorkRequest { account: known, ..minimal() }),
        (format!(r#","account":"{other}""#), WorkRequest { account: known, ..minimal() }),
        (r#","timeout_ms":1"#.into(), WorkRequest { timeout: Duration::from_millis(1), ..minimal() }),
        (r#","timeout_ms":120000"#.into(), WorkRequest { timeout: Duration::from_mins(2), ..minimal() }),
        (
            r#","request_id":"000000000000000000000000000000aB""#.into(),
            WorkRequest { request: Some(RequestId::from_u128(0xab)), ..minimal() },
        ),
        (
            r#","request_id":"00000000-0000-0000-0000-0000000000aB""#.into(),
            WorkRequest { request: Some(RequestId::from_u128(0xab)), ..minimal() },
        ),
        (r#","async":false"#.into(), minimal()),
        (r#","class":"ondemand""#.into(), minimal()),
        (r#","class":"precache""#.into(), WorkRequest { class: WorkKind::Precache, ..minimal() }),
    ] {
        let fake = Fake::answering(work_given());
        let reply = ask(&fake, format!("{{\"root\":\"{}\"{more}}}", ROOT.to_lowercase())).await;
        assert_eq!(reply.status, 200, "{more}: {}", reply.body);
        assert_eq!(fake.asked(), [(shop(), expected)], "{more}");
        let id = expected.request.unwrap_or(DRAWN).to_string();
        assert_eq!(reply.header("x-request-id"), Some(id.as_str()));
    }
}

/// The document of a problem, written out.
fn document(
    code: &str,
    title: &str,
    status: u16,
    detail: &str,
    retry: bool,
    id: Option<RequestId>,
) -> String {
    let id = id.map_or("null".into(), |id| format!("\"{id}\""));
    let detail = serde_json::to_string(detail).unwrap();
    format!(
        "{{\"type\":\"urn:dpow:problem:{code}\",\"title\":\"{title}\",\"status\":{status},\"detail\":{detail},\
         \"code\":\"{code}\",\"charged\":false,\"charged_mc\":0,\"retry\":{retry},\"request_id\":{id}}}"
    )
}

/// The same document, where it is not known whether anything was charged.
fn perhaps_charged(document: &str) -> String {
    document.replace(r#""charged":false,"charged_mc":0"#, r#""charged":null,"charged_mc":null"#)
}

#[tokio::test]
async fn every_refusal_has_its_document() {
    let expected = [
        (Refusal::Malformed, "Malformed", 400, false, None),
        (Refusal::TooLarge, "Too large", 413, false, None),
        (Refusal::Unauthenticated, "Unauthenticated", 401, false, None),
        (Refusal::Suspended, "Suspended", 403, false, None),
        (Refusal::ThresholdOutOfRange, "Threshold out of range", 422, false, None),
        (Refusal::Conflict, "Conflict", 409, false, None),
        (Refusal::Draining, "Draining", 503, true, Some("5")),
        (Refusal::StoreUnavailable, "Store unavailable", 503, true, Some("5")),
        (Refusal::RateLimited, "Rate limited", 429, true, Some("1")),
        (Refusal::Overloaded, "Overloaded", 503, true, Some("1")),
        (Refusal::InsufficientCredit, "Insufficient credit", 402, false, None),
        (Refusal::Cancelled, "Cancelled", 499, false, None),
        (Refusal::NoWorkers, "No workers", 503, true, Some("10")),
        (Refusal::Expired, "Expired", 504, true, None),
        (Refusal::Fault, "Fault", 500, true, None),
    ];
    assert_eq!(expected.map(|(refusal, ..)| refusal), Refusal::ALL);
    for (refusal, title, status, retry, retry_after) in expected {
        let fake = Fake::answering(Outcome::Refused(refusal));
        let reply = ask(&fake, format!(r#"{{"root":"{ROOT}"}}"#)).await;
        assert_eq!(reply.status.as_u16(), status, "{refusal}");
        assert_eq!(
            reply.body,
            document(refusal.code(), title, status, refusal.sentence(), retry, Some(DRAWN))
        );
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        assert_eq!(reply.header("retry-after"), retry_after, "{refusal}");
        assert_eq!(reply.header("x-request-id"), Some("0000000000000000000000000000000d"));
        assert_eq!(reply.header("www-authenticate").is_some(), refusal == Refusal::Unauthenticated);
    }
}

/// Each body is refused with this detail, before anything is asked.
async fn assert_malformed(cases: impl IntoIterator<Item = (String, &str)>) {
    for (body, detail) in cases {
        let fake = Fake::answering(work_given());
        let reply = ask(&fake, body.clone()).await;
        assert_eq!(reply.status, 400, "{body}");
        assert_eq!(reply.body, document("malformed", "Malformed", 400, detail, false, None), "{body}");
        assert!(fake.asked().is_empty(), "{body}");
    }
}

#[tokio::test]
async fn a_body_is_one_object_of_known_fields() {
    let not_an_object = "The body is not a JSON object: ";
    for (body, reason) in [
        (format!(r#"{{"root":"{ROOT}"}} x"#), "trailing characters at line 1 column 77."),
        (format!(r#"{{"root":"{ROOT}"#), "EOF while parsing a string at line 1 column 73."),
    ] {
        assert_malformed([(body, format!("{not_an_object}{reason}").as_str())]).await;
    }
    let no_root = "`root` is missing; give it, or the `block` that the work is for.";
    assert_malformed([
        ("[]".into(), "The body is JSON, but not an object."),
        (r#""a key in the wrong place""#.into(), "The body is JSON, but not an object."),
        ("{}".into(), no_root),
        (" \n".into(), "The body is empty; a request for work is a JSON object with a `root`."),
        (
            format!(r#"{{"hash":"{ROOT}"}}"#),
            "`hash` is not a field of this request; it is called `root` here.",
        ),
        (
            with(r#""difficulty":"fffffff800000000""#),
            "`difficulty` is not a field of this request; it is called `threshold` here.",
        ),
        (r#"{"threshold":"fffffff800000000"}"#.into(), no_root),
        (with(r#""blocks":{}"#), "`blocks` is not a field of this request."),
        (with(&format!(r#""Root":"{ROOT}""#)), "`Root` is not a field of this request."),
        (
            with(&format!(r#""{}":1"#, "k".repeat(33))),
            "The body has a field whose name is longer than that of any field of this request.",
        ),
        (with(&format!(r#""root":"{ROOT}""#)), "`root` is given more than once."),
    ])
    .await;
}

#[tokio::test]
async fn the_field_that_is_wrong_is_named() {
    let root = "`root` must be a text of 64 hexadecimal digits.";
    let account = "`account` must be the text of an address.";
    let timeout = "`timeout_ms` must be a whole number of milliseconds from 1 to 120000.";
    let class = "`class` must be ondemand or precache.";
    let request = "`request_id` must be a text of 32 hexadecimal digits, or a UUID.";
    assert_malformed([
        (r#"{"root":7}"#.into(), root),
        (r#"{"root":null}"#.into(), root),
        (r#"{"root":["00"]}"#.into(), root),
        (r#"{"root":"00"}"#.into(), "`root` is wrong: expected 64 hexadecimal digits, found 2 characters."),
        (
            format!(r#"{{"root":"{}g"}}"#, &ROOT[1..]),
            "`root` is wrong: character 64 is not a hexadecimal digit.",
        ),
        (with(r#""account":1"#), account),
        (with(r#""account":null"#), account),
        (
            with(r#""account":"nano_1""#),
            "`account` is wrong: an address has 60 characters after its prefix, found 1.",
        ),
        (
            with(r#""account":"ban_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3""#),
            "`account` is wrong: this network's addresses begin with nano_.",
        ),
        (with(r#""timeout_ms":0"#), timeout),
        (with(r#""timeout_ms":120001"#), timeout),
        (with(r#""timeout_ms":1.5"#), timeout),
        (with(r#""timeout_ms":-1"#), timeout),
        (with(r#""timeout_ms":"1""#), timeout),
        (with(r#""timeout_ms":null"#), timeout),
        (with(r#""request_id":"ff""#), request),
        (with(r#""request_id":1"#), request),
        (with(r#""request_id":"0000-00000000000000000000000000000d""#), request),
        (with(r#""class":"urgent""#), class),
        (with(r#""class":null"#), class),
        (with(r#""async":1"#), "`async` must be true or false."),
        (with(&format!(r#""request_id":"{}g""#, "f".repeat(31))), request),
    ])
    .await;
}

#[tokio::test]
async fn what_is_asked_for_is_said_once_and_well() {
    let threshold = "`threshold` must be a text of 16 hexadecimal digits.";
    let multiplier = "`multiplier` must be a number greater than 0, or the text of one.";
    let value = "`multiplier` is wrong: a multiplier is a decimal number greater than 0.";
    let subtype = "`subtype` must be one of send, receive, open, change and epoch.";
    assert_malformed([
        (with(r#""threshold":1"#), threshold),
        (with(r#""threshold":null"#), threshold),
        (
            with(r#""threshold":"ff""#),
            "`threshold` is wrong: expected 16 hexadecimal digits, found 2 characters.",
        ),
        (with(r#""multiplier":true"#), multiplier),
        (with(r#""multiplier":null"#), multiplier),
        (with(r#""multiplier":{}"#), multiplier),
        (with(r#""multiplier":0"#), value),
        (with(r#""multiplier":-1"#), value),
        (with(r#""multiplier":"NaN""#), value),
        (with(r#""multiplier":"""#), value),
        (with(r#""subtype":"Send""#), subtype),
        (with(r#""subtype":{"send":null}"#), subtype),
        (with(r#""subtype":3"#), subtype),
        (
            with(r#""subtype":"send","threshold":"fffffff800000000""#),
            "`threshold` and `subtype` both say how hard the work shall be; give one of them.",
        ),
        (
            with(r#""subtype":"send","multiplier":1"#),
            "`multiplier` and `subtype` both say how hard the work shall be; give one of them.",
        ),
    ])
    .await;
}

/// A request with a good root and these members.
fn with(members: &str) -> String {
    format!("{{\"root\":\"{ROOT}\",{members}}}")
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused() {
    let reply = ask(&Fake::silent(), b"{\"root\":\"\xff\"}".to_vec()).await;
    assert_eq!(reply.body, document("malformed", "Malformed", 400, "The body is not UTF-8.", false, None));
}

#[tokio::test]
async fn a_body_may_have_4096_bytes() {
    let exact = format!("{:<4096}", with(r#""subtype":"receive""#));
    let fake = Fake::answering(work_given());
    assert_eq!(ask(&fake, exact.clone()).await.status, 200);
    let reply = ask(&fake, exact + " ").await;
    let detail = Refusal::TooLarge.sentence();
    assert_eq!(reply.body, document("too_large", "Too large", 413, detail, false, None));
    assert_eq!((reply.status.as_u16(), fake.asked().len()), (413, 1));
}

#[tokio::test]
async fn a_key_is_asked_for_once_the_request_is_readable() {
    let root = format!(r#"{{"root":"{ROOT}","request_id":"{DRAWN}"}}"#);
    for (header, status, code) in [
        (None, 401, "unauthenticated"),
        (Some("Bearer nobody's"), 401, "unauthenticated"),
        (Some("Basic azE="), 401, "unauthenticated"),
        (Some("Bearer key of the suspended"), 403, "suspended"),
        (Some("Bearer key while the store is away"), 503, "store_unavailable"),
        (Some("bearer k1"), 200, "request_id"),
    ] {
        let fake = Fake::answering(work_given());
        let headers: Vec<_> = header.map(|value| ("authorization", value)).into_iter().collect();
        let reply = call(fake.router(), Method::POST, "/v1/work", &headers, root.clone()).await;
        assert_eq!(reply.status.as_u16(), status, "{header:?}");
        assert!(reply.body.contains(code), "{header:?}: {}", reply.body);
        assert_eq!(reply.header("www-authenticate"), (status == 401).then_some("Bearer"));
        assert_eq!(reply.header("x-request-id"), Some(DRAWN.to_string().as_str()));
        assert_eq!(fake.asked().len(), usize::from(status == 200));

        // What cannot be read is said first, with or without a key; a key in the query is none here.
        let reply = call(fake.router(), Method::POST, "/v1/work?key=k1", &headers, "{}").await;
        assert_eq!(reply.status.as_u16(), 400);
    }
    let fake = Fake::answering(work_given());
    let reply = call(fake.router(), Method::POST, "/v1/work?key=k1", &[], root).await;
    assert_eq!(reply.status.as_u16(), 401);
}

#[tokio::test]
async fn other_paths_and_methods_are_problems() {
    let fake = Fake::silent();
    for path in ["/v1", "/v1/", "/v1/works", "/v1/work/", "/v1/work/1/2"] {
        let reply = call(fake.router(), Method::POST, path, &[KEY], "").await;
        let detail = "There is nothing at this path; work is asked for with POST /v1/work, and /docs says what else there is.";
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(reply.body, document("not_found", "Not found", 404, detail, false, None), "{path}");
    }
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let reply = call(fake.router(), method, "/v1/work", &[KEY], "").await;
        let detail = "This path does not take this method; see the header Allow.";
        let expected = document("method_not_allowed", "Method not allowed", 405, detail, false, None);
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (405, expected.as_str()));
        assert_eq!(reply.header("allow"), Some("POST"));
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    }
}

/// A source that never answers is a fault of ours; the client must not wait for it.
#[tokio::test(start_paused = true)]
async fn a_request_that_the_source_forgets_is_a_fault() {
    let fake = Fake::silent();
    let reply = ask(&fake, with(r#""timeout_ms":1000"#)).await;
    let document = document("fault", "Fault", 500, Refusal::Fault.sentence(), true, None);
    assert_eq!(reply.body, perhaps_charged(&document));
    assert_eq!(fake.dropped(), 1);
}

#[tokio::test]
async fn what_may_have_been_charged_is_not_called_free() {
    let fake = Fake::answering(Outcome::Unsettled);
    let reply = ask(&fake, format!(r#"{{"root":"{ROOT}"}}"#)).await;
    let refusal = Refusal::StoreUnavailable;
    let document = document(refusal.code(), "Store unavailable", 503, refusal.sentence(), true, Some(DRAWN));
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (503, perhaps_charged(&document).as_str()));
    assert_eq!(reply.header("retry-after"), Some("5"));
}

/// A page cannot read the answer, but could spend credits.
#[tokio::test]
async fn pages_of_other_places_spend_nothing_where_no_key_is_asked_for() {
    let body = format!(r#"{{"root":"{ROOT}"}}"#);
    for (payer, origin, status) in [
        (Some(shop()), None, 200),
        (Some(shop()), Some("http://bridge.example:5030"), 200),
        (Some(shop()), Some("https://elsewhere.example"), 403),
        (Some(shop()), Some("null"), 403),
        (None, Some("https://elsewhere.example"), 200),
    ] {
        let fake = Fake::answering(work_given());
        let router = bridge::router(fake.clone(), &Settings { payer, ..Settings::default() });
        let mut headers = vec![("host", "bridge.example:5030"), ("authorization", "Bearer k1")];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let reply = call(router, Method::POST, "/v1/work", &headers, body.clone()).await;
        assert_eq!(reply.status.as_u16(), status, "{payer:?} {origin:?}: {}", reply.body);
        assert_eq!(fake.asked().len(), usize::from(status == 200), "{payer:?} {origin:?}");
    }
}
