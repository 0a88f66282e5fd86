//! Work ahead of demand: accounts of services that have opted in are watched; when a block of one is confirmed, the work for its
//! next block is computed and paid for before it is asked for, and then asking for it is free.
//!
//! | file | what |
//! |---|---|
//! | `watched` | an account: which block is its last one, and how often it has a new one |
//! | `payer` | a service's terms: what it has spent today, what is under way, what waits |
//! | `state` | all accounts and payers, what is ready and what runs |
//! | `flow` | what the market does when a block is seen, a request comes, or a precache ends |
//!
//! A precache is a request like any other, with a hold of its own (`HoldId::is_precache`), a low priority, and nobody waiting.
//! **When a block is foreseen:** when the usual time between the account's blocks is at most `limits::RHYTHM_MAX`, or not known
//! yet, which it is after the second block. **Who pays:** of the services that have opted in, the one that used the account last.
//!
//! Always: what a service pays for precaches in a day (UTC) and what is held for them stay within its budget; a frontier moves
//! forward only, or to what a service itself says it is building on; what a node says is never believed for anything but which
//! root is worth computing.

mod flow;
mod payer;
mod state;
mod watched;

use core::time::Duration;

use serde::{Deserialize, Serialize};
use shared::pow::Root;
use shared::{Account, Millicredits, ServiceId, Timestamp};

pub(crate) use state::Precache;

/// What may be spent for a service ahead of its demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrecacheTerms {
    /// Most that precached works may cost it in a day (UTC), those under way included.
    pub budget_per_day: Millicredits,
    /// Most that are under way at a time.
    pub in_flight_max: u32,
}

/// What a node says of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontier {
    /// Which account.
    pub account: Account,
    /// Its last block; `None`: it has none.
    pub hash: Option<Root>,
    /// The block before that, if that is known and there is one.
    pub previous: Option<Root>,
    /// The place of the last block in the account's chain, from 1, if that is known.
    pub height: Option<u64>,
    /// On what occasion.
    pub sight: Sight,
}

/// On what occasion a node says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sight {
    /// It has confirmed the block.
    Confirmation,
    /// It was asked for the last blocks of many accounts, which need not be confirmed.
    CatchUp,
    /// It was asked for this account's last confirmed block.
    LookUp,
}

/// What is kept of an account that a service is interested in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Whose.
    pub service: ServiceId,
    /// Which account.
    pub account: Account,
    /// When the service last named it, or asked for its next root.
    pub used: Timestamp,
    /// Its last block; `None`: it has none, or none is known.
    pub frontier: Option<Root>,
    /// The place of that block in the account's chain, if it is known.
    pub height: Option<u64>,
    /// When a block of it was last seen.
    pub confirmed: Option<Timestamp>,
    /// The usual time between its blocks, once there were two.
    pub gap: Option<Duration>,
    /// Its blocks since a service last asked for it.
    pub unused: u32,
}

/// What the market starts with for working ahead.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrecacheStart {
    /// Services that have opted in.
    pub terms: Vec<(ServiceId, PrecacheTerms)>,
    /// Accounts that were watched.
    pub watches: Vec<Watch>,
    /// Precached works that were settled lately.
    pub settled: Vec<Precached>,
}

/// A precached work that an earlier run has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precached {
    /// Who paid.
    pub service: ServiceId,
    /// For what root.
    pub root: Root,
    /// When.
    pub at: Timestamp,
}

/// Why nothing is precached for a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrecacheRefused {
    /// It has not opted in.
    Off,
    /// It may not ask for now.
    Suspended,
    /// It would have more accounts than one service may have.
    AccountsOfService,
    /// All services together would have more accounts than are watched.
    Accounts,
    /// The threshold is not sold.
    Threshold,
}

/// What becomes of one root of a prefetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prefetched {
    /// It is paid for: asking for it is free.
    Ready,
    /// It is being computed.
    Running,
    /// It will be, in its turn.
    Waiting,
    /// It will not be: today's budget is spent, or will be by what comes before it.
    OverBudget,
    /// It will not be: too many wait already.
    Full,
}

/// What precaching has come to since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PrecacheUse {
    /// Works that were computed ahead and paid for.
    pub computed: u64,
    /// What they cost.
    pub charged: Millicredits,
    /// Of them, those that were asked for.
    pub hits: u64,
    /// Requests that came while the work was being computed, which then went on as on-demand.
    pub late: u64,
    /// Requests for the next root of a watched account for which nothing was computed.
    pub missed: u64,
    /// Works that were paid for, and whose account went on with another block.
    pub wasted: u64,
    /// Precaches that were withdrawn, uncharged, because the account had gone on.
    pub superseded: u64,
    /// Blocks after which nothing was computed, because the account has one too seldom.
    pub irregular: u64,
    /// Roots that were left out because the day's budget was spent.
    pub over_budget: u64,
    /// Precaches that came to nothing, uncharged: no credits, no worker in time, or too many.
    pub failed: u64,
    /// How long the works took that were asked for: what their requests did not wait, in milliseconds.
    pub saved_ms: u64,
}

impl PrecacheUse {
    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            computed: self.computed + other.computed,
            charged: [self.charged, other.charged].into_iter().sum(),
            hits: self.hits + other.hits,
            late: self.late + other.late,
            missed: self.missed + other.missed,
            wasted: self.wasted + other.wasted,
            superseded: self.superseded + other.superseded,
            irregular: self.irregular + other.irregular,
            over_budget: self.over_budget + other.over_budget,
            failed: self.failed + other.failed,
            saved_ms: self.saved_ms + other.saved_ms,
        }
    }
}

/// A service's precaching at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PrecacheState {
    /// Its terms; `None`: it has not opted in.
    pub terms: Option<PrecacheTerms>,
    /// What it has paid today (UTC).
    pub spent_today: Millicredits,
    /// Accounts that are watched for it.
    pub accounts: usize,
    /// Precaches under way.
    pub running: usize,
    /// Roots that wait.
    pub waiting: usize,
    /// What it has come to since the start.
    pub used: PrecacheUse,
}
