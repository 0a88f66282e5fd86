//! What arrives over MQTT, decoded: the gate has checked who may say it, this says what it means.

use std::time::Duration;

use marketplace::WorkerReport;
use shared::RequestId;
use shared::protocol::{DecodeError, Form, ServiceCancel, ServiceRequest, Topic, WorkResult, decode};

/// How long a request over MQTT may take when it does not say.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// An uplink message that could be read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Uplink {
    /// A worker's result.
    Result(WorkResult),
    /// What a worker says of itself.
    Report(WorkerReport),
    /// A service asks.
    Request(ServiceRequest),
    /// A service withdraws.
    Cancel(RequestId),
}

/// Reads a message by its topic, and says in which form it came.
///
/// # Errors
/// [`DecodeError`] for anything but the message that belongs to the topic; topics that only go down are read as empty.
pub(crate) fn read(topic: Topic, payload: &[u8]) -> Result<(Uplink, Form), DecodeError> {
    Ok(match topic {
        Topic::WorkResult(_) => decode(payload).map(|(result, form)| (Uplink::Result(result), form))?,
        Topic::WorkerHello(_) => {
            decode(payload).map(|(hello, form)| (Uplink::Report(WorkerReport::Hello(hello)), form))?
        }
        Topic::WorkerStatus(_) => {
            decode(payload).map(|(status, form)| (Uplink::Report(WorkerReport::Status(status)), form))?
        }
        Topic::ServiceRequest(_) => {
            decode(payload).map(|(request, form)| (Uplink::Request(request), form))?
        }
        Topic::ServiceCancel(_) => {
            decode::<ServiceCancel>(payload).map(|(cancel, form)| (Uplink::Cancel(cancel.request), form))?
        }
        Topic::WorkRequest(_)
        | Topic::WorkVerdict(_)
        | Topic::ServiceReply(_)
        | Topic::Heartbeat
        | Topic::StatsNetwork
        | Topic::StatsServices
        | Topic::StatsWorkers => return Err(DecodeError::Empty),
    })
}

/// The time that a request may take.
pub(crate) fn timeout_of(request: &ServiceRequest) -> Duration {
    request.timeout_ms.map_or(TIMEOUT_DEFAULT, |timeout_ms| Duration::from_millis(timeout_ms.into()))
}
