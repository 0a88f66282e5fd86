//! Whom the HTTP edge asks: the coordinator in its own process, or a network far away.

use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use shared::pow::{Root, Threshold};
use shared::protocol::WorkKind;
use shared::{Account, KeyId, Millicredits, Network, Outcome, Refusal, RequestId, ServiceId};
use utoipa::ToSchema;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// The service that pays.
    pub service: ServiceId,
    /// By which of its keys it is known; `None` where whoever may connect asks on its account.
    pub key: Option<KeyId>,
    /// Whether that is a key for trying things out: what is asked with it costs nothing, and changes nothing.
    pub is_test: bool,
}

/// How fast a service may ask: a bucket of so many requests, which fills again steadily.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests that may come at once.
    pub burst: u32,
    /// In which time an empty bucket is full again.
    pub window: Duration,
    /// Requests that may come now.
    pub left: u32,
    /// When the bucket will be full again.
    pub full_in: Duration,
    /// After which time one that is refused now may come again, where that is known.
    pub wait: Option<Duration>,
}

/// What may be asked for, beside how fast.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Allowance {
    /// The hardest, as a multiple of the network's send threshold, where that is known.
    pub multiplier_max: Option<f64>,
    /// What the requests of the key may cost in a day, where that is bounded.
    pub spending: Option<DayAllowance>,
}

/// What may be spent in a day (UTC), in millicredits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayAllowance {
    /// In all.
    pub per_day_mc: u64,
    /// Of it today, beside what was spent and the prices of requests that are open.
    pub left_mc: u64,
}

/// A request for work, read and checked by the edge, but not yet admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkRequest {
    /// The service's own name for it; one is drawn when it gives none.
    pub request: Option<RequestId>,
    /// What work is wanted for.
    pub root: Root,
    /// What it must meet. Whether it is sold is the market's to say.
    pub threshold: Threshold,
    /// Whose block it is for, if the service says so.
    pub account: Option<Account>,
    /// How long the service will wait, 1 ms to [`TIMEOUT_MAX`].
    pub timeout: Duration,
    /// Whether it may go behind everything on demand.
    pub class: WorkKind,
}

/// Longest time that a request may take.
pub const TIMEOUT_MAX: Duration = Duration::from_mins(2);

/// The outcome of a request, and the name under which it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// As given, or as drawn.
    pub request: RequestId,
    /// Its one outcome.
    pub outcome: Outcome,
}

/// Whether requests are taken at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Each part by name, with what is wrong with it if anything is.
    pub parts: Vec<(&'static str, Option<String>)>,
}

impl Readiness {
    /// Whether nothing is wrong with any part.
    pub fn is_ready(&self) -> bool {
        self.parts.iter().all(|(_, trouble)| trouble.is_none())
    }
}

/// Why nothing is computed ahead for a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrecacheRefused {
    /// It is asked for elsewhere: of the network itself.
    NotHere,
    /// It has not opted in.
    Off,
    /// It would have more accounts than are watched for one service.
    AccountsOfService,
    /// All services together would have more accounts than are watched.
    Accounts,
    /// As a request would be.
    Refused(Refusal),
}

/// A service that has just made itself known.
pub struct Registered {
    /// Its name.
    pub service: ServiceId,
    /// Its key, which is shown once and kept nowhere.
    pub key: String,
    /// What it was given to begin with.
    pub granted: Millicredits,
}

/// Why a service is not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterRefused {
    /// Services are made known by the operator alone.
    Off,
    /// Another one has the name.
    Taken,
    /// As many as may have come today, from there or from everywhere.
    TooMany,
    /// As a request would be.
    Refused(Refusal),
}

/// What becomes of one root of a prefetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Prefetched {
    /// It is paid for: asking for it is free.
    Ready,
    /// It is being computed.
    Running,
    /// It will be, in its turn.
    Waiting,
    /// It will not be: the day's budget is spent, or will be by what comes before it.
    OverBudget,
    /// It will not be: too many wait already.
    Full,
}

