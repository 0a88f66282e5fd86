//! Why a coordinator does not start, and why a running one has to end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use broker::GateError;
use shared::ServiceId;
use shared::pow::BadMultiplier;
use thiserror::Error;
use tokio::task::JoinError;

use crate::driver::DriverError;
use crate::home::HomeError;
use crate::store::{OpenError, StoreError};

/// Why the coordinator did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The ledger's file or server.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ledger.
    #[error("the ledger cannot be read")]
    Store(#[from] StoreError),
    /// The market's rules.
    #[error("limits.multiplier_max: {0}")]
    Multiplier(#[from] BadMultiplier),
    /// A port that another program has.
    #[error("port {port} on {address} is taken by another program; stop that, or choose another with `{flag} {address}:<port>`", port = .listen.port(), address = .listen.ip())]
    PortTaken {
        /// Where we wanted to listen.
        listen: SocketAddr,
        /// What would change it.
        flag: &'static str,
    },
    /// An address that cannot be listened on.
    #[error("cannot listen on {listen}; choose another address with `{flag}`")]
    Listen {
        /// Where we wanted to listen.
        listen: SocketAddr,
        /// What would change it.
        flag: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Whoever shall pay for nodes.
    #[error(
        "`node_peer.service` is {service}, but there is no such service; make it with `dpow service add {service}`"
    )]
    NodePeerService {
        /// Its name.
        service: ServiceId,
    },
    /// The gate.
    #[error("the MQTT gate did not start")]
    Gate(#[source] GateError),
    /// The socket for operators.
    #[error("the socket for operators cannot be made in {}", directory.display())]
    Admin {
        /// The data directory.
        directory: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The driver has no thread.
    #[error("the system gives no thread for the market")]
    Thread(#[source] io::Error),
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    Entropy(#[from] getrandom::Error),
}

/// Why a running coordinator has to end.
#[derive(Debug, Error)]
pub enum RunError {
    /// The driver cannot go on.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The gate has died.
    #[error("the MQTT gate has died: {0}")]
    Gate(broker::GateDeath),
    /// A task has panicked: an error of ours.
    #[error("a part of the coordinator has failed")]
    Task(#[from] JoinError),
}
