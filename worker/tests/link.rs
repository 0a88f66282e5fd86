//! A running worker against a server that speaks just enough MQTT 3.1.1 to be a bad one.
#![expect(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::time::Duration;

use shared::pow::{Nonce, Root, Threshold, Work};
use shared::protocol::{
    Form, ListedJob, Message, Topic, Verdict, VerdictNotice, WorkKind, WorkList, WorkResult, WorkerHello,
    WorkerTotals, decode, encode,
};
use shared::{Account, JobId, Network, Payee, WorkerId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use worker::{Event, Secret, Server, Settings, Worker, WorkerError, threshold_max_default};

/// Much longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const SECRET: [u8; 32] = [0xa5; 32];

fn worker_id() -> WorkerId {
    WorkerId::of_secret(&SECRET)
}

fn account() -> Account {
    Account::from_public_key([3; 32])
}

/// A packet: its first byte and what follows the length.
#[derive(Debug)]
struct Packet {
    header: u8,
    body: Vec<u8>,
}

impl Packet {
    const CONNECT: u8 = 0x10;
    const PUBLISH: u8 = 0x30;
    const SUBSCRIBE: u8 = 0x80;
    const DISCONNECT: u8 = 0xe0;

    fn kind(&self) -> u8 {
        self.header & 0xf0
    }

    /// The text or bytes with a two-byte length at `offset`, and the offset behind them.
    fn field(&self, offset: usize) -> (&[u8], usize) {
        let length = usize::from(u16::from_be_bytes([self.body[offset], self.body[offset + 1]]));
        let start = offset + 2;
        (&self.body[start..start + length], start + length)
    }

    fn text(&self, offset: usize) -> (&str, usize) {
        let (bytes, end) = self.field(offset);
        (str::from_utf8(bytes).unwrap(), end)
    }

    /// The message of an acknowledged publication on this topic, and the packet id.
    #[track_caller]
    fn message<M: Message>(&self, topic: Topic) -> (M, [u8; 2]) {
        assert_eq!(self.header, Packet::PUBLISH | 0b10, "QoS 1, neither retained nor a duplicate");
        let (text, end) = self.text(0);
        assert_eq!(text, topic.to_string());
        let (message, form) = decode(&self.body[end + 2..]).unwrap();
        assert_eq!(form, Form::Binary);
        (message, [self.body[end], self.body[end + 1]])
    }
}

/// The server's end of a connection.
struct Peer(TcpStream);

impl Peer {
    async fn read(&mut self) -> Packet {
        timeout(PATIENCE, self.read_packet()).await.unwrap()
    }

    async fn read_packet(&mut self) -> Packet {
        let header = self.0.read_u8().await.unwrap();
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.0.read_u8().await.unwrap();
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        Packet { header, body }
    }

    async fn write(&mut self, header: u8, body: &[u8]) {
        let mut packet = vec![header];
        let mut length = body.len();
        while length > 0x7f {
            packet.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        packet.push(u8::try_from(length).unwrap());
        packet.extend_from_slice(body);
        self.0.write_all(&packet).await.unwrap();
    }

    /// Lets the worker in, and checks all that it has to say at the beginning of each connection.
    async fn welcome(&mut self) -> WorkerHello {
        assert_eq!(self.read().await.kind(), Packet::CONNECT);
        self.write(0x20, &[0, 0]).await;
        let subscribe = self.read().await;
        assert_eq!(subscribe.kind(), Packet::SUBSCRIBE);
        let (lists, end) = subscribe.text(2);
        assert_eq!((lists, subscribe.body[end]), (Topic::WorkRequest(worker_id()).to_string().as_str(), 0));
        let (verdicts, end) = subscribe.text(end + 1);
        assert_eq!(
            (verdicts, subscribe.body[end]),
            (Topic::WorkVerdict(worker_id()).to_string().as_str(), 0)
        );
        assert_eq!(subscribe.body.len(), end + 1);
        self.write(0x90, &[subscribe.body[0], subscribe.body[1], 0, 0]).await;
        let (hello, packet) = self.read().await.message(Topic::WorkerHello(worker_id()));
        self.acknowledge(packet).await;
        hello
    }

    async fn acknowledge(&mut self, packet: [u8; 2]) {
        self.write(0x40, &packet).await;
    }

    async fn publish<M: Message>(&mut self, topic: Topic, message: &M) {
        let topic = topic.to_string();
        let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
        body.extend_from_slice(topic.as_bytes());
        body.extend_from_slice(&encode(message, Form::Binary));
        self.write(Packet::PUBLISH, &body).await;
    }

    async fn list(&mut self, sequence: u32, jobs: &[ListedJob]) {
        self.publish(Topic::WorkRequest(worker_id()), &WorkList { sequence, jobs: jobs.to_vec() }).await;
    }

    async fn result(&mut self) -> (WorkResult, [u8; 2]) {
        self.read().await.message(Topic::WorkResult(worker_id()))
    }
}

/// A server, a worker that connects to it, and what the worker tells.
struct Bench {
    listener: TcpListener,
    events: mpsc::UnboundedReceiver<Event>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), WorkerError>>,
}

impl Bench {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let worker = Worker::new(Settings {
            server: Server::try_new("127.0.0.1", listener.local_addr().unwrap().port()).unwrap(),
            payee: Payee::Account(account()),
            secret: Secret::from_bytes(SECRET),
            network: Network::Live,
            opencl: None,
            threads: NonZeroUsize::new(1),
            threshold_max: threshold_max_default(Network::Live),
            precache: true,
            software: "a test whose name is far longer than the protocol allows for it".into(),
        });
        let (sender, events) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let running =
            tokio::spawn(worker.run(move |event| sender.send(event).unwrap_or_default(), async move {
                stopped.await.unwrap_or_default();
            }));
        Self { listener, events, stop, running }
    }

    async fn accept(&self) -> Peer {
        Peer(timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap().0)
    }

    async fn event(&mut self) -> Event {
        timeout(PATIENCE, self.events.recv()).await.unwrap().unwrap()
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.running).await.unwrap().unwrap().unwrap();
    }
}

fn job(counter: u64, threshold: Threshold) -> ListedJob {
    let root = Root::new([u8::try_from(counter).unwrap(); 32]);
    ListedJob {
        job: JobId { instance: 4, counter },
        root,
        threshold,
        kind: WorkKind::OnDemand,
        remaining_ms: 60_000,
    }
}

fn easy(counter: u64) -> ListedJob {
    job(counter, Network::Dev.send_threshold())
}

fn is_work(job: &ListedJob, result: &WorkResult) -> bool {
    (job.job, job.root) == (result.job, result.root)
        && Work::verify(job.root, result.nonce, job.threshold).is_some()
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
    // The first job has no solution, so only the next list ends its search.
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
