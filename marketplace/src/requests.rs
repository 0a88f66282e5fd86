//! The life of a request: received, holding, waiting, settling, answered; or refused on the way.
//!
//! Always: a request without an outcome is in `open`; a request whose hold is not closed is in `holds`; each caller is told
//! once.

use std::collections::BTreeSet;

use shared::pow::{Root, Threshold};
use shared::protocol::WorkKind;
use shared::{Answer, HoldId, JobId, Millicredits, Outcome, Refusal, ServiceId, Timestamp, WorkSource};

use crate::cache::Found;
use crate::dispatch::Event;
use crate::effect::{Effect, Effects, Step};
use crate::input::{Caller, NewRequest, RequestKey, Withdrawal};
use crate::ledger::Purse;
use crate::limits::{
    ANSWERED_KEPT, ANSWERED_MAX, CALLERS_PER_REQUEST_MAX, LEDGER_UNANSWERED_MAX, REQUESTS_OPEN_MAX,
    SETTLE_GRACE, TIMEOUT_MAX, part_of,
};
use crate::market::Marketplace;
use crate::timers::Timer;

/// A request that has been admitted, until its hold is closed and its answer forgotten.
#[derive(Debug)]
pub(crate) struct Request {
    /// Whether a service asked, or it was foreseen that it will.
    pub(crate) kind: WorkKind,
    /// How urgent it is: what is foreseen is not.
    pub(crate) class: WorkKind,
    pub(crate) root: Root,
    pub(crate) threshold: Threshold,
    pub(crate) price: Millicredits,
    /// Where counts what it costs, if that is bounded by the day.
    pub(crate) purse: Option<Purse>,
    pub(crate) received: Timestamp,
    pub(crate) deadline: Timestamp,
    pub(crate) hold: HoldId,
    pub(crate) callers: Vec<Caller>,
    pub(crate) state: State,
    /// When the unanswered ledger effect, if there is one, is sent again.
    pub(crate) repeat_at: Option<Timestamp>,
}

/// How far a request has come.
#[derive(Debug, Clone, Copy)]
pub(crate) enum State {
    /// The store has been asked for the hold.
    Holding,
    /// Held; workers are searching, or will.
    Waiting { job: JobId },
    /// Work is there; the store has been asked to settle.
    Settling { found: Found, source: WorkSource, since: Timestamp },
    /// It has ended without work; the store has been asked to release the hold.
    Releasing(Refusal),
    /// Answered and paid; kept so that asking again gives the same.
    Answered(Answer),
}

impl Marketplace {
    /// Row by row: a known id, a work that is paid for, the refusals in their order, else a hold.
    pub(crate) fn receive(&mut self, now: Timestamp, new: NewRequest, effects: &mut Effects) {
        self.forget_answered(now);
        if self.requests.contains_key(&new.key) {
            self.join_known(now, new, effects);
            return;
        }
        let settled = self.cache.find_settled(now, new.key.service, new.root, new.threshold);
        let source = self.precache_asked(now, &new, settled.is_some(), effects);
        if let Some(work) = settled {
            let (charged, balance) = (Millicredits::ZERO, None);
            let answer = Answer { work, source, elapsed_ms: 0, charged, balance };
            self.reply_at_once(new, Outcome::Answered(answer), effects);
            return;
        }
        if let Some(refusal) = self.refuses(now, &new) {
            self.reply_at_once(new, Outcome::Refused(refusal), effects);
            return;
        }
        let deadline = now + new.timeout.min(TIMEOUT_MAX);
        self.callers.insert(new.caller, new.key);
        self.admit(now, (WorkKind::OnDemand, deadline), new, vec![new.caller], effects);
    }

    /// Asks for the hold of a request that nothing speaks against.
    pub(crate) fn admit(
        &mut self,
        now: Timestamp,
        (kind, deadline): (WorkKind, Timestamp),
        new: NewRequest,
        callers: Vec<Caller>,
        effects: &mut Effects,
    ) {
        let (hold, price) = (self.next_hold(kind), self.policy.price(new.threshold));
        let purse = match kind {
            WorkKind::OnDemand => new.spender.map(|spender| Purse::Key(spender.key)),
            WorkKind::Precache => Some(Purse::Precache(new.key.service)),
        };
        if let Some(Purse::Key(key)) = purse {
            self.spending.begin(now, key, price);
        }
        let request = Request {
            kind,
            class: new.class,
            root: new.root,
            threshold: new.threshold,
            price,
            purse,
            received: now,
            deadline,
            hold,
            callers,
            state: State::Holding,
            repeat_at: None,
        };
        self.requests.insert(new.key, request);
        self.open.entry(new.key.service).or_default().insert(new.key);
        self.open_count += 1;
        self.holds.insert(hold, new.key);
        self.timers.set(deadline, Timer::Deadline(new.key));
        self.send_ledger_effect(now, hold, effects);
    }

