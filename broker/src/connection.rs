//! One connection, from its CONNECT to its end: a reader and a writer in one task.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use shared::SessionId;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, timeout};

use crate::admission::Admitted;
use crate::bus::Up;
use crate::direct::DirectStream;
use crate::directory::Place;
use crate::ending::{Ending, Refused};
use crate::gate::{Peer, Shared};
use crate::handshake::{LoggedIn, Refusal, log_in};
use crate::inbound::Inbound;
use crate::login::Account;
use crate::metrics;
use crate::packet::PacketReader;
use crate::router::InnerSet;
use crate::session::{Origin, Session};
use crate::version::Welcome;

/// How long a client may take to hear why its connection ends.
const FAREWELL_MAX: Duration = Duration::from_millis(500);

/// Serves a connection that has been admitted.
pub(crate) async fn serve<S>(
    shared: Arc<Shared>,
    stream: S,
    direct: Option<DirectStream>,
    peer: Peer,
    mut admitted: Admitted,
) where
    S: AsyncRead + AsyncWrite,
{
    let (read, writer) = tokio::io::split(stream);
    let reader = PacketReader::new(read, shared.limits.connect_packet_max);
    let mut connection = Connection { reader, writer, unwritten: Bytes::new(), shared: Arc::clone(&shared) };
    match connection.join(direct, peer, &mut admitted).await {
        Ok(joined) => {
            // A defect in here must not leave the coordinator with a session that has no connection.
            let converse = AssertUnwindSafe(connection.converse(&joined));
            let ending = converse.catch_unwind().await.unwrap_or(Ending::Fault);
            joined.session.outbound.end(ending);
            let is_told = connection.say_why(&joined.session, ending).await;
            // Neither waits for the other: the client may be slow to close, the coordinator to take notice.
            let part = async move {
                if is_told {
                    connection.linger().await;
                }
                drop(connection);
            };
            tokio::join!(part, joined.leave(&shared, ending));
        }
        Err(refusal) => {
            if refusal.reason == Refused::BadCredentials {
                admitted.login_refused(Instant::now());
            }
            metrics::refused(refusal.reason);
            tracing::debug!(refusal.reason = refusal.reason.as_str(), "connection refused");
            if refusal.reason.is_delayed() {
                // Not while the gate stops: it waits for its connections.
                let _ = timeout(shared.limits.refusal_delay, shared.stopping()).await;
            }
            if let Some(answer) = refusal.version.and_then(|version| version.refusal(refusal.reason)) {
                connection.close_with(&answer).await;
                connection.linger().await;
            }
        }
    }
}

/// Both ends of a stream, and the gate behind it.
struct Connection<S> {
    reader: PacketReader<ReadHalf<S>>,
    writer: WriteHalf<S>,
    /// What of the bytes being written is still to be written.
    unwritten: Bytes,
    shared: Arc<Shared>,
}

/// A session that the coordinator knows of.
struct Joined {
    session: Arc<Session>,
    place: Place,
    account: Account,
    silence_max: Duration,
}

impl Joined {
    /// Tells the coordinator, and lets the next session of the same login come.
    async fn leave(self, shared: &Shared, ending: Ending) {
        shared.router.watch(&self.session, InnerSet::default());
        shared.logins.known(self.account, self.session.origin.remote);
        self.session.record_end(ending);
        // Whether or not the coordinator still listens, this session has left.
        let _ = shared.up.send(Up::Left { session: self.session.id }).await;
        drop(self.place);
    }
}

