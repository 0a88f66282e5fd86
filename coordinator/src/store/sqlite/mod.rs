//! The embedded store: one `SQLite` file, one writer.
//!
//! The write-ahead log is synced at every commit, and a caller is answered after that; callers that come while the disk is
//! busy share the next commit. Holds are in memory: a crash releases them, and holding or releasing writes nothing. The
//! file's own constraints repeat what the program checks (`schema`).
//!
//! What always holds here, beyond what holds in every store, and the test that proves it:
//!
//! | invariant | test |
//! |---|---|
//! | it behaves as the model does | `tests::conformance`, `store::random` |
//! | what was acknowledged is there after a crash | `tests::acknowledged_settlements_survive_a_kill` |
//! | after a clean stop settlements are there, and holds are not | `tests::reopening_keeps_settlements_and_drops_holds` |
//! | after a clean stop the file alone is the whole ledger | `tests::a_ledger_that_was_closed_is_one_file` |
//! | a commit that fails leaves nothing behind, in the file or in memory | `tests::a_full_disk_leaves_nothing_half_done`, `tests::commits_that_the_disk_refuses_leave_nothing_behind`, `holds::tests::rolling_back_restores_what_was_committed` |
//! | a failed sync stops the store, all that may pass does not | `writer::tests::only_what_may_pass_is_tried_again` |
//! | a ledger of an older version is brought up to date whole or not at all, and keeps all it holds | `migration::version_1_becomes_version_5`, `migration::what_version_1_settled_is_not_settled_again`, `migration::a_step_that_fails_leaves_the_older_version` |
//! | whoever may only read changes nothing, and sees what the writer sees but for holds | `tests::a_ledger_is_read_beside_its_writer` |
//! | credits of one network never appear on another | `schema::tests::a_ledger_of_another_network_or_program_is_refused_and_left_alone` |
//! | the file refuses a negative balance or a changed journal by itself | `schema::tests::the_file_itself_refuses_what_no_ledger_may_hold` |

mod audit;
mod copy;
mod holds;
mod invariants;
mod ledger;
#[cfg(test)]
mod migration;
mod read_only;
mod reader;
mod registration;
mod row;
mod schema;
#[cfg(test)]
mod tests;
mod watches;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use marketplace::ledger::audit::{Audit, Report};
use marketplace::ledger::{JournalEntry, Party};
use shared::{Network, ServiceId, Timestamp};
use tokio::sync::{mpsc, oneshot};

pub(super) use self::copy::SqliteTarget;
use self::ledger::Ledger;
pub use self::read_only::ReadOnlyStore;
use self::read_only::SharedReader;
pub use self::reader::Reader;
pub use self::schema::OpenError;
use self::writer::Job;
use super::{
    Answer, Balance, DaySpent, KnownKey, Later, LimitedKey, Numbered, PrecacheTerms, ServiceRecord,
    SettledWork, Store, StoreError, Verb, Watch, WorkerBan, WorkerSubject, WorkerTotal,
};
use crate::answer::answer;

/// Callers that may wait for the writer; further ones wait to be let in.
const QUEUE_MAX: usize = 1024;

/// A ledger in a file. Only one may be open for a file at a time: whoever opens it holds the lock of its data directory.
///
/// Dropping it waits for the verbs that are under way.
#[derive(Debug)]
pub struct SqliteStore {
    /// `None` only while being dropped.
    queue: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    /// `None` only while being dropped.
    reader: Option<SharedReader>,
    path: PathBuf,
    network: Network,
}

impl SqliteStore {
    /// Opens the ledger of this network in this file, and makes it if there is none; its directory must exist. Blocks.
    ///
    /// # Errors
    /// [`OpenError`]: the file belongs to another network, program or newer version, or cannot be read or written.
    pub fn open(path: &Path, network: Network) -> Result<Self, OpenError> {
        let ledger = Ledger::new(schema::open(path, network)?)?;
        let reader = SharedReader::open(path, network)?;
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let writer = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || writer::run(ledger, jobs))
            .map_err(OpenError::File)?;
        Ok(Self {
            queue: Some(queue),
            writer: Some(writer),
            reader: Some(reader),
            path: path.into(),
            network,
        })
    }

    async fn submit<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, StoreError> {
        let queue = self.queue.as_ref().expect("there until dropped");
        let (reply, answered) = oneshot::channel();
        queue.send(job(reply)).await.map_err(|_| StoreError::Stopped)?;
        answer(answered, queue.closed()).await.ok_or(StoreError::Stopped)
    }

    const fn reader(&self) -> &SharedReader {
        self.reader.as_ref().expect("there until dropped")
    }

    /// Looks at the ledger in the writer's thread, holds included.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Ledger) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.submit(|reply| Job::Look(Box::new(move |ledger| drop(reply.send(look(ledger)))))).await
    }
}

impl Store for SqliteStore {
    fn execute(&self, verbs: Vec<Verb>) -> Later<'_, Vec<Answer>> {
        Box::pin(async move { self.submit(|reply| Job::Execute { verbs, reply }).await? })
    }

    fn balance(&self, service: ServiceId) -> Later<'_, Option<Balance>> {
        Box::pin(async move { Ok(self.look(move |ledger| ledger.balance(service)).await??) })
    }

    fn parties(&self) -> Later<'_, BTreeMap<Party, i64>> {
        self.reader().read(Reader::parties)
    }

    fn journal(&self, from: u64, count: usize) -> Later<'_, Vec<JournalEntry>> {
        self.reader().read(move |reader| reader.journal(from, count))
    }

    fn services(&self) -> Later<'_, Vec<ServiceRecord>> {
        self.reader().read(Reader::services)
    }

    fn keys(&self) -> Later<'_, Vec<KnownKey>> {
        self.reader().read(Reader::keys)
    }

    fn key_limits(&self) -> Later<'_, Vec<LimitedKey>> {
        self.reader().read(Reader::key_limits)
    }

    fn worker_bans(&self) -> Later<'_, Vec<WorkerBan>> {
        self.reader().read(Reader::worker_bans)
    }

    fn precache_terms(&self) -> Later<'_, Vec<(ServiceId, PrecacheTerms)>> {
        self.reader().read(Reader::precache_terms)
    }

    fn watches(&self) -> Later<'_, Vec<Watch>> {
        self.reader().read(Reader::watches)
    }

    fn spent(&self) -> Later<'_, Vec<DaySpent>> {
        self.reader().read(Reader::spent)
    }

    fn worker_totals(&self, of: Option<WorkerSubject>) -> Later<'_, Vec<WorkerTotal>> {
        self.reader().read(move |reader| reader.worker_totals(of))
    }

    fn settled_since(&self, since: Timestamp, count: usize) -> Later<'_, Vec<SettledWork>> {
        self.reader().read(move |reader| reader.settled_since(since, count))
    }

    fn settlements(&self, from: u64, count: usize) -> Later<'_, Vec<Numbered>> {
        self.reader().read(move |reader| reader.settlements(from, count))
    }

    fn audit(&self, audit: Audit) -> Later<'_, (Audit, Report)> {
        Box::pin(async move {
            let (audit, mut report) =
                audit::beside_the_writer(self.path.clone(), self.network, audit).await?;
            for violation in self.look(audit::holds).await?? {
                report.found(violation);
            }
            Ok((audit, report))
        })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // The last connection of a file copies the write-ahead log into it and removes the log, which only the writer may do.
        self.reader = None;
        // Without senders the writer ends when its queue is empty.
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the ledger's writer has panicked");
        }
    }
}
