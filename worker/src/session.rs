//! What a worker does with the lists that it is sent, as a state machine without I/O and clock: inputs and the time go
//! in, actions come out.

use std::collections::VecDeque;
use std::time::Duration;

use shared::pow::{Difficulty, Threshold, Work};
use shared::protocol::{ListedJob, Verdict, VerdictNotice, WorkKind, WorkList, WorkResult, WorkerTotals};
use shared::{JobId, Timestamp};

use crate::plan::{Seat, is_same_search, plan};

/// Results that wait for an acknowledgement. Beyond it the oldest is given up: it is the likeliest to be late already.
const OUTBOX_MAX: usize = 32;
/// How long a result is worth sending: no request lives longer.
const OUTBOX_AGE_MAX: Duration = Duration::from_mins(2);
/// Finished jobs that are remembered, so that a list made before a result arrived does not start one again. Eight lists.
const FINISHED_MAX: usize = 64;

/// What the owner of the worker allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The hardest work to do.
    pub threshold_max: Threshold,
    /// Whether to work ahead of demand as well.
    pub precache: bool,
}

/// What happened outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The server accepted the login.
    Connected,
    /// The connection is gone.
    Disconnected,
    /// The server sent a list.
    Listed(WorkList),
    /// How fast each device is, in hashes a second; 0 when it is out of service.
    Rates(Vec<u64>),
    /// A device has found work, and searches no more if it was still searching for it.
    Found {
        /// Which job was searched.
        job: JobId,
        /// What was found.
        work: Work,
    },
    /// The server has the result of this job.
    Acknowledged(JobId),
    /// The server sent a verdict.
    Judged(VerdictNotice),
}

/// What is to be done outside, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Subscribe to lists and verdicts.
    Subscribe,
    /// Tell the server what this worker is.
    SendHello,
    /// Have a device search this job, and no other.
    Search {
        /// Which one, in the order of their rates.
        device: usize,
        /// The job.
        job: ListedJob,
    },
    /// Have a device search nothing.
    Rest {
        /// Which one, in the order of their rates.
        device: usize,
    },
    /// Send this result.
    Send(WorkResult),
    /// Tell the owner what became of a result.
    Report(Judgement),
}

/// What became of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// The job.
    pub job: JobId,
    /// The coordinator's word.
    pub verdict: Verdict,
    /// What the nonce attains; unknown when the job is no longer remembered.
    pub difficulty: Option<Difficulty>,
    /// From the start of the search to the find; unknown when the job is no longer remembered.
    pub elapsed: Option<Duration>,
    /// As the coordinator counts.
    pub totals: WorkerTotals,
}

/// The state of a worker towards its server.
///
/// Always: what is searched are the first jobs of the list that this worker may do, has not finished and that somebody still
/// waits for, shared among the devices as `plan` has it; with one device it is the first one alone. A lost connection changes
/// nothing in that: jobs end with their time, and results are kept and sent again.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    is_connected: bool,
    /// Of the newest list of this connection.
    sequence: Option<u32>,
    /// What is still to be done, in order.
    queue: VecDeque<Queued>,
    devices: Vec<Device>,
    finished: VecDeque<Finished>,
    outbox: VecDeque<Unacknowledged>,
}

