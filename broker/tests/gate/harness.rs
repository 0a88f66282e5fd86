//! A gate on a free port, an authenticator that knows a few people, and a client that sends whatever bytes it is told to.

use std::fmt::Debug;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use broker::bus::{Bus, Down, InProcessBus, Up};
use broker::identity::{Authenticator, Identity, Login, LoginAnswer, LoginRefused};
use broker::{Gate, GateSettings, Limits};
use bytes::Bytes;
use shared::protocol::Topic;
use shared::{KeyId, Payee, ServiceId, SessionId, WorkerId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a test waits for what must happen. Far longer than it takes, since machines stall.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes that a pipe holds before whoever writes must wait.
pub(crate) const PIPE_SIZE: usize = 64 * 1024;

/// Knows workers by the seed of their secret, services by the keys `key` and `other key`, and the operator by `token`.
pub(crate) struct Acquaintances;

impl Acquaintances {
    pub(crate) fn shared() -> Arc<dyn Authenticator> {
        Arc::new(Self)
    }
}

impl Authenticator for Acquaintances {
    fn authenticate(&self, login: Login) -> LoginAnswer<'_> {
        Box::pin(async move {
            match (login.user.as_str(), login.password.as_str()) {
                ("house", seed) => {
                    let seed = seed.parse().map_err(|_| LoginRefused::BadCredentials)?;
                    let worker = worker(seed);
                    if login.client_id != worker.to_string() {
                        return Err(LoginRefused::BadCredentials);
                    }
                    Ok(Identity::Worker { worker, payee: Payee::House })
                }
                ("operator", "token") => Ok(Identity::Operator),
                ("banned", _) => Err(LoginRefused::NotAllowed),
                ("undecided", _) => Err(LoginRefused::Unavailable),
                ("unanswered", _) => pending().await,
                (name, key @ ("key" | "other key")) => {
                    Ok(Identity::Service { service: service(name), key: key_id(key) })
                }
                _ => Err(LoginRefused::BadCredentials),
            }
        })
    }
}

pub(crate) fn worker(seed: u8) -> WorkerId {
    WorkerId::of_secret(&[seed; 32])
}

/// What stands for a key.
pub(crate) fn key_id(key: &str) -> KeyId {
    KeyId::from_bytes([u8::try_from(key.len()).unwrap(); 8])
}

pub(crate) fn service(name: &str) -> ServiceId {
    name.parse().unwrap()
}

/// Awaits what must happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it takes too long")
}

