//! Holds: asked for, granted, and closed once, by a settlement or a release.

use std::collections::BTreeMap;

use shared::pow::{Root, Threshold};
use shared::protocol::WorkKind;
use shared::{HoldId, Millicredits, Refusal, ServiceId, Timestamp};

use super::outcome::End;
use super::{Auditor, Cause, Check, Rule, named};
use crate::effect::SettleOrder;
use crate::input::RequestKey;
use crate::limits;
use crate::policy::Pricing;

#[derive(Debug, Default)]
pub(super) struct Holds {
    known: BTreeMap<HoldId, Hold>,
    open: usize,
    /// What this input must lead to: this hold is given back.
    to_give_back: Option<HoldId>,
    /// The last price that was settled because of this input.
    last_price: Option<Millicredits>,
}

#[derive(Debug)]
pub(super) struct Hold {
    key: RequestKey,
    root: Root,
    threshold: Threshold,
    class: WorkKind,
    deadline: Timestamp,
    amount: Millicredits,
    phase: Phase,
    /// When the store was last asked.
    asked: Timestamp,
    order: Option<SettleOrder>,
}

/// How far a hold has come, as the market should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Asked for.
    Asked,
    /// There; its request waits for work.
    Waiting,
    /// A settlement is asked for.
    Settling,
    /// A release is asked for.
    Releasing,
    /// Closed, or never there.
    Closed,
}

impl Holds {
    pub(super) fn phase(&self, hold: HoldId) -> Phase {
        self.known.get(&hold).map_or(Phase::Closed, |hold| hold.phase)
    }

    pub(super) const fn open(&self) -> usize {
        self.open
    }

    /// Holds about which the store was asked something that the market has no answer to.
    pub(super) fn unanswered(&self) -> usize {
        let is_asked = |hold: &&Hold| !matches!(hold.phase, Phase::Waiting | Phase::Closed);
        if self.open < limits::LEDGER_UNANSWERED_MAX / limits::BEHIND_PART {
            0
        } else {
            self.known.values().filter(is_asked).count()
        }
    }

    fn close(&mut self, hold: HoldId) {
        if let Some(entry) = self.known.get_mut(&hold)
            && entry.phase != Phase::Closed
        {
            entry.phase = Phase::Closed;
            self.open -= 1;
        }
    }

    fn in_phase(&self, hold: HoldId, phase: Phase) -> Option<RequestKey> {
        self.known.get(&hold).filter(|entry| entry.phase == phase).map(|entry| entry.key)
    }
}

impl Auditor {
    /// The price by the rules of now: in proportion to the nonces that meet a threshold, rounded up.
    fn price(&self, threshold: Threshold) -> Millicredits {
        let meeting = |threshold: Threshold| (1_u128 << 64) - u128::from(threshold.as_u64());
        let (base, asked) = (meeting(self.policy.base), meeting(threshold));
        let proportional = (1000 * base).div_ceil(asked);
        match self.policy.pricing {
            Pricing::Flat if asked >= base => Millicredits::new(1000),
            _ => Millicredits::new(u64::try_from(proportional).unwrap_or(u64::MAX)),
        }
    }

    /// Whether what is asked of the store may be asked again now.
    fn may_repeat(&self, asked: Timestamp) -> bool {
        match self.cause {
            Cause::StoreUp => true,
            Cause::Wake => !self.outcomes.is_store_down && self.is_past(asked, limits::LEDGER_REPEAT),
            _ => false,
        }
    }