#[derive(Debug, Clone, Copy)]
struct Queued {
    job: ListedJob,
    deadline: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Device {
    rate: u64,
    current: Option<Current>,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    job: ListedJob,
    started: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Finished {
    job: JobId,
    difficulty: Difficulty,
    elapsed: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Unacknowledged {
    result: WorkResult,
    found: Timestamp,
}

impl Session {
    /// A worker that has not connected yet, with devices of these rates in hashes a second.
    pub fn new(limits: Limits, rates: &[u64]) -> Self {
        let devices = rates.iter().map(|rate| Device { rate: *rate, current: None });
        Self {
            devices: devices.collect(),
            limits,
            is_connected: false,
            sequence: None,
            queue: VecDeque::new(),
            finished: VecDeque::new(),
            outbox: VecDeque::new(),
        }
    }

    /// Takes an input; what is to be done is appended to `actions`.
    pub fn handle(&mut self, now: Timestamp, input: Input, actions: &mut Vec<Action>) {
        match input {
            Input::Connected => self.connected(now, actions),
            Input::Disconnected => self.is_connected = false,
            Input::Listed(list) => self.listed(now, &list),
            Input::Rates(rates) => {
                for (device, rate) in self.devices.iter_mut().zip(rates) {
                    device.rate = rate;
                }
            }
            Input::Found { job, work } => self.found(now, job, work, actions),
            Input::Acknowledged(job) => self.outbox.retain(|entry| entry.result.job != job),
            Input::Judged(notice) => self.judged(notice, actions),
        }
        self.pick(now, actions);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.queue.iter().map(|queued| queued.deadline).min()
    }

    /// Drops the jobs whose time is over. Calling it early does nothing.
    pub fn handle_timeout(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        self.pick(now, actions);
    }

    fn connected(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        self.is_connected = true;
        // Numbers of lists begin again with each connection.
        self.sequence = None;
        actions.extend([Action::Subscribe, Action::SendHello]);
        self.outbox.retain(|entry| now.since(entry.found) < OUTBOX_AGE_MAX);
        actions.extend(self.outbox.iter().map(|entry| Action::Send(entry.result)));
    }

    /// The list replaces everything that was to be done, unless it is older than the last one.
    fn listed(&mut self, now: Timestamp, list: &WorkList) {
        if self.sequence.is_some_and(|newest| list.sequence <= newest) {
            return;
        }
        self.sequence = Some(list.sequence);
        self.queue.clear();
        for job in &list.jobs {
            if self.is_wanted(job) {
                let deadline = now + Duration::from_millis(job.remaining_ms.into());
                self.queue.push_back(Queued { job: *job, deadline });
            }
        }
    }

    fn is_wanted(&self, job: &ListedJob) -> bool {
        let is_allowed = match job.kind {
            WorkKind::OnDemand => true,
            WorkKind::Precache => self.limits.precache,
        };
        is_allowed
            && job.threshold <= self.limits.threshold_max
            && !self.is_finished(job.job)
            && !self.queue.iter().any(|queued| queued.job.job == job.job)
    }

    fn is_finished(&self, job: JobId) -> bool {
        self.finished.iter().any(|finished| finished.job == job)
    }

    /// Keeps and sends the work. It may be of a job that has just been taken off the list: it may then still be the first, or it
    /// answers a request that comes later, and else it is late, which harms nobody.
    fn found(&mut self, now: Timestamp, job: JobId, work: Work, actions: &mut Vec<Action>) {
        // The searches are left where they are: `pick` ends them, also one that has been started anew for the same job since.
        let searches = self.devices.iter().filter_map(|device| device.current);
        let started = searches.filter(|current| current.job.job == job).map(|current| current.started).min();
        self.queue.retain(|queued| queued.job.job != job);
        if self.is_finished(job) {
            return;
        }
        let elapsed = started.map(|started| now.since(started));
        push_bounded(
            &mut self.finished,
            FINISHED_MAX,
            Finished { job, difficulty: work.difficulty(), elapsed },
        );
        let result = WorkResult { job, root: work.root(), nonce: work.nonce() };
        push_bounded(&mut self.outbox, OUTBOX_MAX, Unacknowledged { result, found: now });
        if self.is_connected {
            actions.push(Action::Send(result));
        }
    }

    fn judged(&mut self, notice: VerdictNotice, actions: &mut Vec<Action>) {
        self.outbox.retain(|entry| entry.result.job != notice.job);
        let finished = self.finished.iter().find(|finished| finished.job == notice.job);
        actions.push(Action::Report(Judgement {
            job: notice.job,
            verdict: notice.verdict,
            difficulty: finished.map(|finished| finished.difficulty),
            elapsed: finished.and_then(|finished| finished.elapsed),
            totals: notice.totals,
        }));
    }

    /// Has the devices search what is planned for them. One that searches it already goes on undisturbed.
    fn pick(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        self.queue.retain(|queued| queued.deadline > now);
        let jobs: Vec<_> = self.queue.iter().map(|queued| queued.job).collect();
        let seat =
            |device: &Device| Seat { rate: device.rate, job: device.current.map(|current| current.job) };
        let planned = plan(&jobs, &self.devices.iter().map(seat).collect::<Vec<_>>());
        for (device, (Device { current, .. }, wanted)) in self.devices.iter_mut().zip(planned).enumerate() {
            match (wanted, &current) {
                (Some(wanted), Some(current)) if is_same_search(&wanted, &current.job) => {}
                (Some(job), _) => {
                    *current = Some(Current { job, started: now });
                    actions.push(Action::Search { device, job });
                }
                (None, Some(_)) => {
                    *current = None;
                    actions.push(Action::Rest { device });
                }
                (None, None) => {}
            }
        }
    }
}

/// Appends, and drops the oldest where there would be more than `max`.
fn push_bounded<T>(queue: &mut VecDeque<T>, max: usize, item: T) {
    if queue.len() == max {
        queue.pop_front();
    }
    queue.push_back(item);
}
