//! The driver between a bus, a store and callers that a test holds in its hands. Time is tokio's paused clock, which jumps
//! to the next thing that is due; nothing waits for real.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bridge::source::{Asker, Source, WorkRequest};
use broker::bus::InProcessBus;
use bytes::Bytes;
use marketplace::Start;
use marketplace::dispatch::DispatchPolicy;
use metrics_exporter_prometheus::PrometheusBuilder;
use shared::pow::{Multiplier, Nonce, Root, Threshold, Work};
use shared::protocol::{
    Form, ReplyOutcome, ServiceDemand, ServiceReply, ServiceRequest, Verdict, VerdictNotice, WorkKind,
    WorkList, WorkResult, WorkerHello, decode, encode,
};
use shared::{Millicredits, Payee, Refusal, RequestId, ServiceId, TransferId, WorkerId};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

mod bad_requests;
mod congestion;
mod ends;
mod one_root;
mod rates;
mod shutting_out;

use super::*;
use crate::intake::congestion::Congestion;
use crate::intake::http::InProcess;
use crate::intake::keys::Pepper;
use crate::intake::rates::{Rate, Rates};
use crate::intake::registry::Registry;
use crate::intake::throttle::Throttle;
use crate::practice::Practice;
use crate::store::intercepted::Intercept;
use crate::store::memory::MemoryStore;
use crate::store::{Answer, Bucket, Later, Store};

const NETWORK: Network = Network::Dev;
const WORKER: WorkerId = WorkerId::from_bytes([5; 16]);
const ROOT: Root = Root::new([9; 32]);
/// Longer than any step takes in paused time.
const PATIENCE: Duration = Duration::from_mins(5);

/// A store that can be taken away.
#[derive(Debug)]
struct Switched {
    store: MemoryStore,
    state: AtomicU8,
}

const THERE: u8 = 0;
const AWAY: u8 = 1;
const BROKEN: u8 = 2;

impl Intercept for Switched {
    fn ledger(&self) -> &MemoryStore {
        &self.store
    }

    fn carry_out(&self, verbs: Vec<Verb>) -> Later<'_, Vec<Answer>> {
        Box::pin(async move {
            match self.state.load(Ordering::SeqCst) {
                THERE => self.store.execute(verbs).await,
                AWAY => Err(StoreError::Unavailable("switched off".into())),
                _ => Err(StoreError::Stopped),
            }
        })
    }
}

struct Rig<D = JoinHandle<Result<(), DriverError>>> {
    store: Arc<Switched>,
    source: InProcess,
    health: Arc<Health>,
    up: mpsc::Sender<Up>,
    down: mpsc::UnboundedReceiver<Down>,
    driver: D,
    /// What a driver that is a task ends with.
    _end: Option<oneshot::Sender<()>>,
}

fn wallet() -> ServiceId {
    "wallet".parse().unwrap()
}

impl Rig {
    /// A driver with a service that has ten credits.
    async fn start() -> Self {
        Self::start_after(|_| Vec::new()).await
    }

    /// The same; the store has carried out these verbs before.
    async fn start_after(earlier: impl FnOnce(Timestamp) -> Vec<Verb>) -> Self {
        let some = |number: u32| number.try_into().unwrap();
        Self::start_at(Rate { per_second: some(1000), burst: some(1000) }, earlier).await
    }

    /// The same, where a service may ask so fast.
    async fn start_at(rate: Rate, earlier: impl FnOnce(Timestamp) -> Vec<Verb>) -> Self {
        let Rig { store, source, health, up, down, driver, .. } =
            Rig::build(rate, Health::new(|| true), earlier).await;
        let (end, is_ending) = oneshot::channel();
        // A task, and no thread, for the sake of the paused clock.
        let driver = tokio::spawn(driver.run(is_ending));
        Self { store, source, health, up, down, driver, _end: Some(end) }
    }
}

