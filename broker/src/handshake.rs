//! From the first byte to a login that is believed.

use tokio::io::AsyncRead;
use tokio::time::timeout;

use crate::connect::{Connect, Greeting, read_greeting};
use crate::ending::Refused;
use crate::gate::{Peer, Shared};
use crate::identity::{Identity, Login};
use crate::login::Decided;
use crate::packet::{PacketError, PacketReader};
use crate::version::Version;

/// A client that is who it says.
pub(crate) struct LoggedIn {
    pub(crate) decided: Decided,
    pub(crate) version: Version,
    pub(crate) client_id: String,
    /// In seconds; 0 for none.
    pub(crate) keep_alive: u16,
    /// The largest packet that the client takes, in bytes.
    pub(crate) packet_max: Option<u32>,
}

/// A client that is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Refused,
    /// In whose words it is told; `None` if it is not known to understand any.
    pub(crate) version: Option<Version>,
}

impl Refusal {
    /// Refuses without a word.
    pub(crate) const fn silent(reason: Refused) -> Self {
        Self { reason, version: None }
    }

    /// Refuses with a CONNACK, where the version has one for the reason.
    pub(crate) const fn answered(version: Version, reason: Refused) -> Self {
        Self { reason, version: Some(version) }
    }
}

impl From<PacketError> for Refusal {
    fn from(error: PacketError) -> Self {
        Self::silent(error.into())
    }
}

/// Reads the CONNECT and decides who it is.
pub(crate) async fn log_in<R: AsyncRead + Unpin>(
    shared: &Shared,
    reader: &mut PacketReader<R>,
    peer: Peer,
) -> Result<LoggedIn, Refusal> {
    let connect = tokio::select! {
        connect = timeout(shared.limits.connect_timeout, receive(reader)) => {
            connect.map_err(|_| Refusal::silent(Refused::ConnectTimeout))??
        }
        () = shared.stopping() => return Err(Refusal::silent(Refused::ShuttingDown)),
    };
    let version = connect.version;
    check_form(&connect).map_err(|reason| Refusal::answered(version, reason))?;
    authenticate(shared, connect, peer).await.map_err(|reason| Refusal::answered(version, reason))
}

async fn receive<R: AsyncRead + Unpin>(reader: &mut PacketReader<R>) -> Result<Connect, Refusal> {
    let frame = reader.next().await?.ok_or(Refusal::silent(Refused::Lost))?;
    match read_greeting(frame)? {
        Greeting::Connect(connect) => Ok(connect),
        Greeting::Broken(version, error) => Err(Refusal::answered(version, error.into())),
        // In the words of the older version: those of the newer one say as little to an unknown third.
        Greeting::OtherVersion => Err(Refusal::answered(Version::V311, Refused::Version)),
    }
}

/// What is refused whoever asks.
fn check_form(connect: &Connect) -> Result<(), Refused> {
    if connect.has_will {
        return Err(Refused::Will);
    }
    if connect.has_method {
        return Err(Refused::Method);
    }
    // MQTT 3.1.1 section 3.1.3.1: a client without an id has no session that could be kept. MQTT 5 gives it an id.
    if connect.version == Version::V311 && connect.client_id.is_empty() && !connect.clean_session {
        return Err(Refused::ClientId);
    }
    Ok(())
}

async fn authenticate(shared: &Shared, connect: Connect, peer: Peer) -> Result<LoggedIn, Refused> {
    let Connect { version, client_id, user, password, keep_alive, packet_max, .. } = connect;
    let user = user.ok_or(Refused::NoLogin)?;
    let login = Login { user, password, client_id: client_id.clone(), remote: peer.remote };
    let decided = shared.logins.decide(login).await?;
    if decided.identity == Identity::Operator && shared.operator_loopback_only && !peer.is_here() {
        return Err(Refused::NotAllowed);
    }
    Ok(LoggedIn { decided, version, client_id, keep_alive, packet_max })
}
