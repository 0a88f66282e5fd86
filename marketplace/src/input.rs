//! Everything that can happen to the market. Closed: adding one is a change of the contract.

use core::time::Duration;

use serde::{Deserialize, Serialize};
use shared::pow::{Root, Threshold};
use shared::protocol::{WorkKind, WorkResult, WorkerHello, WorkerStatus};
use shared::{Account, HoldId, Millicredits, Payee, RequestId, ServiceId, SessionId, Timestamp, WorkerId};

use crate::policy::Policy;
use crate::precache::{Frontier, PrecacheTerms};
use crate::spending::Spender;

/// Something that happened outside. It can be written down and replayed in another process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Input {
    /// A service asks for work.
    RequestReceived(NewRequest),
    /// A service, or one of its connections, is no longer interested.
    RequestWithdrawn(Withdrawal),
    /// The store has set the credits aside.
    Held {
        /// Which hold.
        hold: HoldId,
    },
    /// The service has too few credits.
    HoldRefused {
        /// Which hold.
        hold: HoldId,
    },
    /// The work is paid for, durably.
    Settled {
        /// Out of which hold.
        hold: HoldId,
        /// What the service paid.
        charged: Millicredits,
        /// What it may still spend.
        balance: Millicredits,
        /// What the finder of the work earned.
        earned: Millicredits,
    },
    /// The hold had been released or had expired; nothing was charged.
    SettleRefused {
        /// Which hold.
        hold: HoldId,
    },
    /// The hold is closed without a charge.
    Released {
        /// Which hold.
        hold: HoldId,
    },
    /// A worker has sent a nonce.
    ResultReceived {
        /// From which session.
        session: SessionId,
        /// What it says.
        result: WorkResult,
    },
    /// A worker has logged in. It is offered work once it has said what it is.
    WorkerJoined {
        /// Its session.
        session: SessionId,
        /// Its identity.
        worker: WorkerId,
        /// Whom its results pay.
        payee: Payee,
    },
    /// A worker's session has ended.
    WorkerLeft {
        /// Which.
        session: SessionId,
    },
    /// A worker has said what it is, or how it is doing.
    WorkerReported {
        /// Its session.
        session: SessionId,
        /// What it says.
        report: WorkerReport,
    },
    /// A node says what the last block of an account is.
    FrontierSeen(Frontier),
    /// A service has opted in to precaching, on these terms, or out.
    PrecacheSet {
        /// Which.
        service: ServiceId,
        /// What may be spent for it; `None`: nothing, and its accounts are forgotten.
        terms: Option<PrecacheTerms>,
    },
    /// A service wants accounts to be watched, or no longer.
    AccountsNamed(NamedAccounts),
    /// A service says for which roots it will ask next.
    PrefetchReceived(Prefetch),
    /// The operator has changed the rules.
    PolicyChanged(Policy),
    /// The operator has suspended a service.
    ServiceSuspended {
        /// Which.
        service: ServiceId,
    },
    /// The operator has lifted a suspension.
    ServiceResumed {
        /// Which.
        service: ServiceId,
    },
    /// The store cannot be reached.
    StoreDown,
    /// The store can be reached again.
    StoreUp,
    /// The ledger was audited. While anything is wrong with it nothing new is sold; what is open goes on.
    LedgerAudited {
        /// Whether nothing was found.
        is_green: bool,
    },
    /// The coordinator is to stop: nothing new from now on.
    Drain {
        /// When what is still open is released.
        ends: Timestamp,
    },
}

/// One connection's interest in a request, numbered by the shell and never used twice. Each gets exactly one reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Caller(pub u64);

/// A request's name: request ids of different services are unrelated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestKey {
    /// Whose request.
    pub service: ServiceId,
    /// The service's name for it.
    pub request: RequestId,
}

/// A request as it arrives, authenticated and readable, but not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRequest {
    /// Who is to be told the outcome.
    pub caller: Caller,
    /// Its name.
    pub key: RequestKey,
    /// What work is wanted for.
    pub root: Root,
    /// What it must meet.
    pub threshold: Threshold,
    /// How long it may take; cut at [`limits::TIMEOUT_MAX`](crate::limits::TIMEOUT_MAX).
    pub timeout: Duration,
    /// Whose block it is for, if the service says so: the next one will be precached if the service has opted in.
    pub account: Option<Account>,
    /// How urgent it is. What is asked for as [`WorkKind::Precache`] goes behind everything on demand, and else is as any other request;
    /// once the same work is asked for on demand, it is on demand.
    pub class: WorkKind,
    /// With which key it is asked, if that may not spend all that its service has.
    pub spender: Option<Spender>,
}

/// Accounts that a service names, all of them or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedAccounts {
    /// Who is to be told.
    pub caller: Caller,
    /// Which service.
    pub service: ServiceId,
    /// Which accounts.
    pub accounts: Vec<Account>,
    /// Whether they are to be watched from now on, or no longer.
    pub is_watched: bool,
}

/// Roots that a service will ask for next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefetch {
    /// Who is to be told.
    pub caller: Caller,
    /// Which service.
    pub service: ServiceId,
    /// Which roots, the one that is needed first first.
    pub roots: Vec<Root>,
    /// What they must meet.
    pub threshold: Threshold,
}

/// Loss of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Withdrawal {
    /// This caller has hung up. Others that wait for the same request id go on waiting.
    Caller(Caller),
    /// The service withdraws a request.
    Request(RequestKey),
    /// The service withdraws all its requests for a root.
    Root {
        /// Whose.
        service: ServiceId,
        /// For what.
        root: Root,
    },
}

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerReport {
    /// What it is and what it is willing to do.
    Hello(WorkerHello),
    /// How it is doing.
    Status(WorkerStatus),
}
