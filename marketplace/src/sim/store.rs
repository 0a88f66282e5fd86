//! A store, as the core may expect one to be: it does what it is asked once, and what it is asked again it answers again. It
//! forgets holds that it has released, as a store may.
//!
//! It says in [`StoreEvent`]s what it has done, for the auditor. The arithmetic is the ledger's, which is so tried as well.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared::pow::{Difficulty, Root, Work};
use shared::{HoldId, Millicredits, Payee, ServiceId, Timestamp, TransferId, WorkerId};

use crate::effect::{Effect, SettleOrder};
use crate::input::Input;
use crate::ledger::{self, Bucket, Party, Posting, Sale, Split, Standing, WorkKey};

/// What a store has done. An answer that changes nothing, given again, is no event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreEvent {
    /// Credits were given to a service.
    Granted {
        /// The movement.
        posting: Posting,
    },
    /// Credits were set aside.
    Held {
        /// Which hold.
        hold: HoldId,
        /// Whose credits.
        service: ServiceId,
        /// Of those that were given.
        granted: Millicredits,
        /// Of those that were bought.
        paid: Millicredits,
    },
    /// A hold was closed with a charge.
    Settled {
        /// Which hold.
        hold: HoldId,
        /// What was answered: what the service paid.
        charged: Millicredits,
        /// What was answered: what it may still spend.
        balance: Millicredits,
        /// What was answered: what the worker earned.
        earned: Millicredits,
        /// The movements.
        postings: Vec<Posting>,
    },
    /// A hold was closed without a charge, as asked.
    Released {
        /// Which hold.
        hold: HoldId,
    },
    /// A hold was closed without a charge, since its time was over.
    Expired {
        /// Which hold.
        hold: HoldId,
    },
}

/// A settlement as a new run of the coordinator is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SettledWork {
    pub(super) service: ServiceId,
    pub(super) work: Work,
    pub(super) worker: WorkerId,
    pub(super) payee: Payee,
    pub(super) at: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct OpenHold {
    service: ServiceId,
    parts: Split,
    expires: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    balances: BTreeMap<Party, i64>,
    holds: BTreeMap<HoldId, OpenHold>,
    held: BTreeMap<ServiceId, Split>,
    /// What was settled, and what was answered.
    settled: BTreeMap<HoldId, (SettleOrder, Input)>,
    by_root: BTreeMap<(ServiceId, Root), Vec<(Difficulty, Timestamp)>>,
    works_paid: BTreeSet<WorkKey>,
}

impl Store {
    pub(super) fn grant(
        &mut self,
        service: ServiceId,
        bucket: Bucket,
        credits: u64,
        at: Timestamp,
    ) -> Option<StoreEvent> {
        let amount = Millicredits::from_credits(credits).filter(|amount| *amount > Millicredits::ZERO)?;
        let transfer = TransferId::of_cause(&format!("{service} {bucket:?} {at}"));
        let posting = ledger::grant(transfer, service, bucket, amount, at);
        self.post(&posting);
        Some(StoreEvent::Granted { posting })
    }

    /// Carries out what an effect asks for; also what is to be answered. `None` and no answer for what is not its business.
    pub(super) fn execute(&mut self, effect: &Effect) -> (Option<StoreEvent>, Option<Input>) {
        match *effect {
            Effect::Hold { hold, service, amount, expires, .. } => self.hold(hold, service, amount, expires),
            Effect::Settle(order) => self.settle(order),
            Effect::Release { hold } => {
                let event = self.close(hold).map(|_| StoreEvent::Released { hold });
                (event, Some(Input::Released { hold }))
            }
            _ => (None, None),
        }
    }

