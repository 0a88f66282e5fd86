//! What only a running server knows and does.

use std::sync::Arc;

use shared::{KeyId, ServiceId, Timestamp};
use tokio::sync::mpsc;

use super::Refused;
use super::reply::{self, Listens, Part};
use crate::driver::Command;
use crate::health::Health;
use crate::intake::operator_token::{OperatorToken, TokenText};
use crate::store::{ServiceState, WorkerSubject};

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
}

impl Live {
    pub(super) async fn status(&self, now: Timestamp) -> Result<reply::Server, Refused> {
        let readiness = self.health.readiness();
        let parts = readiness.parts.iter();
        let parts = parts.map(|(part, trouble)| Part { part: (*part).into(), trouble: trouble.clone() });
        Ok(reply::Server {
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_ms: u64::try_from(now.since(self.started).as_millis()).unwrap_or(u64::MAX),
            listens: self.listens,
            ready: readiness.is_ready(),
            parts: parts.collect(),
            workers: 0,
            hashes_per_second: 0,
            jobs_open: 0,
            jobs_unplaced: 0,
            requests_open: 0,
            requests_answered: 0,
            requests_refused: 0,
        })
    }

    pub(super) async fn workers(&self) -> Result<Vec<reply::Worker>, Refused> {
        Ok(Vec::new())
    }

    pub(super) async fn service_state_set(&self, _: ServiceId, _: ServiceState) -> Result<(), Refused> {
        Ok(())
    }

    pub(super) async fn key_revoked(&self, _: KeyId) -> Result<(), Refused> {
        Ok(())
    }

    pub(super) async fn worker_banned(&self, _: WorkerSubject) -> Result<(), Refused> {
        Ok(())
    }

    pub(super) async fn operator_token_rotated(&self, token: &TokenText) -> Result<(), Refused> {
        self.operator_token.replace(token);
        Ok(())
    }
}
