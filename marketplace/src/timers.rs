//! What the market has to do at a time of its own.

use std::collections::BTreeSet;

use shared::{HoldId, Timestamp};

use crate::input::RequestKey;

/// A reason to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A request's time is over.
    Deadline(RequestKey),
    /// A settlement has kept its callers waiting long enough.
    SettleOverdue(RequestKey),
    /// A ledger effect has not been answered.
    LedgerRepeat(HoldId),
    /// The time to finish what is open is over.
    DrainEnds,
    /// Statistics are due.
    Statistics,
}

/// All timers that are set, in order.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Timestamp, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Timestamp, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(crate) fn clear(&mut self, at: Timestamp, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes the next timer that is due.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<Timer> {
        self.next().filter(|at| *at <= now)?;
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