impl Rig<Driver<InProcessBus>> {
    /// The same, not started yet.
    async fn build(rate: Rate, health: Health, earlier: impl FnOnce(Timestamp) -> Vec<Verb>) -> Self {
        let clock = Clock::start();
        let store = Arc::new(Switched { store: MemoryStore::new(), state: AtomicU8::new(THERE) });
        let (service, at) = (wallet(), clock.now());
        let grant = Verb::Grant {
            transfer: TransferId::of_cause("test"),
            service,
            amount: Millicredits::new(10_000),
            bucket: Bucket::Paid,
            at,
        };
        store.execute(vec![Verb::AddService { service, at }, grant]).await.unwrap();
        store.execute(earlier(at)).await.unwrap();
        let k = DispatchPolicy::FastestK { k: std::num::NonZeroUsize::MIN };
        let policy = marketplace::Policy::of_network(NETWORK, Multiplier::try_new(8.0).unwrap(), k);
        let precache = marketplace::precache::PrecacheStart::default();
        let market = Marketplace::new(Start {
            instance: 3,
            policy,
            now: at,
            settled: Vec::new(),
            precache,
            spent: Vec::new(),
        });
        let (up, up_receiver) = mpsc::channel(64);
        let (down_sender, down) = mpsc::unbounded_channel();
        let (commands, command_receiver) = mpsc::unbounded_channel();
        let health = Arc::new(health);
        let callers = Callers::default();
        let pepper = Pepper::new(Zeroizing::new("p".into()));
        let registry = Registry::load(store.as_ref(), pepper).await.unwrap();
        let rates = Arc::new(Rates::new(rate, clock));
        let (congestion, practice) = (Congestion::new(clock), Practice::new(NETWORK));
        let guesses = Arc::new(Throttle::new(10, Vec::new()));
        let admission = Admission { congestion, rates, practice, guesses, registration: None };
        let parts = Parts {
            clock,
            network: NETWORK,
            market,
            bus: InProcessBus::new(up_receiver, down_sender),
            ledger: LedgerLink::start(Arc::clone(&store) as Arc<dyn Store>),
            commands: command_receiver,
            callers: callers.clone(),
            registry: registry.clone(),
            admission: admission.clone(),
            health: Arc::clone(&health),
            watchlist: Watchlist::new([]),
            frontiers: mpsc::channel(1).1,
        };
        let source = InProcess {
            own: Arc::default(),
            network: NETWORK,
            registry,
            admission,
            clock,
            commands,
            callers,
            health: Arc::clone(&health),
            multiplier_max: 8.0,
            metrics: PrometheusBuilder::new().build_recorder().handle(),
        };
        Self { store, source, health, up, down, driver: Driver::new(parts), _end: None }
    }
}

impl<D> Rig<D> {
    fn switch(&self, state: u8) {
        self.store.state.store(state, Ordering::SeqCst);
    }

    /// A worker logs in as this session and says hello.
    async fn worker_joins(&self, session: u64) {
        let session = SessionId::new(session);
        let identity = Identity::Worker { worker: WORKER, payee: Payee::House };
        self.joins(session, identity).await;
        let hello = WorkerHello {
            software: "test".into(),
            devices: Vec::new(),
            hashes_per_second: 1000,
            capacity: 8,
            threshold_max: Threshold::new(u64::MAX),
            precache: true,
        };
        self.says(session, Topic::WorkerHello(WORKER), encode(&hello, Form::Binary)).await;
    }

    async fn joins(&self, session: SessionId, identity: Identity) {
        let remote = "127.0.0.1:9".parse().unwrap();
        self.up.send(Up::Joined { session, identity, remote }).await.unwrap();
    }

    async fn says(&self, session: SessionId, topic: Topic, payload: impl Into<Bytes>) {
        self.up.send(Up::Message { session, topic, payload: payload.into() }).await.unwrap();
    }

