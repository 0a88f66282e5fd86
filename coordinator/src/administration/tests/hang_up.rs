//! Whoever asks and hangs up: a change that is begun is carried out to its end. Else the store would say one thing, and what is
//! in memory another.

use std::time::Duration;

use marketplace::ledger::audit::{Audit, Report};
use marketplace::ledger::{JournalEntry, Party};
use shared::Timestamp;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::super::socket;
use super::*;
use crate::store::{
    Balance, DaySpent, KnownKey, Later, LimitedKey, Numbered, PrecacheTerms, ServiceRecord, SettledWork,
    Store, Watch, WorkerBan, WorkerTotal,
};

/// Far longer than any step takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A store that answers what it was told to do when it may.
struct Slow {
    store: MemoryStore,
    /// One for each batch that has been carried out, and not answered yet.
    carried_out: Semaphore,
    /// One for each batch that may be answered.
    may_answer: Semaphore,
}

impl Store for Slow {
    fn execute(&self, verbs: Vec<Verb>) -> Later<'_, Vec<Answer>> {
        Box::pin(async move {
            let answers = self.store.execute(verbs).await;
            self.carried_out.add_permits(1);
            self.may_answer.acquire().await.unwrap().forget();
            answers
        })
    }

    fn balance(&self, service: ServiceId) -> Later<'_, Option<Balance>> {
        self.store.balance(service)
    }

    fn parties(&self) -> Later<'_, BTreeMap<Party, i64>> {
        self.store.parties()
    }

    fn journal(&self, from: u64, count: usize) -> Later<'_, Vec<JournalEntry>> {
        self.store.journal(from, count)
    }

    fn services(&self) -> Later<'_, Vec<ServiceRecord>> {
        self.store.services()
    }

    fn keys(&self) -> Later<'_, Vec<KnownKey>> {
        self.store.keys()
    }

    fn key_limits(&self) -> Later<'_, Vec<LimitedKey>> {
        self.store.key_limits()
    }

    fn worker_bans(&self) -> Later<'_, Vec<WorkerBan>> {
        self.store.worker_bans()
    }

    fn precache_terms(&self) -> Later<'_, Vec<(ServiceId, PrecacheTerms)>> {
        self.store.precache_terms()
    }

    fn watches(&self) -> Later<'_, Vec<Watch>> {
        self.store.watches()
    }

    fn spent(&self) -> Later<'_, Vec<DaySpent>> {
        self.store.spent()
    }

    fn worker_totals(&self, of: Option<WorkerSubject>) -> Later<'_, Vec<WorkerTotal>> {
        self.store.worker_totals(of)
    }

    fn settled_since(&self, since: Timestamp, count: usize) -> Later<'_, Vec<SettledWork>> {
        self.store.settled_since(since, count)
    }

    fn settlements(&self, from: u64, count: usize) -> Later<'_, Vec<Numbered>> {
        self.store.settlements(from, count)
    }

    fn audit(&self, audit: Audit) -> Later<'_, (Audit, Report)> {
        self.store.audit(audit)
    }
}

#[tokio::test]
async fn a_change_that_is_begun_is_carried_out_though_whoever_asked_hangs_up() {
    let slow = Arc::new(Slow {
        store: MemoryStore::new(),
        carried_out: Semaphore::new(0),
        may_answer: Semaphore::new(1),
    });
    let rig = Rig::on(Arc::clone(&slow) as Arc<dyn Store>).await;
    rig.add("wallet").await;
    slow.carried_out.acquire().await.unwrap().forget();
    let (registry, home) = (rig.registry.clone(), Arc::clone(&rig.home));
    let server = AdminServer::start(home.path(), None, Arc::new(rig.administration)).unwrap();

    let (state, reason) = (ServiceState::Suspended, "test".parse().unwrap());
    let request = Request::Change(Change::SetServiceState { service: service("wallet"), state, reason });
    let body = serde_json::to_string(&Envelope { network: Network::Dev, request }).unwrap();
    let length = body.len();
    let mut stream = socket::connect(home.path()).await.unwrap();
    let header = format!("POST /admin/v1 HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(format!("{header}{body}").as_bytes()).await.unwrap();
    timeout(PATIENCE, slow.carried_out.acquire()).await.unwrap().unwrap().forget();
    drop(stream);
    // The server has noticed when it has given back the connection's place; it is asked something else meanwhile.
    let other = client::Client::of_directory(Network::Dev, home.path());
    other.ask(&Request::Read(Read::Services)).await.unwrap();

    assert_eq!(registry.state(service("wallet")), ServiceState::Active);
    slow.may_answer.add_permits(1);
    let told = async {
        while registry.state(service("wallet")) != ServiceState::Suspended {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, told).await.expect("the registry is told");
    server.stop().await;
}
