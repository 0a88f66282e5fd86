//! Who is connected and what goes on, at one moment, for operators.

use std::net::SocketAddr;

use broker::identity::Identity;
use marketplace::Board;
use serde::{Deserialize, Serialize};
use shared::protocol::{DeviceReport, NetworkStatistics};
use shared::{KeyId, Millicredits, Payee, ServiceId, Timestamp, WorkerId};

use crate::sessions::{ResultCounts, Sessions};

/// A running coordinator at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Snapshot {
    /// When.
    pub(crate) at: Timestamp,
    /// The state of the market.
    pub(crate) statistics: NetworkStatistics,
    /// Workers that are connected, those that came first first.
    pub(crate) workers: Vec<WorkerSession>,
    /// Connections of services, those that came first first. Services that ask over HTTP have none.
    pub(crate) services: Vec<ServiceSession>,
    /// Connections of operators.
    pub(crate) operators: u64,
}

/// A connected worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkerSession {
    /// The number of its connection, as in the log.
    pub(crate) session: u64,
    /// Its id.
    pub(crate) worker: WorkerId,
    /// Whom its results pay.
    pub(crate) payee: Payee,
    /// Where it connects from.
    pub(crate) remote: SocketAddr,
    /// When it logged in.
    pub(crate) since: Timestamp,
    /// What it says it does, in hashes a second; zero until it has said so.
    pub(crate) hashes_per_second: u64,
    /// Its devices, as it says: the first 16 that are in service.
    pub(crate) devices: Vec<DeviceReport>,
    /// Whether it has said what it is willing to do; before that it is given nothing.
    pub(crate) is_ready: bool,
    /// Whether it has asked not to be given anything for now.
    pub(crate) is_paused: bool,
    /// Jobs on its list.
    pub(crate) jobs: u64,
    /// What became of its results since it logged in.
    pub(crate) results: ResultCounts,
    /// What its results have earned since it logged in, as far as it is settled.
    pub(crate) earned: Millicredits,
}

/// A service's connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceSession {
    /// The number of its connection, as in the log.
    pub(crate) session: u64,
    /// Whose it is.
    pub(crate) service: ServiceId,
    /// The key that it logged in with.
    pub(crate) key: KeyId,
    /// Where it connects from.
    pub(crate) remote: SocketAddr,
    /// When it logged in.
    pub(crate) since: Timestamp,
}

/// Takes it.
pub(crate) fn take(
    at: Timestamp,
    statistics: NetworkStatistics,
    board: &Board,
    sessions: &Sessions,
) -> Snapshot {
    let (mut workers, mut services, mut operators) = (Vec::new(), Vec::new(), 0);
    for (session, known) in sessions.all() {
        let (remote, since, number) = (known.remote, known.since, session.as_u64());
        match known.identity {
            Identity::Worker { worker, payee } => {
                let entry = board.worker(worker).filter(|entry| entry.session == session);
                workers.push(WorkerSession {
                    session: number,
                    worker,
                    payee,
                    remote,
                    since,
                    hashes_per_second: entry.map_or(0, |entry| entry.rate),
                    devices: known.devices.clone(),
                    is_ready: entry.is_some_and(|entry| entry.terms.is_some()),
                    is_paused: entry.is_some_and(|entry| entry.is_paused),
                    jobs: entry.map_or(0, |entry| u64::try_from(entry.list().len()).unwrap_or(u64::MAX)),
                    results: known.results,
                    earned: entry.map_or(Millicredits::ZERO, |entry| entry.totals().earned_mc),
                });
            }
            Identity::Service { service, key } => {
                services.push(ServiceSession { session: number, service, key, remote, since });
            }
            Identity::Operator => operators += 1,
        }
    }
    Snapshot { at, statistics, workers, services, operators }
}
