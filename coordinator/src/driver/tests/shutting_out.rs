//! A service that may not ask any more, a key whose time is over, a worker that is banned: who is told what, and that nobody pays
//! for it.

use shared::{Answer as WorkAnswer, KeyId};

use super::*;
use crate::sessions::ResultCounts;
use crate::snapshot::{ServiceSession, Snapshot, WorkerSession};
use crate::store::{KeyRecord, Reason};

const KEY: KeyId = KeyId::from_bytes([1; 8]);
const REMOTE: &str = "127.0.0.1:9";

impl Rig {
    /// Has the registry and the driver told of a service's state, as an operator's command does.
    async fn set_state(&self, state: ServiceState) {
        self.source.registry.set_state(wallet(), state);
        let (done, is_done) = oneshot::channel();
        let command = Command::SetServiceState { service: wallet(), state, done };
        self.source.commands.send(command).unwrap();
        is_done.await.unwrap();
    }

    async fn snapshot(&self) -> Snapshot {
        let (reply, snapshot) = oneshot::channel();
        self.source.commands.send(Command::Snapshot(reply)).unwrap();
        snapshot.await.unwrap()
    }

    /// What the service has free and held, in mc, when the store has done all that was asked of it.
    async fn balance(&self) -> (u64, u64) {
        // A release is behind it in the queue when another hold has been taken and given back.
        let probe = self.ask(Root::new([77; 32]));
        tokio::time::sleep(Duration::from_millis(1)).await;
        probe.abort();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let balance = self.store.balance(wallet()).await.unwrap().unwrap();
        (balance.available().as_u64(), balance.held.as_u64())
    }

    async fn send_result(&self, list: &WorkList) {
        let (job, nonce) = (list.jobs[0].job, solve(list.jobs[0].root, list.jobs[0].threshold));
        let result = WorkResult { job, root: list.jobs[0].root, nonce };
        self.says(SessionId::new(1), Topic::WorkResult(WORKER), encode(&result, Form::Binary)).await;
    }

    /// The next end of sessions that the gate is told of; what comes before it is kept.
    async fn next_revoked(&mut self) -> (Subject, Vec<Down>) {
        let mut before = Vec::new();
        let next = async {
            loop {
                match self.down.recv().await.expect("the driver runs") {
                    Down::Revoke { subject } => return subject,
                    other => before.push(other),
                }
            }
        };
        let subject = tokio::time::timeout(PATIENCE, next).await.expect("it comes");
        (subject, before)
    }

    async fn service_joins(&self, session: u64, key: KeyId) {
        self.joins(SessionId::new(session), Identity::Service { service: wallet(), key }).await;
    }

    async fn asks_over_mqtt(&self, session: u64, request: u128) {
        let asked = ServiceRequest {
            request: RequestId::from_u128(request),
            root: ROOT,
            demand: ServiceDemand::Threshold(NETWORK.receive_threshold()),
            account: None,
            timeout_ms: None,
            class: None,
        };
        let topic = Topic::ServiceRequest(wallet());
        self.says(SessionId::new(session), topic, encode(&asked, Form::Binary)).await;
    }
}

fn key_record(number: u8, expires: Option<Timestamp>, at: Timestamp) -> Verb {
    let (key, label) = (KeyId::from_bytes([number; 8]), "of a test".parse().unwrap());
    Verb::AddKey(KeyRecord { key, service: wallet(), mac: [number; 32], label, at, expires })
}

