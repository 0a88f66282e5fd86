//! What operators are told. The structs are also what `--json` prints.
//!
//! Amounts end in `_mc` (millicredits), durations in `_ms` (milliseconds), points in time in `_at_us` (microseconds since
//! 1970-01-01 UTC). `null` means: not known, or none. The journal alone is printed as the ledger keeps it: `amount` in
//! millicredits, `at` in microseconds.
#![expect(
    clippy::struct_field_names,
    reason = "they are the names of the JSON, which have units and stand alone"
)]

use std::net::SocketAddr;
use std::path::PathBuf;

use marketplace::ledger::JournalEntry;
use marketplace::precache::PrecacheState;
use serde::{Deserialize, Serialize};
use shared::protocol::DeviceReport;
use shared::{KeyId, Millicredits, Network, Payee, ServiceId, Timestamp, TransferId, WorkerId};

use crate::sessions::ResultCounts;
use crate::store::{Addresses, Balance, Bucket, Label, Reason, ServiceState, WorkerSubject};

/// The answer to a request: the variant belongs to the operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// How everything is.
    Status(Box<Status>),
    /// In the order of their names.
    Services(Vec<Service>),
    /// One service and its keys.
    Service {
        /// The service.
        service: Service,
        /// Its keys, oldest first.
        keys: Vec<Key>,
    },
    /// By service, oldest first.
    Keys(Vec<Key>),
    /// What a service has.
    Balance(ServiceBalance),
    /// Oldest first.
    Journal(Vec<JournalEntry>),
    /// Those that are connected, then those that are not.
    Workers(Vec<Worker>),
    /// Each worker that is meant, and the bans that hold for them.
    Worker {
        /// As they are.
        workers: Vec<Worker>,
        /// What shuts them out.
        bans: Vec<Ban>,
    },
    /// In the order of their subjects.
    Bans(Vec<Ban>),
    /// A service was added, with this key.
    ServiceAdded(Key),
    /// A service is in this state.
    ServiceStateSet {
        /// As it is now.
        service: Service,
        /// Whether it was in another state.
        changed: bool,
    },
    /// A key was issued.
    KeyIssued(Key),
    /// A key has a successor.
    KeyRotated {
        /// The successor.
        new: Key,
        /// When it ends.
        old: Key,
    },
    /// It was said what a key may be used for; as it is now.
    KeyLimited(Key),
    /// A key has ended.
    KeyRevoked {
        /// As it is now.
        key: Key,
        /// Whether it was valid.
        changed: bool,
    },
    /// Credits were given.
    Granted(Granted),
    /// Workers are shut out.
    WorkerBanned(Ban),
    /// Workers may come in again.
    WorkerUnbanned {
        /// Who.
        subject: WorkerSubject,
        /// Whether they were shut out.
        changed: bool,
    },
    /// What may be spent for a service ahead of its demand.
    PrecacheSet(Precache),
    /// In the order of the services' names.
    Usage(Vec<Usage>),
    /// The operator's token was replaced.
    OperatorTokenRotated,
}

/// How everything is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Whose thresholds and addresses apply.
    pub(crate) network: Network,
    /// The running server; `None` when there is none.
    pub(crate) server: Option<Server>,
    /// All credits.
    pub(crate) credits: Credits,
    /// Where they are kept.
    pub(crate) ledger: LedgerFile,
}

/// A running server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Server {
    /// Of the program.
    pub(crate) version: String,
    /// For how long it has run.
    pub(crate) uptime_ms: u64,
    /// Where it listens.
    pub(crate) listens: Listens,
    /// Whether requests are taken.
    pub(crate) ready: bool,
    /// Each part that requests need.
    pub(crate) parts: Vec<Part>,
    /// Workers that are connected.
    pub(crate) workers: u64,
    /// The sum of their rates.
    pub(crate) hashes_per_second: u64,
    /// Jobs that are searched.
    pub(crate) jobs_open: u64,
    /// Of them, those that wait for a worker.
    pub(crate) jobs_unplaced: u64,
    /// Requests without an outcome.
    pub(crate) requests_open: u64,
    /// Requests answered since the start.
    pub(crate) requests_answered: u64,
    /// Requests refused since the start.
    pub(crate) requests_refused: u64,
    /// The RPC and the WebSocket of each Nano node; without any, nothing is computed ahead when a block is confirmed.
    pub(crate) nodes: Vec<NodeDoor>,
    /// Where nodes may post their confirmations.
    pub(crate) node_callback: Option<SocketAddr>,
    /// Accounts whose blocks are watched for.
    pub(crate) accounts_watched: u64,
}

