//! The ledger in a Redis server, for production: one versioned library of functions, a verb each, under one hash tag.
//!
//! A server runs a function alone and to its end, so a verb is carried out as a whole; every function decides before it writes
//! (`library.lua`). Verbs of many callers share a pipeline. Holds are kept in the server with an end of their own; whoever
//! opens the ledger anew releases those that are left.
//!
//! What always holds here, beyond what holds in every store, and the test that proves it:
//!
//! | invariant | test |
//! |---|---|
//! | it behaves as the model does, also in a cluster, with 8 clients, repetitions and reordering | `tests::standalone`, `tests::cluster`, `store::random` |
//! | a server that could drop or lose credits, is no ledger's or another's, is refused and left alone | `tests::refusals` |
//! | a verb that the server refuses in the midst leaves nothing behind | `tests::disturbances` |
//! | a command that comes late has no effect, and of two coordinators one writes | `tests::takeover` |
//! | a server that comes back without its last changes gets them again while the coordinator lives, and is told of else | `tests::takeover` |

mod attachment;
mod audit;
mod call;
mod copy;
mod history;
mod key;
mod library;
mod mark;
mod reader;
mod row;
mod safety;
mod server;
#[cfg(test)]
pub(super) mod tests;
mod trouble;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use marketplace::ledger::audit::{Audit, Report};
use marketplace::ledger::{JournalEntry, Party};
use shared::{Network, ServiceId, Timestamp};
use tokio::sync::{mpsc, oneshot};

use self::attachment::Claim;
pub(super) use self::copy::RedisTarget;
use self::key::Keys;
use self::mark::Mark;
use self::reader::Reader;
pub use self::server::{BadServer, Server};
pub use self::trouble::OpenError;
use self::trouble::Trouble;
use self::writer::{Job, Writer};
use super::{
    Answer, Balance, DaySpent, KnownKey, Later, LimitedKey, Numbered, PrecacheTerms, ServiceRecord,
    SettledWork, Store, StoreError, Verb, Watch, WorkerBan, WorkerSubject, WorkerTotal,
};
use crate::answer::answer;

/// How long a coordinator that is not heard of keeps the ledger to itself.
const LEASE: Duration = Duration::from_secs(10);
/// Callers that may wait for the writer; further ones wait to be let in.
const QUEUE_MAX: usize = 1024;

/// How a ledger's server is to be used.
#[derive(Debug, Clone)]
pub struct Access {
    /// Where it is.
    pub server: Server,
    /// Whose ledger it has to be.
    pub network: Network,
    /// Whether a server that could lose or drop credits will do.
    pub allows_unsafe: bool,
    /// Whether the log says what a safe server may still lose.
    pub announces: bool,
}

impl Access {
    fn claim(&self) -> Claim {
        let Self { server, network, allows_unsafe, announces } = self.clone();
        Claim { server, keys: Keys::new(), network, allows_unsafe, announces }
    }
}

/// A ledger in a server. One coordinator at a time writes to it.
#[derive(Debug)]
pub struct RedisStore {
    /// `None` where it is only looked at.
    queue: Option<mpsc::Sender<Job>>,
    reader: Reader,
}

impl RedisStore {
    /// Takes over the ledger, and makes it if there is none. `mark` is the file in which the data directory remembers it; whoever
    /// opens it holds the directory's lock.
    ///
    /// # Errors
    /// [`OpenError`]: nothing has been changed.
    pub async fn open(access: &Access, mark: &Path) -> Result<Self, OpenError> {
        Self::start(access.claim(), Mark::load(mark)?).await
    }

    async fn start(claim: Claim, mark: Mark) -> Result<Self, OpenError> {
        let reader = Reader::new(&claim);
        let writer = Writer::open(claim, mark).await?;
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(writer.run(jobs));
        Ok(Self { queue: Some(queue), reader })
    }

    /// Looks for the ledger of this network, without taking it over: beside the server that writes it, or without one. It carries out
    /// nothing.
    ///
    /// # Errors
    /// [`OpenError`], also when there is none.
    pub async fn look(access: &Access) -> Result<Self, OpenError> {
        Ok(Self { queue: None, reader: Reader::open(&access.claim()).await? })
    }
}

impl Store for RedisStore {
    fn execute(&self, verbs: Vec<Verb>) -> Later<'_, Vec<Answer>> {
        Box::pin(async move {
            let Some(queue) = &self.queue else {
                return Err(StoreError::Unavailable("it is open for reading only".into()));
            };
            let (reply, answers) = oneshot::channel();
            queue.send(Job { verbs, reply }).await.map_err(|_| StoreError::Stopped)?;
            answer(answers, queue.closed()).await.unwrap_or(Err(StoreError::Stopped))
        })
    }

    fn balance(&self, service: ServiceId) -> Later<'_, Option<Balance>> {
        later(self.reader.balance(service))
    }

    fn parties(&self) -> Later<'_, BTreeMap<Party, i64>> {
        later(self.reader.parties())
    }

    fn journal(&self, from: u64, count: usize) -> Later<'_, Vec<JournalEntry>> {
        later(self.reader.journal(from, count))
    }

    fn services(&self) -> Later<'_, Vec<ServiceRecord>> {
        later(self.reader.services())
    }

    fn keys(&self) -> Later<'_, Vec<KnownKey>> {
        later(self.reader.api_keys())
    }

    fn key_limits(&self) -> Later<'_, Vec<LimitedKey>> {
        later(self.reader.key_limits())
    }

    fn worker_bans(&self) -> Later<'_, Vec<WorkerBan>> {
        later(self.reader.worker_bans())
    }

    fn precache_terms(&self) -> Later<'_, Vec<(ServiceId, PrecacheTerms)>> {
        later(self.reader.precache_terms())
    }

    fn watches(&self) -> Later<'_, Vec<Watch>> {
        later(self.reader.watches())
    }

    fn spent(&self) -> Later<'_, Vec<DaySpent>> {
        later(self.reader.spent())
    }

    fn worker_totals(&self, of: Option<WorkerSubject>) -> Later<'_, Vec<WorkerTotal>> {
        later(self.reader.worker_totals(of))
    }

    fn settled_since(&self, since: Timestamp, count: usize) -> Later<'_, Vec<SettledWork>> {
        later(self.reader.settled_since(since, count))
    }

    fn settlements(&self, from: u64, count: usize) -> Later<'_, Vec<Numbered>> {
        later(self.reader.settlements(from, count))
    }

    fn audit(&self, audit: Audit) -> Later<'_, (Audit, Report)> {
        later(audit::beside_the_writer(self.reader.clone(), audit))
    }
}

/// Reading stops nobody: what cannot be read may be readable later.
fn later<'a, T: 'a>(read: impl Future<Output = Result<T, Trouble>> + Send + 'a) -> Later<'a, T> {
    Box::pin(async move { read.await.map_err(|trouble| StoreError::Unavailable(Box::new(trouble))) })
}
