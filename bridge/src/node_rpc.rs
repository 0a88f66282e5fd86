//! `POST /`: the part of a Nano node's RPC that is about work, as a node answers it; and the same for nodes that ask their work peers.
//!
//! Always: status 200, also for errors, because a node that asks its peers ignores any other status and then waits for ever.
//!
//! # Source
//! nanocurrency/nano-node `nano/node/json_handler.cpp` (`work_generate`, `work_cancel`, `work_validate`) and
//! `nano/rpc/rpc_connection.cpp`.

mod call;
pub(crate) mod peer;

use axum::extract::{Request, State};
use axum::http::HeaderName;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW,
    CONNECTION, CONTENT_TYPE,
};
use axum::response::{IntoResponse, Response};
use shared::pow::{Difficulty, Multiplier, Work, difficulty};
use shared::protocol::WorkKind;
use shared::{Network, Refusal, RequestId};
use thiserror::Error;

use crate::body::{self, Unread};
use crate::edge::Edge;
use crate::limits::{RPC_BODY_BYTES_MAX, RPC_TIMEOUT};
use crate::metrics::{Code, Exchange, Route};
use crate::problem::{CLOSE, Trouble, X_REQUEST_ID, request_id_value};
use crate::source::{Source, WorkRequest};
use call::{Call, Command, Generate, Validate};

