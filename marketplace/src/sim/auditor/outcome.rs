//! Who asked, what each must be told, and when.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use shared::pow::{Difficulty, Root, Threshold};
use shared::protocol::WorkKind;
use shared::{Answer, HoldId, Millicredits, Outcome, Refusal, ServiceId, Timestamp, WorkSource};

use super::hold::Phase;
use super::{Auditor, Cause, Check, Rule, named};
use crate::dispatch::DispatchPolicy;
use crate::input::{Caller, NewRequest, RequestKey, Withdrawal};
use crate::limits;

/// A day: for so long, what was paid for is free.
const REPEAT: Duration = Duration::from_hours(24);

#[derive(Debug, Default)]
pub(super) struct Outcomes {
    /// Everybody who has asked; whether they have been told.
    callers: BTreeMap<Caller, (RequestKey, bool)>,
    untold: usize,
    pub(super) requests: BTreeMap<RequestKey, Request>,
    /// Requests without an outcome, over all and by service.
    counted: usize,
    counted_of: BTreeMap<ServiceId, usize>,
    /// Requests that have not ended and whose work is not there, and of all that have not ended, the deadlines.
    unsettled: usize,
    deadlines: BTreeSet<(Timestamp, RequestKey)>,
    /// What was paid for.
    paid: BTreeMap<(ServiceId, Root), Vec<(Difficulty, Timestamp)>>,
    pub(super) suspended: BTreeSet<ServiceId>,
    pub(super) is_store_down: bool,
    pub(super) is_ledger_red: bool,
    pub(super) drain_ends: Option<Timestamp>,
    /// What the caller of this input must be told, or what must happen instead.
    expected: Option<(NewRequest, Expected)>,
    /// Requests whose callers are being told the end of them.
    ending: Vec<RequestKey>,
    /// Is to be forgotten after this input.
    gone: Option<RequestKey>,
}

/// A request that has been admitted.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) root: Root,
    pub(super) threshold: Threshold,
    pub(super) received: Timestamp,
    pub(super) deadline: Timestamp,
    pub(super) hold: HoldId,
    /// Callers that wait.
    waiting: usize,
    pub(super) end: Option<End>,
    is_counted: bool,
}

/// How a request has ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Refused(Refusal),
    /// When, and with what, as far as anybody was told.
    Answered(Timestamp, Option<Answer>),
}

/// What must become of a caller that has just asked.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// It is told at once.
    Told(Outcome),
    /// It is told what its request was answered with, which nobody has heard yet.
    ToldAgain,
    /// It is told of work that its service has paid for.
    Free,
    /// It waits with others.
    Joins,
    /// It waits, and a hold is asked for.
    Holds,
}

impl Outcomes {
    pub(super) const fn untold(&self) -> usize {
        self.untold
    }

    /// A service has paid for a work.
    pub(super) fn paid(&mut self, of: (ServiceId, Root), difficulty: Difficulty, at: Timestamp) {
        self.paid.entry(of).or_default().push((difficulty, at));
    }

    fn is_free(&self, now: Timestamp, of: (ServiceId, Root), threshold: Threshold) -> bool {
        let paid = self.paid.get(&of).into_iter().flatten();
        paid.into_iter().any(|(difficulty, at)| difficulty.meets(threshold) && now.since(*at) < REPEAT)
    }

    fn uncount(&mut self, key: RequestKey) {
        if let Some(request) = self.requests.get_mut(&key)
            && core::mem::take(&mut request.is_counted)
        {
            self.counted -= 1;
            if let Some(count) = self.counted_of.get_mut(&key.service) {
                *count -= 1;
            }
        }
    }

    /// The work of a request is there: it is being paid for.
    pub(super) const fn settles(&mut self) {
        self.unsettled -= 1;
    }

    /// A request ends.
    fn end(&mut self, key: RequestKey, end: End, was_unsettled: bool) {
        if let Some(request) = self.requests.get_mut(&key) {
            request.end = Some(end);
            self.deadlines.remove(&(request.deadline, key));
            self.unsettled -= usize::from(was_unsettled);
            self.ending.push(key);
        }
        self.uncount(key);
    }
}

