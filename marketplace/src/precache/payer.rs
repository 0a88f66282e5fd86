//! A service's terms: what it has spent today, what is under way, what waits.

use std::collections::VecDeque;

use shared::pow::{Root, Threshold};
use shared::{Account, Millicredits, Timestamp};

use super::{PrecacheTerms, PrecacheUse};

/// A root that is to be computed ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) root: Root,
    pub(super) threshold: Threshold,
    /// Whose next root it is; `None`: the service has said that it will ask for it.
    pub(super) account: Option<Account>,
}

/// What there is to know of a service that has opted in, or once had.
#[derive(Debug, Default)]
pub(super) struct Payer {
    pub(super) terms: Option<PrecacheTerms>,
    /// The day of `spent`, counted from 1970.
    day: u64,
    spent: Millicredits,
    /// The prices of what is under way.
    reserved: Millicredits,
    pub(super) running: usize,
    pub(super) accounts: usize,
    pub(super) waiting: VecDeque<Wanted>,
    pub(super) used: PrecacheUse,
}

impl Payer {
    /// Settlements of precaches have charged so much on this day, counted from 1970.
    pub(super) fn spend(&mut self, now: Timestamp, day: u64, charged: Millicredits) {
        self.begin_day(now);
        if day == self.day {
            self.spent = [self.spent, charged].into_iter().sum();
        }
    }

    pub(super) fn spent_today(&self, now: Timestamp) -> Millicredits {
        if now.day() == self.day { self.spent } else { Millicredits::ZERO }
    }

    /// Whether one more may be under way.
    pub(super) fn has_place(&self) -> bool {
        self.terms
            .is_some_and(|terms| self.running < usize::try_from(terms.in_flight_max).unwrap_or(usize::MAX))
    }

    /// Whether works of this price, as many as these, fit into today's budget beside what is under way.
    pub(super) fn can_spend(&self, now: Timestamp, price: Millicredits, count: usize) -> bool {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let all = Millicredits::new(price.as_u64().saturating_mul(count));
        let sum = all
            .as_u64()
            .saturating_add(self.spent_today(now).as_u64())
            .saturating_add(self.reserved.as_u64());
        self.terms.is_some_and(|terms| sum <= terms.budget_per_day.as_u64())
    }

    pub(super) fn begin(&mut self, price: Millicredits) {
        self.running += 1;
        self.reserved = [self.reserved, price].into_iter().sum();
    }

    pub(super) fn end(&mut self, price: Millicredits) {
        self.running = self.running.saturating_sub(1);
        self.reserved = self.reserved.saturating_sub(price);
    }

    pub(super) fn is_waiting(&self, root: Root) -> bool {
        self.waiting.iter().any(|wanted| wanted.root == root)
    }

    fn begin_day(&mut self, now: Timestamp) {
        let day = now.day();
        if self.day != day {
            (self.day, self.spent) = (day, Millicredits::ZERO);
        }
    }
}