/// As the node sends them, but for `Authorization`, which a page needs to send its key, and `Connection: close`: wallets that
/// keep connections are served faster, and the others close them.
const HEADERS: [(HeaderName, &str); 5] = [
    (ALLOW, "POST, OPTIONS"),
    (CONTENT_TYPE, "application/json"),
    (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"),
    (ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Accept-Language, Authorization, Content-Language, Content-Type"),
];

/// Why a call failed, in the node's words where it has some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
enum CallError {
    #[error("Can only POST requests")]
    Method,
    #[error("Unable to parse JSON")]
    Unreadable,
    #[error("Max JSON depth exceeded")]
    TooDeep,
    #[error("Unknown command")]
    UnknownCommand,
    #[error("Bad work version")]
    Version,
    #[error("Bad account number")]
    Account,
    #[error("Invalid block hash")]
    Hash,
    #[error("Bad difficulty")]
    Difficulty,
    #[error("Bad multiplier")]
    Multiplier,
    #[error("Bad work")]
    Work,
    #[error("Block is invalid")]
    Block,
    #[error("Root mismatch for block")]
    OtherRoot,
    #[error("Provided work is already enough for given difficulty")]
    EnoughWork,
    #[error("{}", .0.rpc_error())]
    Refused(Refusal),
}

impl CallError {
    const fn code(self) -> Code {
        match self {
            Self::Method => Code::Trouble(Trouble::MethodNotAllowed),
            Self::Refused(refusal) => Code::Trouble(Trouble::Refused(refusal)),
            _ => Code::Trouble(Trouble::Refused(Refusal::Malformed)),
        }
    }
}

/// The members of an answer, in the node's order. Always: no value holds a character that JSON escapes; they are digits and
/// our own sentences.
struct Reply(Vec<(&'static str, String)>);

impl Reply {
    fn error(error: CallError) -> Self {
        Self(vec![("error", error.to_string())])
    }

    /// Laid out as the node's JSON writer does it: four spaces, every value a text, a newline at the end.
    fn to_json(&self) -> String {
        let members: Vec<_> =
            self.0.iter().map(|(name, value)| format!("    \"{name}\": \"{value}\"")).collect();
        format!("{{\n{}\n}}\n", members.join(",\n"))
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        (HEADERS, self.to_json()).into_response()
    }
}

/// Answers `POST /`.
pub(crate) async fn call<S: Source>(State(edge): State<Edge<S>>, request: Request) -> Response {
    respond(Route::NodeRpc, &edge, request).await
}

async fn respond<S: Source>(route: Route, edge: &Edge<S>, request: Request) -> Response {
    let exchange = Exchange::begin(route);
    let mut id = None;
    let answered = answer(route, edge, request, &mut id).await;
    exchange.finish(answered.as_ref().map_or_else(|error| error.code(), |_| Code::Ok));
    let is_draining = matches!(answered, Err(CallError::Refused(Refusal::Draining)));
    let mut response = answered.unwrap_or_else(Reply::error).into_response();
    if is_draining {
        response.headers_mut().insert(CONNECTION, CLOSE);
    }
    if let Some(value) = id.and_then(request_id_value) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

/// Answers `OPTIONS /`, with which a browser asks whether a page may call.
pub(crate) async fn preflight() -> Response {
    HEADERS.into_response()
}

/// Answers every other method on `/`.
pub(crate) async fn wrong_method() -> Response {
    let exchange = Exchange::begin(Route::NodeRpc);
    exchange.finish(CallError::Method.code());
    Reply::error(CallError::Method).into_response()
}

/// Answers a call; `id` becomes the name of its request, once it has one.
async fn answer<S: Source>(
    route: Route,
    edge: &Edge<S>,
    request: Request,
    id: &mut Option<RequestId>,
) -> Result<Reply, CallError> {
    let network = edge.source().network();
    let (parts, body) = request.into_parts();
    let bytes =
        body::read(&parts.headers, body, RPC_BODY_BYTES_MAX).await.map_err(|unread| match unread {
            Unread::TooLarge => CallError::Refused(Refusal::TooLarge),
            Unread::TooSlow | Unread::Broken => CallError::Unreadable,
        })?;
    let Call { command, key } = Call::parse(&bytes, network)?;
    let asker = || edge.authenticate(&parts, call::key(&parts, key).as_deref()).map_err(CallError::Refused);
    match command {
        Command::Validate(validate) => Ok(validated(&validate, network)),
        Command::Cancel(root) => {
            let asker = asker()?;
            if route != Route::NodePeer {
                edge.source().withdraw_root(asker.service, root).await;
            }
            Ok(Reply(vec![("success", String::new())]))
        }
        Command::Generate(Generate { root, threshold, account }) => {
            let asker = asker()?;
            let (request, timeout, class) = (None, RPC_TIMEOUT, WorkKind::OnDemand);
            let request = WorkRequest { request, root, threshold, account, timeout, class };
            match edge.ask(asker, request).await {
                Ok((request, answer)) => {
                    *id = Some(request);
                    Ok(generated(&answer.work, network))
                }
                Err(refused) => {
                    *id = refused.request;
                    Err(CallError::Refused(refused.refusal))
                }
            }
        }
    }
}

fn generated(work: &Work, network: Network) -> Reply {
    Reply(vec![
        ("hash", work.root().to_string()),
        ("work", work.nonce().to_string()),
        ("difficulty", work.difficulty().to_string()),
        ("multiplier", multiplier_text(work.difficulty(), network)),
    ])
}

fn validated(validate: &Validate, network: Network) -> Reply {
    let found = difficulty(&validate.root, validate.nonce);
    let verdict = |threshold| if found.meets(threshold) { "1" } else { "0" }.to_string();
    let mut members = Vec::with_capacity(5);
    // The node says it only to those who asked with a difficulty, even though a multiplier beside it decides.
    if validate.names_difficulty {
        members.push(("valid", verdict(validate.threshold)));
    }
    members.extend([
        ("valid_all", verdict(network.send_threshold())),
        ("valid_receive", verdict(network.receive_threshold())),
        ("difficulty", found.to_string()),
        ("multiplier", multiplier_text(found, network)),
    ]);
    Reply(members)
}

/// The multiplier as the node prints it. Difficulty 0, where the node divides by zero, has the multiplier zero.
fn multiplier_text(difficulty: Difficulty, network: Network) -> String {
    match Multiplier::of(difficulty.as_u64(), network.send_threshold()) {
        Some(multiplier) => multiplier.to_string(),
        None => format!("{:.15}", 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difficulty_zero_has_a_multiplier() {
        assert_eq!(multiplier_text(Difficulty::new(0), Network::Live), "0.000000000000000");
        assert_eq!(multiplier_text(Difficulty::new(1), Network::Live), "0.000000001862645");
    }

    #[test]
    fn an_answer_is_laid_out_as_the_node_does() {
        let reply = Reply(vec![("success", String::new())]);
        assert_eq!(reply.to_json(), "{\n    \"success\": \"\"\n}\n");
    }
}
