//! What can be wrong with a ledger's server, in sentences.

use redis::RedisError;
use shared::Network;
use thiserror::Error;

use super::server::Server;
use crate::store::StoreError;

/// Why a command had no effect, or none that is known.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    /// Nobody answers.
    #[error("it does not answer; check that it runs and can be reached")]
    Away(#[source] RedisError),
    /// The login is wrong.
    #[error("it refuses the login; check user and password in `store.url`")]
    Login,
    /// The login may not do what is needed.
    #[error("its login may not do what a ledger needs ({0}); see docs/redis.md for the rights")]
    Rights(String),
    /// `maxmemory`.
    #[error("its memory is full (maxmemory); give it more, nothing of the ledger is ever dropped")]
    MemoryFull,
    /// Its disk.
    #[error("it cannot write to its disk; make room or look at its log ({0})")]
    Disk(String),
    /// It writes its log anew.
    #[error("it is writing its log anew, which may have a torn end; that takes as long as loading it")]
    Mending,
    /// It reads its files.
    #[error("it is still loading its data")]
    Loading,
    /// Somebody has made it a replica.
    #[error("it has become a replica, which takes no changes")]
    Replica,
    /// A name of ours holds something else.
    #[error("one of the ledger's keys holds something else than the ledger: {0}")]
    ForeignKey(String),
    /// Anything else that it says.
    #[error("it refuses a command: {0}")]
    Other(String),
    /// An answer that no server of a ledger gives.
    #[error("it gave an answer that cannot be read: {0}")]
    Garbled(String),
    /// It obeys another token: somebody has taken it over, or it has gone back to before this coordinator did.
    #[error("it no longer knows this coordinator")]
    Fenced,
    /// Another coordinator writes.
    #[error("another coordinator has taken the ledger over")]
    TakenOver,
    /// It has forgotten changes.
    #[error("it has lost changes: it is at revision {0}")]
    Lost(u64),
    /// An invariant is broken.
    #[error("the ledger is not what it should be: {0}")]
    Broken(String),
}

impl Trouble {
    /// Whether it can pass by itself, or by what an operator does to the server.
    pub(super) const fn may_pass(&self) -> bool {
        !matches!(self, Self::TakenOver | Self::Broken(_))
    }
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        let said = || said(&error);
        match error.code() {
            Some("DPOWFENCED") => Self::Fenced,
            Some("DPOWLOST") => said().parse().map_or_else(|_| Self::Garbled(said()), Self::Lost),
            Some("DPOWBROKEN") => Self::Broken(said()),
            Some("OOM") => Self::MemoryFull,
            Some("MISCONF") => Self::Disk(said()),
            Some("READONLY") => Self::Replica,
            Some("WRONGTYPE") => Self::ForeignKey(said()),
            Some("NOPERM") => Self::Rights(said()),
            Some("WRONGPASS" | "NOAUTH") => Self::Login,
            _ => match error.kind() {
                redis::ErrorKind::AuthenticationFailed => Self::Login,
                redis::ErrorKind::Server(redis::ServerErrorKind::BusyLoading) => Self::Loading,
                redis::ErrorKind::Server(redis::ServerErrorKind::ReadOnly) => Self::Replica,
                redis::ErrorKind::Server(redis::ServerErrorKind::NoPerm) => Self::Rights(said()),
                redis::ErrorKind::UnexpectedReturnType | redis::ErrorKind::Parse => Self::Garbled(said()),
                redis::ErrorKind::Server(_) | redis::ErrorKind::Extension => {
                    Self::Other(format!("{} {}", error.code().unwrap_or_default(), said()).trim().to_owned())
                }
                _ => Self::Away(error),
            },
        }
    }
}

/// What a server says beside the code of an error, without where in a function it was said.
fn said(error: &RedisError) -> String {
    let detail = error.detail().map_or_else(|| error.to_string(), str::to_owned);
    let end = detail.find(" script: dpow_").unwrap_or(detail.len());
    detail[..end].trim_end_matches(',').to_owned()
}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        if trouble.may_pass() { Self::Unavailable(Box::new(trouble)) } else { Self::Stopped }
    }
}

/// Why a ledger in Redis cannot be opened. Always: nothing has been written to it.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The server cannot be reached or refuses.
    #[error("the ledger's server {server} cannot be used: {reason}")]
    Server {
        /// Which.
        server: Server,
        /// Why not, in a sentence.
        reason: String,
    },
    /// The server could lose or drop credits.
    #[error(
        "the ledger's server {server} is not safe: {reason}; to use it all the same, set `store.allow_unsafe`"
    )]
    Unsafe {
        /// Which.
        server: Server,
        /// What is not safe, and what to do.
        reason: &'static str,
    },
    /// There is no ledger, and it was to be read only.
    #[error("there is no ledger on {server}")]
    NoLedger {
        /// Where it was looked for.
        server: Server,
    },
    /// This data directory's ledger has gone.
    #[error(
        "{server} has no ledger, but this data directory had one there: it was emptied, or it is another server; bring back a \
         copy, or remove {mark} to begin with an empty ledger"
    )]
    Missing {
        /// Where it was looked for.
        server: Server,
        /// The file that remembers it.
        mark: String,
    },
    /// Another ledger than that of this data directory.
    #[error(
        "{server} has the ledger {found}, but this data directory belongs to {wanted}; if you mean it, remove {mark}"
    )]
    OtherLedger {
        /// Where it is.
        server: Server,
        /// Its id.
        found: String,
        /// The one that is remembered.
        wanted: String,
        /// The file that remembers it.
        mark: String,
    },
    /// Credits of one network are worth nothing on another.
    #[error(
        "the ledger on {server} belongs to the network {found}, not to {wanted}; if you mean it, give `--network {found}`"
    )]
    OtherNetwork {
        /// Where it is.
        server: Server,
        /// Which network it names.
        found: String,
        /// Which one was asked for.
        wanted: Network,
    },
    /// A newer version of the program wrote it.
    #[error("the ledger on {server} has format {found}; this program knows format 1")]
    Newer {
        /// Where it is.
        server: Server,
        /// Its format.
        found: String,
    },
    /// Something else is there.
    #[error("the key {key} on {server} is not this program's ({found}); remove it, or use another database")]
    Foreign {
        /// Where it is.
        server: Server,
        /// Which.
        key: String,
        /// What it is.
        found: String,
    },
    /// `dpow ledger copy` has not come to its end.
    #[error(
        "a copy into the ledger on {server} was never finished; remove all keys that begin with {{dpow}}: and copy again"
    )]
    Copying {
        /// Where it is.
        server: Server,
    },
    /// Another coordinator works with it.
    #[error(
        "another coordinator, of another data directory, uses the ledger on {server}; stop it, or try again in {seconds} s if it \
         has ended"
    )]
    Busy {
        /// Where it is.
        server: Server,
        /// How long it may be silent before it counts as ended.
        seconds: String,
    },
    /// What remembers the ledger in the data directory.
    #[error("the file {path} cannot be used; check that it belongs to you")]
    Mark {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
