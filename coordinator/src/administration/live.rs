//! What only a running server knows and does.

use std::sync::Arc;
use std::time::Duration;

use broker::bus::Subject;
use marketplace::precache::{PrecacheState, PrecacheTerms};
use shared::{KeyId, Payee, ServiceId, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::Refused;
use super::reply::{self, Listens, Part};
use crate::answer::answer;
use crate::driver::Command;
use crate::health::Health;
use crate::intake::operator_token::{OperatorToken, TokenText};
use crate::node::{NodeDoor, NodesView};
use crate::snapshot::{Snapshot, WorkerSession};
use crate::store::{ServiceState, WorkerSubject};

/// How long the driver is waited for. It answers between two inputs, so this is only reached when something is wrong.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running server, as its administration sees it.
#[derive(Debug)]
pub(crate) struct Live {
    /// When it started.
    pub(crate) started: Timestamp,
    /// Where it listens.
    pub(crate) listens: Listens,
    /// What is wrong with it.
    pub(crate) health: Arc<Health>,
    /// The operator's token.
    pub(crate) operator_token: Arc<OperatorToken>,
    /// The driver.
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    /// How the nodes are, and whose blocks are watched for.
    pub(crate) nodes: NodesView,
}

impl Live {
    /// How the server is.
    pub(super) async fn status(&self, now: Timestamp) -> Result<reply::Server, Refused> {
        let readiness = self.health.readiness();
        let parts = readiness.parts.iter();
        let parts = parts.map(|(part, trouble)| Part { part: (*part).into(), trouble: trouble.clone() });
        let statistics = self.snapshot().await?.statistics;
        Ok(reply::Server {
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_ms: u64::try_from(now.since(self.started).as_millis()).unwrap_or(u64::MAX),
            listens: self.listens,
            ready: readiness.is_ready(),
            parts: parts.collect(),
            workers: statistics.workers,
            hashes_per_second: statistics.hashes_per_second,
            jobs_open: statistics.jobs_open,
            jobs_unplaced: statistics.jobs_unplaced,
            requests_open: statistics.requests_open,
            requests_answered: statistics.requests_answered,
            requests_refused: statistics.requests_refused,
            nodes: self.nodes.status.doors().into_iter().map(node).collect(),
            node_callback: self.nodes.status.callback(),
            accounts_watched: u64::try_from(self.nodes.watchlist.len()).unwrap_or(u64::MAX),
        })
    }

    /// Who is connected.
    pub(super) async fn workers(&self) -> Result<Vec<reply::Worker>, Refused> {
        Ok(self.snapshot().await?.workers.iter().map(worker).collect())
    }

    /// A service may ask from now on, or may not: what it has open ends, and so do its connections.
    pub(super) async fn service_state_set(
        &self,
        service: ServiceId,
        state: ServiceState,
    ) -> Result<(), Refused> {
        self.ask(|done| Command::SetServiceState { service, state, done }).await
    }

    /// What may be spent for a service ahead of its demand from now on.
    pub(super) async fn precache_set(
        &self,
        service: ServiceId,
        terms: Option<PrecacheTerms>,
    ) -> Result<(), Refused> {
        self.ask(|done| Command::SetPrecache { service, terms, done }).await
    }

    /// What working ahead has come to, for one service or for all.
    pub(super) async fn precaching(
        &self,
        service: Option<ServiceId>,
    ) -> Result<Vec<(ServiceId, PrecacheState)>, Refused> {
        self.ask(|reply| Command::Precaching { service, reply }).await
    }

    /// Ends the connections that were made with a key.
    pub(super) async fn key_revoked(&self, key: KeyId) -> Result<(), Refused> {
        self.revoke(Subject::Key(key)).await
    }

    /// Ends the connections of workers.
    pub(super) async fn worker_banned(&self, subject: WorkerSubject) -> Result<(), Refused> {
        self.revoke(match subject {
            WorkerSubject::Worker(worker) => Subject::Worker(worker),
            WorkerSubject::Account(account) => Subject::Payee(Payee::Account(account)),
        })
        .await
    }

    /// From now on the operator's token is this one; connections that were made with the old one end.
    pub(super) async fn operator_token_rotated(&self, token: &TokenText) -> Result<(), Refused> {
        self.operator_token.replace(token);
        self.revoke(Subject::Operators).await
    }

    async fn revoke(&self, subject: Subject) -> Result<(), Refused> {
        self.ask(|done| Command::Revoke { subject, done }).await
    }

    async fn snapshot(&self) -> Result<Snapshot, Refused> {
        self.ask(Command::Snapshot).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Refused> {
        let (done, is_done) = oneshot::channel();
        self.commands.send(command(done)).map_err(|_| Refused::Stopping)?;
        let done = timeout(PATIENCE, answer(is_done, self.commands.closed())).await;
        done.map_err(|_| Refused::Fault("the driver does not answer"))?.ok_or(Refused::Stopping)
    }
}

fn node(door: NodeDoor) -> reply::NodeDoor {
    let NodeDoor { url, works, since, trouble, .. } = door;
    reply::NodeDoor { url, works, since_at_us: since, trouble }
}

fn worker(session: &WorkerSession) -> reply::Worker {
    reply::Worker {
        worker: session.worker,
        payee: session.payee,
        connection: Some(reply::Connection {
            address: session.remote,
            connected_at_us: session.since,
            hashes_per_second: session.hashes_per_second,
            devices: session.devices.clone(),
            ready: session.is_ready,
            paused: session.is_paused,
            jobs: session.jobs,
            results: session.results,
            earned_mc: session.earned,
        }),
        total: None,
    }
}
