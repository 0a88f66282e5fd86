//! Every reason for which a request is turned down, with its stable code and its form on each edge.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Why a request was not answered with work. In the order of precedence: where several apply, the first is given.
///
/// Nothing is charged for a refused request. Only [`StoreUnavailable`](Self::StoreUnavailable) may also stand for
/// [`Outcome::Unsettled`](crate::Outcome::Unsettled), where that is not known.
///
/// Always: a code is never renamed. The position is the number in the binary protocol, so a new code is a new version of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The request could not be read.
    Malformed,
    /// The request is larger than the edge allows.
    TooLarge,
    /// No key, or not a key of a service.
    Unauthenticated,
    /// The operator has suspended the service.
    Suspended,
    /// The threshold is below the entry threshold or above the configured multiple of the base.
    ThresholdOutOfRange,
    /// The request id is in use with another root or threshold.
    Conflict,
    /// The coordinator is stopping.
    Draining,
    /// The ledger cannot be reached, or its audit is red.
    StoreUnavailable,
    /// The service asks faster than it may.
    RateLimited,
    /// A bound of the coordinator is reached.
    Overloaded,
    /// The service has fewer credits than the work costs.
    InsufficientCredit,
    /// The service withdrew the request.
    Cancelled,
    /// No worker was connected in all the time the request had.
    NoWorkers,
    /// The time ran out.
    Expired,
    /// An error of ours.
    Fault,
}

impl Refusal {
    /// All reasons, in the order of precedence.
    pub const ALL: [Self; 15] = [
        Self::Malformed,
        Self::TooLarge,
        Self::Unauthenticated,
        Self::Suspended,
        Self::ThresholdOutOfRange,
        Self::Conflict,
        Self::Draining,
        Self::StoreUnavailable,
        Self::RateLimited,
        Self::Overloaded,
        Self::InsufficientCredit,
        Self::Cancelled,
        Self::NoWorkers,
        Self::Expired,
        Self::Fault,
    ];

    /// The stable code, as on `/v1`, in MQTT replies, logs and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Unauthenticated => "unauthenticated",
            Self::Suspended => "suspended",
            Self::ThresholdOutOfRange => "threshold_out_of_range",
            Self::Conflict => "conflict",
            Self::Draining => "draining",
            Self::StoreUnavailable => "store_unavailable",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::InsufficientCredit => "insufficient_credit",
            Self::Cancelled => "cancelled",
            Self::NoWorkers => "no_workers",
            Self::Expired => "expired",
            Self::Fault => "fault",
        }
    }

    /// The status on `/v1`.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unauthenticated => 401,
            Self::InsufficientCredit => 402,
            Self::Suspended => 403,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::ThresholdOutOfRange => 422,
            Self::RateLimited => 429,
            Self::Cancelled => 499,
            Self::Fault => 500,
            Self::Overloaded | Self::StoreUnavailable | Self::NoWorkers | Self::Draining => 503,
            Self::Expired => 504,
        }
    }

    /// The text of `{"error": …}` on the Nano RPC, always with status 200.
    pub const fn rpc_error(self) -> &'static str {
        match self {
            Self::Malformed | Self::TooLarge => "Unable to parse JSON",
            Self::Unauthenticated => "Unauthorized",
            Self::Suspended => "Service suspended",
            Self::ThresholdOutOfRange => "Difficulty above config limit or below publish threshold",
            Self::Conflict
            | Self::Overloaded
            | Self::StoreUnavailable
            | Self::NoWorkers
            | Self::Draining
            | Self::Fault => "Work service unavailable",
            Self::RateLimited => "Rate limit exceeded",
            Self::InsufficientCredit => "Insufficient credits",
            Self::Cancelled => "Cancelled",
            Self::Expired => "Work request timed out",
        }
    }

    /// One sentence for a person: what is wrong and what to do.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Malformed => "The request could not be read; see the field that is named.",
            Self::TooLarge => {
                "The request is larger than what is read here; a request for work has a few hundred bytes."
            }
            Self::Unauthenticated => "No valid API key was given; send it as `Authorization: Bearer <key>`.",
            Self::Suspended => "The operator has suspended this service; ask them why.",
            Self::ThresholdOutOfRange => {
                "The threshold is below what the network accepts or above what is sold here; ask for one in between."
            }
            Self::Conflict => "This request id is in use with another root or threshold; use a new id.",
            Self::Draining => "The coordinator is stopping; ask again in a few seconds.",
            Self::StoreUnavailable => {
                "The ledger takes no payments at the moment; ask again, it is free if it was charged."
            }
            Self::RateLimited => "This service asks faster than it may; wait as long as Retry-After says.",
            Self::Overloaded => {
                "The coordinator has as much work open as it can take; ask again in a moment."
            }
            Self::InsufficientCredit => {
                "The service has fewer credits than this work costs, or its key may spend no more today; buy credits, or ask with another key."
            }
            Self::Cancelled => "The request was withdrawn.",
            Self::NoWorkers => "No worker was connected in the time that the request had; ask again later.",
            Self::Expired => {
                "The work was not found in the time that the request had; ask again with a longer timeout."
            }
            Self::Fault => "An error of the coordinator; it has been logged.",
        }
    }

    /// Whether the same request can succeed when it is simply sent again.
    pub const fn retry_can_help(self) -> bool {
        matches!(
            self,
            Self::Draining
                | Self::StoreUnavailable
                | Self::RateLimited
                | Self::Overloaded
                | Self::NoWorkers
                | Self::Expired
                | Self::Fault
        )
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_complete_and_in_order_of_precedence() {
        assert!(Refusal::ALL.is_sorted());
        for refusal in Refusal::ALL {
            assert_eq!(serde_json::to_value(refusal).unwrap(), refusal.code());
        }
        assert_eq!(Refusal::ALL[Refusal::ALL.len() - 1], Refusal::Fault);
    }

    #[test]
    fn every_reason_has_its_form_on_each_edge() {
        let unavailable = "Work service unavailable";
        let table = [
            ("malformed", 400, "Unable to parse JSON", false),
            ("too_large", 413, "Unable to parse JSON", false),
            ("unauthenticated", 401, "Unauthorized", false),
            ("suspended", 403, "Service suspended", false),
            (
                "threshold_out_of_range",
                422,
                "Difficulty above config limit or below publish threshold",
                false,
            ),
            ("conflict", 409, unavailable, false),
            ("draining", 503, unavailable, true),
            ("store_unavailable", 503, unavailable, true),
            ("rate_limited", 429, "Rate limit exceeded", true),
            ("overloaded", 503, unavailable, true),
            ("insufficient_credit", 402, "Insufficient credits", false),
            ("cancelled", 499, "Cancelled", false),
            ("no_workers", 503, unavailable, true),
            ("expired", 504, "Work request timed out", true),
            ("fault", 500, unavailable, true),
        ];
        let forms = Refusal::ALL.map(|refusal| {
            (refusal.code(), refusal.http_status(), refusal.rpc_error(), refusal.retry_can_help())
        });
        assert_eq!(forms, table);
    }

    #[test]
    fn every_sentence_is_one_of_its_own() {
        let sentences: std::collections::BTreeSet<_> = Refusal::ALL.map(Refusal::sentence).into();
        assert_eq!(sentences.len(), Refusal::ALL.len());
        for sentence in sentences {
            assert!(sentence.starts_with(char::is_uppercase) && sentence.ends_with('.'), "{sentence}");
        }
    }
}