#[tokio::test(start_paused = true)]
async fn a_service_suspended_in_mid_request_is_told_and_pays_nothing() {
    for state in [ServiceState::Suspended, ServiceState::Banned] {
        let mut rig = Rig::start().await;
        rig.worker_joins(1).await;
        rig.service_joins(2, KEY).await;
        let over_http = rig.ask(ROOT);
        assert_eq!(rig.next_list().await.jobs.len(), 1);
        rig.asks_over_mqtt(2, 7).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        rig.set_state(state).await;
        assert_eq!(over_http.await.unwrap(), Outcome::Refused(Refusal::Suspended), "{state}");
        let (subject, before) = rig.next_revoked().await;
        assert_eq!(subject, Subject::Service(wallet()));
        let reply = before.iter().find_map(|down| match down {
            Down::Message { topic: Topic::ServiceReply(_), payload, .. } => Some(payload),
            _ => None,
        });
        let reply = decode::<ServiceReply>(reply.expect("the reply leaves before the end")).unwrap().0;
        assert_eq!(reply.outcome, ReplyOutcome::Refused(Refusal::Suspended));
        let lists = before.iter().filter(|down| {
            matches!(down, Down::Message { topic: Topic::WorkRequest(_), payload, .. }
                if decode::<WorkList>(payload).unwrap().0.jobs.is_empty())
        });
        assert_eq!(lists.count(), 1, "nobody searches on");
        assert_eq!(rig.balance().await, (10_000, 0), "{state}: the holds are released, nothing is charged");

        // What had passed the registry before is refused by the market.
        assert_eq!(rig.ask(ROOT).await.unwrap(), Outcome::Refused(Refusal::Suspended));
        rig.asks_over_mqtt(2, 8).await;
        let (reply, _) = decode::<ServiceReply>(&rig.next(Topic::ServiceReply(wallet())).await).unwrap();
        assert_eq!(reply.outcome, ReplyOutcome::Refused(Refusal::Suspended));
        rig.set_state(ServiceState::Active).await;
        let again = rig.ask(ROOT);
        let list = rig.next_list().await;
        rig.send_result(&list).await;
        assert!(matches!(again.await.unwrap(), Outcome::Answered(_)));
        assert_eq!(rig.balance().await, (9_984, 0));
    }
}

