//! The forms in which a service can ask: how a request is written, and what an answer means.

use std::net::SocketAddr;

use benches::http::Answer;
use benches::socket::frame;
use clap::ValueEnum;
use serde::Deserialize;
use shared::pow::{Nonce, Root, Threshold, Work};

/// A form of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// `POST /v1/work`.
    V1,
    /// `/v1/ws`, one request at a time on each connection.
    Ws,
    /// `POST /`, as a Nano node's RPC.
    Rpc,
    /// `POST /service/`, as the original DPoW.
    Service,
}

/// Who asks, and for what.
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    pub(crate) server: SocketAddr,
    /// Only the original DPoW wants the name as well.
    pub(crate) user: String,
    pub(crate) key: String,
    pub(crate) threshold: Threshold,
    /// Only where the form can say it: in `/v1`, and in whole seconds in `/service/`.
    pub(crate) timeout_ms: u32,
}

/// A request but for its root, which always has the same length.
#[derive(Debug)]
pub(crate) struct Template {
    before: Vec<u8>,
    /// Where a request has a name, which is the first half of its root: what stands between both.
    between: Option<Vec<u8>>,
    after: Vec<u8>,
}

impl Template {
    /// Writes the request for a root.
    pub(crate) fn write(&self, root: &Root, request: &mut Vec<u8>) {
        use std::io::Write;
        request.clear();
        request.extend_from_slice(&self.before);
        // Writing to a vector does not fail.
        if let Some(between) = &self.between {
            let _ = write!(request, "{:.32}", root.to_string().to_lowercase());
            request.extend_from_slice(between);
        }
        let _ = write!(request, "{root}");
        request.extend_from_slice(&self.after);
    }
}

/// A frame of a server, with what decides.
#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    result: Option<Said<'a>>,
    problem: Option<Why<'a>>,
}

#[derive(Deserialize)]
struct Why<'a> {
    status: u16,
    code: &'a str,
}

/// Of an answer in any form, what decides.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    work: Option<&'a str>,
    /// The root, as `/v1` calls it.
    root: Option<&'a str>,
    /// The root, as the others call it.
    hash: Option<&'a str>,
    /// Why not, in `/v1`.
    code: Option<&'a str>,
    /// Why not, in the others.
    error: Option<&'a str>,
}

impl Dialect {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::Ws => "ws",
            Self::Rpc => "rpc",
            Self::Service => "service",
        }
    }

    /// The request of somebody.
    pub(crate) fn template(self, asking: &Asking) -> Template {
        let Asking { server, user, key, threshold, timeout_ms } = asking;
        if self == Self::Ws {
            return socket_template(*threshold, *timeout_ms);
        }
        let (path, authorization) = match self {
            Self::V1 | Self::Ws => ("/v1/work", format!("Authorization: Bearer {key}\r\n")),
            Self::Rpc => ("/", format!("Authorization: Bearer {key}\r\n")),
            Self::Service => ("/service/", String::new()),
        };
        let (opening, closing) = match self {
            Self::V1 | Self::Ws => (
                r#"{"root":""#.to_owned(),
                format!(r#"","threshold":"{threshold}","timeout_ms":{timeout_ms}}}"#),
            ),
            Self::Rpc => (
                r#"{"action":"work_generate","hash":""#.to_owned(),
                format!(r#"","difficulty":"{threshold}"}}"#),
            ),
            Self::Service => (
                format!(r#"{{"user":"{user}","api_key":"{key}","hash":""#),
                format!(r#"","difficulty":"{threshold}","timeout":{}}}"#, timeout_ms.div_ceil(1000)),
            ),
        };
        let length = opening.len() + 64 + closing.len();
        let before = format!(
            "POST {path} HTTP/1.1\r\nHost: {server}\r\n{authorization}Content-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{opening}"
        );
        Template { before: before.into(), between: None, after: closing.into() }
    }

    /// Whether a frame brings valid work for this root.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn read_frame(text: &[u8], root: Root, threshold: Threshold) -> Result<(), String> {
        match serde_json::from_slice::<Told<'_>>(text) {
            Ok(Told { result: Some(said), .. }) => said.is_work(said.root, 200, root, threshold),
            Ok(Told { problem: Some(Why { status, code }), .. }) => Err(format!("{status} {code}")),
            _ => Err("200, unreadable".into()),
        }
    }

    /// Whether an answer brings valid work for this root.
    ///
    /// # Errors
    /// What it brings instead, in a few words that are the same each time.
    pub(crate) fn read(self, answer: &Answer<'_>, root: Root, threshold: Threshold) -> Result<(), String> {
        let status = answer.status;
        let Ok(said) = serde_json::from_slice::<Said<'_>>(answer.body) else {
            return Err(format!("{status}, unreadable"));
        };
        if let Some(why) = said.code.or(said.error) {
            // The old forms always have status 200, so that it says nothing.
            let is_told = matches!(self, Self::V1 | Self::Ws) || status != 200;
            return Err(if is_told { format!("{status} {why}") } else { why.to_owned() });
        }
        let named = match self {
            Self::V1 | Self::Ws => said.root,
            Self::Rpc | Self::Service => said.hash,
        };
        said.is_work(named, status, root, threshold)
    }
}