    /// The first refusal that applies, in the order of precedence.
    pub(crate) fn refuses(&self, now: Timestamp, new: &NewRequest) -> Option<Refusal> {
        let open = self.open.get(&new.key.service).map_or(0, BTreeSet::len);
        let part = part_of(new.class);
        [
            (self.suspended.contains(&new.key.service), Refusal::Suspended),
            (!self.policy.sells(new.threshold), Refusal::ThresholdOutOfRange),
            (self.is_draining, Refusal::Draining),
            (!self.is_store_up || !self.is_ledger_green, Refusal::StoreUnavailable),
            (
                open >= self.policy.open_per_service_max
                    || self.unpaid.is_used_up(now, new.key.service, self.policy.unpaid_max),
                Refusal::RateLimited,
            ),
            (
                self.open_count >= REQUESTS_OPEN_MAX / part
                    || self.ledger_unanswered >= LEDGER_UNANSWERED_MAX / part
                    || self.is_too_much(now, new),
                Refusal::Overloaded,
            ),
            (
                new.spender.is_some_and(|spender| {
                    !self.spending.allows(now, spender, self.policy.price(new.threshold))
                }),
                Refusal::InsufficientCredit,
            ),
        ]
        .into_iter()
        .find_map(|(applies, refusal)| applies.then_some(refusal))
    }

    /// Whether there is so much to do already that this could not be done in time. What is being done anyway is no more work.
    fn is_too_much(&self, now: Timestamp, new: &NewRequest) -> bool {
        let part = u32::try_from(part_of(new.class)).unwrap_or(1);
        let within = new.timeout.min(TIMEOUT_MAX) / part;
        let is_done_anyway = self
            .board
            .job_for(new.root, new.threshold)
            .and_then(|job| self.board.job(job))
            .is_some_and(|job| job.kind == WorkKind::OnDemand || new.class == WorkKind::Precache);
        !is_done_anyway
            && !self.cache.knows(now, new.root, new.threshold)
            && !self.dispatch.can_do(self.policy.hashes(new.threshold), within)
    }

    fn join_known(&mut self, now: Timestamp, new: NewRequest, effects: &mut Effects) {
        let Some(known) = self.requests.get_mut(&new.key) else { return };
        if (known.root, known.threshold) != (new.root, new.threshold) {
            self.reply_at_once(new, Outcome::Refused(Refusal::Conflict), effects);
            return;
        }
        match known.state {
            State::Answered(answer) => self.reply_at_once(new, Outcome::Answered(answer), effects),
            State::Releasing(refusal) => self.reply_at_once(new, Outcome::Refused(refusal), effects),
            // Those who waited before have been told so as well.
            State::Settling { .. } if known.deadline + SETTLE_GRACE <= now => {
                self.reply_at_once(new, Outcome::Unsettled, effects);
            }
            State::Holding | State::Waiting { .. } | State::Settling { .. } => {
                if known.callers.len() < CALLERS_PER_REQUEST_MAX {
                    known.callers.push(new.caller);
                    self.callers.insert(new.caller, new.key);
                    if new.class == WorkKind::OnDemand {
                        self.lift(now, new.key);
                    }
                } else {
                    self.reply_at_once(new, Outcome::Refused(Refusal::Overloaded), effects);
                }
            }
        }
    }

    /// A request is on demand from now on, whatever it was, and so is its job.
    fn lift(&mut self, now: Timestamp, key: RequestKey) {
        let Some(request) = self.requests.get_mut(&key) else { return };
        request.class = WorkKind::OnDemand;
        if let State::Waiting { job } = request.state
            && self.board.promote(job)
        {
            self.tell_dispatch(now, Event::JobOpened(job));
        }
    }

