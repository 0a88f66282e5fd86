//! A ledger that is only looked at: beside the server that writes it, or without one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use marketplace::ledger::audit::{Audit, Report};
use marketplace::ledger::{JournalEntry, Party};
use shared::{Network, ServiceId, Timestamp};

use super::{OpenError, Reader};
use crate::store::{
    Answer, Balance, DaySpent, KnownKey, Later, LimitedKey, Numbered, PrecacheTerms, ServiceRecord,
    SettledWork, Store, StoreError, Verb, Watch, WorkerBan, WorkerSubject, WorkerTotal,
};

/// A store that answers what can be read, and carries out nothing. It sees what is durable: open holds are not in the file.
#[derive(Debug)]
pub struct ReadOnlyStore {
    reader: SharedReader,
}

/// A reader that many callers share.
#[derive(Debug, Clone)]
pub(super) struct SharedReader(Arc<Mutex<Reader>>);

impl SharedReader {
    pub(super) fn open(path: &Path, network: Network) -> Result<Self, OpenError> {
        Ok(Self(Arc::new(Mutex::new(Reader::open(path, network)?))))
    }

    /// Reads the file on a thread where that may take its time.
    pub(super) fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Later<'_, T> {
        let reader = Arc::clone(&self.0);
        Box::pin(async move {
            // A poisoned lock guards a connection that only reads: there is nothing to be left half done.
            let read = move || read(&reader.lock().unwrap_or_else(PoisonError::into_inner));
            tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Stopped)?
        })
    }
}

impl ReadOnlyStore {
    /// Opens the ledger of this network in this file. Blocks.
    ///
    /// # Errors
    /// [`OpenError`], also when there is no such file or an older version wrote it.
    pub fn open(path: &Path, network: Network) -> Result<Self, OpenError> {
        SharedReader::open(path, network).map(|reader| Self { reader })
    }
}

impl Store for ReadOnlyStore {
    /// Always [`StoreError::Unavailable`].
    fn execute(&self, _: Vec<Verb>) -> Later<'_, Vec<Answer>> {
        Box::pin(async { Err(StoreError::Unavailable("it is open for reading only".into())) })
    }

    fn balance(&self, service: ServiceId) -> Later<'_, Option<Balance>> {
        self.reader.read(move |reader| reader.balance(service))
    }

    fn parties(&self) -> Later<'_, BTreeMap<Party, i64>> {
        self.reader.read(Reader::parties)
    }

    fn journal(&self, from: u64, count: usize) -> Later<'_, Vec<JournalEntry>> {
        self.reader.read(move |reader| reader.journal(from, count))
    }

    fn services(&self) -> Later<'_, Vec<ServiceRecord>> {
        self.reader.read(Reader::services)
    }

    fn keys(&self) -> Later<'_, Vec<KnownKey>> {
        self.reader.read(Reader::keys)
    }

    fn key_limits(&self) -> Later<'_, Vec<LimitedKey>> {
        self.reader.read(Reader::key_limits)
    }

    fn worker_bans(&self) -> Later<'_, Vec<WorkerBan>> {
        self.reader.read(Reader::worker_bans)
    }

    fn precache_terms(&self) -> Later<'_, Vec<(ServiceId, PrecacheTerms)>> {
        self.reader.read(Reader::precache_terms)
    }

    fn watches(&self) -> Later<'_, Vec<Watch>> {
        self.reader.read(Reader::watches)
    }

    fn spent(&self) -> Later<'_, Vec<DaySpent>> {
        self.reader.read(Reader::spent)
    }

    fn worker_totals(&self, of: Option<WorkerSubject>) -> Later<'_, Vec<WorkerTotal>> {
        self.reader.read(move |reader| reader.worker_totals(of))
    }

    fn settled_since(&self, since: Timestamp, count: usize) -> Later<'_, Vec<SettledWork>> {
        self.reader.read(move |reader| reader.settled_since(since, count))
    }

    fn settlements(&self, from: u64, count: usize) -> Later<'_, Vec<Numbered>> {
        self.reader.read(move |reader| reader.settlements(from, count))
    }

    fn audit(&self, audit: Audit) -> Later<'_, (Audit, Report)> {
        self.reader.read(move |reader| reader.audit(audit))
    }
}