impl Auditor {
    pub(super) fn request_received(&mut self, new: &NewRequest) {
        self.cause = Cause::Received;
        let kept = |request: &Request| match request.end {
            Some(End::Answered(at, _)) => self.now.since(at) < limits::ANSWERED_KEPT,
            _ => true,
        };
        if self.outcomes.requests.get(&new.key).is_some_and(|request| !kept(request)) {
            self.outcomes.requests.remove(&new.key);
        }
        let expected = self.expected_of(new);
        if matches!(expected, Expected::Joins) && new.class == WorkKind::OnDemand {
            self.lifted(new.key);
        }
        self.outcomes.expected = Some((*new, expected));
        self.outcomes.callers.insert(new.caller, (new.key, false));
        self.outcomes.untold += 1;
    }

    /// The rows of the table of a request's life that begin with `received`.
    fn expected_of(&self, new: &NewRequest) -> Expected {
        let refused = |refusal| Expected::Told(Outcome::Refused(refusal));
        if let Some(known) = self.outcomes.requests.get(&new.key) {
            return match known.end {
                _ if (known.root, known.threshold) != (new.root, new.threshold) => refused(Refusal::Conflict),
                Some(End::Refused(refusal)) => refused(refusal),
                Some(End::Answered(_, Some(answer))) => Expected::Told(Outcome::Answered(answer)),
                Some(End::Answered(_, None)) => Expected::ToldAgain,
                None if self.is_settling_too_long(known) => Expected::Told(Outcome::Unsettled),
                None if known.waiting < limits::CALLERS_PER_REQUEST_MAX => Expected::Joins,
                None => refused(Refusal::Overloaded),
            };
        }
        let service = new.key.service;
        if self.outcomes.is_free(self.now, (service, new.root), new.threshold) {
            return Expected::Free;
        }
        let (least, most) = (self.policy.threshold_min, self.policy.threshold_max);
        let part = if new.class == WorkKind::Precache { limits::BEHIND_PART } else { 1 };
        let open = self.outcomes.counted_of.get(&service).copied().unwrap_or(0);
        let rules = [
            (self.outcomes.suspended.contains(&service), Refusal::Suspended),
            (new.threshold < least || new.threshold > most, Refusal::ThresholdOutOfRange),
            (self.outcomes.drain_ends.is_some(), Refusal::Draining),
            (self.outcomes.is_store_down || self.outcomes.is_ledger_red, Refusal::StoreUnavailable),
            (open >= self.policy.open_per_service_max, Refusal::RateLimited),
            (self.outcomes.counted >= limits::REQUESTS_OPEN_MAX / part, Refusal::Overloaded),
            (self.holds.unanswered() >= limits::LEDGER_UNANSWERED_MAX / part, Refusal::Overloaded),
        ];
        rules
            .into_iter()
            .find(|(applies, _)| *applies)
            .map_or(Expected::Holds, |(_, refusal)| refused(refusal))
    }

    /// Whether the work of a request is there, and the store has not said for long that it is paid for.
    fn is_settling_too_long(&self, request: &Request) -> bool {
        let is_settling = self.holds.phase(request.hold) == Phase::Settling;
        is_settling && self.is_past(request.deadline, limits::SETTLE_GRACE)
    }

    /// The caller of this input may begin to wait for this hold.
    pub(super) fn admitted(&mut self, hold: HoldId) -> Result<NewRequest, super::Broken> {
        let Some((new, Expected::Holds)) = self.outcomes.expected.take() else {
            return Err(
                self.broken(Rule::HoldsAreClosedOnce, format!("{hold:?} is asked for, for no request"))
            );
        };
        let deadline = self.now + new.timeout.min(limits::TIMEOUT_MAX);
        self.outcomes.requests.insert(
            new.key,
            Request {
                root: new.root,
                threshold: new.threshold,
                received: self.now,
                deadline,
                hold,
                waiting: 1,
                end: None,
                is_counted: true,
            },
        );
        self.outcomes.counted += 1;
        *self.outcomes.counted_of.entry(new.key.service).or_default() += 1;
        self.outcomes.unsettled += 1;
        self.outcomes.deadlines.insert((deadline, new.key));
        Ok(new)
    }

