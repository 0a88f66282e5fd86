//! `POST /`: a node's RPC for work, to the byte, as `node_rpc_cases.toml` records it.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::Method;
use bridge::source::WorkRequest;
use figment::Figment;
use figment::providers::{Format, Toml};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use shared::pow::{Root, Threshold, Work};
use shared::protocol::WorkKind;
use shared::{Account, Network, Outcome, Refusal, ServiceId};

use crate::fake::{Fake, NONCE, ROOT, Reply, call, shop, work_given, work_of};

const CASES: &str = include_str!("node_rpc_cases.toml");
const DOCUMENT: &str = include_str!("../../../docs/node-rpc.md");
const CASES_COUNT: usize = 359;

/// An exchange, as the head of the file describes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    source: String,
    #[serde(default)]
    network: Network,
    #[serde(default = "post")]
    method: String,
    #[serde(default = "slash")]
    path: String,
    #[serde(default = "key")]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    body_hex: Option<String>,
    #[serde(default)]
    padded_to: usize,
    refuses: Option<Refusal>,
    asks: Option<Asks>,
    withdraws: Option<Root>,
    reply: Option<String>,
    error: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asks {
    #[serde(default = "root")]
    root: Root,
    threshold: Option<Threshold>,
    account: Option<Account>,
}

fn post() -> String {
    "POST".into()
}

fn slash() -> String {
    "/".into()
}

fn key() -> Vec<(String, String)> {
    vec![("authorization".into(), "Bearer k1".into())]
}

fn root() -> Root {
    ROOT.parse().unwrap()
}

fn cases() -> Vec<Case> {
    #[derive(Deserialize)]
    struct Cases {
        case: Vec<Case>,
    }

    Figment::from(Toml::string(CASES)).extract::<Cases>().unwrap().case
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.body.clone().into_bytes();
        if let Some(text) = &self.body_hex {
            bytes = (0..text.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
                .collect();
        }
        bytes.resize(bytes.len().max(self.padded_to), b' ');
        bytes
    }

    fn market(&self) -> Fake {
        let given = || work_of(self.asks.map_or(root(), |asks| asks.root), NONCE.parse().unwrap());
        Fake::on(self.network, Some(self.refuses.map_or_else(given, Outcome::Refused)))
    }

    fn asked(&self) -> Option<(ServiceId, WorkRequest)> {
        self.asks.map(|asks| {
            let threshold = asks.threshold.unwrap_or(self.network.send_threshold());
            let timeout = Duration::from_mins(2);
            let (request, root, account, class) = (None, asks.root, asks.account, WorkKind::OnDemand);
            (shop(), WorkRequest { request, root, threshold, account, timeout, class })
        })
    }

    async fn exchange(&self) -> (Reply, Fake) {
        let market = self.market();
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let method = Method::from_bytes(self.method.as_bytes()).unwrap();
        (call(market.router(), method, &self.path, &headers, self.bytes()).await, market)
    }
}

fn error(text: &str) -> String {
    format!("{{\n    \"error\": \"{text}\"\n}}\n")
}

/// The headers of a node, but for the one that says that its connections are closed.
fn assert_headers(reply: &Reply, name: &str) {
    let headers = "Accept, Accept-Language, Authorization, Content-Language, Content-Type";
    for (header, value) in [
        ("content-type", "application/json"),
        ("allow", "POST, OPTIONS"),
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "POST, OPTIONS"),
        ("access-control-allow-headers", headers),
    ] {
        assert_eq!(reply.header(header), Some(value), "{name}");
    }
}

#[tokio::test]
async fn every_recorded_case_is_answered_as_recorded() {
    let cases = cases();
    assert_eq!(cases.len(), CASES_COUNT, "cases are neither lost nor forgotten here");
    let work_given = cases[0].reply.clone().unwrap();
    let mut names = BTreeSet::new();
    let mut differing = Vec::new();
    for case in &cases {
        let name = &case.name;
        assert!(names.insert(name), "two cases are called {name}");
        let body = match (&case.reply, &case.error) {
            (Some(reply), None) => reply.clone(),
            (None, Some(text)) => error(text),
            (None, None) if case.asks.is_some() => work_given.clone(),
            _ => panic!("what is answered to {name}?"),
        };
        let withdrawn = case.withdraws.map(|root| (shop(), root));
        let expected = (200, body, Vec::from_iter(case.asked()), Vec::from_iter(withdrawn));
        let (reply, market) = case.exchange().await;
        assert_headers(&reply, name);
        let found = (reply.status.as_u16(), reply.body, market.asked(), market.roots_withdrawn());
        if found != expected {
            differing.push(format!("{name}\nexpected {expected:?}\nfound    {found:?}"));
        }
    }
    assert!(differing.is_empty(), "{} cases:\n{}", differing.len(), differing.join("\n"));
}