/// The RPC or the WebSocket of a Nano node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeDoor {
    /// Where it is.
    pub(crate) url: String,
    /// Whether it works.
    pub(crate) works: bool,
    /// Since when; `None`: it was not tried yet.
    pub(crate) since_at_us: Option<Timestamp>,
    /// What was wrong last.
    pub(crate) trouble: Option<String>,
}

/// A service's terms of precaching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Precache {
    /// Which service.
    pub(crate) service: ServiceId,
    /// Most that may be spent in a day (UTC); `None`: nothing is precached.
    pub(crate) budget_per_day_mc: Option<Millicredits>,
    /// Most that are under way at a time.
    pub(crate) in_flight_max: Option<u32>,
    /// Whether they were others.
    pub(crate) changed: bool,
}

/// What working ahead has come to for a service, since the server has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Which service.
    pub(crate) service: ServiceId,
    /// Most that may be spent in a day (UTC); `None`: nothing is precached.
    pub(crate) budget_per_day_mc: Option<Millicredits>,
    /// What it has cost today.
    pub(crate) spent_today_mc: Millicredits,
    /// Accounts that are watched for it.
    pub(crate) accounts: usize,
    /// Works under way.
    pub(crate) running: usize,
    /// Roots that wait.
    pub(crate) waiting: usize,
    /// Works that were computed ahead and paid for.
    pub(crate) computed: u64,
    /// What they cost.
    pub(crate) charged_mc: Millicredits,
    /// Of them, those that were asked for.
    pub(crate) hits: u64,
    /// Requests that came while their work was being computed.
    pub(crate) late: u64,
    /// Requests for the next root of a watched account for which nothing was computed.
    pub(crate) missed: u64,
    /// Works whose account went on with another block.
    pub(crate) wasted: u64,
    /// How long the works took that were asked for.
    pub(crate) saved_ms: u64,
}

impl Usage {
    /// From what the market says.
    pub(super) fn new(service: ServiceId, state: &PrecacheState) -> Self {
        let PrecacheState { terms, spent_today, accounts, running, waiting, used } = *state;
        Self {
            service,
            budget_per_day_mc: terms.map(|terms| terms.budget_per_day),
            spent_today_mc: spent_today,
            accounts,
            running,
            waiting,
            computed: used.computed,
            charged_mc: used.charged,
            hits: used.hits,
            late: used.late,
            missed: used.missed,
            wasted: used.wasted,
            saved_ms: used.saved_ms,
        }
    }
}

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listens {
    /// For services.
    pub(crate) http: SocketAddr,
    /// For Nano nodes.
    pub(crate) node_peer: Option<SocketAddr>,
    /// For workers, services and operators.
    pub(crate) mqtt: SocketAddr,
    /// The same over WebSocket, besides `/mqtt` on the HTTP port.
    pub(crate) mqtt_websocket: Option<SocketAddr>,
    /// For commands of operators, besides the socket in the data directory.
    pub(crate) admin: Option<SocketAddr>,
}

/// A part of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Its name, as in `/readyz?verbose`.
    pub(crate) part: String,
    /// What is wrong with it.
    pub(crate) trouble: Option<String>,
}

/// All credits of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credits {
    /// Ever given out.
    pub(crate) issued_mc: Millicredits,
    /// Of them, spent for works.
    pub(crate) spent_mc: Millicredits,
    /// Of them, set aside for open requests; not known when the ledger's file alone is read.
    pub(crate) held_mc: Option<Millicredits>,
    /// Issued and not spent, what is held included.
    pub(crate) outstanding_mc: Millicredits,
}

/// Where a ledger is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LedgerFile {
    /// The file, as the server names it; or the URL of the ledger's server, without its password.
    pub(crate) path: PathBuf,
    /// Of the file, with its log.
    pub(crate) size_bytes: Option<u64>,
    /// Services that it knows.
    pub(crate) services: u64,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Service {
    /// Its name.
    pub(crate) service: ServiceId,
    /// Whether it may ask.
    pub(crate) state: ServiceState,
    /// Since when.
    pub(crate) state_at_us: Timestamp,
    /// Why, in an operator's words; empty if nobody has said so.
    pub(crate) reason: Reason,
    /// When it was added.
    pub(crate) added_at_us: Timestamp,
    /// What it has.
    #[serde(flatten)]
    pub(crate) credits: ServiceCredits,
    /// Keys that are valid.
    pub(crate) keys_valid: usize,
}

