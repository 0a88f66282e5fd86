//! The story of a request, event by event: whoever looks for its id in a log at level `debug` finds its arrival, the job that it
//! waited for, the result that answered it, its settlement and its outcome.

use marketplace::{NewRequest, RequestKey, Step};
use shared::Outcome;
use shared::pow::Root;
use shared::protocol::Verdict;
use tracing::debug;

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Http,
    Mqtt,
}

impl Way {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Mqtt => "mqtt",
        }
    }
}

/// It is read and authenticated, and the market is about to decide about it.
pub(crate) fn arrived(new: &NewRequest, way: Way) {
    debug!(
        request.id = %new.key.request,
        service.id = %new.key.service,
        request.way = way.as_str(),
        work.root = %new.root,
        work.threshold = %new.threshold,
        timeout_ms = u64::try_from(new.timeout.as_millis()).unwrap_or(u64::MAX),
        "a request has arrived"
    );
}

/// It has come further.
pub(crate) fn progressed(RequestKey { service, request }: RequestKey, root: Root, step: Step) {
    match step {
        Step::Waiting { job } => debug!(
            request.id = %request, service.id = %service, work.root = %root, job.id = %job,
            "a request waits for a job"
        ),
        Step::Solved { job, worker } => debug!(
            request.id = %request, service.id = %service, work.root = %root, job.id = %job, worker.id = %worker,
            verdict = Verdict::Accepted.as_str(),
            "a result answers a request"
        ),
        Step::Cached { worker } => debug!(
            request.id = %request, service.id = %service, work.root = %root, worker.id = %worker,
            "work that was there answers a request"
        ),
        Step::Settled { hold, charged, searched: _ } => debug!(
            request.id = %request, service.id = %service, work.root = %root, hold.id = %hold,
            charged_mc = charged.as_u64(),
            "a request is settled"
        ),
    }
}

/// One of those who wait for it is told its outcome.
pub(crate) fn ended(RequestKey { service, request }: RequestKey, outcome: &Outcome) {
    match outcome {
        Outcome::Answered(answer) => debug!(
            request.id = %request, service.id = %service, work.root = %answer.work.root(),
            work.source = answer.source.as_str(),
            charged_mc = answer.charged.as_u64(),
            duration_ms = answer.elapsed_ms,
            "a request is answered"
        ),
        Outcome::Refused(refusal) => debug!(
            request.id = %request, service.id = %service, refusal.code = refusal.code(),
            "a request is refused"
        ),
        Outcome::Unsettled => debug!(
            request.id = %request, service.id = %service,
            "a request has its work, but its settlement takes too long"
        ),
    }
}