/// A gate and the coordinator's end of its bus.
pub(crate) struct Fixture {
    pub(crate) gate: Gate,
    pub(crate) bus: InProcessBus,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::with_limits(|_| {}).await
    }

    pub(crate) async fn with_limits(change: impl FnOnce(&mut Limits)) -> Self {
        Self::with_authenticator(Acquaintances::shared(), change).await
    }

    pub(crate) async fn with_authenticator(
        authenticator: Arc<dyn Authenticator>,
        change: impl FnOnce(&mut Limits),
    ) -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut settings =
            GateSettings { listen: any_port, listen_websocket: Some(any_port), ..GateSettings::default() };
        change(&mut settings.limits);
        let (gate, bus) = Gate::start(settings, authenticator).await.unwrap();
        Self { gate, bus }
    }

    /// A new connection that has said nothing.
    pub(crate) async fn stranger(&self) -> Client<TcpStream> {
        let stream = TcpStream::connect(self.gate.local_addr()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client::new(stream)
    }

    /// A new connection without a network, whose time can be paused.
    pub(crate) fn pipe(&self) -> Client<DuplexStream> {
        self.pipe_from([127, 0, 0, 1])
    }

    /// The same, as if it came from elsewhere.
    pub(crate) fn pipe_from(&self, address: [u8; 4]) -> Client<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(PIPE_SIZE);
        self.gate.entrance().serve(theirs, SocketAddr::from((address, 9)));
        Client::new(ours)
    }

    /// A worker that has logged in.
    pub(crate) async fn worker(&mut self, seed: u8) -> (Client<TcpStream>, SessionId) {
        self.log_in(&Connect::worker(seed)).await
    }

    /// A service's program that has logged in.
    pub(crate) async fn service(&mut self, name: &str, client_id: &str) -> (Client<TcpStream>, SessionId) {
        self.log_in(&Connect::new(name, "key", client_id)).await
    }

    pub(crate) async fn operator(&mut self) -> (Client<TcpStream>, SessionId) {
        self.log_in(&Connect::new("operator", "token", "console")).await
    }

    pub(crate) async fn log_in(&mut self, connect: &Connect) -> (Client<TcpStream>, SessionId) {
        let mut client = self.stranger().await;
        client.log_in(connect).await;
        (client, self.joined().await)
    }

    pub(crate) async fn up(&mut self) -> Up {
        soon(self.bus.receive()).await.expect("the bus is open")
    }

    pub(crate) async fn joined(&mut self) -> SessionId {
        match self.up().await {
            Up::Joined { session, .. } => session,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn left(&mut self, session: SessionId) {
        assert_eq!(self.up().await, Up::Left { session });
    }

    pub(crate) async fn message(&mut self, session: SessionId, topic: Topic, payload: &[u8]) {
        let payload = Bytes::copy_from_slice(payload);
        assert_eq!(self.up().await, Up::Message { session, topic, payload });
    }

    pub(crate) fn send(&self, session: SessionId, topic: Topic, payload: &[u8]) {
        self.bus.send(Down::Message { session, topic, payload: Bytes::copy_from_slice(payload) });
    }

    /// Shows that the gate is unharmed: in both versions, a fresh client connects, subscribes, publishes and receives.
    pub(crate) async fn assert_serves(&mut self) {
        for version in Version::ALL {
            let client = self.stranger().await;
            self.assert_serves_over(client, version).await;
        }
    }

    /// The same for a client that has a connection.
    pub(crate) async fn assert_serves_over<S>(&mut self, mut client: Client<S>, version: Version)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        client.log_in(&Connect::worker(250).version(version)).await;
        let (session, id) = (self.joined().await, worker(250));
        let (result, verdict) = (Topic::WorkResult(id), Topic::WorkVerdict(id));
        client.subscribe(&[&verdict.to_string()]).await;
        client.send(&version.publish(1, 7, &result.to_string(), b"result")).await;
        client.expect(&[0x40, 2, 0, 7]).await;
        self.message(session, result, b"result").await;
        self.send(session, verdict, b"accepted");
        client.expect_message(&verdict.to_string(), b"accepted").await;
        client.send(&[0xE0, 0]).await;
        self.left(session).await;
    }
}

/// A version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V311,
    V5,
}

impl Version {
    pub(crate) const ALL: [Self; 2] = [Self::V311, Self::V5];

    /// No properties, where the version has any.
    const fn no_properties(self) -> &'static [u8] {
        match self {
            Self::V311 => &[],
            Self::V5 => &[0],
        }
    }

    pub(crate) fn publish(self, qos: u8, packet_id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
        let payload = [self.no_properties(), payload].concat();
        publish(qos, packet_id, topic, &payload)
    }

    pub(crate) fn subscribe(self, packet_id: u16, filters: &[&str]) -> Vec<u8> {
        self.filters(0x82, packet_id, filters, &[1])
    }

    pub(crate) fn unsubscribe(self, packet_id: u16, filters: &[&str]) -> Vec<u8> {
        self.filters(0xA2, packet_id, filters, &[])
    }

    pub(crate) fn filters(self, first: u8, packet_id: u16, filters: &[&str], options: &[u8]) -> Vec<u8> {
        let mut body = [&packet_id.to_be_bytes(), self.no_properties()].concat();
        for filter in filters {
            body.extend(text(filter));
            body.extend(options);
        }
        packet(first, &body)
    }

    /// SUBACK or UNSUBACK.
    pub(crate) fn filters_ack(self, first: u8, packet_id: u16, codes: &[u8]) -> Vec<u8> {
        packet(first, &[&packet_id.to_be_bytes(), self.no_properties(), codes].concat())
    }

    /// What a session is told at its end.
    pub(crate) fn last_words(self, reason: u8) -> Vec<u8> {
        match self {
            Self::V311 => Vec::new(),
            Self::V5 => vec![0xE0, 1, reason],
        }
    }
}

/// What a CONNECT says.
#[derive(Debug, Clone)]
pub(crate) struct Connect {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) client_id: String,
    pub(crate) keep_alive: u16,
    pub(crate) clean_session: bool,
    pub(crate) version: Version,
}