impl Said<'_> {
    fn is_work(
        &self,
        named: Option<&str>,
        status: u16,
        root: Root,
        threshold: Threshold,
    ) -> Result<(), String> {
        let named = named.and_then(|text| text.parse::<Root>().ok());
        let nonce = self.work.and_then(|text| text.parse::<Nonce>().ok());
        let (Some(nonce), Some(named), 200) = (nonce, named, status) else {
            return Err(format!("{status}, unreadable"));
        };
        match Work::verify(root, nonce, threshold) {
            Some(_) if named == root => Ok(()),
            _ => Err(INVALID_WORK.into()),
        }
    }
}

/// A frame that asks.
fn socket_template(threshold: Threshold, timeout_ms: u32) -> Template {
    let (opening, between) = (r#"{"type":"work","request_id":""#, r#"","root":""#);
    let closing = format!(r#"","threshold":"{threshold}","timeout_ms":{timeout_ms}}}"#);
    let length = opening.len() + 32 + between.len() + 64 + closing.len();
    // All frames have the same length, and so the same head.
    let mut before = frame(&vec![b' '; length]);
    before.truncate(before.len() - length);
    before.extend_from_slice(opening.as_bytes());
    Template { before, between: Some(between.into()), after: closing.into() }
}

/// What is said of an answer whose work is for another root or misses the threshold. It must never come.
pub(crate) const INVALID_WORK: &str = "invalid work";

#[cfg(test)]
mod tests {
    use super::*;

    fn asking() -> Asking {
        Asking {
            server: "127.0.0.1:5030".parse().unwrap(),
            user: "wallet".into(),
            key: "secret".into(),
            threshold: Threshold::new(0xf000_0000_0000_0000),
            timeout_ms: 1500,
        }
    }

    fn root() -> Root {
        "718CC2121C3E641059BC1C2CFC45666C99E8AE922F7A807B7D07B62C995D79E2".parse().unwrap()
    }

    #[test]
    fn each_form_says_who_asks_for_what_and_its_own_length() {
        for (dialect, path, wanted) in [
            (
                Dialect::V1,
                "/v1/work",
                serde_json::json!({"root": root(), "threshold": "f000000000000000", "timeout_ms": 1500}),
            ),
            (
                Dialect::Rpc,
                "/",
                serde_json::json!({"action": "work_generate", "hash": root(), "difficulty": "f000000000000000"}),
            ),
            (
                Dialect::Service,
                "/service/",
                serde_json::json!({"user": "wallet", "api_key": "secret", "hash": root(),
                    "difficulty": "f000000000000000", "timeout": 2}),
            ),
        ] {
            let mut request = b"left over".to_vec();
            dialect.template(&asking()).write(&root(), &mut request);
            let request = String::from_utf8(request).unwrap();
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{head}");
            assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{head}");
            assert_eq!(head.contains("Bearer secret"), dialect != Dialect::Service);
            assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap(), wanted);
        }
    }

    #[test]
    fn a_frame_has_a_name_and_its_own_length() {
        let mut request = Vec::new();
        Dialect::Ws.template(&asking()).write(&root(), &mut request);
        let text = &request[8..];
        assert_eq!(request, frame(text));
        let name = root().to_string()[..32].to_lowercase();
        let wanted = serde_json::json!({"type": "work", "request_id": name, "root": root(),
            "threshold": "f000000000000000", "timeout_ms": 1500});
        assert_eq!(serde_json::from_slice::<serde_json::Value>(text).unwrap(), wanted);
        let read = |text: &str| Dialect::read_frame(text.as_bytes(), root(), Threshold::new(0));
        let good =
            format!(r#"{{"type":"answer","result":{{"root":"{}","work":"2b3d689bbcb21dca"}}}}"#, root());
        assert_eq!(read(&good), Ok(()));
        let problem = r#"{"type":"problem","problem":{"status":503,"code":"overloaded"}}"#;
        assert_eq!(read(problem), Err("503 overloaded".into()));
        assert_eq!(read("{}"), Err("200, unreadable".into()));
    }

    #[test]
    fn an_answer_is_work_only_if_it_is_valid_and_for_the_root() {
        let threshold = Threshold::new(0xffff_fff8_0000_0000);
        let read = |dialect: Dialect, status, body: &str| {
            dialect.read(&Answer { status, body: body.as_bytes(), is_last: false }, root(), threshold)
        };
        let other = "00".repeat(32);
        let good = format!(r#"{{"root":"{0}","hash":"{0}","work":"2b3d689bbcb21dca"}}"#, root());
        for dialect in [Dialect::V1, Dialect::Rpc, Dialect::Service] {
            assert_eq!(read(dialect, 200, &good), Ok(()));
            assert_eq!(read(dialect, 201, &good), Err("201, unreadable".into()));
            for (from, to) in [("2b3d", "2b3e"), (root().to_string().as_str(), other.as_str())] {
                assert_eq!(read(dialect, 200, &good.replace(from, to)), Err(INVALID_WORK.into()));
            }
            assert_eq!(read(dialect, 200, "<html>"), Err("200, unreadable".into()));
            assert_eq!(read(dialect, 200, "{}"), Err("200, unreadable".into()));
        }
        let problem = r#"{"title":"Overloaded","status":503,"code":"overloaded","charged":false}"#;
        assert_eq!(read(Dialect::V1, 503, problem), Err("503 overloaded".into()));
        let error = r#"{"error":"Timeout reached without work","timeout":true}"#;
        assert_eq!(read(Dialect::Service, 200, error), Err("Timeout reached without work".into()));
        assert_eq!(read(Dialect::Rpc, 500, error), Err("500 Timeout reached without work".into()));
    }
}
