//! The auditor's own books: what the store does, against what the market has asked of it. Nothing here is taken from the
//! ledger but the names of parties.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use shared::pow::{Difficulty, Nonce, Root};
use shared::{Answer, HoldId, Millicredits, Payee, ServiceId, Timestamp};

use super::Rule;
use crate::effect::SettleOrder;
use crate::ledger::{Party, Posting};
use crate::sim::store::StoreEvent;

/// A day: for so long, what was paid for is free.
const REPEAT: Duration = Duration::from_hours(24);

type Found = Result<(), (Rule, String)>;

#[derive(Debug, Default)]
pub(super) struct Books {
    balances: BTreeMap<Party, i128>,
    /// What the market has asked for, of holds that the store may still have.
    asked: BTreeMap<HoldId, Asked>,
    /// Open in the store: whose, granted, paid.
    open: BTreeMap<HoldId, (ServiceId, u64, u64)>,
    held: BTreeMap<ServiceId, (u64, u64)>,
    /// What was answered: charged, balance, earned.
    settled: BTreeMap<HoldId, (Millicredits, Millicredits, Millicredits)>,
    paid_for: BTreeMap<(ServiceId, Root), Vec<(Difficulty, Timestamp)>>,
    works_paid: BTreeSet<(Root, Nonce)>,
}

#[derive(Debug)]
struct Asked {
    service: ServiceId,
    amount: Millicredits,
    order: Option<SettleOrder>,
    expires: Timestamp,
    is_released: bool,
}

impl Books {
    pub(super) fn holds_open(&self) -> usize {
        self.open.len()
    }

    pub(super) fn hold_asked(
        &mut self,
        hold: HoldId,
        service: ServiceId,
        amount: Millicredits,
        expires: Timestamp,
    ) {
        self.asked.insert(hold, Asked { service, amount, order: None, expires, is_released: false });
    }

    pub(super) fn settle_asked(&mut self, order: &SettleOrder) {
        if let Some(asked) = self.asked.get_mut(&order.hold) {
            asked.order = Some(*order);
        }
    }

    pub(super) fn release_asked(&mut self, hold: HoldId) {
        if let Some(asked) = self.asked.get_mut(&hold) {
            asked.is_released = true;
        }
    }

    /// What the store has answered to a settlement.
    pub(super) fn settled(&self, hold: HoldId) -> Option<(Millicredits, Millicredits, Millicredits)> {
        self.settled.get(&hold).copied()
    }

    /// Whether a service is told what the store has said.
    pub(super) fn answer_is_true(&self, answer: &Answer, hold: HoldId) -> bool {
        self.settled(hold)
            .is_some_and(|(charged, balance, _)| (answer.charged, answer.balance) == (charged, Some(balance)))
    }

    pub(super) fn stored(&mut self, now: Timestamp, event: &StoreEvent) -> Found {
        match event {
            StoreEvent::Granted { posting } => self.post(posting),
            StoreEvent::Held { hold, service, granted, paid } => {
                self.held(*hold, *service, (granted.as_u64(), paid.as_u64()))
            }
            StoreEvent::Settled { hold, charged, balance, earned, postings } => {
                self.settles(*hold, (*charged, *balance, *earned), postings)
            }
            StoreEvent::Released { hold } => {
                let is_asked = self.asked.get(hold).is_some_and(|asked| asked.is_released);
                must(is_asked, Rule::HoldsAreClosedOnce, || format!("{hold:?} is released unasked"))?;
                self.close(*hold).map(|_| ())
            }
            StoreEvent::Expired { hold } => {
                let is_over = self.asked.get(hold).is_some_and(|asked| asked.expires <= now);
                must(is_over, Rule::HoldsAreClosedOnce, || format!("{hold:?} expires before its time"))?;
                self.close(*hold).map(|_| ())
            }
        }
    }

    /// The sum of all balances, which is nothing.
    pub(super) fn sum(&self) -> i128 {
        self.balances.values().sum()
    }

    fn balance(&self, party: Party) -> i128 {
        self.balances.get(&party).copied().unwrap_or(0)
    }

    /// What a service may spend, given and bought.
    fn available(&self, service: ServiceId) -> (i128, i128) {
        let (granted, paid) = self.held.get(&service).copied().unwrap_or_default();
        let balances = (self.balance(Party::Granted(service)), self.balance(Party::Paid(service)));
        (balances.0 - i128::from(granted), balances.1 - i128::from(paid))
    }

