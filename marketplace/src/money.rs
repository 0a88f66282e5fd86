//! The market's side of the ledger: what it asks the store for, and what the answers mean.
//!
//! Always: while a request is in `holds`, exactly one ledger effect is asked for and unanswered, or the request is waiting for
//! work. It is repeated with the same id until it is answered, so a lost answer loses nothing.

use shared::{Answer, HoldId, Millicredits, Outcome, Refusal, Timestamp, WorkSource};

use crate::cache::Found;
use crate::effect::{Effect, Effects, SettleOrder, Step};
use crate::input::RequestKey;
use crate::ledger::Purse;
use crate::limits::{HOLD_GRACE, LEDGER_REPEAT};
use crate::market::Marketplace;
use crate::requests::State;
use crate::timers::Timer;

impl Marketplace {
    /// The hold is there: the work may be too, else workers search for it.
    pub(crate) fn held(&mut self, now: Timestamp, hold: HoldId, effects: &mut Effects) {
        let Some(key) = self.holds.get(&hold).copied() else {
            // Its release overtook it: give back what nobody wants any more.
            effects.push(Effect::Release { hold });
            return;
        };
        let Some(request) = self.requests.get(&key) else { return };
        match request.state {
            State::Holding => {
                let (root, threshold) = (request.root, request.threshold);
                self.ledger_effect_answered(hold);
                match self.cache.find(now, root, threshold) {
                    Some(found) => self.start_settling(now, key, found, WorkSource::Cache, effects),
                    None => self.start_waiting(now, key, effects),
                }
            }
            State::Releasing(_) => effects.push(Effect::Release { hold }),
            State::Waiting { .. } | State::Settling { .. } | State::Answered(_) => {}
        }
    }

    pub(crate) fn hold_refused(&mut self, now: Timestamp, hold: HoldId, effects: &mut Effects) {
        let Some((key, State::Holding)) = self.of_hold(hold) else { return };
        self.ledger_effect_answered(hold);
        self.reply(key, Outcome::Refused(Refusal::InsufficientCredit), effects);
        self.close_hold(now, hold);
        self.requests.remove(&key);
    }

    /// Asks the store to pay for a work that answers this request.
    pub(crate) fn start_settling(
        &mut self,
        now: Timestamp,
        key: RequestKey,
        found: Found,
        source: WorkSource,
        effects: &mut Effects,
    ) {
        let Some(request) = self.requests.get_mut(&key) else { return };
        let step = match request.state {
            State::Waiting { job } => Step::Solved { job, worker: found.worker },
            _ => Step::Cached { worker: found.worker },
        };
        request.state = State::Settling { found, source, since: now };
        let (hold, root) = (request.hold, request.root);
        effects.push(Effect::Progress { key, root, step });
        self.send_ledger_effect(now, hold, effects);
    }

    /// The work is paid for: it is the service's for 24 hours.
    pub(crate) fn settled(
        &mut self,
        now: Timestamp,
        hold: HoldId,
        (charged, balance, earned): (Millicredits, Millicredits, Millicredits),
        effects: &mut Effects,
    ) {
        let Some((key, State::Settling { found, source, since })) = self.of_hold(hold) else { return };
        self.ledger_effect_answered(hold);
        if let Some(Purse::Key(spender)) = self.requests.get(&key).and_then(|request| request.purse) {
            self.spending.charged(now, spender, since, charged);
        }
        self.close_hold(now, hold);
        let Some(request) = self.requests.get(&key) else { return };
        let (class, elapsed) = (self.class_of(request.class, request.threshold), now.since(request.received));
        let elapsed_ms = now.millis_since(request.received);
        let searched = (source == WorkSource::OnDemand).then_some((class, elapsed));
        if let Some((class, elapsed)) = searched {
            self.searched.add(class, elapsed);
        }
        let step = Step::Settled { hold, charged, searched };
        effects.push(Effect::Progress { key, root: found.work.root(), step });
        self.cache.settle(now, now, key.service, found.work);
        if let Some(request) = self.requests.get(&key) {
            let (hashes, max) = (self.policy.hashes(request.threshold), self.policy.unpaid_max);
            self.unpaid.settled(now, key.service, hashes, max);
        }
        self.board.with_worker(found.worker, |worker| {
            let before = worker.totals.earned_mc;
            worker.totals.earned_mc = before.checked_add(earned).unwrap_or(before);
        });
        let answer = Answer { work: found.work, source, elapsed_ms, charged, balance: Some(balance) };
        self.reply(key, Outcome::Answered(answer), effects);
        self.keep_answer(now, key, answer);
    }

