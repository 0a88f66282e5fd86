//! Whoever asks and hangs up: a change that is begun is carried out to its end. Else the store would say one thing, and what is
//! in memory another.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::super::socket;
use super::*;
use crate::store::intercepted::Intercept;
use crate::store::{Later, Store};

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

impl Intercept for Slow {
    fn ledger(&self) -> &MemoryStore {
        &self.store
    }

    fn carry_out(&self, verbs: Vec<Verb>) -> Later<'_, Vec<Answer>> {
        Box::pin(async move {
            let answers = self.store.execute(verbs).await;
            self.carried_out.add_permits(1);
            self.may_answer.acquire().await.unwrap().forget();
            answers
        })
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