    fn held(&mut self, hold: HoldId, service: ServiceId, parts: (u64, u64)) -> Found {
        let is_asked = self
            .asked
            .get(&hold)
            .is_some_and(|asked| (asked.service, asked.amount.as_u64()) == (service, parts.0 + parts.1));
        let is_new = !self.settled.contains_key(&hold)
            && self.open.insert(hold, (service, parts.0, parts.1)).is_none();
        must(is_asked && is_new, Rule::HoldsAreClosedOnce, || format!("{hold:?} is held unasked or again"))?;
        let before = self.available(service);
        let granted_first = i128::from(parts.0) == before.0.min(i128::from(parts.0 + parts.1));
        let held = self.held.entry(service).or_default();
        *held = (held.0 + parts.0, held.1 + parts.1);
        let (granted, paid) = self.available(service);
        must(granted_first && granted >= 0 && paid >= 0, Rule::BooksBalance, || {
            format!("{hold:?} takes {parts:?} of {before:?} that {service} has")
        })
    }

    fn close(&mut self, hold: HoldId) -> Result<(ServiceId, u64, u64), (Rule, String)> {
        let open = self.open.remove(&hold);
        let open =
            open.ok_or_else(|| (Rule::HoldsAreClosedOnce, format!("{hold:?} is closed and was not open")))?;
        if let Some(held) = self.held.get_mut(&open.0) {
            *held = (held.0 - open.1, held.1 - open.2);
        }
        Ok(open)
    }

    fn settles(
        &mut self,
        hold: HoldId,
        said: (Millicredits, Millicredits, Millicredits),
        postings: &[Posting],
    ) -> Found {
        let (service, granted, paid) = self.close(hold)?;
        let order = self.asked.get(&hold).and_then(|asked| asked.order);
        let order = order.ok_or_else(|| (Rule::NoPayWithoutWork, format!("{hold:?} is settled unasked")))?;
        let key = (order.work.root(), order.work.nonce());
        let earlier = self.paid_for.entry((service, key.0)).or_default();
        let is_free = earlier
            .iter()
            .any(|(difficulty, at)| difficulty.meets(order.threshold) && order.at.since(*at) < REPEAT);
        earlier.push((order.work.difficulty(), order.at));
        let charged = if is_free { (0, 0) } else { (granted, paid) };
        let total = charged.0 + charged.1;
        let is_first = total > 0 && self.works_paid.insert(key);
        // The house takes a tenth, rounded up.
        let earned = if is_first { total - total.div_ceil(10) } else { 0 };
        let expected = movements(service, order.payee, charged, earned);
        let before: Vec<i128> = expected.iter().map(|(party, _)| self.balance(*party)).collect();
        for posting in postings {
            self.post(posting)?;
        }
        let moved =
            expected.iter().zip(before).all(|((party, by), before)| self.balance(*party) - before == *by);
        let nothing_else = postings
            .iter()
            .flat_map(|posting| [posting.debit, posting.credit])
            .all(|party| expected.iter().any(|(known, _)| *known == party));
        must(moved && nothing_else, Rule::BooksBalance, || {
            format!("{hold:?} moves {postings:?} where {expected:?} is due")
        })?;
        let (granted, paid) = self.available(service);
        let is_said = (i128::from(said.0.as_u64()), i128::from(said.1.as_u64()), said.2.as_u64())
            == (i128::from(total), granted + paid, earned);
        let rule = if is_free { Rule::RepeatsAreFree } else { Rule::BooksBalance };
        must(is_said, rule, || {
            format!("{said:?} is said of {hold:?}, which costs {total} and earns {earned}")
        })?;
        self.settled.insert(hold, said);
        Ok(())
    }

    fn post(&mut self, posting: &Posting) -> Found {
        let amount = i128::from(posting.amount.as_u64());
        *self.balances.entry(posting.debit).or_default() -= amount;
        *self.balances.entry(posting.credit).or_default() += amount;
        let owes = self.balance(posting.debit) < 0 && posting.debit != Party::Issuance;
        must(!owes && amount > 0, Rule::BooksBalance, || {
            format!("{} is below zero after {posting:?}", posting.debit)
        })
    }
}

/// What a settlement moves, party by party: the service pays; of what a worker earns, the part that was bought is payable, in
/// proportion and rounded down; the house has the rest.
fn movements(
    service: ServiceId,
    payee: Payee,
    (granted, paid): (u64, u64),
    earned: u64,
) -> Vec<(Party, i128)> {
    let [granted, paid, earned] = [granted, paid, earned].map(i128::from);
    let total = granted + paid;
    let mut movements = vec![
        (Party::Granted(service), -granted),
        (Party::Paid(service), -paid),
        (Party::House, total - earned),
    ];
    let payable = match payee {
        Payee::Account(account) if total > 0 => {
            let payable = earned * paid / total;
            movements.push((Party::Payable(account), payable));
            payable
        }
        _ => 0,
    };
    movements.push((Party::NonPayable(payee), earned - payable));
    movements
}

fn must(holds: bool, rule: Rule, detail: impl FnOnce() -> String) -> Found {
    if holds { Ok(()) } else { Err((rule, detail())) }
}
