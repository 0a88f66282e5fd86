//! A worker: what it does with the lists that it is sent, as `dpow-worker` does it, or as its character is.

use core::time::Duration;
use std::collections::VecDeque;

use shared::pow::{Nonce, Root, Threshold, Work};
use shared::protocol::{ListedJob, PauseReason, WorkList, WorkResult, WorkerHello, WorkerStatus};
use shared::{JobId, Payee, SessionId, Timestamp, WorkerId};

use super::class::Scale;
use super::random::Random;
use super::scenario::{Character, Order};
use super::search::Search;
use crate::input::WorkerReport;

/// Finished jobs that are remembered, so that an old list does not start one again.
const FINISHED_MAX: usize = 64;
/// Results that wait for their verdict.
const OUTBOX_MAX: usize = 32;
/// A worker that searches says something at least so often.
const SIGN_EVERY: Duration = Duration::from_secs(1);

/// What a worker sends.
#[derive(Debug, Clone)]
pub(super) enum Uplink {
    Result(WorkResult),
    Report(Box<WorkerReport>),
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) payee: Payee,
    pub(super) delay: Duration,
    pub(super) character: Character,
    pub(super) session: Option<SessionId>,
    pub(super) search: Search,
    pub(super) random: Random,
    order: Order,
    capacity: u8,
    /// By which factor the rate that it announces is wrong.
    pub(super) boast: f64,
    is_paused: bool,
    is_asleep: bool,
    /// Of the newest list of this session.
    sequence: Option<u32>,
    queue: Vec<Queued>,
    current: Option<Queued>,
    /// Since when it has searched without a word.
    quiet_since: Option<Timestamp>,
    finished: VecDeque<JobId>,
    outbox: VecDeque<WorkResult>,
    /// When it wants to be looked at, as the agenda has it, and the number of that entry.
    pub(super) alarm: Option<Timestamp>,
    pub(super) alarms: u32,
}

#[derive(Debug, Clone, Copy)]
struct Queued {
    job: ListedJob,
    deadline: Timestamp,
}

impl Worker {
    pub(super) fn new(
        rate: f64,
        delay: Duration,
        character: Character,
        (order, capacity): (Order, u8),
        mut random: Random,
    ) -> Self {
        Self {
            id: WorkerId::from_bytes(random.bytes()),
            payee: Payee::Account(shared::Account::from_public_key(random.bytes())),
            delay,
            character,
            session: None,
            search: Search::new(rate, &mut random),
            random,
            order,
            capacity,
            boast: 1.0,
            is_paused: false,
            is_asleep: false,
            sequence: None,
            queue: Vec::new(),
            current: None,
            quiet_since: None,
            finished: VecDeque::new(),
            outbox: VecDeque::new(),
            alarm: None,
            alarms: 0,
        }
    }

    /// What it says and sends when it has connected.
    pub(super) fn connect(&mut self, session: SessionId) -> Vec<Uplink> {
        self.session = Some(session);
        self.sequence = None;
        self.is_paused = false;
        let hello = Uplink::Report(Box::new(self.hello(Threshold::new(u64::MAX))));
        let unanswered = self.outbox.iter().copied().map(Uplink::Result);
        core::iter::once(hello).chain(unanswered).collect()
    }

    fn hello(&self, threshold_max: Threshold) -> WorkerReport {
        let boast = if self.character == Character::Liar { 20.0 } else { self.boast };
        WorkerReport::Hello(WorkerHello {
            software: String::new(),
            devices: Vec::new(),
            hashes_per_second: whole(self.search.rate() * boast),
            capacity: self.capacity,
            threshold_max,
            precache: true,
        })
    }

    /// A list replaces what was to be done, unless it is older than the last one.
    pub(super) fn listed(&mut self, now: Timestamp, list: &WorkList, scale: Scale) {
        if self.sequence.is_some_and(|newest| list.sequence <= newest) {
            return;
        }
        self.sequence = Some(list.sequence);
        self.queue.clear();
        for job in list.jobs.iter().filter(|job| !self.finished.contains(&job.job)) {
            let deadline = now + Duration::from_millis(job.remaining_ms.into());
            self.queue.push(Queued { job: *job, deadline });
        }
        self.turn(now, scale);
    }

    /// A verdict came: the result need not be sent again.
    pub(super) fn judged(&mut self, job: JobId) {
        self.outbox.retain(|result| result.job != job);
    }

    /// When it wants to be looked at next.
    pub(super) fn next_alarm(&self) -> Option<Timestamp> {
        let found = self.search.finds_at()?;
        let sign = self.sign_at().unwrap_or(found);
        self.current.map(|current| found.min(current.deadline).min(sign))
    }

    fn sign_at(&self) -> Option<Timestamp> {
        self.session.and(self.quiet_since).map(|since| since + SIGN_EVERY)
    }

