//! Many attempts, many connections, many messages at once: what they can reach, and what the others notice.

use std::collections::BTreeMap;
use std::time::Duration;

use broker::bus::{Bus, Down, Up};
use broker::identity::Identity;
use shared::protocol::Topic;
use shared::{SessionId, WorkerId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::harness::{Client, Connect, Fixture, Version, soon, worker};

/// The victim's name and id, with a secret of somebody else or with somebody else's login, do not end its session. Nor can they
/// keep it from coming back, although its name is worn out by then. The clock stands still while anything is to be done.
#[tokio::test(start_paused = true)]
async fn ten_thousand_attempts_to_take_a_session_over_fail() {
    const ATTEMPTS: u16 = 10_000;
    let mut fixture = Fixture::start().await;
    let id = worker(1).to_string();
    let mut victim = fixture.pipe();
    victim.log_in(&Connect::worker(1)).await;
    let session = fixture.joined().await;
    for attempt in 0..ATTEMPTS {
        let version = Version::ALL[usize::from(attempt % 2)];
        let mut thief = fixture.pipe();
        if attempt % 100 == 0 {
            let (user, key) = ("wallet", "key");
            thief.log_in(&Connect::new(user, key, &id).version(version)).await;
            let own_session = fixture.joined().await;
            assert_ne!(own_session, session);
            drop(thief);
            fixture.left(own_session).await;
            victim.ping().await;
        } else {
            thief.send(&Connect::new("house", "2", &id).version(version).bytes()).await;
            let code = thief.packet().await.1[1];
            // Wrong, or not looked at any more.
            assert!([4, 3, 0x86, 0x9F].contains(&code), "{code:#x}");
        }
    }
    victim.send(&[0xE0, 0]).await;
    fixture.left(session).await;
    let mut again = fixture.pipe();
    again.log_in(&Connect::worker(1)).await;
}

/// Two thieves subscribe to whatever could show them the results, lists and verdicts of another.
#[tokio::test]
async fn a_thief_sees_nothing_of_ten_thousand_results() {
    const ROUNDS: u16 = 100;
    const RESULTS: u16 = 100;
    let mut fixture = Fixture::with_limits(|limits| limits.worker_publish_rate = None).await;
    let (result, verdict) = (Topic::WorkResult(worker(1)), Topic::WorkVerdict(worker(1)));
    let mut thieves = Vec::new();
    for (seed, version) in [(2, Version::V311), (3, Version::V5)] {
        let (mut thief, _) = fixture.log_in(&Connect::worker(seed).version(version)).await;
        for filter in ["#", "+", "+/+/+", "work/#", "work/result/#", "work/result/+", "worker/#", "$SYS/#"] {
            let refused = if version == Version::V5 { 0x87 } else { 0x80 };
            thief.subscribe_expecting(&[filter], &[refused]).await;
            let shared = if version == Version::V5 { 0x9E } else { 0x80 };
            thief.subscribe_expecting(&[&format!("$share/x/{filter}")], &[shared]).await;
        }
        for topic in [result, verdict, Topic::WorkRequest(worker(1)), Topic::WorkerHello(worker(1))] {
            let refused = if version == Version::V5 { 0x87 } else { 0x80 };
            thief.subscribe_expecting(&[&topic.to_string()], &[refused]).await;
        }
        thief.subscribe(&["stats/#"]).await;
        thieves.push(thief);
    }
    let (mut victim, session) = fixture.worker(1).await;
    victim.subscribe(&[&verdict.to_string()]).await;
    for _ in 0..ROUNDS {
        let batch = Version::V311.publish(0, 0, &result.to_string(), b"nonce").repeat(RESULTS.into());
        victim.send(&batch).await;
        for _ in 0..RESULTS {
            fixture.message(session, result, b"nonce").await;
            fixture.send(session, verdict, b"accepted");
        }
        let answers = Version::V311.publish(0, 0, &verdict.to_string(), b"accepted").repeat(RESULTS.into());
        victim.expect(&answers).await;
    }
    for thief in &mut thieves {
        // The very next thing that comes is this answer.
        thief.ping().await;
    }
}

/// The coordinator of the flood: answers the honest worker, and holds the results of the others against them.
struct Referee {
    fixture: Fixture,
    honest: WorkerId,
    workers: BTreeMap<SessionId, WorkerId>,
    /// Messages of each worker that have reached it.
    messages: BTreeMap<WorkerId, u32>,
}

impl Referee {
    /// Carries on until this is done.
    async fn run_until<T>(&mut self, what: impl Future<Output = T>) -> T {
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                done = &mut what => return done,
                up = self.fixture.bus.receive() => self.take(&up.unwrap()),
            }
        }
    }

    fn take(&mut self, up: &Up) {
        match up {
            Up::Joined { session, identity: Identity::Worker { worker, .. }, .. } => {
                self.workers.insert(*session, *worker);
            }
            Up::Message { session, .. } => {
                let (session, worker) = (*session, self.workers[session]);
                *self.messages.entry(worker).or_default() += 1;
                if worker == self.honest {
                    self.fixture.send(session, Topic::WorkVerdict(worker), b"accepted");
                } else {
                    self.fixture.bus.send(Down::Penalize { session });
                }
            }
            Up::Joined { .. } | Up::Left { .. } => {}
        }
    }
}