    pub(super) fn replied(&mut self, caller: Caller, key: RequestKey, outcome: Outcome) -> Check {
        let known = self.outcomes.callers.get_mut(&caller);
        let is_right = known.is_some_and(|(of, told)| *of == key && !core::mem::replace(told, true));
        self.must(is_right, Rule::EveryCallerIsToldOnce, || {
            format!("caller {} of {} is told again, or never asked", caller.0, named(key))
        })?;
        self.outcomes.untold -= 1;
        if let Outcome::Answered(answer) = outcome {
            let difficulty = shared::pow::difficulty(&answer.work.root(), answer.work.nonce());
            let is_valid = difficulty == answer.work.difficulty();
            self.must(is_valid, Rule::NoPayWithoutWork, || {
                format!("{} is answered with work that is none", named(key))
            })?;
        }
        if self.outcomes.expected.as_ref().is_some_and(|(new, _)| new.caller == caller) {
            return self.told_at_once(outcome);
        }
        match outcome {
            Outcome::Answered(answer) => self.told_answer(key, answer),
            Outcome::Refused(refusal) => self.told_refusal(caller, key, refusal),
            Outcome::Unsettled => self.told_unsettled(key),
        }
    }

    fn told_at_once(&mut self, outcome: Outcome) -> Check {
        let Some((new, expected)) = self.outcomes.expected.take() else { return Ok(()) };
        let is_true = match (expected, outcome) {
            (Expected::Told(expected), _) => outcome == expected,
            (Expected::ToldAgain, Outcome::Answered(answer)) => {
                answer.work.root() == new.root && answer.work.meets(new.threshold)
            }
            (Expected::Free, Outcome::Answered(answer)) => {
                let paid = self.outcomes.paid.get(&(new.key.service, new.root));
                answer.work.root() == new.root
                    && answer.work.meets(new.threshold)
                    && (answer.charged, answer.balance, answer.source)
                        == (Millicredits::ZERO, None, WorkSource::Cache)
                    && paid.is_some_and(|paid| {
                        paid.iter().any(|(difficulty, _)| *difficulty == answer.work.difficulty())
                    })
            }
            // Some policies refuse what could not be done in time; but never while there is little to do.
            (Expected::Holds, Outcome::Refused(Refusal::Overloaded)) => {
                matches!(self.policy.dispatch, DispatchPolicy::Adaptive { .. })
                    && self.outcomes.counted >= limits::BACKLOG_MIN
            }
            _ => false,
        };
        self.must(is_true, Rule::OutcomesAreTrue, || {
            format!("{} is told {outcome:?} at once where {expected:?} was due", named(new.key))
        })
    }

    fn told_answer(&mut self, key: RequestKey, answer: Answer) -> Check {
        let request = self.outcomes.requests.get_mut(&key);
        let is_due = matches!(self.cause, Cause::Settled(hold) if request.as_ref().is_some_and(|request| request.hold == hold));
        let mut is_true = false;
        if let Some(request) = request.filter(|_| is_due) {
            request.waiting -= 1;
            let same = match &mut request.end {
                Some(End::Answered(_, told)) => told.get_or_insert(answer) == &answer,
                _ => false,
            };
            is_true = same && answer.work.root() == request.root && answer.work.meets(request.threshold);
        }
        self.must(is_true, Rule::OutcomesAreTrue, || {
            format!("{} is told {answer:?} without a settlement of that", named(key))
        })?;
        let is_charged = self.books.answer_is_true(&answer, self.outcomes.requests[&key].hold);
        self.must(is_charged, Rule::OutcomesAreTrue, || {
            format!("{} is told {answer:?}, but the store said otherwise", named(key))
        })
    }