    /// The next message on this topic; others before it are passed over.
    async fn next(&mut self, wanted: Topic) -> Bytes {
        let next = async {
            loop {
                match self.down.recv().await.expect("the driver runs") {
                    Down::Message { topic, payload, .. } | Down::Publish { topic, payload }
                        if topic == wanted =>
                    {
                        return payload;
                    }
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("it comes")
    }

    async fn next_list(&mut self) -> WorkList {
        decode(&self.next(Topic::WorkRequest(WORKER)).await).unwrap().0
    }

    /// Asks in a task of its own.
    fn ask(&self, root: Root) -> JoinHandle<Outcome> {
        let source = self.source.clone();
        tokio::spawn(async move {
            source.ask(Asker { service: wallet(), key: None, is_test: false }, request(root)).await.outcome
        })
    }
}

fn request(root: Root) -> WorkRequest {
    let (threshold, timeout) = (NETWORK.receive_threshold(), Duration::from_secs(30));
    WorkRequest { request: None, root, threshold, account: None, timeout, class: WorkKind::OnDemand }
}

fn solve(root: Root, threshold: Threshold) -> Nonce {
    (0..1_000_000).map(Nonce::new).find(|nonce| Work::verify(root, *nonce, threshold).is_some()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_service_that_speaks_json_is_answered_in_json_and_its_worker_in_binary() {
    let mut rig = Rig::start().await;
    rig.worker_joins(1).await;
    let service = SessionId::new(2);
    rig.joins(service, Identity::Service { service: wallet(), key: shared::KeyId::from_bytes([1; 8]) }).await;
    let asked = ServiceRequest {
        request: RequestId::from_u128(7),
        root: ROOT,
        demand: ServiceDemand::Threshold(NETWORK.receive_threshold()),
        account: None,
        timeout_ms: None,
        class: None,
    };
    rig.says(service, Topic::ServiceRequest(wallet()), encode(&asked, Form::Json)).await;
    let (list, form) = decode::<WorkList>(&rig.next(Topic::WorkRequest(WORKER)).await).unwrap();
    assert_eq!((list.jobs.len(), form), (1, Form::Binary));
    let result = WorkResult { job: list.jobs[0].job, root: ROOT, nonce: solve(ROOT, list.jobs[0].threshold) };
    rig.says(SessionId::new(1), Topic::WorkResult(WORKER), encode(&result, Form::Binary)).await;
    assert!(rig.next_list().await.jobs.is_empty(), "the cancel comes first");
    let (notice, _) = decode::<VerdictNotice>(&rig.next(Topic::WorkVerdict(WORKER)).await).unwrap();
    assert_eq!(notice.verdict, Verdict::Accepted);
    let (reply, form) = decode::<ServiceReply>(&rig.next(Topic::ServiceReply(wallet())).await).unwrap();
    assert_eq!((reply.request, form), (RequestId::from_u128(7), Form::Json));
    let ReplyOutcome::Work(work) = reply.outcome else { panic!("{reply:?}") };
    assert_eq!((work.nonce, work.charged_mc), (result.nonce, Millicredits::new(16)));
    assert_eq!(work.balance_mc, Some(Millicredits::new(9_984)));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_changes_several_times_at_once_leaves_once_and_before_verdicts() {
    let mut rig = Rig::start().await;
    rig.worker_joins(1).await;
    let roots = [1, 2, 3].map(|number| Root::new([number; 32]));
    let asked = roots.map(|root| rig.ask(root));
    let list = rig.next_list().await;
    assert_eq!(list.jobs.len(), 3, "the holds of all three were granted at once");
    assert_eq!(list.sequence, 3, "the lists of one and two jobs have not left");
    for job in &list.jobs[..2] {
        let result = WorkResult { job: job.job, root: job.root, nonce: solve(job.root, job.threshold) };
        rig.says(SessionId::new(1), Topic::WorkResult(WORKER), encode(&result, Form::Binary)).await;
    }
    let mut topics = Vec::new();
    while topics.len() < 3 {
        if let Down::Message { topic, payload, .. } = rig.down.recv().await.expect("the driver runs") {
            if topic == Topic::WorkRequest(WORKER) {
                let (list, _) = decode::<WorkList>(&payload).unwrap();
                assert_eq!((list.jobs.len(), list.sequence), (1, 5));
            }
            topics.push(topic);
        }
    }
    let verdict = Topic::WorkVerdict(WORKER);
    assert_eq!(topics, [Topic::WorkRequest(WORKER), verdict, verdict]);
    asked[2].abort();
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_read_changes_nothing() {
    let mut rig = Rig::start().await;
    rig.worker_joins(1).await;
    let asked = rig.ask(ROOT);
    let list = rig.next_list().await;
    for junk in [&b""[..], b"\x01", b"\x02\x00", b"{}", b"{\"job\":1}", &[0xff; 40]] {
        rig.says(SessionId::new(1), Topic::WorkResult(WORKER), junk.to_vec()).await;
    }
    let result = WorkResult { job: list.jobs[0].job, root: ROOT, nonce: solve(ROOT, list.jobs[0].threshold) };
    rig.says(SessionId::new(1), Topic::WorkResult(WORKER), encode(&result, Form::Binary)).await;
    assert!(matches!(asked.await.unwrap(), Outcome::Answered(_)));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_withdraws_its_request() {
    let mut rig = Rig::start().await;
    rig.worker_joins(1).await;
    let asked = rig.ask(ROOT);
    assert_eq!(rig.next_list().await.jobs.len(), 1);
    asked.abort();
    assert!(rig.next_list().await.jobs.is_empty());
    // Its release is behind it in the queue when the next request has been held.
    let other = rig.ask(Root::new([1; 32]));
    assert_eq!(rig.next_list().await.jobs.len(), 1);
    let balance = rig.store.balance(wallet()).await.unwrap().unwrap();
    assert_eq!((balance.available(), balance.held), (Millicredits::new(9_984), Millicredits::new(16)));
    other.abort();
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_nothing_new_is_taken_and_what_is_solved_is_settled_afterwards() {
    let mut rig = Rig::start().await;
    rig.worker_joins(1).await;
    let waiting = rig.ask(ROOT);
    let list = rig.next_list().await;
    rig.switch(AWAY);
    let refused = rig.ask(Root::new([1; 32])).await.unwrap();
    assert_eq!(refused, Outcome::Refused(Refusal::StoreUnavailable));
    assert!(!rig.health.readiness().is_ready());
    let result = WorkResult { job: list.jobs[0].job, root: ROOT, nonce: solve(ROOT, list.jobs[0].threshold) };
    rig.says(SessionId::new(1), Topic::WorkResult(WORKER), encode(&result, Form::Binary)).await;
    rig.next(Topic::WorkVerdict(WORKER)).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!waiting.is_finished(), "no answer before the settlement");
    rig.switch(THERE);
    let Outcome::Answered(answer) = waiting.await.unwrap() else { panic!("not answered") };
    assert_eq!(answer.charged, Millicredits::new(16));
    assert!(rig.health.readiness().is_ready());
    let balance = rig.store.balance(wallet()).await.unwrap().unwrap();
    assert_eq!((balance.available(), balance.held), (Millicredits::new(9_984), Millicredits::ZERO));
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_stops_while_the_store_is_away() {
    let mut rig = Rig::start().await;
    rig.next(Topic::Heartbeat).await;
    rig.switch(AWAY);
    // Statistics go out in any case: two of them without a heartbeat between them say that it has stopped.
    let mut since_heartbeat = 0;
    while since_heartbeat < 2 {
        match rig.down.recv().await.expect("the driver runs") {
            Down::Publish { topic: Topic::StatsNetwork, .. } => since_heartbeat += 1,
            Down::Publish { topic: Topic::Heartbeat, .. } => since_heartbeat = 0,
            _ => {}
        }
    }
    rig.switch(THERE);
    rig.next(Topic::Heartbeat).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_has_stopped_for_good_ends_the_driver_and_nobody_is_told_that_nothing_was_charged() {
    let mut rig = Rig::start().await;
    rig.worker_joins(1).await;
    let waiting = rig.ask(ROOT);
    rig.next_list().await;
    rig.switch(BROKEN);
    assert!(matches!(rig.driver.await.unwrap(), Err(DriverError::StoreStopped)));
    assert_eq!(waiting.await.unwrap(), Outcome::Unsettled);
}

#[tokio::test(start_paused = true)]
async fn gates_that_stop_by_themselves_end_the_driver_and_after_a_drain_it_is_done() {
    let rig = Rig::start().await;
    drop(rig.up);
    assert!(matches!(rig.driver.await.unwrap(), Err(DriverError::GateStopped)));

    let rig = Rig::start().await;
    let waiting = rig.ask(ROOT);
    let (drained, is_drained) = oneshot::channel();
    // The request is in the channel before the drain.
    tokio::task::yield_now().await;
    rig.source.commands.send(Command::Drain { grace: Duration::from_secs(5), drained }).unwrap();
    assert_eq!(waiting.await.unwrap(), Outcome::Refused(Refusal::Draining));
    is_drained.await.unwrap();
    let balance = rig.store.balance(wallet()).await.unwrap().unwrap();
    assert_eq!((balance.available(), balance.held), (Millicredits::new(10_000), Millicredits::ZERO));
    assert_eq!(rig.ask(ROOT).await.unwrap(), Outcome::Refused(Refusal::Draining));
    drop(rig.up);
    rig.driver.await.unwrap().unwrap();
}

/// Only what an honest worker cannot send counts against it, and it is told the verdict first.
#[tokio::test(start_paused = true)]
async fn a_result_below_its_threshold_counts_against_its_worker() {
    let mut rig = Rig::start().await;
    rig.worker_joins(7).await;
    let _asked = rig.ask(ROOT);
    let list = rig.next_list().await;
    let job = &list.jobs[0];
    let is_weak = |nonce: &Nonce| Work::verify(ROOT, *nonce, job.threshold).is_none();
    let weak = (0..1_000_000).map(Nonce::new).find(is_weak).unwrap();
    for (root, nonce, counts) in
        [(ROOT, weak, true), (Root::new([77; 32]), weak, true), (ROOT, solve(ROOT, job.threshold), false)]
    {
        let result = WorkResult { job: job.job, root, nonce };
        rig.says(SessionId::new(7), Topic::WorkResult(WORKER), encode(&result, Form::Binary)).await;
        rig.next(Topic::WorkVerdict(WORKER)).await;
        let mut penalized = false;
        while let Ok(down) = rig.down.try_recv() {
            penalized |= down == Down::Penalize { session: SessionId::new(7) };
        }
        assert_eq!(penalized, counts);
    }
}
