//! What the parts of the coordinator ask of the driver.

use std::time::Duration;

use broker::bus::Subject;
use marketplace::precache::{PrecacheRefused, PrecacheState, PrecacheTerms, Prefetched};
use marketplace::{NamedAccounts, NewRequest, Prefetch, Spender, Withdrawal};
use shared::{Millicredits, Outcome, ServiceId};
use tokio::sync::oneshot;

use crate::intake::congestion::Place;
use crate::snapshot::Snapshot;
use crate::store::ServiceState;

/// What the parts of the coordinator ask of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    /// A service asks over HTTP.
    Ask {
        /// The request.
        new: NewRequest,
        /// Where its outcome goes.
        reply: oneshot::Sender<Outcome>,
        /// Its place on the way.
        place: Place,
    },
    /// A service is no longer interested.
    Withdraw(Withdrawal),
    /// The ledger was audited.
    Audited {
        /// Whether nothing was found.
        is_green: bool,
    },
    /// A service may ask from now on, or it may not: then what it has open ends, uncharged, and so do its connections. The store
    /// and the registry have been told.
    SetServiceState {
        /// Which.
        service: ServiceId,
        /// What it is from now on.
        state: ServiceState,
        /// Told when it has taken effect.
        done: oneshot::Sender<()>,
    },
    /// Somebody has lost the right to be connected. The registry has been told.
    Revoke {
        /// Who.
        subject: Subject,
        /// Told when the gates have been.
        done: oneshot::Sender<()>,
    },
    /// A service names accounts, to be watched or not.
    NameAccounts {
        /// Which, and how. Its caller is the driver's to number.
        named: NamedAccounts,
        /// Told whether they were taken; and then, once all of it is durable.
        reply: oneshot::Sender<AccountsTaken>,
    },
    /// A service says for which roots it will ask next.
    Prefetch {
        /// Which. Its caller is the driver's to number.
        prefetch: Prefetch,
        /// Told what becomes of them.
        reply: oneshot::Sender<Result<Vec<Prefetched>, PrecacheRefused>>,
    },
    /// A service has opted in to precaching, or out. The store has been told.
    SetPrecache {
        /// Which.
        service: ServiceId,
        /// On which terms.
        terms: Option<PrecacheTerms>,
        /// Told when it has taken effect.
        done: oneshot::Sender<()>,
    },
    /// Somebody wants to know what working ahead has come to, for one service or for all.
    Precaching {
        /// For whom; `None`: for all of which anything is known.
        service: Option<ServiceId>,
        /// Told.
        reply: oneshot::Sender<Vec<(ServiceId, PrecacheState)>>,
    },
    /// Somebody wants to know what a key may still spend today.
    SpendingLeft {
        /// Which, and what it may spend in all.
        spender: Spender,
        /// Told.
        reply: oneshot::Sender<Millicredits>,
    },
    /// Somebody wants to know who is connected and what goes on.
    Snapshot(oneshot::Sender<Snapshot>),
    /// Nothing new from now on; what is open ends within `grace`.
    Drain {
        /// For how long what is open may go on.
        grace: Duration,
        /// Told when every request has its outcome and every hold is closed.
        drained: oneshot::Sender<()>,
    },
}

/// How many accounts of a service are watched now, and what tells when that is durable.
pub(crate) type AccountsTaken = (Result<usize, PrecacheRefused>, oneshot::Receiver<()>);
