//! Every metric of the HTTP edge, and the values of its labels.

use std::time::Instant;

use ::metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use shared::Refusal;
use tracing::debug;

use crate::problem::Trouble;

const REQUESTS: &str = "http_requests_total";
const SECONDS: &str = "http_request_seconds";
const CONNECTIONS: &str = "http_connections";
const CONNECTIONS_MAX: &str = "http_connections_max";

/// The label `route`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Work,
    Batch,
    Status,
    Events,
    Socket,
    Accounts,
    Prefetch,
    Usage,
    Register,
    Balance,
    Quota,
    Keys,
    NodeRpc,
    NodePeer,
    Unknown,
}

/// The label `code`: how an exchange ended. On the Nano RPC every status is 200, so this is not the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Ok,
    Trouble(Trouble),
}

impl Route {
    const ALL: [Self; 15] = [
        Self::Work,
        Self::Batch,
        Self::Status,
        Self::Events,
        Self::Socket,
        Self::Accounts,
        Self::Prefetch,
        Self::Usage,
        Self::Register,
        Self::Balance,
        Self::Quota,
        Self::Keys,
        Self::NodeRpc,
        Self::NodePeer,
        Self::Unknown,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Work => "/v1/work",
            Self::Batch => "/v1/work/batch",
            Self::Status => "/v1/work/{request_id}",
            Self::Events => "/v1/work/{request_id}/events",
            Self::Socket => "/v1/ws",
            Self::Accounts => "/v1/accounts",
            Self::Prefetch => "/v1/prefetch",
            Self::Usage => "/v1/usage",
            Self::Register => "/v1/register",
            Self::Balance => "/v1/balance",
            Self::Quota => "/v1/quota",
            Self::Keys => "/v1/keys",
            Self::NodeRpc => "/",
            Self::NodePeer => "node_peer",
            Self::Unknown => "unknown",
        }
    }
}

impl Code {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Trouble(trouble) => trouble.code(),
        }
    }
}

impl From<Refusal> for Code {
    fn from(refusal: Refusal) -> Self {
        Self::Trouble(Trouble::Refused(refusal))
    }
}

/// Describes all metrics and starts all counters at zero.
pub(crate) fn describe() {
    describe_counter!(REQUESTS, "HTTP requests, by route and by how they ended");
    describe_histogram!(
        SECONDS,
        Unit::Seconds,
        "Time from the end of a request's header to its answer, by route"
    );
    describe_gauge!(CONNECTIONS, "Open HTTP connections, those of operators included");
    describe_gauge!(CONNECTIONS_MAX, "Most HTTP connections at once; when all are open, further ones wait");
    for route in Route::ALL.into_iter().filter(|route| *route != Route::Unknown) {
        let ends = Refusal::ALL
            .into_iter()
            .map(Code::from)
            .chain([Code::Ok, Code::Trouble(Trouble::MethodNotAllowed)]);
        for code in ends {
            count(route, code, 0);
        }
    }
    count(Route::Unknown, Code::Trouble(Trouble::NotFound), 0);
    gauge!(CONNECTIONS).set(0.0);
}

/// States the bound beside which [`OpenConnection`]s are to be seen.
#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float, and a number of connections is far below 2^53"
)]
pub(crate) fn set_connections_max(connections_max: usize) {
    gauge!(CONNECTIONS_MAX).set(connections_max as f64);
}

fn count(route: Route, code: Code, by: u64) {
    counter!(REQUESTS, "route" => route.as_str(), "code" => code.as_str()).increment(by);
}

/// One request and its answer. Dropped before it is finished, it counts as `cancelled`: the client has hung up.
pub(crate) struct Exchange {
    route: Route,
    began: Instant,
    is_finished: bool,
}

impl Exchange {
    pub(crate) fn begin(route: Route) -> Self {
        Self { route, began: Instant::now(), is_finished: false }
    }

    pub(crate) fn finish(mut self, code: Code) {
        self.is_finished = true;
        self.record(code);
    }

    fn record(&self, code: Code) {
        let elapsed = self.began.elapsed();
        count(self.route, code, 1);
        histogram!(SECONDS, "route" => self.route.as_str()).record(elapsed);
        debug!(
            http.route = self.route.as_str(),
            http.code = code.as_str(),
            duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            "an HTTP request ended"
        );
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.is_finished {
            self.record(Refusal::Cancelled.into());
        }
    }
}

/// A connection, counted as long as it lives.
pub(crate) struct OpenConnection(());

impl OpenConnection {
    pub(crate) fn new() -> Self {
        gauge!(CONNECTIONS).increment(1);
        Self(())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        gauge!(CONNECTIONS).decrement(1);
    }
}