    fn told_refusal(&mut self, caller: Caller, key: RequestKey, refusal: Refusal) -> Check {
        let is_true = self
            .outcomes
            .requests
            .get(&key)
            .is_some_and(|request| self.is_true_of(caller, key, request, refusal));
        self.must(is_true, Rule::OutcomesAreTrue, || {
            format!("{} is told {refusal} because of {:?}", named(key), self.cause)
        })?;
        let phase = self.outcomes.requests.get(&key).map(|request| self.holds.phase(request.hold));
        let hangs_up = matches!(self.cause, Cause::Withdrawn(Withdrawal::Caller(_)));
        let Some(request) = self.outcomes.requests.get_mut(&key) else { return Ok(()) };
        request.waiting -= 1;
        let is_unsettled = matches!(phase, Some(Phase::Asked | Phase::Waiting));
        if request.end.is_none() && !(hangs_up && (request.waiting > 0 || !is_unsettled)) {
            self.outcomes.end(key, End::Refused(refusal), is_unsettled);
        }
        Ok(())
    }

    /// Whether a request that was admitted may be refused for this reason now.
    fn is_true_of(&self, caller: Caller, key: RequestKey, request: &Request, refusal: Refusal) -> bool {
        if let Some(end) = request.end {
            return matches!(end, End::Refused(told) if told == refusal)
                && self.outcomes.ending.contains(&key);
        }
        let phase = self.holds.phase(request.hold);
        let is_unsettled = matches!(phase, Phase::Asked | Phase::Waiting);
        let is_over = is_unsettled && matches!(self.cause, Cause::Wake) && self.now >= request.deadline;
        let had_workers = self.lists.had_workers_since(request.received);
        match (refusal, self.cause) {
            (Refusal::Cancelled, Cause::Withdrawn(Withdrawal::Caller(gone))) => gone == caller,
            (Refusal::Cancelled, Cause::Withdrawn(Withdrawal::Request(gone))) => is_unsettled && gone == key,
            (Refusal::Cancelled, Cause::Withdrawn(Withdrawal::Root { service, root })) => {
                is_unsettled && (service, root) == (key.service, request.root)
            }
            (Refusal::Suspended, Cause::Suspended(service)) => is_unsettled && service == key.service,
            (Refusal::StoreUnavailable, Cause::StoreDown) => phase == Phase::Asked,
            (Refusal::Draining, Cause::Wake) => {
                is_unsettled && self.outcomes.drain_ends.is_some_and(|ends| ends <= self.now)
            }
            (Refusal::Expired, _) => is_over && had_workers,
            (Refusal::NoWorkers, _) => is_over && !had_workers,
            _ => false,
        }
    }

    fn told_unsettled(&mut self, key: RequestKey) -> Check {
        let due = self.outcomes.requests.get(&key).filter(|request| request.end.is_none());
        let is_true = due.is_some_and(|request| {
            self.holds.phase(request.hold) == Phase::Settling
                && self.is_past(request.deadline, limits::SETTLE_GRACE)
        });
        self.must(is_true, Rule::OutcomesAreTrue, || {
            format!("{} is told too early that it is not settled", named(key))
        })?;
        if let Some(request) = self.outcomes.requests.get_mut(&key) {
            request.waiting -= 1;
        }
        self.outcomes.uncount(key);
        Ok(())
    }

    /// A request ends because of what the store has said, whether or not anybody still waits for it.
    pub(super) fn ended_by_store(&mut self, key: RequestKey, end: End) {
        let was_unsettled = matches!(end, End::Refused(Refusal::InsufficientCredit));
        self.outcomes.end(key, end, was_unsettled);
        if !matches!(end, End::Answered(..)) {
            self.outcomes.gone = Some(key);
        }
    }

    /// The hold of a request that was refused is closed: its id is free again.
    pub(super) fn forget_request(&mut self, key: RequestKey) {
        self.outcomes.gone = Some(key);
    }

    /// The end of the request of this hold, to which a release belongs.
    pub(super) fn end_of(&self, key: RequestKey) -> Option<End> {
        self.outcomes.requests.get(&key).and_then(|request| request.end)
    }

    /// Requests that this input has ended.
    pub(super) fn ended_now(&self) -> &[RequestKey] {
        &self.outcomes.ending
    }

