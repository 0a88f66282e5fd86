//! `/openapi.json`, which is committed, and `/docs`.

use std::collections::BTreeSet;
use std::{env, fs};

use axum::http::Method;
use serde_json::Value;

use crate::fake::{Fake, call, work_given};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");

async fn get(path: &str) -> crate::fake::Reply {
    call(Fake::answering(work_given()).router(), Method::GET, path, &[], "").await
}

/// `DPOW_WRITE_DOCUMENTS=1` writes it anew.
#[tokio::test]
async fn the_committed_document_is_the_one_that_is_served() {
    let served = get("/openapi.json").await;
    assert_eq!(served.header("content-type"), Some("application/json"));
    if env::var_os("DPOW_WRITE_DOCUMENTS").is_some() {
        fs::write(COMMITTED, &served.body).unwrap();
    }
    let committed = fs::read_to_string(COMMITTED).unwrap();
    assert!(
        committed == served.body,
        "docs/openapi.json is out of date: DPOW_WRITE_DOCUMENTS=1 cargo test -p dpow-bridge --test edge openapi"
    );
}

/// Every path has exactly the methods that are described: an unknown method is told which there are.
#[tokio::test]
async fn what_is_described_is_what_is_there() {
    let api: Value = serde_json::from_str(&get("/openapi.json").await.body).unwrap();
    assert_eq!(api["openapi"], "3.1.0");
    for (path, item) in api["paths"].as_object().unwrap() {
        let described: BTreeSet<String> =
            item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        let fake = Fake::answering(work_given());
        let url = path.replace("{request_id}", "0123456789abcdef0123456789abcdef").replace("{key}", "x");
        let reply = call(fake.router(), Method::PATCH, &url, &[], "").await;
        assert_eq!(reply.status, 405, "{path}");
        let allowed = reply.header("allow").unwrap().split(',').filter(|method| *method != "HEAD");
        assert_eq!(allowed.map(str::to_owned).collect::<BTreeSet<_>>(), described, "{path}");
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path} says what it does");
        }
    }
}

/// What can be done next is an operation that is there, with a parameter of that name, and the answer has the field that it needs.
#[tokio::test]
async fn what_an_answer_leads_to_is_there() {
    let api: Value = serde_json::from_str(&get("/openapi.json").await.body).unwrap();
    let operations =
        || api["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let links = operations().flat_map(|operation| operation["responses"].as_object().unwrap().values());
    let links: Vec<&Value> =
        links.filter_map(|answer| answer["links"].as_object()).flat_map(|links| links.values()).collect();
    assert!(links.len() >= 8, "{links:?}");
    for link in links {
        let operation =
            operations().find(|operation| operation["operationId"] == link["operationId"]).unwrap();
        for (name, from) in link["parameters"].as_object().unwrap() {
            let parameters = operation["parameters"].as_array().unwrap();
            assert!(parameters.iter().any(|parameter| parameter["name"] == name.as_str()), "{link}");
            assert_eq!(from, &format!("$response.body#/{name}"));
        }
    }
}

/// Whatever is answered under `/v1` counts under a route of its own in the metrics; each of these is described.
#[tokio::test]
async fn every_route_is_described() {
    let api: Value = serde_json::from_str(&get("/openapi.json").await.body).unwrap();
    let described = api["paths"].as_object().unwrap();
    for line in include_str!("../../src/v1.rs").lines() {
        let path = line
            .split('"')
            .nth(1)
            .filter(|path| path.starts_with("/v1/") && !path.contains('*') && path.len() > 4);
        if let Some(path) = path {
            assert!(described.contains_key(path), "{path} is not described");
        }
    }
}

#[tokio::test]
async fn the_pages_are_all_from_here() {
    let index = get("/docs").await;
    assert_eq!(
        (index.status.as_u16(), index.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    assert!(index.header("content-security-policy").unwrap().starts_with("default-src 'self'"));
    let mut seen = 0;
    for reference in index.body.split(['"']).filter(|part| part.starts_with("/docs/")) {
        let file = get(reference).await;
        assert_eq!(file.status, 200, "{reference}");
        assert!(
            !file.body.contains("http://") && !file.body.contains("https://"),
            "{reference} names another place"
        );
        seen += 1;
    }
    assert_eq!(seen, 2);
    assert_eq!(get("/docs/other").await.status, 404);
}