    /// The hold had gone: the request ends uncharged, and the work stays for whoever asks next.
    pub(crate) fn settle_refused(&mut self, now: Timestamp, hold: HoldId, effects: &mut Effects) {
        let Some((key, State::Settling { .. })) = self.of_hold(hold) else { return };
        self.ledger_effect_answered(hold);
        self.reply(key, Outcome::Refused(Refusal::Expired), effects);
        self.close_hold(now, hold);
        self.requests.remove(&key);
    }

    pub(crate) fn released(&mut self, now: Timestamp, hold: HoldId) {
        let Some((key, State::Releasing(_))) = self.of_hold(hold) else { return };
        self.ledger_effect_answered(hold);
        self.close_hold(now, hold);
        self.requests.remove(&key);
    }

    /// Whoever waits for a hold is told at once, and the hold given back when the store returns. What waits for work waits on.
    pub(crate) fn store_down(&mut self, now: Timestamp, effects: &mut Effects) {
        self.is_store_up = false;
        let holding: Vec<RequestKey> = self
            .holds
            .values()
            .filter(|key| {
                self.requests.get(key).is_some_and(|request| matches!(request.state, State::Holding))
            })
            .copied()
            .collect();
        for key in holding {
            self.end_unsettled(now, key, Refusal::StoreUnavailable, effects);
        }
    }

    /// Every unanswered ledger effect is sent again.
    pub(crate) fn store_up(&mut self, now: Timestamp, effects: &mut Effects) {
        self.is_store_up = true;
        let unanswered: Vec<HoldId> = self.holds.keys().copied().collect();
        for hold in unanswered {
            self.send_ledger_effect(now, hold, effects);
        }
    }

    pub(crate) fn repeat_ledger_effect(&mut self, now: Timestamp, hold: HoldId, effects: &mut Effects) {
        if self.is_store_up {
            self.send_ledger_effect(now, hold, effects);
        }
    }

    /// Sends the one ledger effect that a request's state calls for, and sets the time for sending it again.
    pub(crate) fn send_ledger_effect(&mut self, now: Timestamp, hold: HoldId, effects: &mut Effects) {
        self.ledger_effect_answered(hold);
        let Some(key) = self.holds.get(&hold).copied() else { return };
        let Some(request) = self.requests.get_mut(&key) else { return };
        let effect = match request.state {
            State::Holding => {
                let expires = request.deadline + HOLD_GRACE;
                let (service, amount, purse) = (key.service, request.price, request.purse);
                Effect::Hold { hold, service, amount, expires, purse }
            }
            State::Settling { found, since, .. } => Effect::Settle(SettleOrder {
                hold,
                service: key.service,
                work: found.work,
                threshold: request.threshold,
                worker: found.worker,
                payee: found.payee,
                at: since,
            }),
            State::Releasing(_) => Effect::Release { hold },
            State::Waiting { .. } | State::Answered(_) => return,
        };
        effects.push(effect);
        let at = now + LEDGER_REPEAT;
        request.repeat_at = Some(at);
        self.ledger_unanswered += 1;
        self.timers.set(at, Timer::LedgerRepeat(hold));
    }

    /// Forgets that a ledger effect is to be sent again.
    fn ledger_effect_answered(&mut self, hold: HoldId) {
        let request = self.holds.get(&hold).and_then(|key| self.requests.get_mut(key));
        if let Some(at) = request.and_then(|request| request.repeat_at.take()) {
            self.timers.clear(at, Timer::LedgerRepeat(hold));
            self.ledger_unanswered -= 1;
        }
    }

    fn of_hold(&self, hold: HoldId) -> Option<(RequestKey, State)> {
        let key = self.holds.get(&hold)?;
        self.requests.get(key).map(|request| (*key, request.state))
    }

    /// The store will hear no more of a hold.
    fn close_hold(&mut self, now: Timestamp, hold: HoldId) {
        let request = self.holds.remove(&hold).and_then(|key| self.requests.get(&key));
        if let Some((Some(Purse::Key(key)), price)) = request.map(|request| (request.purse, request.price)) {
            self.spending.end(now, key, price);
        }
    }
}