    /// Starts or joins the job of a request whose hold has been granted.
    pub(crate) fn start_waiting(&mut self, now: Timestamp, key: RequestKey, effects: &mut Effects) {
        let Some(request) = self.requests.get(&key) else { return };
        let (class, root, threshold, deadline) =
            (request.class, request.root, request.threshold, request.deadline);
        let job = if let Some(job) = self.board.job_for(root, threshold) {
            self.board.join(job, key, deadline);
            // It is as urgent as the most urgent request that has joined it: it goes before what is not, and to more workers.
            if class == WorkKind::OnDemand && self.board.promote(job) {
                self.tell_dispatch(now, Event::JobOpened(job));
            }
            job
        } else {
            let job = self.next_job();
            let hashes = self.policy.hashes(threshold);
            self.board.open((job, now), (root, threshold, class), hashes, (key, deadline));
            self.given.opened(root);
            self.tell_dispatch(now, Event::JobOpened(job));
            job
        };
        if let Some(request) = self.requests.get_mut(&key) {
            request.state = State::Waiting { job };
        }
        effects.push(Effect::Progress { key, root, step: Step::Waiting { job } });
    }

    /// Loss of interest, in whichever way.
    pub(crate) fn withdraw(&mut self, now: Timestamp, withdrawal: Withdrawal, effects: &mut Effects) {
        match withdrawal {
            Withdrawal::Request(key) => self.end_unsettled(now, key, Refusal::Cancelled, effects),
            Withdrawal::Root { service, root } => {
                for key in self.open_of(service) {
                    if self.requests.get(&key).is_some_and(|request| request.root == root) {
                        self.end_unsettled(now, key, Refusal::Cancelled, effects);
                    }
                }
            }
            Withdrawal::Caller(caller) => {
                let Some(key) = self.callers.remove(&caller) else { return };
                let Some(request) = self.requests.get_mut(&key) else { return };
                request.callers.retain(|other| *other != caller);
                effects.push(Effect::Reply { caller, key, outcome: Outcome::Refused(Refusal::Cancelled) });
                if request.callers.is_empty() {
                    self.end_unsettled(now, key, Refusal::Cancelled, effects);
                }
            }
        }
    }

    /// A request's time is over.
    pub(crate) fn deadline(&mut self, now: Timestamp, key: RequestKey, effects: &mut Effects) {
        let Some(request) = self.requests.get(&key) else { return };
        if let State::Settling { .. } = request.state {
            self.timers.set(request.deadline + SETTLE_GRACE, Timer::SettleOverdue(key));
            return;
        }
        let is_known =
            self.workers_ready > 0 || self.workers_last_seen.is_some_and(|seen| seen >= request.received);
        let refusal = if is_known { Refusal::Expired } else { Refusal::NoWorkers };
        self.end_unsettled(now, key, refusal, effects);
    }

    /// A settlement takes too long for its callers. It goes on; asking again will be free.
    pub(crate) fn settle_overdue(&mut self, now: Timestamp, key: RequestKey, effects: &mut Effects) {
        let Some(request) = self.requests.get(&key) else { return };
        // The id may be in use again by now, with a deadline of its own. A precache has nobody who waits: it is under way, and
        // part of its service's budget, until the ledger has answered.
        if request.kind == WorkKind::OnDemand
            && matches!(request.state, State::Settling { .. })
            && request.deadline + SETTLE_GRACE <= now
        {
            self.reply(key, Outcome::Unsettled, effects);
        }
    }

    pub(crate) fn suspend(&mut self, now: Timestamp, service: ServiceId, effects: &mut Effects) {
        self.suspended.insert(service);
        for key in self.open_of(service) {
            self.end_unsettled(now, key, Refusal::Suspended, effects);
        }
    }

    pub(crate) fn drain_ends(&mut self, now: Timestamp, effects: &mut Effects) {
        let open: Vec<RequestKey> = self.open.values().flatten().copied().collect();
        for key in open {
            self.end_unsettled(now, key, Refusal::Draining, effects);
        }
    }