/// What was found has been earned: the settlement goes through, once, whatever becomes of the service meanwhile.
#[tokio::test(start_paused = true)]
async fn a_settlement_that_is_under_way_when_its_service_is_banned_completes() {
    let mut rig = Rig::start().await;
    rig.worker_joins(1).await;
    let asked = rig.ask(ROOT);
    let list = rig.next_list().await;
    rig.switch(AWAY);
    rig.send_result(&list).await;
    rig.next(Topic::WorkVerdict(WORKER)).await;
    rig.set_state(ServiceState::Banned).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!asked.is_finished());
    rig.switch(THERE);
    let Outcome::Answered(WorkAnswer { charged, .. }) = asked.await.unwrap() else { panic!("not answered") };
    assert_eq!(charged, Millicredits::new(16));
    let balance = rig.store.balance(wallet()).await.unwrap().unwrap();
    assert_eq!((balance.available(), balance.held), (Millicredits::new(9_984), Millicredits::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_hold_of_a_suspended_service_is_released_when_the_store_is_back() {
    let mut rig = Rig::start().await;
    rig.worker_joins(1).await;
    let asked = rig.ask(ROOT);
    rig.next_list().await;
    rig.switch(AWAY);
    rig.set_state(ServiceState::Suspended).await;
    assert_eq!(asked.await.unwrap(), Outcome::Refused(Refusal::Suspended));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let balance = rig.store.balance(wallet()).await.unwrap().unwrap();
    assert_eq!(balance.held, Millicredits::new(16), "the store has not heard of it yet");
    rig.switch(THERE);
    assert_eq!(rig.balance().await, (10_000, 0));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_suspended_before_the_start_is_refused() {
    let (state, reason) = (ServiceState::Suspended, Reason::default());
    let suspend = |at| vec![Verb::SetServiceState { service: wallet(), state, reason: reason.clone(), at }];
    let rig = Rig::start_after(suspend).await;
    assert_eq!(rig.ask(ROOT).await.unwrap(), Outcome::Refused(Refusal::Suspended));
    rig.set_state(ServiceState::Active).await;
    let asked = rig.ask(ROOT);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!asked.is_finished());
    asked.abort();
}

/// A key that has ended takes its connections with it within a second, and what was asked with it goes on: it may have been paid
/// for, and whoever rotates keys loses nothing.
#[tokio::test(start_paused = true)]
async fn keys_end_by_themselves_and_their_requests_go_on() {
    let (first, second) = (Duration::from_millis(2500), Duration::from_millis(7300));
    let keys = |at| {
        vec![
            key_record(1, Some(at + first), at),
            key_record(2, Some(at + second), at),
            key_record(3, None, at),
        ]
    };
    let mut rig = Rig::start_after(keys).await;
    let began = tokio::time::Instant::now();
    rig.worker_joins(1).await;
    rig.service_joins(2, KEY).await;
    rig.asks_over_mqtt(2, 7).await;
    let list = rig.next_list().await;
    for (number, ends) in [(1, first), (2, second)] {
        let (subject, _) = rig.next_revoked().await;
        assert_eq!(subject, Subject::Key(KeyId::from_bytes([number; 8])));
        let late = began.elapsed().checked_sub(ends).expect("not before its end");
        assert!(late <= TICK, "{late:?} after its end");
    }
    rig.up.send(Up::Left { session: SessionId::new(2) }).await.unwrap();
    // With its next key it asks again, and is told what has become of the request.
    rig.service_joins(3, KeyId::from_bytes([3; 8])).await;
    rig.asks_over_mqtt(3, 7).await;
    rig.send_result(&list).await;
    let (reply, _) = decode::<ServiceReply>(&rig.next(Topic::ServiceReply(wallet())).await).unwrap();
    let ReplyOutcome::Work(work) = reply.outcome else { panic!("{reply:?}") };
    assert_eq!(work.charged_mc, Millicredits::new(16));
    assert_eq!(rig.balance().await, (9_984, 0), "paid for once");
}

#[tokio::test(start_paused = true)]
async fn the_store_is_told_once_a_minute_which_keys_are_in_use() {
    let keys = |at| [1, 2, 3].map(|number| key_record(number, None, at)).to_vec();
    let rig = Rig::start_after(keys).await;
    let began = rig.source.clock.now();
    rig.source.registry.used(KeyId::from_bytes([2; 8]), began);
    rig.service_joins(1, KEY).await;
    let mut told = Vec::new();
    while told.len() < 3 {
        assert!(rig.source.clock.now().since(began) < PATIENCE, "it is told {told:?} and no more");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let keys = rig.store.keys().await.unwrap();
        let used: Vec<_> = keys.into_iter().map(|key| key.last_used).collect();
        if told.last().is_none_or(|(earlier, _)| *earlier != used) {
            told.push((used, rig.source.clock.now()));
        }
    }
    assert_eq!(told[0].0, [None, None, None]);
    assert_eq!((told[1].0[1], told[1].0[2]), (Some(began), None));
    assert_eq!(told[2].0[1], Some(began), "not used since");
    assert!(told[2].0[0] > told[1].0[0], "its connection is still open");
    assert!(told[2].1.since(told[1].1) >= USES_EVERY, "at most once a minute");
}

#[tokio::test(start_paused = true)]
async fn a_banned_worker_is_closed_and_a_snapshot_says_who_is_there() {
    let mut rig = Rig::start().await;
    let began = rig.source.clock.now();
    rig.worker_joins(1).await;
    rig.service_joins(2, KEY).await;
    rig.joins(SessionId::new(3), Identity::Operator).await;
    let asked = rig.ask(ROOT);
    let list = rig.next_list().await;
    let before = rig.snapshot().await;
    let expected = WorkerSession {
        session: 1,
        worker: WORKER,
        payee: Payee::House,
        remote: REMOTE.parse().unwrap(),
        since: before.workers[0].since,
        hashes_per_second: 1000,
        devices: vec![],
        is_ready: true,
        is_paused: false,
        jobs: 1,
        results: ResultCounts::default(),
        earned: Millicredits::ZERO,
    };
    assert_eq!(before.workers, std::slice::from_ref(&expected));
    assert!(began <= expected.since && expected.since <= before.at);
    let ServiceSession { session, service, key, .. } = before.services[0];
    assert_eq!((session, service, key), (2, wallet(), KEY));
    assert_eq!((before.services.len(), before.operators, before.statistics.workers), (1, 1, 1));

    rig.send_result(&list).await;
    asked.await.unwrap();
    rig.send_result(&list).await;
    rig.next(Topic::WorkVerdict(WORKER)).await;
    rig.next(Topic::WorkVerdict(WORKER)).await;
    let results = ResultCounts { accepted: 1, duplicate: 1, ..ResultCounts::default() };
    let earned = Millicredits::new(14);
    let after = rig.snapshot().await;
    assert_eq!(after.workers, [WorkerSession { jobs: 0, results, earned, ..expected }]);

    let (done, is_done) = oneshot::channel();
    rig.source.commands.send(Command::Revoke { subject: Subject::Worker(WORKER), done }).unwrap();
    is_done.await.unwrap();
    assert_eq!(rig.next_revoked().await.0, Subject::Worker(WORKER));
    rig.up.send(Up::Left { session: SessionId::new(1) }).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(rig.snapshot().await.workers, []);
}
