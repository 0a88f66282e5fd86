//! What travels over MQTT: topics, messages and their bytes. `docs/protocol.md` is the text for implementers.

mod codec;
mod messages;
mod statistics;
mod topics;
mod version;

pub use codec::{DecodeError, Form, Message, decode, encode};
pub use messages::{
    Backend, DeviceReport, ListedJob, PauseReason, RepliedWork, ReplyOutcome, ServiceCancel, ServiceDemand,
    ServiceReply, ServiceRequest, Verdict, VerdictNotice, WORK_LIST_MAX, WORKER_DEVICES_MAX, WORKER_TEXT_MAX,
    WorkKind, WorkList, WorkResult, WorkerHello, WorkerStatus, WorkerTotals,
};
pub use statistics::{AnswerTimes, NetworkStatistics, SearchedTimes};
pub use topics::{Filter, Topic, UnknownTopic, WildcardFilter};
pub use version::VERSION;