    /// It has found something, or nobody waits for its job any more, or it has to say that it is still there.
    pub(super) fn look(&mut self, now: Timestamp, scale: Scale) -> Option<Uplink> {
        if let Some(result) = self.finds(now, scale) {
            self.quiet_since = self.quiet_since.map(|_| now);
            return Some(Uplink::Result(result));
        }
        self.sign_at().filter(|at| *at <= now)?;
        self.quiet_since = Some(now);
        Some(Uplink::Report(Box::new(self.status())))
    }

    fn finds(&mut self, now: Timestamp, scale: Scale) -> Option<WorkResult> {
        let found = self.current.take_if(|_| self.search.finds_at().is_some_and(|at| at <= now));
        let result = found.and_then(|Queued { job, .. }| {
            self.search.found(now, &mut self.random);
            self.queue.retain(|queued| queued.job.job != job.job);
            push_bounded(&mut self.finished, FINISHED_MAX, job.job);
            if self.character == Character::Withholder {
                return None;
            }
            let nonce = meeting(job.root, job.threshold, &mut self.random);
            let result = WorkResult { job: job.job, root: job.root, nonce };
            push_bounded(&mut self.outbox, OUTBOX_MAX, result);
            Some(result)
        });
        self.turn(now, scale);
        result
    }

    /// What it sends although it has not found it.
    pub(super) fn lies(&mut self, list: &WorkList) -> Vec<WorkResult> {
        let mut lies = Vec::new();
        if self.character != Character::Liar || !self.random.chance(0.3) {
            return lies;
        }
        let listed = self.random.pick(&list.jobs).copied();
        if let Some(listed) = listed {
            let weak = Nonce::new(self.random.next());
            lies.push(WorkResult { job: listed.job, root: listed.root, nonce: weak });
            let counter = listed.job.counter + self.random.next() % 3;
            let job = JobId { instance: listed.job.instance ^ (self.random.next() % 2), counter };
            lies.push(WorkResult { job, root: Root::new(self.random.bytes()), nonce: weak });
            lies.push(WorkResult { job, root: listed.root, nonce: Nonce::new(self.random.next()) });
        }
        lies
    }

    /// Falls asleep or wakes up, without a word.
    pub(super) fn turn_over(&mut self, now: Timestamp, scale: Scale) -> bool {
        self.is_asleep = !self.is_asleep;
        self.turn(now, scale);
        self.is_asleep
    }

    /// Pauses or goes on, or changes what it is willing to do, and says so.
    pub(super) fn change_mood(&mut self, now: Timestamp, scale: Scale) -> WorkerReport {
        if self.random.chance(0.3) {
            self.capacity = 1 + u8::try_from(self.random.below(8)).unwrap_or(0);
            let hardest = if self.random.chance(0.5) {
                scale.threshold(super::class::Class::Receive)
            } else {
                Threshold::new(u64::MAX)
            };
            return self.hello(hardest);
        }
        self.is_paused = !self.is_paused;
        if self.is_paused {
            self.queue.clear();
            self.turn(now, scale);
        }
        self.status()
    }

    fn status(&self) -> WorkerReport {
        WorkerReport::Status(WorkerStatus {
            hashes_per_second: whole(self.search.rate() * self.boast),
            devices_hashes_per_second: Vec::new(),
            temperature_c: None,
            paused: self.is_paused.then_some(PauseReason::Owner),
        })
    }

    /// Chooses what to search.
    fn turn(&mut self, now: Timestamp, scale: Scale) {
        self.queue.retain(|queued| queued.deadline > now);
        let kept = self
            .current
            .and_then(|current| self.queue.iter().find(|queued| queued.job.job == current.job.job))
            .copied();
        let wanted = match self.order {
            _ if self.is_asleep => None,
            Order::Listed => self.queue.first().copied(),
            Order::Random => kept.or_else(|| self.random.pick(&self.queue).copied()),
            Order::Fifo => kept.or_else(|| self.queue.iter().min_by_key(|queued| queued.job.job).copied()),
        };
        self.current = wanted;
        self.quiet_since = wanted.map(|_| self.quiet_since.unwrap_or(now));
        self.search.turn_to(now, wanted.map(|queued| scale.hashes(queued.job.threshold)));
    }
}

/// A nonce that meets a threshold of the core.
pub(super) fn meeting(root: Root, threshold: Threshold, random: &mut Random) -> Nonce {
    loop {
        let nonce = Nonce::new(random.next());
        if Work::verify(root, nonce, threshold).is_some() {
            return nonce;
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are small and not negative"
)]
const fn whole(rate: f64) -> u64 {
    rate as u64
}

fn push_bounded<T>(queue: &mut VecDeque<T>, max: usize, item: T) {
    if queue.len() == max {
        queue.pop_front();
    }
    queue.push_back(item);
}
