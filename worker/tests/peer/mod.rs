//! A server's end of a connection, which speaks just enough MQTT 3.1.1 to be a bad one.
#![expect(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]
#![allow(dead_code, reason = "not every test needs all of it")]

use std::time::Duration;

use shared::pow::{Root, Threshold, Work};
use shared::protocol::{
    Form, ListedJob, Message, Topic, WorkKind, WorkList, WorkResult, WorkerHello, WorkerStatus, decode,
    encode,
};
use shared::{JobId, Network, WorkerId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Much longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const SECRET: [u8; 32] = [0xa5; 32];

pub(crate) fn worker_id() -> WorkerId {
    WorkerId::of_secret(&SECRET)
}

/// A packet: its first byte and what follows the length.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) header: u8,
    pub(crate) body: Vec<u8>,
}

impl Packet {
    pub(crate) const CONNECT: u8 = 0x10;
    pub(crate) const PUBLISH: u8 = 0x30;
    pub(crate) const SUBSCRIBE: u8 = 0x80;
    pub(crate) const PINGREQ: u8 = 0xc0;
    pub(crate) const DISCONNECT: u8 = 0xe0;

    pub(crate) fn kind(&self) -> u8 {
        self.header & 0xf0
    }

    /// The text or bytes with a two-byte length at `offset`, and the offset behind them.
    pub(crate) fn field(&self, offset: usize) -> (&[u8], usize) {
        let length = usize::from(u16::from_be_bytes([self.body[offset], self.body[offset + 1]]));
        let start = offset + 2;
        (&self.body[start..start + length], start + length)
    }

    pub(crate) fn text(&self, offset: usize) -> (&str, usize) {
        let (bytes, end) = self.field(offset);
        (str::from_utf8(bytes).unwrap(), end)
    }

    /// The message of an acknowledged publication on this topic, and the packet id.
    #[track_caller]
    pub(crate) fn message<M: Message>(&self, topic: Topic) -> (M, [u8; 2]) {
        assert_eq!(self.header, Packet::PUBLISH | 0b10, "QoS 1, neither retained nor a duplicate");
        let (text, end) = self.text(0);
        assert_eq!(text, topic.to_string());
        let (message, form) = decode(&self.body[end + 2..]).unwrap();
        assert_eq!(form, Form::Binary);
        (message, [self.body[end], self.body[end + 1]])
    }

    /// The sign of life that this is, if it is one: a status without an acknowledgement.
    pub(crate) fn sign_of_life(&self, worker: WorkerId) -> Option<WorkerStatus> {
        let is_sign =
            self.header == Packet::PUBLISH && self.text(0).0 == Topic::WorkerStatus(worker).to_string();
        is_sign.then(|| decode(&self.body[self.text(0).1..]).unwrap().0)
    }
}

