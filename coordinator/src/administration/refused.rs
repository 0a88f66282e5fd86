//! Why an operator's request was not carried out.

use shared::{KeyId, Network, ServiceId};
use thiserror::Error;

use super::similar::did_you_mean;
use crate::home::HomeError;
use crate::store::{StoreError, VerbRefused, WorkerSubject};

/// Why a request was not carried out, in one sentence that says what to do.
#[derive(Debug, Error)]
pub(crate) enum Refused {
    /// The request could not be read.
    #[error("the request cannot be read ({0}); is the other side another version of dpow?")]
    Malformed(String),
    /// It is too large to be one.
    #[error("the request is larger than any that there is")]
    TooLarge,
    /// It is for another network.
    #[error("this server runs the network {ours}, not {wanted}; if you mean it, give `--network {ours}`")]
    OtherNetwork {
        /// The server's.
        ours: Network,
        /// As asked.
        wanted: Network,
    },
    /// There is no such service.
    #[error(
        "there is no service {service}; {}add it with `dpow service add {service}`",
        did_you_mean(similar)
    )]
    UnknownService {
        /// As asked.
        service: ServiceId,
        /// Those that may have been meant.
        similar: Vec<String>,
    },
    /// There is one already.
    #[error(
        "there is a service {service} already, and nothing has changed; a further key for it: `dpow key issue {service}`"
    )]
    ServiceExists {
        /// Which.
        service: ServiceId,
    },
    /// There is no such key.
    #[error("there is no key {key}; {}see `dpow key list`", did_you_mean(similar))]
    UnknownKey {
        /// As asked.
        key: KeyId,
        /// Those that may have been meant.
        similar: Vec<String>,
    },
    /// The key has ended, so there is nothing to rotate.
    #[error("the key {key} has ended already; a new one: `dpow key issue {service}`")]
    KeyEnded {
        /// Which.
        key: KeyId,
        /// Whose.
        service: ServiceId,
    },
    /// A key for trying things out cannot take the place of one for real work, nor the other way round.
    #[error(
        "a key for tests and a key for real work cannot take each other's place; issue a further key instead of the one in place of {key}"
    )]
    OtherKindOfKey {
        /// The old one.
        key: KeyId,
    },
    /// The token is not the server's to change.
    #[error(
        "the operator's token is set in the configuration (`operator_token`); change it there, and start the server again"
    )]
    TokenConfigured,
    /// Nobody of that name has been here.
    #[error(
        "no worker {subject} is connected, has ever earned anything or is banned; see `dpow worker list --all`"
    )]
    UnknownWorker {
        /// As asked.
        subject: WorkerSubject,
    },
    /// An id was used before for something else, or an amount cannot be.
    #[error("{0}")]
    Verb(VerbRefused),
    /// This operation is for the machine of the server alone.
    #[error("this is not done over the network; run it on the server's own machine")]
    NotOverTcp,
    /// The caller has not shown the operator's token.
    #[error("the operator's token is missing or wrong; name its file with --token-file")]
    Unauthenticated,
    /// Too many wrong tokens came from the caller's address.
    #[error(
        "too many wrong tokens came from your address; wait {seconds} s, or run it on the server's own machine"
    )]
    Throttled {
        /// How long.
        seconds: u64,
    },
    /// There is nothing at this path, or not by this method.
    #[error("there is nothing here; requests go to POST /admin/v1")]
    NotFound,
    /// The server is stopping. A change has been written down, and holds from the next start on.
    #[error("the server is stopping; try the same again when it has ended")]
    Stopping,
    /// The ledger cannot be reached.
    #[error("{0}; try the same again")]
    Store(#[from] StoreError),
    /// A secret's file cannot be written.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// An error of ours.
    #[error("an error of dpow, which has been logged: {0}")]
    Fault(&'static str),
}

impl Refused {
    /// The stable code.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::TooLarge => "too_large",
            Self::OtherNetwork { .. } => "other_network",
            Self::UnknownService { .. } => "unknown_service",
            Self::ServiceExists { .. } => "service_exists",
            Self::UnknownKey { .. } => "unknown_key",
            Self::KeyEnded { .. } => "key_ended",
            Self::OtherKindOfKey { .. } => "other_kind_of_key",
            Self::TokenConfigured => "token_configured",
            Self::UnknownWorker { .. } => "unknown_worker",
            Self::Verb(VerbRefused::OutOfRange) => "out_of_range",
            Self::Verb(_) => "conflict",
            Self::NotOverTcp => "not_over_tcp",
            Self::Unauthenticated => "unauthenticated",
            Self::Throttled { .. } => "rate_limited",
            Self::NotFound => "not_found",
            Self::Stopping => "draining",
            Self::Store(_) => "store_unavailable",
            Self::Home(_) | Self::Fault(_) => "fault",
        }
    }

    /// The status over HTTP.
    pub(crate) const fn http_status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Unauthenticated => 401,
            Self::NotOverTcp => 403,
            Self::UnknownService { .. }
            | Self::UnknownKey { .. }
            | Self::UnknownWorker { .. }
            | Self::NotFound => 404,
            Self::Verb(VerbRefused::OutOfRange) => 422,
            Self::ServiceExists { .. }
            | Self::OtherNetwork { .. }
            | Self::KeyEnded { .. }
            | Self::OtherKindOfKey { .. }
            | Self::TokenConfigured
            | Self::Verb(_) => 409,
            Self::TooLarge => 413,
            Self::Throttled { .. } => 429,
            Self::Home(_) | Self::Fault(_) => 500,
            Self::Store(_) | Self::Stopping => 503,
        }
    }
}

impl From<VerbRefused> for Refused {
    fn from(why: VerbRefused) -> Self {
        Self::Verb(why)
    }
}
