//! Who a session is, and the question that the gate asks to find out.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use shared::{KeyId, Payee, ServiceId, WorkerId};
use thiserror::Error;

/// Who a session is. Always: decided by its login alone, once, and never by a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A volunteer's program.
    Worker {
        /// A function of its secret.
        worker: WorkerId,
        /// Whom its results pay.
        payee: Payee,
    },
    /// A customer.
    Service {
        /// Its name.
        service: ServiceId,
        /// The key that it logged in with.
        key: KeyId,
    },
    /// Somebody who runs the network.
    Operator,
}

/// What kind of identity a session has; rights and limits hang on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// See [`Identity::Worker`].
    Worker,
    /// See [`Identity::Service`].
    Service,
    /// See [`Identity::Operator`].
    Operator,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Worker, Self::Service, Self::Operator];

    /// As it is written in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Service => "service",
            Self::Operator => "operator",
        }
    }
}

impl Identity {
    /// What kind it is.
    pub const fn role(&self) -> Role {
        match self {
            Self::Worker { .. } => Role::Worker,
            Self::Service { .. } => Role::Service,
            Self::Operator => Role::Operator,
        }
    }

    /// The worker, if it is one.
    pub const fn worker(&self) -> Option<WorkerId> {
        match self {
            Self::Worker { worker, .. } => Some(*worker),
            Self::Service { .. } | Self::Operator => None,
        }
    }

    /// The service, if it is one.
    pub const fn service(&self) -> Option<ServiceId> {
        match self {
            Self::Service { service, .. } => Some(*service),
            Self::Worker { .. } | Self::Operator => None,
        }
    }
}

/// What a client has presented in its CONNECT.
#[derive(Clone)]
pub struct Login {
    /// User name: a payout address, a service id, or `operator`.
    pub user: String,
    /// Password: a worker's secret, an API key, or the operator's token.
    pub password: String,
    /// Client id; for a worker it must be its worker id.
    pub client_id: String,
    /// Where it connects from.
    pub remote: SocketAddr,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

/// Why a login is refused. The client is told no more than that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LoginRefused {
    /// User, password and client id do not belong together.
    #[error("user, password and client id do not belong together")]
    BadCredentials,
    /// Known, but not allowed: banned, suspended, or from an address that this login may not use.
    #[error("this login is not allowed here")]
    NotAllowed,
    /// It cannot be decided now.
    #[error("logins cannot be checked at the moment")]
    Unavailable,
}

/// The answer to a login, when it comes.
pub type LoginAnswer<'a> = Pin<Box<dyn Future<Output = Result<Identity, LoginRefused>> + Send + 'a>>;

/// Whom the gate asks. The gate sets its own limit to how long it waits.
pub trait Authenticator: Send + Sync + 'static {
    /// Decides who a login is.
    fn authenticate(&self, login: Login) -> LoginAnswer<'_>;
}