    /// Releases what is too old, as the driver asks each second.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<StoreEvent> {
        let expired: Vec<HoldId> =
            self.holds.iter().filter(|(_, hold)| hold.expires <= now).map(|(hold, _)| *hold).collect();
        for hold in &expired {
            self.close(*hold);
        }
        expired.into_iter().map(|hold| StoreEvent::Expired { hold }).collect()
    }

    /// What was settled, for a new run of the coordinator.
    pub(super) fn settlements(&self) -> impl Iterator<Item = SettledWork> {
        self.settled.values().map(|(order, _)| SettledWork {
            service: order.service,
            work: order.work,
            worker: order.worker,
            payee: order.payee,
            at: order.at,
        })
    }

    pub(super) fn holds_open(&self) -> usize {
        self.holds.len()
    }

    fn hold(
        &mut self,
        hold: HoldId,
        service: ServiceId,
        amount: Millicredits,
        expires: Timestamp,
    ) -> (Option<StoreEvent>, Option<Input>) {
        if self.settled.contains_key(&hold) {
            // The store's answer contradicts the verb, and the driver drops it.
            return (None, None);
        }
        if self.holds.contains_key(&hold) {
            return (None, Some(Input::Held { hold }));
        }
        let Some(parts) = ledger::split(amount, self.available(service)) else {
            return (None, Some(Input::HoldRefused { hold }));
        };
        self.holds.insert(hold, OpenHold { service, parts, expires });
        let held = self.held.entry(service).or_default();
        *held = Split { granted: sum(held.granted, parts.granted), paid: sum(held.paid, parts.paid) };
        let event = StoreEvent::Held { hold, service, granted: parts.granted, paid: parts.paid };
        (Some(event), Some(Input::Held { hold }))
    }

    fn settle(&mut self, order: SettleOrder) -> (Option<StoreEvent>, Option<Input>) {
        let SettleOrder { hold, service, work, threshold, payee, at, .. } = order;
        if let Some((_, answer)) = self.settled.get(&hold) {
            return (None, Some(answer.clone()));
        }
        let Some(OpenHold { parts, .. }) = self.close(hold) else {
            return (None, Some(Input::SettleRefused { hold }));
        };
        let key = WorkKey { root: work.root(), nonce: work.nonce() };
        let earlier = self.by_root.entry((service, work.root())).or_default();
        let repeats = earlier
            .iter()
            .any(|(difficulty, settled)| ledger::is_repeat(*difficulty, *settled, threshold, at));
        earlier.push((work.difficulty(), at));
        let standing = match self.works_paid.contains(&key) {
            _ if repeats => Standing::Repeat,
            true => Standing::Later,
            false => Standing::First,
        };
        let sale = Sale { transfer: TransferId::of_hold(hold), service, work: key, payee, at };
        let ledger::Charge { charged, earned, postings } = ledger::settle(&sale, parts, standing);
        if charged > Millicredits::ZERO {
            self.works_paid.insert(key);
        }
        for posting in &postings {
            self.post(posting);
        }
        let balance = self.available(service).total();
        let answer = Input::Settled { hold, charged, balance, earned };
        self.settled.insert(hold, (order, answer.clone()));
        (Some(StoreEvent::Settled { hold, charged, balance, earned, postings }), Some(answer))
    }

    fn close(&mut self, hold: HoldId) -> Option<OpenHold> {
        let open = self.holds.remove(&hold)?;
        if let Some(held) = self.held.get_mut(&open.service) {
            held.granted = held.granted.saturating_sub(open.parts.granted);
            held.paid = held.paid.saturating_sub(open.parts.paid);
        }
        Some(open)
    }

    fn available(&self, service: ServiceId) -> Split {
        let held = self.held.get(&service).copied().unwrap_or_default();
        let balance = |bucket| {
            let balance = self.balances.get(&Party::of_service(service, bucket)).copied().unwrap_or(0);
            Millicredits::new(u64::try_from(balance).unwrap_or(0))
        };
        Split {
            granted: balance(Bucket::Granted).saturating_sub(held.granted),
            paid: balance(Bucket::Paid).saturating_sub(held.paid),
        }
    }

    fn post(&mut self, posting: &Posting) {
        *self.balances.entry(posting.debit).or_default() -= posting.amount.as_i64();
        *self.balances.entry(posting.credit).or_default() += posting.amount.as_i64();
    }
}

fn sum(one: Millicredits, other: Millicredits) -> Millicredits {
    [one, other].into_iter().sum()
}