/// The server's end of a connection.
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    /// The next packet but for pings, which are answered.
    pub(crate) async fn read(&mut self) -> Packet {
        loop {
            let packet = timeout(PATIENCE, self.read_packet()).await.unwrap();
            if packet.kind() != Packet::PINGREQ {
                return packet;
            }
            self.write(0xd0, &[]).await;
        }
    }

    pub(crate) async fn read_packet(&mut self) -> Packet {
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

    pub(crate) async fn write(&mut self, header: u8, body: &[u8]) {
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
    pub(crate) async fn welcome(&mut self) -> WorkerHello {
        let (id, hello) = self.welcome_somebody().await;
        assert_eq!(id, worker_id());
        hello
    }

    /// The same for a worker of another name.
    pub(crate) async fn welcome_any(&mut self) -> WorkerId {
        self.welcome_somebody().await.0
    }

    async fn welcome_somebody(&mut self) -> (WorkerId, WorkerHello) {
        let connect = self.read().await;
        assert_eq!(connect.kind(), Packet::CONNECT);
        // Behind the name of the protocol, its version, flags and keep-alive.
        let id: WorkerId = connect.text(10).0.parse().unwrap();
        self.write(0x20, &[0, 0]).await;
        let subscribe = self.read().await;
        assert_eq!(subscribe.kind(), Packet::SUBSCRIBE);
        let (lists, end) = subscribe.text(2);
        assert_eq!((lists, subscribe.body[end]), (Topic::WorkRequest(id).to_string().as_str(), 0));
        let (verdicts, end) = subscribe.text(end + 1);
        assert_eq!((verdicts, subscribe.body[end]), (Topic::WorkVerdict(id).to_string().as_str(), 0));
        assert_eq!(subscribe.body.len(), end + 1);
        self.write(0x90, &[subscribe.body[0], subscribe.body[1], 0, 0]).await;
        let (hello, packet) = self.read().await.message(Topic::WorkerHello(id));
        self.acknowledge(packet).await;
        (id, hello)
    }

    pub(crate) async fn acknowledge(&mut self, packet: [u8; 2]) {
        self.write(0x40, &packet).await;
    }

    pub(crate) async fn publish<M: Message>(&mut self, topic: Topic, message: &M) {
        self.publish_bytes(topic, &encode(message, Form::Binary)).await;
    }

    pub(crate) async fn publish_bytes(&mut self, topic: Topic, payload: &[u8]) {
        let topic = topic.to_string();
        let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
        body.extend_from_slice(topic.as_bytes());
        body.extend_from_slice(payload);
        self.write(Packet::PUBLISH, &body).await;
    }

    pub(crate) async fn list(&mut self, sequence: u32, jobs: &[ListedJob]) {
        self.publish(Topic::WorkRequest(worker_id()), &WorkList { sequence, jobs: jobs.to_vec() }).await;
    }

    /// Many lists in one write, numbered from 1: `job` says what is on each.
    pub(crate) async fn lists(&mut self, count: u32, job: impl Fn(u32) -> ListedJob) {
        let topic = Topic::WorkRequest(worker_id()).to_string();
        let mut bytes = Vec::new();
        for sequence in 1..=count {
            let payload = encode(&WorkList { sequence, jobs: vec![job(sequence)] }, Form::Binary);
            let length = 2 + topic.len() + payload.len();
            bytes.push(Packet::PUBLISH);
            // Longer than 127 bytes and shorter than 16,384: two bytes say the length.
            bytes.extend([u8::try_from(length % 128).unwrap() | 0x80, u8::try_from(length / 128).unwrap()]);
            bytes.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
            bytes.extend(topic.as_bytes());
            bytes.extend(payload);
        }
        self.0.write_all(&bytes).await.unwrap();
    }

    pub(crate) async fn result(&mut self) -> (WorkResult, [u8; 2]) {
        self.result_of(worker_id()).await
    }

    /// The next result. Statuses, which a worker sends when it likes, are acknowledged and left aside.
    pub(crate) async fn result_of(&mut self, id: WorkerId) -> (WorkResult, [u8; 2]) {
        loop {
            let packet = self.read().await;
            if packet.sign_of_life(id).is_some() {
                continue;
            }
            if packet.kind() != Packet::PUBLISH || packet.text(0).0 != Topic::WorkerStatus(id).to_string() {
                return packet.message(Topic::WorkResult(id));
            }
            let (_, packet) = packet.message::<WorkerStatus>(Topic::WorkerStatus(id));
            self.acknowledge(packet).await;
        }
    }
}

pub(crate) fn job(counter: u64, threshold: Threshold) -> ListedJob {
    let root = Root::new(std::array::from_fn(|place| counter.to_le_bytes()[place % 8]));
    ListedJob {
        job: JobId { instance: 4, counter },
        root,
        threshold,
        kind: WorkKind::OnDemand,
        remaining_ms: 60_000,
    }
}

pub(crate) fn easy(counter: u64) -> ListedJob {
    job(counter, Network::Dev.send_threshold())
}

pub(crate) fn is_work(job: &ListedJob, result: &WorkResult) -> bool {
    (job.job, job.root) == (result.job, result.root)
        && Work::verify(job.root, result.nonce, job.threshold).is_some()
}
