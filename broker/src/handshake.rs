//! From the first byte to a login that is believed.

use std::net::SocketAddr;

use tokio::io::AsyncRead;
use tokio::time::timeout;

use crate::ending::Refused;
use crate::gate::Shared;
use crate::identity::{Identity, Login, LoginRefused};
use crate::packet::PacketReader;
use crate::v311::{self, Connect, ConnectAnswer, Greeting};

/// A client that is who it says.
pub(crate) struct LoggedIn {
    pub(crate) identity: Identity,
    pub(crate) client_id: String,
    /// In seconds; 0 for none.
    pub(crate) keep_alive: u16,
}

/// A client that is not let in, and what it is told, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Refused,
    pub(crate) answer: Answer,
}

/// What a refused client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing: it does not speak MQTT, or not in time.
    Silence,
    /// A CONNACK of MQTT 3.1.1.
    V311(ConnectAnswer),
    /// A CONNACK of MQTT 5 that refuses the version.
    V5,
}

impl Refusal {
    /// Refuses without a word.
    pub(crate) fn silent(reason: Refused) -> Self {
        Self { reason, answer: Answer::Silence }
    }

    /// Refuses with a CONNACK.
    pub(crate) fn answered(reason: Refused, answer: ConnectAnswer) -> Self {
        Self { reason, answer: Answer::V311(answer) }
    }
}

/// Reads the CONNECT and decides who it is.
pub(crate) async fn log_in<R: AsyncRead + Unpin>(
    shared: &Shared,
    reader: &mut PacketReader<R>,
    remote: SocketAddr,
) -> Result<LoggedIn, Refusal> {
    let connect = tokio::select! {
        connect = timeout(shared.limits.connect_timeout, receive(reader)) => {
            connect.map_err(|_| Refusal::silent(Refused::ConnectTimeout))??
        }
        () = shared.stopping() => return Err(Refusal::silent(Refused::ShuttingDown)),
    };
    check_form(&connect)?;
    authenticate(shared, connect, remote).await
}

async fn receive<R: AsyncRead + Unpin>(reader: &mut PacketReader<R>) -> Result<Connect, Refusal> {
    let frame = reader.next().await.map_err(|error| Refusal::silent(error.into()))?;
    let frame = frame.ok_or(Refusal::silent(Refused::Lost))?;
    match v311::read_greeting(frame).map_err(|error| Refusal::silent(error.into()))? {
        Greeting::Connect(connect) => Ok(connect),
        Greeting::V5 => Err(Refusal { reason: Refused::Version, answer: Answer::V5 }),
        Greeting::OtherVersion => Err(Refusal::answered(Refused::Version, ConnectAnswer::VersionRefused)),
    }
}

/// What is refused whoever asks.
fn check_form(connect: &Connect) -> Result<(), Refusal> {
    if connect.has_will {
        return Err(Refusal::answered(Refused::Will, ConnectAnswer::NotAuthorized));
    }
    // MQTT 3.1.1 section 3.1.3.1: a client without an id has no session that could be kept.
    if connect.client_id.is_empty() && !connect.clean_session {
        return Err(Refusal::answered(Refused::ClientId, ConnectAnswer::ClientIdRefused));
    }
    Ok(())
}

async fn authenticate(shared: &Shared, connect: Connect, remote: SocketAddr) -> Result<LoggedIn, Refusal> {
    let Connect { client_id, user, password, keep_alive, .. } = connect;
    let user = user.ok_or(Refusal::answered(Refused::BadCredentials, ConnectAnswer::NotAuthorized))?;
    let login = Login { user, password, client_id: client_id.clone(), remote };
    let answer = timeout(shared.limits.authenticate_timeout, shared.authenticator.authenticate(login)).await;
    match answer.unwrap_or(Err(LoginRefused::Unavailable)) {
        Ok(Identity::Operator)
            if shared.operator_loopback_only && !remote.ip().to_canonical().is_loopback() =>
        {
            Err(Refusal::answered(Refused::NotAllowed, ConnectAnswer::NotAuthorized))
        }
        Ok(identity) => Ok(LoggedIn { identity, client_id, keep_alive }),
        Err(LoginRefused::BadCredentials) => {
            Err(Refusal::answered(Refused::BadCredentials, ConnectAnswer::BadCredentials))
        }
        Err(LoginRefused::NotAllowed) => {
            Err(Refusal::answered(Refused::NotAllowed, ConnectAnswer::NotAuthorized))
        }
        Err(LoginRefused::Unavailable) => {
            Err(Refusal::answered(Refused::Unavailable, ConnectAnswer::Unavailable))
        }
    }
}
