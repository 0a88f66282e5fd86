//! What is said on the WebSocket: one JSON object a frame, told apart by its field `type`.

use serde::{Deserialize, Serialize};
use shared::{Network, RequestId, ServiceId};

use crate::problem::{Document, Problem};
use crate::source::WorkRequest;
use crate::v1::answer::Given;
use crate::v1::request::{self, Malformed, request_name, typed};

/// What a client says.
pub(crate) enum Frame {
    /// It asks for work, under a name.
    Work(RequestId, WorkRequest),
    /// It is no longer interested.
    Withdraw(RequestId),
    /// Is anybody there?
    Ping,
}

/// A frame that cannot be read, and the request that it is about, as far as that can.
pub(crate) struct Unread {
    pub(crate) malformed: Malformed,
    pub(crate) request: Option<RequestId>,
}

impl Frame {
    /// Reads a frame.
    ///
    /// # Errors
    /// [`Unread`].
    pub(crate) fn read(text: &str, network: Network) -> Result<Self, Unread> {
        let fields = request::members(text.as_bytes(), &["type"])
            .map_err(|malformed| Unread { malformed, request: None })?;
        let named = fields.get("request_id").and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
        let named = named.and_then(|text| request_name(&text));
        let read = || {
            let form = "one of work, withdraw and ping";
            let raw = fields.get("type").ok_or(Malformed::Form { field: "type", form })?;
            let name = named.ok_or(Malformed::NoName);
            match typed::<String>("type", form, raw)?.as_str() {
                "work" => {
                    let name = name?;
                    Ok(Self::Work(name, request::parse(&fields, network)?))
                }
                "withdraw" => name.map(Self::Withdraw),
                "ping" => Ok(Self::Ping),
                _ => Err(Malformed::Form { field: "type", form }),
            }
        };
        read().map_err(|malformed| Unread { malformed, request: named })
    }
}

/// The key in a first frame; none where it is any other.
pub(crate) fn key(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct First {
        r#type: String,
        key: String,
    }

    let First { r#type, key } = request::object(text.as_bytes()).ok()?;
    (r#type == "key").then_some(key)
}

/// What is said to a client.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Word {
    /// The key is good; from now on work can be asked for.
    Welcome { service: ServiceId, in_flight_max: usize, ping_ms: u64 },
    /// Work, as `POST /v1/work` gives it.
    Answer { request_id: RequestId, result: Given },
    /// Why there is none, or what was wrong with a frame.
    Problem { request_id: Option<RequestId>, problem: Document },
    /// Whatever was open under this name is withdrawn; how it ended is said in a frame of its own.
    Withdrawn { request_id: RequestId },
    /// Somebody is here.
    Pong,
}

impl From<Given> for Word {
    fn from(result: Given) -> Self {
        Self::Answer { request_id: result.request_id, result }
    }
}

impl From<Problem> for Word {
    fn from(problem: Problem) -> Self {
        let problem = problem.document();
        Self::Problem { request_id: problem.request_id(), problem }
    }
}
