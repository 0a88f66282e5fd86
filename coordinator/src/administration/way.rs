//! Which way a command goes: through the server that runs, else to the data directory itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::Secret;
use shared::Network;
use thiserror::Error;
use tokio::time::Instant;

use super::client::{Client, ClientError};
use super::view::View;
use super::{Administration, Change, Read, Refused, Reply, Request};
use crate::clock::Clock;
use crate::coordinator::{Ledger, StartError};
use crate::home::{Home, HomeError};
use crate::store::{OpenError, Place};

/// How long a change waits while another process has the data directory and answers nobody: a server that starts or stops, or
/// another command.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// How often it looks again meanwhile.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Where a command's requests go, as the operator says it.
#[derive(Debug, Clone)]
pub(crate) enum Destination {
    /// To whatever is on this data directory.
    DataDirectory {
        /// Whose it has to be.
        network: Network,
        /// Where it is.
        path: PathBuf,
        /// Where its ledger is.
        ledger: Place,
    },
    /// To a server far away.
    Remote {
        /// Which it has to serve.
        network: Network,
        /// Of its `admin.listen`.
        url: String,
        /// The operator's token.
        token: Token,
    },
}

/// Where the operator's token is found.
#[derive(Debug, Clone)]
pub(crate) enum Token {
    /// In the configuration.
    Configured(Secret),
    /// In a file.
    File(PathBuf),
}

/// Why a command was not carried out.
#[derive(Debug, Error)]
pub(crate) enum WayError {
    /// It was refused, in this process.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It was refused by the server, or did not get there.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There is nothing to look at or to change.
    #[error(
        "there is no ledger in {}, so this is not the data directory of a network; name it with --data-dir, or make one with \
         `dpow service add NAME`",
        path.display()
    )]
    NoLedger {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Another process has the data directory, and does not answer.
    #[error(
        "another process has the data directory {} but does not answer on its admin socket; look at that process, and try \
         again when it runs or has ended",
        path.display()
    )]
    Silent {
        /// Which.
        path: PathBuf,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Open(OpenError),
    /// The ledger cannot be opened for changes.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl WayError {
    /// Whether it is not known if a change was carried out.
    pub(crate) const fn is_uncertain(&self) -> bool {
        matches!(
            self,
            Self::Client(ClientError::NoAnswer { .. } | ClientError::Foreign { .. })
                | Self::Refused(Refused::Store(_) | Refused::Fault(_))
        )
    }
}

/// An answer, and who gave it.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) reply: Reply,
    /// The server; else it was found in the data directory.
    pub(crate) by_server: bool,
}

impl Destination {
    /// Looks at something: asks the server, or reads the ledger itself if none answers.
    ///
    /// # Errors
    /// [`WayError`].
    pub(crate) async fn read(&self, read: Read) -> Result<Answered, WayError> {
        match (self.client()?.ask(&Request::Read(read.clone())).await, self) {
            (Ok(reply), _) => Ok(Answered { reply, by_server: true }),
            (
                Err(ClientError::Absent { .. } | ClientError::NoAnswer { .. }),
                Self::DataDirectory { network, path, ledger: place },
            ) => {
                let store = place.look().await.map_err(|error| match error {
                    error if error.is_missing() => WayError::NoLedger { path: path.clone() },
                    other => WayError::Open(other),
                })?;
                let place = place.clone();
                let view = View {
                    network: *network,
                    clock: Clock::start(),
                    store,
                    place,
                    live: None,
                    registry: None,
                };
                Ok(Answered { reply: view.read(read).await?, by_server: false })
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// Changes something: asks the server or, where none runs, takes the data directory's lock and does it here.
    ///
    /// # Errors
    /// [`WayError`].
    pub(crate) async fn change(&self, change: Change) -> Result<Reply, WayError> {
        let (client, request) = (self.client()?, Request::Change(change));
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match (client.ask(&request).await, self) {
                (Err(ClientError::Absent { .. }), Self::DataDirectory { network, path, ledger }) => {
                    if let Some(home) = take(path, ledger, &request, deadline)? {
                        return carry_out_in(home, *network, ledger.quietly(), request).await;
                    }
                }
                (answer, _) => return Ok(answer?),
            }
            tokio::time::sleep(LOCK_PAUSE).await;
        }
    }

    fn client(&self) -> Result<Client, ClientError> {
        match self {
            Self::DataDirectory { network, path, .. } => Ok(Client::of_directory(*network, path)),
            Self::Remote { network, url, token } => Client::remote(*network, url, token),
        }
    }
}

/// Takes a data directory's lock; `None` while another process has it, until the deadline.
fn take(path: &Path, ledger: &Place, request: &Request, deadline: Instant) -> Result<Option<Home>, WayError> {
    let makes_ledger = matches!(request, Request::Change(Change::AddService { .. }));
    if !makes_ledger && !ledger.is_known() {
        return Err(WayError::NoLedger { path: path.into() });
    }
    match Home::open(path) {
        Ok(home) => Ok(Some(home)),
        Err(HomeError::InUse { .. }) if Instant::now() < deadline => Ok(None),
        Err(HomeError::InUse { path }) => Err(WayError::Silent { path }),
        Err(error) => Err(error.into()),
    }
}

async fn carry_out_in(
    home: Home,
    network: Network,
    ledger: Place,
    request: Request,
) -> Result<Reply, WayError> {
    let home = Arc::new(home);
    let ledger = Ledger::open(ledger, &home).await?;
    let administration = Administration::new(network, home, &ledger, Clock::start(), None);
    Ok(administration.carry_out(request).await?)
}