/// Sends results at a rate of 1,000 a second until the gate closes; then comes back, and is refused.
async fn flood(mut client: Client<TcpStream>, connect: Connect, mut again: Client<TcpStream>) {
    const BATCH: usize = 10;
    let topic = Topic::WorkResult(connect.client_id.parse().unwrap()).to_string();
    let batch = connect.version.publish(0, 0, &topic, &[7; 60]).repeat(BATCH);
    let mut ticks = interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut read, mut write) = client.stream.split();
    let write = async {
        loop {
            ticks.tick().await;
            if write.write_all(&batch).await.is_err() {
                return;
            }
        }
    };
    let mut last_words = Vec::new();
    tokio::select! {
        () = write => {}
        _ = read.read_to_end(&mut last_words) => {}
    }
    again.send(&connect.bytes()).await;
    let code = again.packet().await.1[1];
    assert!([5, 0x8A].contains(&code), "{code:#x}");
}

/// A hundred workers send what counts against them as fast as they can. What reaches the coordinator of each is a handful, then
/// they are shut out, and the honest worker beside them is served all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_fake_results_ends_itself() {
    const HOSTILE: u8 = 100;
    // As many as an honest worker may send at once.
    const ROUND_TRIPS: usize = 100;
    let mut fixture = Fixture::start().await;
    let (mut honest, session) = fixture.worker(1).await;
    let (result, verdict) = (Topic::WorkResult(worker(1)), Topic::WorkVerdict(worker(1)));
    honest.subscribe(&[&verdict.to_string()]).await;
    let (mut hostile, mut workers) = (Vec::new(), BTreeMap::from([(session, worker(1))]));
    for index in 0..HOSTILE {
        let version = Version::ALL[usize::from(index % 2)];
        let connect = Connect::worker(100 + index).version(version);
        let again = fixture.stranger().await;
        let mut client = fixture.stranger().await;
        client.log_in(&connect).await;
        workers.insert(fixture.joined().await, worker(100 + index));
        hostile.push((client, connect, again));
    }
    let mut referee = Referee { fixture, honest: worker(1), workers, messages: BTreeMap::new() };
    let mut floods = JoinSet::new();
    for (client, connect, again) in hostile {
        floods.spawn(flood(client, connect, again));
    }
    let honest_work = async {
        let mut times = Vec::new();
        let mut pause = interval(Duration::from_millis(10));
        for _ in 0..ROUND_TRIPS {
            let started = Instant::now();
            honest.send(&Version::V311.publish(0, 0, &result.to_string(), b"nonce")).await;
            honest.expect_message(&verdict.to_string(), b"accepted").await;
            times.push(started.elapsed());
            pause.tick().await;
        }
        times.sort();
        times
    };
    let times = soon(referee.run_until(honest_work)).await;
    println!("round trip p50 {:?}, p99 {:?}", times[ROUND_TRIPS / 2], times[ROUND_TRIPS * 99 / 100]);
    let all_closed = async {
        while let Some(ended) = floods.join_next().await {
            ended.unwrap();
        }
    };
    soon(referee.run_until(all_closed)).await;
    for seed in 100..100 + HOSTILE {
        let count = referee.messages.get(&worker(seed)).copied().unwrap_or_default();
        assert!((3..=200).contains(&count), "{count} messages of worker {seed}");
    }
}