impl<S: AsyncRead + AsyncWrite> Connection<S> {
    /// Logs in, and tells the coordinator once the session before this one has left.
    async fn join(
        &mut self,
        direct: Option<DirectStream>,
        peer: Peer,
        admitted: &mut Admitted,
    ) -> Result<Joined, Refusal> {
        let shared = &self.shared;
        let login = log_in(shared, &mut self.reader, peer).await?;
        admitted.authenticated();
        let LoggedIn { decided, version, .. } = &login;
        let refuse = |reason| Refusal::answered(*version, reason);
        let role = decided.identity.role();
        let metrics = shared.metrics.session(role, *version).clone();
        let origin = Origin { remote: peer.remote.ip(), counted: admitted.address() };
        let session = Arc::new(Session::new(&login, origin, &shared.limits, metrics, direct));
        let mut place = shared.directory.enter(&session).map_err(refuse)?;
        place.previous_left().await;
        // Revocations and penalties find the session by now. One that came before it could be found may have meant it.
        if !shared.logins.still_hold(decided) {
            return Err(refuse(Refused::Revoked));
        }
        let now = Instant::now();
        if session.offender().is_some_and(|offender| shared.penalties().shuts_out(offender, now)) {
            return Err(refuse(Refused::Penalized));
        }
        let permit = tokio::select! {
            biased;
            _ = session.outbound.ended() => return Err(refuse(Refused::EndedEarly)),
            permit = shared.up.reserve() => permit.map_err(|_| refuse(Refused::ShuttingDown))?,
        };
        permit.send(Up::Joined { session: session.id, identity: session.identity, remote: peer.remote });
        session.record_start();

        self.reader.limit(shared.limits.packet_max(role));
        let welcome = welcome(shared, session.id, &login);
        session.outbound.push_reply(&version.welcome(&welcome));
        let silence_max = shared.limits.silence_max(login.keep_alive);
        Ok(Joined { session, place, account: login.decided.account, silence_max })
    }

    /// Reads and writes until one of the two, or somebody else, ends it.
    async fn converse(&mut self, joined: &Joined) -> Ending {
        let Joined { session, silence_max, .. } = joined;
        let stall_max = self.shared.limits.write_stall_max;
        let mut inbound = Inbound::new(&mut self.reader, session, &self.shared);
        tokio::select! {
            biased;
            ending = session.outbound.ended() => ending,
            ending = inbound.read_all(*silence_max) => ending,
            ending = write_all(&mut self.writer, &mut self.unwritten, session, stall_max) => ending,
        }
    }

    /// Tells a client why its session ends, if its version can, and unless it is in the middle of a message. Says whether it was
    /// told.
    async fn say_why(&mut self, session: &Session, ending: Ending) -> bool {
        let Some(reason) = session.version.disconnect(ending) else { return false };
        if !self.unwritten.is_empty() || session.outbound.is_torn() {
            return false;
        }
        // The acknowledgements that wait are true, and the first of them may be the CONNACK.
        let mut last_words = session.outbound.take_replies();
        last_words.extend(reason);
        self.close_with(&last_words).await;
        true
    }

    /// Writes the last bytes and closes, if the client takes them in time.
    async fn close_with(&mut self, last_words: &[u8]) {
        let close = async {
            self.writer.write_all(last_words).await?;
            self.writer.shutdown().await
        };
        // It is closed in any case.
        let _ = timeout(FAREWELL_MAX, close).await;
    }

    /// Reads and forgets what the client still sends, until it closes as well or its time is over: unread bytes would turn the
    /// close into a reset, at which the client forgets what it was told.
    async fn linger(&mut self) {
        let _ = timeout(FAREWELL_MAX, self.reader.discard()).await;
    }
}

fn welcome(shared: &Shared, session: SessionId, login: &LoggedIn) -> Welcome {
    let limits = &shared.limits;
    Welcome {
        client_id: login.client_id.is_empty().then(|| assigned_client_id(session)),
        keep_alive: limits.keep_alive_instead(login.keep_alive),
        packet_max: limits.packet_max(login.decided.identity.role()),
        receive_max: limits.receive_max,
    }
}

/// A client id that no other session has been given, also not before the last restart: clients may keep it.
fn assigned_client_id(session: SessionId) -> String {
    static START: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
    format!("gate-{:016x}-{session}", *START)
}

/// Writes what is queued until the queue finishes. What remains of a batch when the future is dropped is in `unwritten`.
async fn write_all<W: AsyncWrite + Unpin>(
    writer: &mut W,
    unwritten: &mut Bytes,
    session: &Session,
    stall_max: Duration,
) -> Ending {
    while let Some(batch) = session.outbound.next_batch().await {
        session.metrics.bytes_sent.increment(batch.len() as u64);
        *unwritten = batch;
        while unwritten.has_remaining() {
            match timeout(stall_max, writer.write_buf(unwritten)).await {
                Ok(Ok(0) | Err(_)) => return Ending::Lost,
                Ok(Ok(_)) => {}
                Err(_) => return Ending::WriteStall,
            }
        }
        // Streams with a buffer of their own, such as TLS, write it only now.
        match timeout(stall_max, writer.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ending::Lost,
            Err(_) => return Ending::WriteStall,
        }
    }
    Ending::Flushed
}