    pub(super) fn hold_asked(
        &mut self,
        hold: HoldId,
        service: ServiceId,
        amount: Millicredits,
        expires: Timestamp,
    ) -> Check {
        if let Some(known) = self.holds.known.get(&hold) {
            let same = (known.key.service, known.amount) == (service, amount)
                && expires == known.deadline + limits::HOLD_GRACE;
            let is_repeat = same && known.phase == Phase::Asked && self.may_repeat(known.asked);
            self.must(is_repeat, Rule::HoldsAreClosedOnce, || {
                format!("{hold:?} is asked for again, or for something else")
            })?;
            self.asked_again(hold);
            return Ok(());
        }
        let new = self.admitted(hold)?;
        let deadline = self.now + new.timeout.min(limits::TIMEOUT_MAX);
        let is_priced = amount == self.price(new.threshold);
        self.must(is_priced, Rule::PricesAreKept, || {
            format!("{} mc are held for {}", amount.as_u64(), named(new.key))
        })?;
        let fits = service == new.key.service && expires == deadline + limits::HOLD_GRACE;
        self.must(fits, Rule::HoldsAreClosedOnce, || {
            format!("{hold:?} is another service's, or ends at another time")
        })?;
        let (phase, order) = (Phase::Asked, None);
        let entry = Hold {
            key: new.key,
            root: new.root,
            threshold: new.threshold,
            class: new.class,
            deadline,
            amount,
            phase,
            asked: self.now,
            order,
        };
        self.holds.known.insert(hold, entry);
        self.holds.open += 1;
        self.books.hold_asked(hold, service, amount, expires);
        Ok(())
    }

    fn asked_again(&mut self, hold: HoldId) {
        if let Some(entry) = self.holds.known.get_mut(&hold) {
            entry.asked = self.now;
        }
    }

    pub(super) fn hold_granted(&mut self, hold: HoldId) {
        self.cause = Cause::Held(hold);
        match self.holds.phase(hold) {
            Phase::Asked => {
                if let Some(entry) = self.holds.known.get_mut(&hold) {
                    entry.phase = Phase::Waiting;
                    self.lists.wait((entry.root, entry.threshold), entry.class, entry.deadline);
                }
            }
            Phase::Releasing | Phase::Closed => self.holds.to_give_back = Some(hold),
            Phase::Waiting | Phase::Settling => {}
        }
    }

    /// A request that is known is asked for on demand, whatever it was before.
    pub(super) fn lifted(&mut self, key: RequestKey) {
        let open = self.holds.known.values_mut().filter(|hold| hold.key == key);
        for hold in open.filter(|hold| matches!(hold.phase, Phase::Asked | Phase::Waiting)) {
            hold.class = WorkKind::OnDemand;
            if hold.phase == Phase::Waiting {
                self.lists.lift((hold.root, hold.threshold));
            }
        }
    }

    pub(super) fn hold_refused(&mut self, hold: HoldId) {
        self.cause = Cause::HoldRefused;
        if let Some(key) = self.holds.in_phase(hold, Phase::Asked) {
            self.holds.close(hold);
            self.ended_by_store(key, End::Refused(Refusal::InsufficientCredit));
        }
    }

    pub(super) fn hold_settled(
        &mut self,
        hold: HoldId,
        said: (Millicredits, Millicredits, Millicredits),
    ) -> Check {
        self.cause = Cause::Settled(hold);
        let is_true = self.books.settled(hold) == Some(said);
        self.must(is_true, Rule::BooksBalance, || {
            format!("the store says {said:?} of {hold:?}, and did otherwise")
        })?;
        let order = self
            .holds
            .known
            .get(&hold)
            .filter(|entry| entry.phase == Phase::Settling)
            .and_then(|entry| entry.order);
        if let Some(order) = order {
            let key = self.holds.known[&hold].key;
            self.holds.close(hold);
            self.ended_by_store(key, End::Answered(self.now, None));
            self.outcomes.paid((key.service, order.work.root()), order.work.difficulty(), self.now);
            self.lists.earned(order.worker, said.2);
        }
        Ok(())
    }

    pub(super) fn settle_refused(&mut self, hold: HoldId) {
        self.cause = Cause::SettleRefused;
        if let Some(key) = self.holds.in_phase(hold, Phase::Settling) {
            self.holds.close(hold);
            self.ended_by_store(key, End::Refused(Refusal::Expired));
        }
    }

    pub(super) fn hold_released(&mut self, hold: HoldId) {
        if let Some(key) = self.holds.in_phase(hold, Phase::Releasing) {
            self.holds.close(hold);
            self.forget_request(key);
        }
    }

