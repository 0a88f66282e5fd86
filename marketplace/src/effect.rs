//! Everything that the market wants done. Closed. No effect returns anything: an answer comes back as an input.

use core::time::Duration;
use std::collections::VecDeque;

use shared::pow::{Root, Threshold, Work};
use shared::protocol::{NetworkStatistics, VerdictNotice, WorkList};
use shared::{
    Account, HoldId, JobId, Millicredits, Outcome, Payee, ServiceId, SessionId, Timestamp, WorkerId,
};

use crate::answer_times::WorkClass;
use crate::input::{Caller, RequestKey};
use crate::ledger::Purse;
use crate::precache::{PrecacheRefused, Prefetched, Watch};

/// Something to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Set credits aside. Answered by `Held` or `HoldRefused`; repeated with the same id until it is.
    Hold {
        /// Its name.
        hold: HoldId,
        /// Whose credits.
        service: ServiceId,
        /// How many.
        amount: Millicredits,
        /// When the store may release it by itself.
        expires: Timestamp,
        /// Where counts what its settlement charges, if that is bounded by the day.
        purse: Option<Purse>,
    },
    /// Pay for a work. Answered by `Settled` or `SettleRefused`; repeated with the same id until it is.
    Settle(SettleOrder),
    /// Give the credits back. Answered by `Released`; repeated with the same id until it is.
    Release {
        /// Which.
        hold: HoldId,
    },
    /// A worker's new list.
    List {
        /// For which session.
        session: SessionId,
        /// Of which worker.
        worker: WorkerId,
        /// All that it is to do.
        list: WorkList,
    },
    /// What became of a result.
    Verdict {
        /// For which session.
        session: SessionId,
        /// Of which worker.
        worker: WorkerId,
        /// What it is told.
        notice: VerdictNotice,
    },
    /// A request's outcome, for one caller.
    Reply {
        /// Who waits for it.
        caller: Caller,
        /// Which request.
        key: RequestKey,
        /// The outcome.
        outcome: Outcome,
    },
    /// How far a request has come, for the log: nothing is to be done about it.
    Progress {
        /// Which request.
        key: RequestKey,
        /// What it is for.
        root: Root,
        /// What has happened to it.
        step: Step,
    },
    /// Confirmations of this account are of interest from now on, or no longer.
    Watch {
        /// Which account.
        account: Account,
        /// Whether they are.
        is_watched: bool,
    },
    /// A node is to be asked for the last confirmed block of this account and its height: what was seen does not tell which
    /// block is the later one.
    LookUp {
        /// Which account.
        account: Account,
    },
    /// What is known of a service's account is to be kept, in place of what was kept before.
    KeepWatch(Watch),
    /// A service's account is to be forgotten.
    DropWatch {
        /// Whose.
        service: ServiceId,
        /// Which.
        account: Account,
    },
    /// Whether accounts were taken, for one caller: once all that is to be kept before this is kept.
    AccountsReply {
        /// Who waits for it.
        caller: Caller,
        /// How many accounts of the service are watched now.
        taken: Result<usize, PrecacheRefused>,
    },
    /// What becomes of the roots of a prefetch, in their order, for one caller.
    PrefetchReply {
        /// Who waits for it.
        caller: Caller,
        /// What becomes of them.
        taken: Result<Vec<Prefetched>, PrecacheRefused>,
    },
    /// The state of the market, once a second.
    Statistics(NetworkStatistics),
}

/// A step in the life of a request, between its arrival and its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Its credits are set aside, and it waits for this job.
    Waiting {
        /// Which job.
        job: JobId,
    },
    /// A result that was accepted answers it.
    Solved {
        /// The job that it waited for.
        job: JobId,
        /// Whose result.
        worker: WorkerId,
    },
    /// Work that was found before answers it.
    Cached {
        /// Who found it.
        worker: WorkerId,
    },
    /// The work is paid for.
    Settled {
        /// Out of which hold: the settlement's id in the journal.
        hold: HoldId,
        /// What the service paid.
        charged: Millicredits,
        /// What was asked for and how long ago, where workers have searched for it; `None` where work was there.
        searched: Option<(WorkClass, Duration)>,
    },
}

/// A settlement to be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettleOrder {
    /// The hold that pays.
    pub hold: HoldId,
    /// Whose hold.
    pub service: ServiceId,
    /// What is paid for.
    pub work: Work,
    /// What the request asked for.
    pub threshold: Threshold,
    /// Who found the work.
    pub worker: WorkerId,
    /// Whom that worker's results pay.
    pub payee: Payee,
    /// When.
    pub at: Timestamp,
}

/// Effects in the order in which they are to be carried out: the core writes, the driver drains.
#[derive(Debug, Default)]
pub struct Effects(VecDeque<Effect>);

impl Effects {
    /// None yet.
    pub const fn new() -> Self {
        Self(VecDeque::new())
    }

    /// Takes the next one.
    pub fn pop(&mut self) -> Option<Effect> {
        self.0.pop_front()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.0.push_back(effect);
    }
}