    /// Ends a request that is holding or waiting: replied at once, its hold released. A settlement completes instead.
    pub(crate) fn end_unsettled(
        &mut self,
        now: Timestamp,
        key: RequestKey,
        refusal: Refusal,
        effects: &mut Effects,
    ) {
        let Some(request) = self.requests.get_mut(&key) else { return };
        let (state, hold) = (request.state, request.hold);
        if !matches!(state, State::Holding | State::Waiting { .. }) {
            return;
        }
        request.state = State::Releasing(refusal);
        let (kind, threshold) = (request.kind, request.threshold);
        if let State::Waiting { job } = state {
            let was_searched = self.leave_job(now, job, key);
            // Whatever else ends a request is not its service's doing.
            let is_its_doing = matches!(refusal, Refusal::Cancelled | Refusal::Expired);
            if was_searched && is_its_doing && kind == WorkKind::OnDemand {
                let (hashes, max) = (self.policy.hashes(threshold), self.policy.unpaid_max);
                self.unpaid.searched_in_vain(now, key.service, hashes, max);
            }
            self.send_lists(now, effects);
        }
        self.reply(key, Outcome::Refused(refusal), effects);
        self.send_ledger_effect(now, hold, effects);
    }

    /// Takes a request off its job; when it was the last, the job is closed and its workers do something else. Returns whether some
    /// worker has been searching for nobody else.
    pub(crate) fn leave_job(&mut self, now: Timestamp, job: JobId, key: RequestKey) -> bool {
        let root = self.board.job(job).map(|job| job.root);
        if let (Some(freed), Some(root)) = (self.board.leave(job, key), root) {
            if self.board.jobs_of_root(root).next().is_none() {
                self.given.ended(now, root);
            }
            let was_searched = !freed.is_empty();
            self.tell_dispatch(now, Event::JobClosed { job, workers: freed });
            return was_searched;
        }
        false
    }

    /// Whether a request of this name has been admitted and is not forgotten yet, so that asking under it is asking again.
    pub fn knows(&self, key: &RequestKey) -> bool {
        self.requests.contains_key(key)
    }

    /// Tells every caller of a request its outcome, once.
    pub(crate) fn reply(&mut self, key: RequestKey, outcome: Outcome, effects: &mut Effects) {
        let Some(request) = self.requests.get_mut(&key) else { return };
        let (kind, deadline) = (request.kind, request.deadline);
        for caller in std::mem::take(&mut request.callers) {
            self.callers.remove(&caller);
            effects.push(Effect::Reply { caller, key, outcome });
        }
        let open = self.open.get_mut(&key.service);
        if open.is_some_and(|open| open.remove(&key)) {
            self.open_count -= 1;
            self.timers.clear(deadline, Timer::Deadline(key));
            match kind {
                WorkKind::OnDemand => self.count(outcome),
                WorkKind::Precache => self.precache_ended(key, outcome),
            }
        }
        if self.open.get(&key.service).is_some_and(BTreeSet::is_empty) {
            self.open.remove(&key.service);
        }
    }

    fn reply_at_once(&mut self, new: NewRequest, outcome: Outcome, effects: &mut Effects) {
        self.count(outcome);
        effects.push(Effect::Reply { caller: new.caller, key: new.key, outcome });
    }

    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Answered(_) => self.statistics.requests_answered += 1,
            Outcome::Refused(_) | Outcome::Unsettled => self.statistics.requests_refused += 1,
        }
    }

    /// A service's requests without an outcome, in the order of their ids.
    pub(crate) fn open_of(&self, service: ServiceId) -> Vec<RequestKey> {
        self.open.get(&service).map(|open| open.iter().copied().collect()).unwrap_or_default()
    }

    /// Keeps an answered request for whoever asks again.
    pub(crate) fn keep_answer(&mut self, now: Timestamp, key: RequestKey, answer: Answer) {
        if let Some(request) = self.requests.get_mut(&key) {
            // Nobody knows the name of a precache; it is asked for by its root.
            if request.kind == WorkKind::Precache {
                self.requests.remove(&key);
                return;
            }
            request.state = State::Answered(answer);
            self.answered.push_back((now, key));
        }
        self.forget_answered(now);
    }

    fn forget_answered(&mut self, now: Timestamp) {
        while let Some((at, key)) = self.answered.front().copied() {
            if self.answered.len() <= ANSWERED_MAX && now.since(at) < ANSWERED_KEPT {
                break;
            }
            self.answered.pop_front();
            self.requests.remove(&key);
        }
    }
}
