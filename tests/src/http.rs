//! A service's client over HTTP.

use std::net::SocketAddr;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use serde_json::Value;
use shared::pow::{Difficulty, Nonce, Root, Threshold, Work};
use ureq::Agent;
use ureq::http::Response;

use crate::{PATIENCE, oracle};

/// A server leaves unused connections after 5 s; younger ones only are used again.
const IDLE_MAX: Duration = Duration::from_secs(2);

/// A client that keeps its connection. Clones share it.
#[derive(Debug, Clone)]
pub struct Http {
    agent: Agent,
    base: String,
}

/// A reply of any status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its type, or nothing.
    pub content_type: String,
    /// All its headers: names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

/// Work that was answered, hashed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Meets the threshold that was asked for.
    pub work: Work,
    /// `ondemand`, `precache` or `cache`.
    pub source: String,
    /// What was charged.
    pub charged_mc: u64,
    /// What is left, if that is said.
    pub balance_mc: Option<u64>,
}

impl Http {
    /// A client of the server that listens there.
    pub fn new(server: SocketAddr) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_idle_age(IDLE_MAX)
            // What is asked for may be waited for, and then there is the answer.
            .timeout_global(Some(2 * PATIENCE))
            .build()
            .into();
        Self { agent, base: format!("http://{server}") }
    }

    /// `GET` of a path.
    ///
    /// # Errors
    /// When there is no reply.
    pub fn get(&self, path: &str) -> anyhow::Result<Reply> {
        Reply::read(self.agent.get(format!("{}{path}", self.base)).call()?)
    }

    /// `POST` of a body to a path, with a key or without.
    ///
    /// # Errors
    /// When there is no reply.
    pub fn post(&self, path: &str, key: Option<&str>, body: &str) -> anyhow::Result<Reply> {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let headers: Vec<_> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
        self.post_with(path, &headers, body)
    }

    /// `POST` of a body to a path, with these headers.
    ///
    /// # Errors
    /// When there is no reply.
    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &str) -> anyhow::Result<Reply> {
        let request = self.agent.post(format!("{}{path}", self.base));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Reply::read(request.send(body)?)
    }

    /// `POST /v1/work`.
    ///
    /// # Errors
    /// When there is no reply.
    pub fn work(&self, key: &str, request: &Value) -> anyhow::Result<Reply> {
        self.post("/v1/work", Some(key), &request.to_string())
    }

    /// `DELETE` with a body.
    ///
    /// # Errors
    /// When there is no reply.
    pub fn delete(&self, path: &str, key: &str, body: &str) -> anyhow::Result<Reply> {
        let request = self.agent.delete(format!("{}{path}", self.base));
        Reply::read(request.header("Authorization", format!("Bearer {key}")).force_send_body().send(body)?)
    }

    /// `GET` of a path, with a key.
    ///
    /// # Errors
    /// When there is no reply.
    pub fn get_with(&self, path: &str, key: &str) -> anyhow::Result<Reply> {
        let request = self.agent.get(format!("{}{path}", self.base));
        Reply::read(request.header("Authorization", format!("Bearer {key}")).call()?)
    }

    /// Waits until a series has a value that is wanted.
    ///
    /// # Errors
    /// When it has not within [`PATIENCE`].
    pub fn wait_for_metric(&self, series: &str, is_wanted: impl Fn(u64) -> bool) -> anyhow::Result<u64> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.metric(series)?;
            if is_wanted(value) {
                return Ok(value);
            }
            ensure!(Instant::now() < deadline, "{series} is still {value}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The value of a series, written as `GET /metrics` writes it: a name, and labels in braces if it has any.
    ///
    /// # Errors
    /// When there is no such series.
    pub fn metric(&self, series: &str) -> anyhow::Result<u64> {
        let reply = self.get("/metrics")?;
        let value = reply.body.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(value.with_context(|| format!("there is no metric {series}"))?.parse()?)
    }
}

impl Reply {
    fn read(mut response: Response<ureq::Body>) -> anyhow::Result<Self> {
        let content_type = response.headers().get("content-type");
        let content_type =
            content_type.map(|value| value.to_str()).transpose()?.unwrap_or_default().to_owned();
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
        let status = response.status().as_u16();
        Ok(Self { status, content_type, headers, body: response.body_mut().read_to_string()? })
    }

    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("{} {} is not JSON", self.status, self.body))
    }

    /// The reply to a request for this work, which is hashed here; with all that a reply says being true.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn answer(&self, root: Root, threshold: Threshold) -> anyhow::Result<Answer> {
        ensure!(self.status == 200, "no work was given: {} {}", self.status, self.body);
        let json = self.json()?;
        let work = oracle::verify(root, parsed::<Nonce>(&json, "work")?, threshold)?;
        ensure!(parsed::<Root>(&json, "root")? == root, "the answer is to another root: {json}");
        let difficulty: Difficulty = parsed(&json, "difficulty")?;
        ensure!(difficulty == work.difficulty(), "the answer claims another difficulty: {json}");
        Ok(Answer {
            work,
            source: text(&json, "source")?.to_owned(),
            charged_mc: json["charged_mc"].as_u64().with_context(|| format!("no charged_mc: {json}"))?,
            balance_mc: json["balance_mc"].as_u64(),
        })
    }

    /// The code of the problem that this reply is. A problem is never charged for, and says so.
    ///
    /// # Errors
    /// When it is no problem, or one that is charged for.
    pub fn problem(&self) -> anyhow::Result<String> {
        let json = self.json()?;
        ensure!(json["charged"] == false && json["charged_mc"] == 0, "a problem was charged for: {json}");
        self.problem_that_may_be_charged()
    }

    /// The same, of a problem of which nobody knows whether it was charged for: asking again is free then.
    ///
    /// # Errors
    /// When it is no problem, or one that is charged for.
    pub fn problem_that_may_be_charged(&self) -> anyhow::Result<String> {
        let json = self.json()?;
        ensure!(self.content_type == "application/problem+json", "no problem: {} {json}", self.status);
        ensure!(json["status"] == self.status, "the problem has another status than its reply: {json}");
        let is_unknown = json["code"] == "store_unavailable" && json["charged"].is_null();
        ensure!(json["charged"] == false || is_unknown, "a problem was charged for: {json}");
        text(&json, "code").map(str::to_owned)
    }
}

fn text<'a>(json: &'a Value, field: &str) -> anyhow::Result<&'a str> {
    json[field].as_str().with_context(|| format!("no text `{field}` in {json}"))
}

fn parsed<T: FromStr>(json: &Value, field: &str) -> anyhow::Result<T> {
    text(json, field)?.parse().map_err(|_| anyhow!("`{field}` cannot be read in {json}"))
}
