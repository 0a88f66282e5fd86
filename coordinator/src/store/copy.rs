//! Moving a ledger from one store to another: everything that is kept, as it is, and an audit of both sides.

use std::collections::BTreeMap;

use marketplace::ledger::audit::{Audit, Report};
use marketplace::ledger::{JournalEntry, Party};
use shared::ServiceId;
use thiserror::Error;

use super::place::{OpenError, Place};
use super::redis::RedisTarget;
use super::sqlite::SqliteTarget;
use super::{
    DaySpent, KnownKey, Later, LimitedKey, Numbered, PrecacheTerms, ServiceRecord, Store, StoreError, Watch,
    WorkerBan,
};

/// Rows that are read and written at a time.
const PAGE: usize = 1000;

/// What a ledger keeps beside its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) services: Vec<ServiceRecord>,
    pub(super) keys: Vec<KnownKey>,
    pub(super) key_limits: Vec<LimitedKey>,
    pub(super) bans: Vec<WorkerBan>,
    pub(super) precache: Vec<(ServiceId, PrecacheTerms)>,
    pub(super) watches: Vec<Watch>,
    pub(super) spent: Vec<DaySpent>,
    pub(super) parties: BTreeMap<Party, i64>,
}

impl Registered {
    async fn read(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self {
            services: store.services().await?,
            keys: store.keys().await?,
            key_limits: store.key_limits().await?,
            bans: store.worker_bans().await?,
            precache: store.precache_terms().await?,
            watches: store.watches().await?,
            spent: store.spent().await?,
            parties: store.parties().await?,
        })
    }
}

/// A new ledger that takes rows as they come. Until it is finished, nobody can open it.
pub(super) trait Target: Send {
    /// What is kept beside the history; comes first.
    fn register(&mut self, registered: Registered) -> Later<'_, ()>;

    /// Settlements in their order; come before the postings.
    fn settlements(&mut self, settlements: Vec<Numbered>) -> Later<'_, ()>;

    /// Postings in their order.
    fn postings(&mut self, postings: Vec<JournalEntry>) -> Later<'_, ()>;

    /// Makes it a ledger.
    fn finish(self: Box<Self>) -> Later<'static, ()>;
}

/// Why a ledger was not moved. Always: the old one is as it was.
#[derive(Debug, Error)]
pub enum CopyError {
    /// One of the two cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// One of the two cannot be read or written.
    #[error("the copy was not finished, and what was begun cannot be used")]
    Store(#[from] StoreError),
    /// The target is none.
    #[error("there is a ledger on {place} already; a copy needs an empty place")]
    Taken {
        /// Where.
        place: String,
    },
    /// A ledger is wrong.
    #[error("the audit of {place} is red; run `dpow ledger audit` and see docs/ledger.md")]
    Red {
        /// Where it is.
        place: String,
    },
    /// The copy is another ledger.
    #[error("the copy on {place} is not the ledger that was copied: they differ in their {what}")]
    Differs {
        /// Where it is.
        place: String,
        /// In what.
        what: &'static str,
    },
}

/// Copies a ledger to an empty place, and audits both.
///
/// # Errors
/// [`CopyError`].
pub async fn copy(from: &Place, to: &Place) -> Result<Report, CopyError> {
    let source = from.look().await?;
    match to.look().await {
        Err(error) if error.is_missing() => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(CopyError::Taken { place: to.to_string() }),
    }
    let before = audited(source.as_ref(), from).await?;
    let mut target: Box<dyn Target> = match to {
        Place::File { path, network } => {
            Box::new(SqliteTarget::begin(path, *network).map_err(OpenError::from)?)
        }
        Place::Server { access, .. } => Box::new(RedisTarget::begin(access).await.map_err(OpenError::from)?),
    };
    write(source.as_ref(), target.as_mut()).await?;
    target.finish().await?;
    let copied = to.look().await?;
    let after = audited(copied.as_ref(), to).await?;
    let differs = |what| CopyError::Differs { place: to.to_string(), what };
    if before.checked != after.checked {
        return Err(differs("numbers of postings and settlements"));
    }
    if Registered::read(source.as_ref()).await? != Registered::read(copied.as_ref()).await? {
        return Err(differs("services, keys, bans, accounts, balances or what was spent today"));
    }
    compare(source.as_ref(), copied.as_ref()).await?.map_err(differs)?;
    Ok(after)
}

async fn audited(store: &dyn Store, place: &Place) -> Result<Report, CopyError> {
    let (_, report) = store.audit(Audit::new()).await?;
    if report.is_green() { Ok(report) } else { Err(CopyError::Red { place: place.to_string() }) }
}

async fn write(source: &dyn Store, target: &mut dyn Target) -> Result<(), StoreError> {
    target.register(Registered::read(source).await?).await?;
    let mut from = 1;
    loop {
        let page = source.settlements(from, PAGE).await?;
        let Some(last) = page.last() else { break };
        from = last.sequence + 1;
        target.settlements(page).await?;
    }
    let mut from = 1;
    loop {
        let page = source.journal(from, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        from = last.sequence + 1;
        target.postings(page).await?;
    }
}

/// Every posting and every settlement of one against those of the other.
async fn compare(one: &dyn Store, other: &dyn Store) -> Result<Result<(), &'static str>, StoreError> {
    let mut from = 1;
    loop {
        let (page, copied) = (one.settlements(from, PAGE).await?, other.settlements(from, PAGE).await?);
        if page != copied {
            return Ok(Err("settlements"));
        }
        let Some(last) = page.last() else { break };
        from = last.sequence + 1;
    }
    let mut from = 1;
    loop {
        let (page, copied) = (one.journal(from, PAGE).await?, other.journal(from, PAGE).await?);
        if page != copied {
            return Ok(Err("journals"));
        }
        let Some(last) = page.last() else { return Ok(Ok(())) };
        from = last.sequence + 1;
    }
}