impl Connect {
    pub(crate) fn new(user: &str, password: &str, client_id: &str) -> Self {
        Self {
            user: user.into(),
            password: password.into(),
            client_id: client_id.into(),
            keep_alive: 60,
            clean_session: true,
            version: Version::V311,
        }
    }

    pub(crate) fn worker(seed: u8) -> Self {
        Self::new("house", &seed.to_string(), &worker(seed).to_string())
    }

    pub(crate) fn version(self, version: Version) -> Self {
        Self { version, ..self }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let level = match self.version {
            Version::V311 => 4,
            Version::V5 => 5,
        };
        let mut body = text("MQTT");
        body.extend([level, 0xC0 | u8::from(self.clean_session) << 1]);
        body.extend(self.keep_alive.to_be_bytes());
        body.extend(self.version.no_properties());
        for field in [&self.client_id, &self.user, &self.password] {
            body.extend(text(field));
        }
        packet(0x10, &body)
    }
}

/// The other end of a connection.
#[derive(Debug)]
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    /// As of its CONNECT.
    pub(crate) version: Version,
}

impl<S> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, version: Version::V311 }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
    }

    /// Reads as many bytes as these, and wants them to be these.
    pub(crate) async fn expect(&mut self, bytes: &[u8]) {
        let mut read = vec![0; bytes.len()];
        soon(self.stream.read_exact(&mut read)).await.unwrap();
        assert_eq!(read, bytes, "{}", String::from_utf8_lossy(&read));
    }

    /// Reads until the gate closes, and wants nothing more to come.
    pub(crate) async fn expect_closed(&mut self) {
        self.expect_end(&[]).await;
    }

    /// Reads until the gate closes, and wants these bytes before. A reset counts as a close.
    pub(crate) async fn expect_end(&mut self, bytes: &[u8]) {
        let mut read = Vec::new();
        let _ = soon(self.stream.read_to_end(&mut read)).await;
        assert_eq!(read, bytes);
    }

    pub(crate) async fn log_in(&mut self, connect: &Connect) {
        self.version = connect.version;
        self.send(&connect.bytes()).await;
        let (first, body) = self.packet().await;
        assert_eq!((first, &body[..2]), (0x20, &[0, 0][..]), "{body:?}");
    }

    /// Reads one packet: its first byte, and what follows its length.
    pub(crate) async fn packet(&mut self) -> (u8, Vec<u8>) {
        let first = soon(self.stream.read_u8()).await.unwrap();
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = soon(self.stream.read_u8()).await.unwrap();
            length |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        soon(self.stream.read_exact(&mut body)).await.unwrap();
        (first, body)
    }

    /// Wants a message to come next.
    pub(crate) async fn expect_message(&mut self, topic: &str, payload: &[u8]) {
        self.expect(&self.version.publish(0, 0, topic, payload)).await;
    }

    /// Subscribes to filters that must be granted.
    pub(crate) async fn subscribe(&mut self, filters: &[&str]) {
        let granted = vec![0; filters.len()];
        self.subscribe_expecting(filters, &granted).await;
    }

    pub(crate) async fn subscribe_expecting(&mut self, filters: &[&str], answers: &[u8]) {
        self.send(&self.version.subscribe(1, filters)).await;
        self.expect(&self.version.filters_ack(0x90, 1, answers)).await;
    }

    /// Waits until everything sent so far has been looked at.
    pub(crate) async fn ping(&mut self) {
        self.send(&[0xC0, 0]).await;
        self.expect(&[0xD0, 0]).await;
    }
}

/// A text with its length in front.
pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// A packet with its length.
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    while length > 127 {
        bytes.push(u8::try_from(length % 128).unwrap() | 128);
        length /= 128;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes.extend(body);
    bytes
}

pub(crate) fn publish(qos: u8, packet_id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = text(topic);
    if qos > 0 {
        body.extend(packet_id.to_be_bytes());
    }
    body.extend(payload);
    packet(0x30 | qos << 1, &body)
}

pub(crate) fn subscribe(packet_id: u16, filters: &[&str]) -> Vec<u8> {
    Version::V311.subscribe(packet_id, filters)
}

/// Waits until a condition holds, looking often.
pub(crate) async fn until(what: impl Debug, mut condition: impl FnMut() -> bool) {
    let met = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, met).await.unwrap_or_else(|_| panic!("{what:?} does not come true"));
}