    pub(super) fn settle_asked(&mut self, order: &SettleOrder) -> Check {
        let Some(known) = self.holds.known.get(&order.hold) else {
            return Err(self.broken(
                Rule::HoldsAreClosedOnce,
                format!("{:?} is settled and was never asked for", order.hold),
            ));
        };
        if let Some(earlier) = &known.order {
            let is_repeat =
                earlier == order && known.phase == Phase::Settling && self.may_repeat(known.asked);
            self.must(is_repeat, Rule::HoldsAreClosedOnce, || {
                format!("{:?} is settled again: {order:?}", order.hold)
            })?;
            self.asked_again(order.hold);
            return Ok(());
        }
        let (root, threshold, amount) = (known.root, known.threshold, known.amount);
        let waits = known.phase == Phase::Waiting;
        let is_caused = match self.cause {
            Cause::Held(hold) => hold == order.hold,
            Cause::Result(result) => (result.root, result.nonce) == (root, order.work.nonce()),
            _ => false,
        };
        let fits = waits
            && is_caused
            && (order.service, order.threshold, order.at) == (known.key.service, threshold, self.now);
        self.must(fits, Rule::HoldsAreClosedOnce, || {
            format!("{:?} is settled without a cause: {order:?}", order.hold)
        })?;
        self.pays_for_work(order, root)?;
        if matches!(self.cause, Cause::Result(_)) {
            self.cancels_are_out(root, order.work.difficulty())?;
            let is_next = self.holds.last_price.replace(amount).is_none_or(|last| amount <= last);
            self.must(is_next, Rule::SolutionsAnswerAll, || {
                format!("{:?} is settled after a cheaper one", order.hold)
            })?;
        }
        if let Some(entry) = self.holds.known.get_mut(&order.hold) {
            (entry.phase, entry.order, entry.asked) = (Phase::Settling, Some(*order), self.now);
        }
        self.outcomes.settles();
        self.lists.stop_waiting((root, threshold));
        self.books.settle_asked(order);
        Ok(())
    }

    /// What is to be paid for is work, and whoever is to be paid has sent it.
    fn pays_for_work(&self, order: &SettleOrder, root: Root) -> Check {
        let (work, nonce) = (order.work, order.work.nonce());
        let difficulty = shared::pow::difficulty(&root, nonce);
        let is_work =
            work.root() == root && work.difficulty() == difficulty && difficulty.meets(order.threshold);
        let is_finder = self.givens.has_sent(root, nonce, (order.worker, order.payee));
        self.must(is_work && is_finder, Rule::NoPayWithoutWork, || {
            format!("{order:?} pays for no work, or not who found it")
        })
    }

    pub(super) fn release_asked(&mut self, hold: HoldId) -> Check {
        if self.holds.to_give_back == Some(hold) {
            // The release that was asked for before keeps its own time.
            self.holds.to_give_back = None;
            self.books.release_asked(hold);
            return Ok(());
        }
        let known = self.holds.known.get(&hold);
        let is_due = known.is_some_and(|known| match known.phase {
            Phase::Asked | Phase::Waiting => matches!(self.end_of(known.key), Some(End::Refused(_))),
            Phase::Releasing => self.may_repeat(known.asked),
            Phase::Settling | Phase::Closed => false,
        });
        self.must(is_due, Rule::HoldsAreClosedOnce, || format!("{hold:?} is released without a cause"))?;
        if let Some(entry) = self.holds.known.get_mut(&hold) {
            if entry.phase == Phase::Waiting {
                self.lists.stop_waiting((entry.root, entry.threshold));
            }
            (entry.phase, entry.asked) = (Phase::Releasing, self.now);
        }
        self.books.release_asked(hold);
        Ok(())
    }

    /// Nothing that was ended is still held, and nothing that nobody wants.
    pub(super) fn holds_end(&mut self) -> Check {
        self.holds.last_price = None;
        let kept = self.holds.to_give_back.take();
        self.must(kept.is_none(), Rule::HoldsAreClosedOnce, || {
            format!("{kept:?} has come too late and is not given back")
        })?;
        for key in self.ended_now() {
            let hold = self.outcomes.requests.get(key).map(|request| request.hold);
            let phase = hold.map_or(Phase::Closed, |hold| self.holds.phase(hold));
            let is_closing = !matches!(phase, Phase::Asked | Phase::Waiting);
            self.must(is_closing, Rule::HoldsAreClosedOnce, || {
                format!("the hold of {} is not released at its end", named(*key))
            })?;
        }
        Ok(())
    }
}
