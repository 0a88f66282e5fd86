//! Where a ledger is, and opening it there: the only code that knows which stores there are.

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use shared::Network;
use thiserror::Error;

use super::Store;
use super::redis::{self, Access, RedisStore};
use super::sqlite::{self, ReadOnlyStore, SqliteStore};

/// The file of the embedded ledger, in a data directory.
const FILE: &str = "ledger.sqlite";
/// The file in which a data directory remembers its ledger in a server.
const MARK: &str = "ledger-mark";

/// Where a ledger is. Printed without secrets.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a file.
    File {
        /// Which.
        path: PathBuf,
        /// Whose ledger it has to be.
        network: Network,
    },
    /// In a server.
    Server {
        /// Which, and how.
        access: Access,
        /// The file that remembers it.
        mark: PathBuf,
    },
}

/// A store that comes later.
pub(crate) type Opening<'a> = Pin<Box<dyn Future<Output = Result<Arc<dyn Store>, OpenError>> + Send + 'a>>;

/// Why a ledger cannot be opened. Always: it is as it was.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file.
    #[error(transparent)]
    File(#[from] sqlite::OpenError),
    /// The server.
    #[error(transparent)]
    Server(#[from] redis::OpenError),
}

impl OpenError {
    /// Whether there is no ledger.
    pub(crate) const fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::File(sqlite::OpenError::Missing { .. }) | Self::Server(redis::OpenError::NoLedger { .. })
        )
    }
}

impl Place {
    /// The embedded ledger of a data directory.
    pub fn embedded(data_dir: &Path, network: Network) -> Self {
        Self::File { path: data_dir.join(FILE), network }
    }

    /// The ledger of a data directory in a server.
    pub fn server(data_dir: &Path, access: Access) -> Self {
        Self::Server { access, mark: data_dir.join(MARK) }
    }

    /// Opens it for the one who writes, who holds the lock of the data directory; makes it if there is none.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open(&self) -> Opening<'_> {
        Box::pin(async move {
            let store: Arc<dyn Store> = match self {
                Self::File { path, network } => Arc::new(SqliteStore::open(path, *network)?),
                Self::Server { access, mark } => Arc::new(RedisStore::open(access, mark).await?),
            };
            Ok(store)
        })
    }

    /// Opens it to look at, beside whoever writes or without one.
    ///
    /// # Errors
    /// [`OpenError`], also when there is none.
    pub(crate) fn look(&self) -> Opening<'_> {
        Box::pin(async move {
            let store: Arc<dyn Store> = match self {
                Self::File { path, network } => Arc::new(ReadOnlyStore::open(path, *network)?),
                Self::Server { access, .. } => Arc::new(RedisStore::look(access).await?),
            };
            Ok(store)
        })
    }

    /// The same, for a command that is over in a moment: the log need not say what its server may lose.
    #[must_use]
    pub(crate) fn quietly(&self) -> Self {
        let mut place = self.clone();
        if let Self::Server { access, .. } = &mut place {
            access.announces = false;
        }
        place
    }

    /// Whether this data directory has had a ledger there.
    pub(crate) fn is_known(&self) -> bool {
        match self {
            Self::File { path, .. } | Self::Server { mark: path, .. } => path.exists(),
        }
    }

    /// The size of its file, log included.
    pub(crate) fn size_bytes(&self) -> Option<u64> {
        let Self::File { path, .. } = self else { return None };
        let size = |extension: &str| {
            let mut path = path.clone().into_os_string();
            path.push(extension);
            std::fs::metadata(path).map_or(0, |metadata| metadata.len())
        };
        Some(size("") + size("-wal"))
    }

    /// Where it is, as an absolute path or the server's URL.
    pub(crate) fn absolute(&self) -> PathBuf {
        match self {
            Self::File { path, .. } => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
            Self::Server { access, .. } => access.server.to_string().into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => path.display().fmt(f),
            Self::Server { access, .. } => access.server.fmt(f),
        }
    }
}