/// Each case rests on a section of the document, and no section that promises something is without cases.
#[test]
fn every_case_has_its_place_in_the_document() {
    let sources: BTreeSet<String> = cases().into_iter().map(|case| case.source).collect();
    let titles: BTreeSet<String> =
        DOCUMENT.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    let without_cases: Vec<_> = titles.difference(&sources).collect();
    // What nodes are promised is tested with a stand-in for a node, on their own listener.
    assert_eq!(without_cases, ["Differences from a node", "For nodes: `work_peers`"]);
    assert!(sources.is_subset(&titles), "{sources:?} {titles:?}");
}

/// Every text that can be answered stands in the document's table, and the table promises no other.
#[test]
fn every_error_is_documented() {
    let errors: BTreeSet<String> = cases().into_iter().filter_map(|case| case.error).collect();
    let (_, table) = DOCUMENT.split_once("## Errors").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let documented: BTreeSet<String> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(text, _)| text.into())
        .collect();
    assert_eq!(documented, errors);
    for refusal in Refusal::ALL {
        assert!(errors.contains(refusal.rpc_error()), "{refusal}");
    }
}

/// What the document shows was answered by a network, and would be answered again, to the byte.
#[tokio::test]
async fn the_examples_of_the_document_are_true() {
    let mut examples = 0;
    for block in DOCUMENT.split("```\n").filter(|block| block.starts_with("curl ")) {
        let (_, exchange) = block.split_once(" -d '").unwrap();
        let (body, answer) = exchange.split_once("'\n").unwrap();
        let members: Value = serde_json::from_str(answer).unwrap();
        let text = |name: &str| members[name].as_str();
        let market = Fake::answering(match (text("hash"), text("work")) {
            (Some(root), Some(nonce)) => work_of(root.parse().unwrap(), nonce.parse().unwrap()),
            _ => work_given(),
        });
        let key = [("authorization", "Bearer k1")];
        let reply = call(market.router(), Method::POST, "/", &key, body.to_owned()).await;
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, answer), "{body}");
        examples += 1;
    }
    assert_eq!(examples, 4);
}

/// The words that calls are made of.
const WORDS: [&str; 26] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\"action\":",
    "\"work_generate\"",
    "\"work_validate\"",
    "\"work_cancel\"",
    "\"hash\":",
    ROOT,
    "\"difficulty\":",
    "\"multiplier\":",
    "\"block\":",
    "\"json_block\":true,",
    "\"type\":\"state\",",
    "\"key\":\"k1\"",
    "0",
    "-1e9",
    "null",
    " ",
    "\u{feff}",
    "\\ud800",
];

/// Text that resembles a call.
fn resembling_a_call() -> impl Strategy<Value = Vec<u8>> {
    let words = proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..24);
    words.prop_map(|words| words.concat().into_bytes())
}

proptest! {
    /// Whatever is sent, the answer has status 200 and is an object of texts, laid out as the node does.
    #[test]
    fn whatever_is_sent_is_answered_like_a_node(body in prop_oneof![any::<Vec<u8>>(), resembling_a_call()]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let market = Fake::answering(work_given());
        let reply = runtime.block_on(call(market.router(), Method::POST, "/", &[], body));
        prop_assert_eq!(reply.status.as_u16(), 200);
        let members: serde_json::Map<String, Value> = serde_json::from_str(&reply.body).unwrap();
        prop_assert!(!members.is_empty() && members.values().all(Value::is_string));
    }
}

#[test]
fn the_nonce_that_the_market_gives_is_real() {
    let work = Work::verify(root(), NONCE.parse().unwrap(), Network::Live.send_threshold());
    assert_eq!(work.unwrap().difficulty().to_string(), "fffffff93c41ec94");
}
