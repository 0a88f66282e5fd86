//! A running worker against a server that speaks just enough MQTT 3.1.1 to be a bad one.
#![expect(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

mod peer;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use shared::pow::{Nonce, Threshold};
use shared::protocol::{Topic, Verdict, VerdictNotice, WorkList, WorkResult, WorkerTotals};
use shared::{Account, Network, Payee, WorkerId};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use worker::backend::cpu;
use worker::{Event, Secret, Server, Settings, Worker, WorkerError, threshold_max_default};

use crate::peer::{PATIENCE, Packet, Peer, SECRET, easy, is_work, job, worker_id};

fn account() -> Account {
    Account::from_public_key([3; 32])
}

/// A server, a worker that connects to it, and what the worker tells.
struct Bench {
    listener: Option<TcpListener>,
    events: mpsc::UnboundedReceiver<Event>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), WorkerError>>,
}

impl Bench {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let bench = Self::start_at(listener.local_addr().unwrap(), threshold_max_default(Network::Live));
        Self { listener: Some(listener), ..bench }
    }

    /// A worker that is told to go to this address, where nobody listens yet.
    fn start_at(address: SocketAddr, threshold_max: Threshold) -> Self {
        let worker = Worker::new(Settings {
            server: Server::try_new("127.0.0.1", address.port()).unwrap(),
            payee: Payee::Account(account()),
            secret: Secret::from_bytes(SECRET),
            network: Network::Live,
            opencl: None,
            processor: cpu::Settings { threads: NonZeroUsize::MIN, ..cpu::Settings::default() },
            threshold_max,
            precache: true,
            software: "a test whose name is far longer than the protocol allows for it".into(),
        });
        let (sender, events) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let running =
            tokio::spawn(worker.run(move |event| sender.send(event).unwrap_or_default(), async move {
                stopped.await.unwrap_or_default();
            }));
        Self { listener: None, events, stop, running }
    }

    async fn accept(&self) -> Peer {
        let listener = self.listener.as_ref().unwrap();
        Peer(timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().0)
    }

    async fn event(&mut self) -> Event {
        timeout(PATIENCE, self.events.recv()).await.unwrap().unwrap()
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.running).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn it_logs_in_as_its_owner_and_says_what_it_is() {
    let mut bench = Bench::start().await;
    let mut peer = bench.accept().await;
    let connect = peer.read().await;
    assert_eq!(connect.kind(), Packet::CONNECT);
    let (protocol, end) = connect.text(0);
    assert_eq!((protocol, connect.body[end]), ("MQTT", 4));
    assert_eq!(connect.body[end + 1], 0b1100_0010, "user, password, clean session, no will");
    assert_eq!(connect.body[end + 2..end + 4], 30_u16.to_be_bytes());
    let (client, end) = connect.text(end + 4);
    let (user, end) = connect.text(end);
    let (password, end) = connect.text(end);
    assert_eq!(client, worker_id().to_string());
    assert_eq!(user, account().to_string());
    assert_eq!(password, "a5".repeat(32));
    assert_eq!(connect.body.len(), end);
    drop(peer);
    // The connection ended before it began: the next one is a new attempt.
    let hello = bench.accept().await.welcome().await;
    assert_eq!(hello.software, "a test whose name is far longer than the protoco");
    assert_eq!(hello.threshold_max, Threshold::new(0xffff_ffff_0000_0000));
    assert_eq!((hello.capacity, hello.precache, hello.devices.len()), (8, true, 1));
    let Event::Measured { hashes_per_second } = bench.event().await else { panic!("the speed comes first") };
    assert_eq!(hello.hashes_per_second, hashes_per_second);
    assert!(matches!(bench.event().await, Event::Disconnected { .. }));
    assert_eq!(bench.event().await, Event::Connected);
    bench.stop().await;
}

#[tokio::test]
async fn a_list_is_worked_off_and_verdicts_are_told() {
    let mut bench = Bench::start().await;
    let mut peer = bench.accept().await;
    peer.welcome().await;
    // The first job takes minutes, so only the next list ends its search.
    peer.list(1, &[job(9, threshold_max_default(Network::Live))]).await;
    let jobs = [easy(1), easy(2), easy(3)];
    peer.list(2, &jobs).await;
    for job in &jobs {
        let (result, packet) = peer.result().await;
        assert!(is_work(job, &result), "{result:?}");
        peer.acknowledge(packet).await;
    }
    let verdict = Verdict::Accepted;
    let notice =
        VerdictNotice { job: jobs[1].job, root: jobs[1].root, verdict, totals: WorkerTotals::default() };
    peer.publish(Topic::WorkVerdict(worker_id()), &notice).await;
    loop {
        if let Event::Judged(judgement) = bench.event().await {
            assert_eq!((judgement.job, judgement.verdict), (jobs[1].job, Verdict::Accepted));
            assert!(judgement.difficulty.is_some_and(|difficulty| difficulty.meets(jobs[1].threshold)));
            break;
        }
    }
    bench.stop().await;
    assert_eq!(peer.read().await.kind(), Packet::DISCONNECT);
}