    pub(super) fn outcomes_end(&mut self) -> Check {
        if let Some((new, expected)) = self.outcomes.expected.take() {
            let joins = matches!(expected, Expected::Joins);
            self.must(joins, Rule::EveryCallerIsToldOnce, || {
                format!("{} is not told, where {expected:?} was due", named(new.key))
            })?;
            if let Some(known) = self.outcomes.requests.get_mut(&new.key) {
                known.waiting += 1;
            }
        }
        for key in core::mem::take(&mut self.outcomes.ending) {
            let waiting = self.outcomes.requests.get(&key).map_or(0, |request| request.waiting);
            self.must(waiting == 0, Rule::EveryCallerIsToldOnce, || {
                format!("{waiting} callers of {} are left waiting at its end", named(key))
            })?;
        }
        self.withdrawn_is_ended()?;
        self.nothing_is_overdue()?;
        if let Some(key) = self.outcomes.gone.take() {
            self.outcomes.requests.remove(&key);
        }
        Ok(())
    }

    /// What the last input ends has ended.
    fn withdrawn_is_ended(&self) -> Check {
        let is_left = |key: &RequestKey, request: &Request, phases: &[Phase]| {
            let left = request.end.is_none() && phases.contains(&self.holds.phase(request.hold));
            self.must(!left, Rule::OutcomesAreTrue, || {
                format!("{} goes on in spite of {:?}", named(*key), self.cause)
            })
        };
        let unsettled = [Phase::Asked, Phase::Waiting];
        let of =
            |service: ServiceId| self.outcomes.requests.iter().filter(move |(key, _)| key.service == service);
        match self.cause {
            Cause::Withdrawn(Withdrawal::Caller(caller)) => {
                let told = self.outcomes.callers.get(&caller).is_none_or(|(_, told)| *told);
                self.must(told, Rule::EveryCallerIsToldOnce, || {
                    format!("caller {} has hung up and is still waiting", caller.0)
                })
            }
            Cause::Withdrawn(Withdrawal::Request(key)) => {
                self.outcomes.requests.get(&key).map_or(Ok(()), |request| is_left(&key, request, &unsettled))
            }
            Cause::Withdrawn(Withdrawal::Root { service, root }) => of(service)
                .filter(|(_, request)| request.root == root)
                .try_for_each(|(key, request)| is_left(key, request, &unsettled)),
            Cause::Suspended(service) => {
                of(service).try_for_each(|(key, request)| is_left(key, request, &unsettled))
            }
            Cause::StoreDown => self
                .outcomes
                .requests
                .iter()
                .try_for_each(|(key, request)| is_left(key, request, &[Phase::Asked])),
            _ => Ok(()),
        }
    }

    /// After the market was woken, nobody waits any more whose time is over.
    fn nothing_is_overdue(&mut self) -> Check {
        if !matches!(self.cause, Cause::Wake) {
            return Ok(());
        }
        for (deadline, key) in
            self.outcomes.deadlines.iter().take_while(|(deadline, _)| *deadline <= self.now)
        {
            let request = &self.outcomes.requests[key];
            let is_kept_waiting = request.waiting > 0 && self.is_past(*deadline, limits::SETTLE_GRACE);
            let settles = self.holds.phase(request.hold) == Phase::Settling;
            self.must(settles && !is_kept_waiting, Rule::OutcomesAreTrue, || {
                format!("{} goes on after its time", named(*key))
            })?;
        }
        for key in self.given_up() {
            self.outcomes.uncount(key);
        }
        let drained =
            self.outcomes.drain_ends.is_none_or(|ends| ends > self.now) || self.outcomes.unsettled == 0;
        self.must(drained, Rule::OutcomesAreTrue, || "a request goes on after the end of the drain".into())
    }

    /// Requests that count as open, for which nobody waits, and which have been told too often by now that they settle: they
    /// stop to count in the course of a wake-up.
    pub(super) fn given_up(&self) -> Vec<RequestKey> {
        let over = self
            .outcomes
            .deadlines
            .iter()
            .take_while(|(deadline, _)| self.is_past(*deadline, limits::SETTLE_GRACE));
        let is_silent = |request: &Request| request.is_counted && request.waiting == 0;
        over.map(|(_, key)| *key).filter(|key| is_silent(&self.outcomes.requests[key])).collect()
    }

    /// Requests without an outcome.
    pub(super) const fn requests_open(&self) -> usize {
        self.outcomes.counted
    }
}
