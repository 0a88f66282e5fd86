//! What operators ask for. One variant an operation.
//!
//! Always: carrying out a change a second time, as it is written here, changes nothing more. So whoever does not know whether
//! it arrived sends it again. What needs a fresh id or secret for that carries it.

use marketplace::precache::PrecacheTerms;
use serde::{Deserialize, Serialize};
use shared::{KeyId, Millicredits, Network, ServiceId, TransferId};

use crate::intake::keys::KeyText;
use crate::intake::operator_token::TokenText;
use crate::store::{Addresses, Bucket, Label, Reason, ServiceState, WorkerSubject};

/// The body of `POST /admin/v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Envelope {
    /// Which network the operator means. A server of another one refuses.
    pub(crate) network: Network,
    /// What is asked for.
    pub(crate) request: Request,
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Looks at something.
    Read(Read),
    /// Changes something.
    Change(Change),
}

/// Operations that change nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Read {
    /// How everything is.
    Status,
    /// All services.
    Services,
    /// One service.
    Service {
        /// Which.
        service: ServiceId,
    },
    /// Keys, also those that have ended.
    Keys {
        /// Of whom; `null`: of all.
        service: Option<ServiceId>,
    },
    /// What a service has.
    Balance {
        /// Which.
        service: ServiceId,
    },
    /// Postings, oldest first.
    Journal {
        /// From this sequence number on.
        from: u64,
        /// At most so many; never more than [`JOURNAL_MAX`].
        count: usize,
    },
    /// Workers that are connected, or all that ever earned something as well.
    Workers {
        /// Also those that are not connected. Reads every settlement.
        all: bool,
    },
    /// One worker, or all that are paid to one account.
    Worker {
        /// Who.
        subject: WorkerSubject,
    },
    /// Workers that are shut out.
    Bans,
    /// What working ahead has come to.
    Usage {
        /// For whom; `null`: for all.
        service: Option<ServiceId>,
    },
}

/// Operations that change something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Change {
    /// Makes a service known and gives it its first key.
    AddService {
        /// Its name.
        service: ServiceId,
        /// The key.
        key: WantedKey,
    },
    /// Allows or forbids a service to ask.
    SetServiceState {
        /// Which.
        service: ServiceId,
        /// From now on.
        state: ServiceState,
        /// Why; it may be empty.
        reason: Reason,
    },
    /// Says what may be spent for a service ahead of its demand.
    SetPrecache {
        /// Which.
        service: ServiceId,
        /// `null`: nothing.
        terms: Option<PrecacheTerms>,
    },
    /// Gives a service a further key.
    IssueKey {
        /// Which service.
        service: ServiceId,
        /// The key.
        key: WantedKey,
    },
    /// Gives the service of a key a further one, and lets the old one end.
    RotateKey {
        /// The old one.
        old: KeyId,
        /// For how long both are valid, in seconds.
        overlap_s: u64,
        /// The new one.
        key: WantedKey,
    },
    /// Says what a key may be used for, in place of what was said before. Its connections end, and log in again.
    LimitKey {
        /// Which.
        key: KeyId,
        /// Most that its requests may cost in a day (UTC); `null`: no bound.
        spend_per_day_mc: Option<Millicredits>,
        /// From where it is valid; empty: from everywhere.
        allow: Addresses,
    },
    /// Ends a key now.
    RevokeKey {
        /// Which.
        key: KeyId,
    },
    /// Gives a service credits.
    Grant {
        /// Names this grant: with the same name it is given once.
        transfer: TransferId,
        /// Who gets them.
        service: ServiceId,
        /// How many.
        amount_mc: Millicredits,
        /// Which kind.
        bucket: Bucket,
    },
    /// Shuts workers out.
    BanWorker {
        /// Whom.
        subject: WorkerSubject,
        /// Why.
        reason: Reason,
        /// For how long, in seconds; `null`: until the ban is lifted.
        for_s: Option<u64>,
    },
    /// Lets workers in again.
    UnbanWorker {
        /// Whom.
        subject: WorkerSubject,
    },
    /// Replaces the operator's token. Not taken over TCP, where it would cut off whoever asks.
    RotateOperatorToken {
        /// The new one.
        token: TokenText,
    },
}

/// A key that whoever asks for it has made, so that asking again asks for the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedKey {
    /// The whole key.
    pub(crate) text: KeyText,
    /// What it is for; `null`: as its predecessor, or nothing.
    pub(crate) label: Option<Label>,
    /// After how many seconds it ends; `null`: when it is revoked.
    pub(crate) expires_s: Option<u64>,
    /// Most that its requests may cost in a day (UTC); without it as its predecessor's, or no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spend_per_day_mc: Option<Millicredits>,
    /// From where it is valid; without it as its predecessor, or from everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) allow: Option<Addresses>,
}

/// Most postings of one answer.
pub(crate) const JOURNAL_MAX: usize = 1000;

impl Request {
    /// The name of the operation, for logs.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Read(read) => match read {
                Read::Status => "status",
                Read::Services => "services",
                Read::Service { .. } => "service",
                Read::Keys { .. } => "keys",
                Read::Balance { .. } => "balance",
                Read::Journal { .. } => "journal",
                Read::Workers { .. } => "workers",
                Read::Worker { .. } => "worker",
                Read::Bans => "bans",
                Read::Usage { .. } => "usage",
            },
            Self::Change(change) => match change {
                Change::AddService { .. } => "add_service",
                Change::SetServiceState { .. } => "set_service_state",
                Change::SetPrecache { .. } => "set_precache",
                Change::IssueKey { .. } => "issue_key",
                Change::RotateKey { .. } => "rotate_key",
                Change::LimitKey { .. } => "limit_key",
                Change::RevokeKey { .. } => "revoke_key",
                Change::Grant { .. } => "grant",
                Change::BanWorker { .. } => "ban_worker",
                Change::UnbanWorker { .. } => "unban_worker",
                Change::RotateOperatorToken { .. } => "rotate_operator_token",
            },
        }
    }
}