/// What working ahead has come to for a service since the server has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Usage {
    /// Whether the service has opted in.
    pub precache: bool,
    /// Most that it may cost in a day (UTC), in millicredits.
    pub budget_per_day_mc: u64,
    /// What it has cost today, in millicredits.
    pub spent_today_mc: u64,
    /// Accounts that are watched for it.
    pub accounts: usize,
    /// Works under way.
    pub running: usize,
    /// Roots that wait.
    pub waiting: usize,
    /// Works that were computed ahead and paid for.
    pub computed: u64,
    /// What they cost, in millicredits.
    pub charged_mc: u64,
    /// Of them, those that were asked for.
    pub hits: u64,
    /// Requests that came while their work was being computed.
    pub late: u64,
    /// Requests for the next root of a watched account for which nothing was computed.
    pub missed: u64,
    /// Works whose account went on with another block.
    pub wasted: u64,
    /// How long the works took that were asked for, in milliseconds.
    pub saved_ms: u64,
}

/// What a service has, in millicredits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Balance {
    /// Of what it was given; it is spent first.
    pub granted_mc: u64,
    /// Of what it has bought.
    pub paid_mc: u64,
    /// Set aside for requests that are open, and in none of the other two.
    pub held_mc: u64,
}

/// A key of a service; nothing of its secret. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OwnKey {
    /// Its public part.
    #[schema(value_type = String, pattern = "^[a-z2-7]{13}$")]
    pub key: KeyId,
    /// What it is for.
    pub label: String,
    /// Whether it is good now.
    pub valid: bool,
    /// Whether it is for trying things out.
    pub test: bool,
    /// When it was issued.
    pub issued_at_us: u64,
    /// When it ends or has ended, if that is set.
    pub expires_at_us: Option<u64>,
    /// When it was last used, to about a minute.
    pub last_used_at_us: Option<u64>,
    /// Most that its requests may cost in a day (UTC), if that is bounded.
    pub spend_per_day_mc: Option<u64>,
}

/// How a new key shall be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WantedKey {
    /// What it is for; none: as its predecessor, or nothing.
    pub label: Option<String>,
    /// After how many seconds it ends; none: when it is revoked.
    pub expires_s: Option<u64>,
}

/// A key that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedKey {
    /// The whole key, which is shown once.
    pub text: String,
    /// What is kept of it.
    pub key: OwnKey,
}

/// Why a service is not told of its own, or cannot change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnRefused {
    /// It is asked for elsewhere: of the network itself.
    NotHere,
    /// The service has no such key.
    UnknownKey,
    /// The key has ended, so there is nothing to replace.
    KeyEnded,
    /// It is the last one that is good; without it the service is shut out.
    LastKey,
    /// The service has as many keys as it may.
    TooManyKeys,
    /// The key that asks is good for less than others, and changes none.
    LimitedKey,
    /// The label is too long, or not printable.
    Label,
    /// As a request would be.
    Refused(Refusal),
}