/// The first connection ends with one of two results acknowledged. The other one comes again on the second, which ends as well;
/// on the third nothing is left to send, and lists are numbered from the beginning again.
#[tokio::test]
async fn every_connection_begins_anew_and_repeats_what_was_not_acknowledged() {
    let bench = Bench::start().await;
    let mut peer = bench.accept().await;
    peer.welcome().await;
    peer.list(1_000, &[easy(1), easy(2)]).await;
    let (_, first) = peer.result().await;
    let (unacknowledged, _) = peer.result().await;
    peer.acknowledge(first).await;
    // The worker has read the acknowledgement when it has done a job that was sent after it.
    peer.list(1_001, &[easy(3)]).await;
    let (_, third) = peer.result().await;
    peer.acknowledge(third).await;
    peer.list(1_002, &[easy(4)]).await;
    let (also_unacknowledged, _) = peer.result().await;
    drop(peer);

    let mut peer = bench.accept().await;
    peer.welcome().await;
    for expected in [unacknowledged, also_unacknowledged] {
        let (again, packet) = peer.result().await;
        assert_eq!(again, expected);
        peer.acknowledge(packet).await;
    }
    peer.list(1, &[easy(5)]).await;
    let (result, packet) = peer.result().await;
    assert!(is_work(&easy(5), &result));
    peer.acknowledge(packet).await;
    peer.list(2, &[easy(6)]).await;
    let (sixth, _) = peer.result().await;
    drop(peer);

    let mut peer = bench.accept().await;
    peer.welcome().await;
    assert_eq!(peer.result().await.0, sixth);
    bench.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_or_is_not_for_it_changes_nothing() {
    let bench = Bench::start().await;
    let mut peer = bench.accept().await;
    peer.welcome().await;
    let topic = Topic::WorkRequest(worker_id());
    // A nonce is no list; a list for another worker is none of ours.
    peer.publish(topic, &WorkResult { job: easy(1).job, root: easy(1).root, nonce: Nonce::new(1) }).await;
    let other = Topic::WorkRequest(WorkerId::of_secret(&[0; 32]));
    peer.publish(other, &WorkList { sequence: 7, jobs: vec![easy(1)] }).await;
    peer.list(1, &[easy(2)]).await;
    assert!(is_work(&easy(2), &peer.result().await.0));
    bench.stop().await;
}

#[tokio::test]
async fn a_refused_login_is_explained_and_not_repeated_in_a_hurry() {
    for code in [4, 5] {
        let mut bench = Bench::start().await;
        let mut peer = bench.accept().await;
        peer.read().await;
        peer.write(0x20, &[0, code]).await;
        assert!(matches!(bench.event().await, Event::Measured { .. }));
        let Event::Disconnected { reason, retry_in } = bench.event().await else { panic!("it was refused") };
        assert!(reason.contains("refused the login"), "{reason}");
        assert!(retry_in >= Duration::from_mins(1));
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_refused_subscription_ends_the_connection() {
    let mut bench = Bench::start().await;
    let mut peer = bench.accept().await;
    peer.read().await;
    peer.write(0x20, &[0, 0]).await;
    let subscribe = peer.read().await;
    peer.write(0x90, &[subscribe.body[0], subscribe.body[1], 0x80, 0]).await;
    assert!(matches!(bench.event().await, Event::Measured { .. }));
    assert_eq!(bench.event().await, Event::Connected);
    let Event::Disconnected { reason, retry_in } = bench.event().await else { panic!("it gets no work") };
    assert!(reason.contains("does not give work") && retry_in >= Duration::from_mins(1), "{reason}");
    bench.stop().await;
}

#[tokio::test]
async fn it_stops_at_once_whatever_it_is_doing() {
    // While it measures.
    Bench::start().await.stop().await;
    // While it waits for the answer to its login.
    let bench = Bench::start().await;
    let mut peer = bench.accept().await;
    peer.read().await;
    bench.stop().await;
    // While it searches.
    let bench = Bench::start().await;
    let mut peer = bench.accept().await;
    peer.welcome().await;
    peer.list(1, &[job(1, threshold_max_default(Network::Live))]).await;
    bench.stop().await;
    assert_eq!(peer.read().await.kind(), Packet::DISCONNECT);
}

/// Of ten thousand lists that come at once, the last one counts, and the worker obeys it as if there had been no others.
#[tokio::test]
async fn ten_thousand_lists_at_once_are_like_the_last_of_them() {
    const LISTS: u32 = 10_000;
    let bench = Bench::start().await;
    let mut peer = bench.accept().await;
    peer.welcome().await;
    let hard = threshold_max_default(Network::Live);
    peer.lists(LISTS, |sequence| match sequence {
        LISTS => easy(7),
        _ => job(u64::from(sequence) + 1_000, hard),
    })
    .await;
    let (result, packet) = peer.result().await;
    assert!(is_work(&easy(7), &result));
    peer.acknowledge(packet).await;
    // One that is older than these changes nothing, and the next one is obeyed.
    peer.list(LISTS - 1, &[easy(8)]).await;
    peer.list(LISTS + 1, &[easy(9)]).await;
    assert!(is_work(&easy(9), &peer.result().await.0));
    bench.stop().await;
}

#[tokio::test]
async fn what_is_no_list_of_the_protocol_changes_nothing() {
    let bench = Bench::start().await;
    let mut peer = bench.accept().await;
    peer.welcome().await;
    let topic = Topic::WorkRequest(worker_id());
    let list = WorkList { sequence: 1, jobs: vec![easy(1)] };
    let good = shared::protocol::encode(&list, shared::protocol::Form::Binary);
    let json = r#"{"sequence":2,"jobs":[{"job":"00000000000000040000000000000001","root":"ROOT","threshold":"8000000000000000","kind":"ondemand","remaining_ms":1000}]}"#;
    let nine = WorkList { sequence: 3, jobs: (0..9).map(easy).collect() };
    for bad in [
        &[][..],
        &[1],
        &[0xff; 2_000],
        // A byte too few and a byte too many; another version; a root of 31 and of 33 bytes as text.
        &good[..good.len() - 1],
        &[&good[..], &[0]].concat(),
        &[&[9], &good[1..]].concat(),
        json.replace("ROOT", &"0".repeat(62)).as_bytes(),
        json.replace("ROOT", &"0".repeat(66)).as_bytes(),
        &shared::protocol::encode(&nine, shared::protocol::Form::Binary),
    ] {
        peer.publish_bytes(topic, bad).await;
    }
    peer.list(1, &[easy(2)]).await;
    assert!(is_work(&easy(2), &peer.result().await.0));
    // As JSON it would have been understood.
    peer.publish_bytes(topic, json.replace("ROOT", &easy(3).root.to_string()).as_bytes()).await;
    assert_eq!(peer.result().await.0.root, easy(3).root);
    bench.stop().await;
}

/// Thresholds at both ends: 0, which any nonce meets, is done at once; what is beyond the owner's limit is left out; and what no
/// nonce meets is left with its time.
#[tokio::test]
async fn thresholds_at_the_ends_hold_nothing_up() {
    let bench = Bench::start().await;
    let mut peer = bench.accept().await;
    peer.welcome().await;
    let impossible = job(1, Threshold::new(u64::MAX));
    let beyond = job(2, Threshold::new(threshold_max_default(Network::Live).as_u64() + 1));
    peer.list(1, &[impossible, beyond, job(3, Threshold::new(0))]).await;
    assert!(is_work(&job(3, Threshold::new(0)), &peer.result().await.0));
    bench.stop().await;
}

/// A port that nobody listens on.
async fn deserted() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap()
}

/// It tries again and again, at most ten seconds apart, and is there as soon as the server is. The hour is the runtime's, which
/// passes as soon as everybody waits; so does the time in which the worker measures its speed, and the rate that it really has is
/// told in its signs of life.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_gone_for_an_hour_is_found_again() {
    let address = deserted().await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    // Bound, so that nobody else gets the port, and not listening.
    let nothing_meets = Threshold::new(u64::MAX);
    let mut bench = Bench::start_at(address, nothing_meets);
    let begin = tokio::time::Instant::now();
    let mut attempts = 0;
    while begin.elapsed() < Duration::from_hours(1) {
        match bench.events.recv().await.unwrap() {
            Event::Disconnected { retry_in, .. } => {
                attempts += 1;
                assert!(retry_in <= Duration::from_secs(10), "{retry_in:?}");
            }
            event => assert!(matches!(event, Event::Measured { .. }), "{event:?}"),
        }
    }
    assert!((180..3_600).contains(&attempts), "{attempts} attempts in an hour");
    bench.listener = Some(socket.listen(8).unwrap());
    tokio::time::resume();
    let mut peer = bench.accept().await;
    let hello = peer.welcome().await;
    peer.list(1, &[job(1, nothing_meets)]).await;
    loop {
        // Nothing else is ever sent while it searches and finds nothing.
        let status = peer.read().await.sign_of_life(worker_id()).unwrap();
        assert_eq!(status.devices_hashes_per_second, [status.hashes_per_second], "the processor alone");
        assert_eq!((status.temperature_c, status.paused), (None, None));
        if status.hashes_per_second > 2 * hello.hashes_per_second {
            break;
        }
    }
    peer.list(2, &[easy(2)]).await;
    assert!(is_work(&easy(2), &peer.result().await.0));
    bench.stop().await;
}