/// What a service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceCredits {
    /// Free credits that were granted.
    pub(crate) granted_mc: Millicredits,
    /// Free credits that were paid for.
    pub(crate) paid_mc: Millicredits,
    /// Set aside for open requests; not known when the ledger's file alone is read, and then still in the other two.
    pub(crate) held_mc: Option<Millicredits>,
}

/// What a service has, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceBalance {
    /// Its name.
    pub(crate) service: ServiceId,
    /// What it has.
    #[serde(flatten)]
    pub(crate) credits: ServiceCredits,
}

/// A key; nothing of its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    /// Its public part.
    pub(crate) key: KeyId,
    /// Whose it is.
    pub(crate) service: ServiceId,
    /// What it is for.
    pub(crate) label: Label,
    /// When it was issued.
    pub(crate) issued_at_us: Timestamp,
    /// When it ends or has ended, if that is set.
    pub(crate) expires_at_us: Option<Timestamp>,
    /// Whether it is valid now. Whether its service may ask is another matter.
    pub(crate) valid: bool,
    /// When it was last used, to about a minute. Of the last minute only a running server knows.
    pub(crate) last_used_at_us: Option<Timestamp>,
    /// Whether it is for trying things out.
    pub(crate) test: bool,
    /// Most that its requests may cost in a day (UTC), if that is bounded.
    pub(crate) spend_per_day_mc: Option<Millicredits>,
    /// From where it is valid; empty: from everywhere.
    pub(crate) allow: Addresses,
}

/// Credits that were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Granted {
    /// To whom.
    pub(crate) service: ServiceId,
    /// How many.
    pub(crate) amount_mc: Millicredits,
    /// Which kind.
    pub(crate) bucket: Bucket,
    /// The name of this grant.
    pub(crate) transfer: TransferId,
    /// What the service has now.
    #[serde(flatten)]
    pub(crate) credits: ServiceCredits,
}

/// A worker that is connected, or has earned something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Worker {
    /// Its id.
    pub(crate) worker: WorkerId,
    /// Whom its results pay.
    pub(crate) payee: Payee,
    /// Its connection.
    pub(crate) connection: Option<Connection>,
    /// What its results have come to, over all time, where that was asked for.
    pub(crate) total: Option<Total>,
}

/// A worker's connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Connection {
    /// Where it comes from.
    pub(crate) address: SocketAddr,
    /// Since when.
    pub(crate) connected_at_us: Timestamp,
    /// What it says it does; zero until it has said so.
    pub(crate) hashes_per_second: u64,
    /// Its devices, as it says: the first 16 that are in service.
    pub(crate) devices: Vec<DeviceReport>,
    /// Whether it has said what it is willing to do; before that it is given nothing.
    pub(crate) ready: bool,
    /// Whether it has asked not to be given anything for now.
    pub(crate) paused: bool,
    /// Jobs on its list.
    pub(crate) jobs: u64,
    /// What became of its results since then.
    pub(crate) results: ResultCounts,
    /// What they have earned, as far as it is settled.
    pub(crate) earned_mc: Millicredits,
}

/// Workers that are shut out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ban {
    /// Who.
    pub(crate) subject: WorkerSubject,
    /// Why.
    pub(crate) reason: Reason,
    /// Since when.
    pub(crate) banned_at_us: Timestamp,
    /// From when on they may come back; `None`: when the ban is lifted.
    pub(crate) ends_at_us: Option<Timestamp>,
    /// Whether it holds now.
    pub(crate) holds: bool,
}

/// What a worker's results have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Total {
    /// Works that it has earned with.
    pub(crate) works: u64,
    /// What they earned, payable or not.
    pub(crate) earned_mc: Millicredits,
    /// When the last one was settled.
    pub(crate) last_at_us: Timestamp,
}

impl ServiceCredits {
    /// From what the store says; `is_live`: whether it knows what is held.
    pub(super) fn new(balance: Balance, is_live: bool) -> Self {
        Self { granted_mc: balance.granted, paid_mc: balance.paid, held_mc: is_live.then_some(balance.held) }
    }

    /// What the service may spend.
    pub(crate) fn available(&self) -> Millicredits {
        [self.granted_mc, self.paid_mc].into_iter().sum()
    }
}