/// Whom the HTTP edge asks.
pub trait Source: Clone + Send + Sync + 'static {
    /// Whose thresholds apply.
    fn network(&self) -> Network;

    /// Whose an API key is, shown from this address, if that is known.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`], also where the key is not valid from there; [`Refusal::RateLimited`] for a wrong one when too
    /// many have come from there; or why it cannot be decided now.
    fn authenticate(&self, key: &str, from: Option<IpAddr>) -> Result<Asker, Refusal>;

    /// How fast somebody may ask, and what is left of that; `None` where there is no limit.
    fn quota(&self, asker: Asker) -> Option<Quota> {
        let _ = asker;
        None
    }

    /// What somebody may ask for.
    ///
    /// # Errors
    /// Why it cannot be said now.
    fn allowance(&self, asker: Asker) -> impl Future<Output = Result<Allowance, Refusal>> + Send {
        let _ = asker;
        async { Ok(Allowance::default()) }
    }

    /// Asks for work. Dropping the future withdraws the request, unless another caller waits for the same request id.
    fn ask(&self, asker: Asker, request: WorkRequest) -> impl Future<Output = Answered> + Send;

    /// Withdraws what a service has open under a name, whoever waits for it. What is being paid for goes on.
    fn withdraw(&self, service: ServiceId, request: RequestId) -> impl Future<Output = ()> + Send;

    /// Withdraws all of a service's open requests for a root.
    fn withdraw_root(&self, service: ServiceId, root: Root) -> impl Future<Output = ()> + Send;

    /// Has a service's accounts watched, all or none of them, or watched no longer. Returns how many are, once that is durable.
    ///
    /// # Errors
    /// [`PrecacheRefused`]; nothing has changed then, unless the ledger cannot be reached.
    fn name_accounts(
        &self,
        service: ServiceId,
        accounts: Vec<Account>,
        is_watched: bool,
    ) -> impl Future<Output = Result<usize, PrecacheRefused>> + Send {
        let _ = (service, accounts, is_watched);
        async { Err(PrecacheRefused::NotHere) }
    }

    /// Has work for these roots computed ahead, in this order. Returns what becomes of each.
    ///
    /// # Errors
    /// [`PrecacheRefused`].
    fn prefetch(
        &self,
        service: ServiceId,
        roots: Vec<Root>,
        threshold: Threshold,
    ) -> impl Future<Output = Result<Vec<Prefetched>, PrecacheRefused>> + Send {
        let _ = (service, roots, threshold);
        async { Err(PrecacheRefused::NotHere) }
    }

    /// What working ahead has come to for a service.
    ///
    /// # Errors
    /// [`PrecacheRefused`].
    fn usage(&self, service: ServiceId) -> impl Future<Output = Result<Usage, PrecacheRefused>> + Send {
        let _ = service;
        async { Err(PrecacheRefused::NotHere) }
    }

    /// Takes a service in that makes itself known from this address, if that is known.
    ///
    /// # Errors
    /// [`RegisterRefused`].
    fn register(
        &self,
        service: ServiceId,
        from: Option<IpAddr>,
    ) -> impl Future<Output = Result<Registered, RegisterRefused>> + Send {
        let _ = (service, from);
        async { Err(RegisterRefused::Off) }
    }

    /// What a service has.
    ///
    /// # Errors
    /// [`OwnRefused`].
    fn balance(&self, service: ServiceId) -> impl Future<Output = Result<Balance, OwnRefused>> + Send {
        let _ = service;
        async { Err(OwnRefused::NotHere) }
    }

    /// The keys of a service, also those that have ended.
    ///
    /// # Errors
    /// [`OwnRefused`].
    fn keys(&self, service: ServiceId) -> impl Future<Output = Result<Vec<OwnKey>, OwnRefused>> + Send {
        let _ = service;
        async { Err(OwnRefused::NotHere) }
    }

    /// Gives a service a further key. With `replaces` that one ends after so many seconds, and the new one is like it.
    ///
    /// # Errors
    /// [`OwnRefused`].
    fn issue_key(
        &self,
        asker: Asker,
        wanted: WantedKey,
        replaces: Option<(KeyId, u64)>,
    ) -> impl Future<Output = Result<IssuedKey, OwnRefused>> + Send {
        let _ = (asker, wanted, replaces);
        async { Err(OwnRefused::NotHere) }
    }

    /// Ends a key of a service now. The last one that is good only with `even_last`.
    ///
    /// # Errors
    /// [`OwnRefused`].
    fn revoke_key(
        &self,
        asker: Asker,
        key: KeyId,
        even_last: bool,
    ) -> impl Future<Output = Result<OwnKey, OwnRefused>> + Send {
        let _ = (asker, key, even_last);
        async { Err(OwnRefused::NotHere) }
    }

    /// Whether requests are taken at the moment.
    fn readiness(&self) -> Readiness;

    /// All metrics in Prometheus' text format.
    fn metrics(&self) -> String;
}
