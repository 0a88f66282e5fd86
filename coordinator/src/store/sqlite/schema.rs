//! Opening a ledger file: whose it is, how it is written, and making one or bringing it up to this version.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use shared::Network;
use thiserror::Error;

/// What leads from each version to the next, the first from an empty file. A step that was ever released is never changed, so
/// that a new ledger and one that was brought up to date are the same.
pub(super) const STEPS: [&str; 5] = [
    include_str!("schema/version_1.sql"),
    include_str!("schema/version_2.sql"),
    include_str!("schema/version_3.sql"),
    include_str!("schema/version_4.sql"),
    include_str!("schema/version_5.sql"),
];
/// The version that all steps lead to.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a handful")]
const VERSION: i32 = STEPS.len() as i32;
/// Marks the file as ours, for programs that tell files apart: `DPoW` in ASCII.
const APPLICATION: i32 = 0x4450_6f57;
/// How long another process may keep the file locked, an `sqlite3` shell for instance, before a commit gives up.
const LOCKED_MAX: Duration = Duration::from_secs(1);
/// Statements kept prepared; more than there are.
const STATEMENTS: usize = 64;

/// Why a ledger file cannot be used. Always: the file is as it was.
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is no such file, and it was to be read only.
    #[error("there is no ledger at {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A ledger that was moved away without its log.
    #[error(
        "{} is the log of a ledger that is no longer beside it, and would become part of the new one; move it to where its ledger is",
        path.display()
    )]
    Leftover {
        /// The log.
        path: PathBuf,
    },
    /// It is a file of another program.
    #[error("{} is not a ledger of DPoW", path.display())]
    NotALedger {
        /// Which file.
        path: PathBuf,
    },
    /// Credits of one network are worth nothing on another.
    #[error(
        "this ledger belongs to the network {found}, not to {wanted}; if you mean it, give `--network {found}`"
    )]
    OtherNetwork {
        /// Which network it names.
        found: String,
        /// Which one was asked for.
        wanted: Network,
    },
    /// A newer version of the program wrote it.
    #[error("this ledger has version {found}; this program knows versions up to {known}")]
    Newer {
        /// Its version.
        found: i32,
        /// The newest that is known here.
        known: i32,
    },
    /// An older version of the program wrote it, and it was to be read only.
    #[error(
        "this ledger has version {found}, and reading alone does not bring it to version {wanted}; start the coordinator with it once"
    )]
    Older {
        /// Its version.
        found: i32,
        /// The version that can be read.
        wanted: i32,
    },
    /// The file or its directory cannot be opened, created or synced.
    #[error("the ledger file cannot be opened or created")]
    File(#[source] io::Error),
    /// The file is damaged, or locked by another process.
    #[error("the ledger cannot be read")]
    Unreadable(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// Opens a ledger for its one writer, makes it if the file is new or empty, and brings it up to this version if it is older.
pub(super) fn open(path: &Path, network: Network) -> Result<Connection, OpenError> {
    create_file(path).map_err(OpenError::File)?;
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let version = if is_empty(&connection, path)? { None } else { Some(check(&connection, path, network)?) };
    // FULL: a commit returns only when the write-ahead log is on the disk.
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    match version {
        Some(VERSION) => {}
        Some(older) => {
            migrate(&mut connection, older)?;
            tracing::info!(
                ledger.from = older,
                ledger.version = VERSION,
                "the ledger was brought up to date"
            );
        }
        None => {
            create(&mut connection, network)?;
            sync_directory(path).map_err(OpenError::File)?;
        }
    }
    Ok(connection)
}

/// Opens a ledger without any right to change it, beside its writer or without one.
pub(super) fn open_read_only(path: &Path, network: Network) -> Result<Connection, OpenError> {
    if !path.exists() {
        return Err(OpenError::Missing { path: path.into() });
    }
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    if is_empty(&connection, path)? {
        return Err(OpenError::NotALedger { path: path.into() });
    }
    match check(&connection, path, network)? {
        VERSION => Ok(connection),
        found => Err(OpenError::Older { found, wanted: VERSION }),
    }
}

/// What of a file's tables, indices and triggers is not as this version makes them, each in one sentence. Without them the file
/// no longer refuses by itself what no ledger may hold.
pub(super) fn differences(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let new = Connection::open_in_memory()?;
    step_from(&new, 0)?;
    let (expected, mut found) = (objects(&new)?, objects(connection)?);
    let mut differences = Vec::new();
    for (object, definition) in expected {
        match found.remove(&object) {
            Some(same) if same == definition => {}
            Some(_) => {
                differences.push(format!("the {object} is not as this version of the program makes it"));
            }
            None => differences.push(format!("the {object} is missing")),
        }
    }
    differences.extend(found.into_keys().map(|object| format!("the {object} does not belong into a ledger")));
    Ok(differences)
}

/// What a file is made of, such as `table party`, with its definition. `SQLite` makes some objects by itself.
fn objects(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Option<String>>> {
    let mut find = connection.prepare(
        "SELECT type || ' ' || name, sql FROM sqlite_schema WHERE substr(name, 1, 7) <> 'sqlite_'",
    )?;
    find.query_map([], |found| Ok((found.get(0)?, found.get(1)?)))?.collect()
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, OpenError> {
    // Each connection stays on one thread at a time, so SQLite need not lock. No URI flag: a path is a path.
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(LOCKED_MAX)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Whether nothing has been written yet; a crash between creation and the first commit leaves such a file.
fn is_empty(connection: &Connection, path: &Path) -> Result<bool, OpenError> {
    let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
    match tables {
        Ok(tables) => Ok(tables == 0 && application(connection)? == 0),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            Err(OpenError::NotALedger { path: path.into() })
        }
        Err(error) => Err(error.into()),
    }
}

fn application(connection: &Connection) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, "application_id", |row| row.get(0))
}

/// Whose ledger it is; returns its version, which is this one or an older one.
fn check(connection: &Connection, path: &Path, network: Network) -> Result<i32, OpenError> {
    if application(connection)? != APPLICATION {
        return Err(OpenError::NotALedger { path: path.into() });
    }
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > VERSION {
        return Err(OpenError::Newer { found: version, known: VERSION });
    }
    let found: String = connection.query_row("SELECT network FROM ledger", [], |row| row.get(0))?;
    if found == network.name() {
        Ok(version)
    } else {
        Err(OpenError::OtherNetwork { found, wanted: network })
    }
}

fn create(connection: &mut Connection, network: Network) -> Result<(), OpenError> {
    let transaction = connection.transaction()?;
    step_from(&transaction, 0)?;
    transaction.execute("INSERT INTO ledger (only, network) VALUES (1, ?1)", [network.name()])?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.commit()?;
    Ok(())
}

/// Brings an older ledger up to this version, in one transaction: whatever interrupts it, the file has the version that it had.
fn migrate(connection: &mut Connection, version: i32) -> Result<(), OpenError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    step_from(&transaction, version)?;
    transaction.commit()?;
    Ok(())
}

/// Takes the steps that lead from a version to this one.
fn step_from(connection: &Connection, version: i32) -> rusqlite::Result<()> {
    for step in STEPS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        connection.execute_batch(step)?;
    }
    connection.pragma_update(None, "user_version", VERSION)
}

/// Makes the file with rights for its owner alone; `SQLite` gives the files beside it the same ones.
fn create_file(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Makes the file's name durable. Its contents are, by its first commit.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path, network: Network) -> String {
        let writing = open(path, network).unwrap_err().to_string();
        assert_eq!(open_read_only(path, network).unwrap_err().to_string(), writing);
        writing
    }

    #[test]
    fn a_ledger_of_another_network_or_program_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.sqlite");
        assert!(matches!(open_read_only(&path, Network::Live), Err(OpenError::Missing { .. })));
        drop(open(&path, Network::Live).unwrap());
        drop(open(&path, Network::Live).unwrap());
        let other =
            "this ledger belongs to the network live, not to dev; if you mean it, give `--network live`";
        assert_eq!(refusal(&path, Network::Dev), other);

        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        assert_eq!(
            refusal(&path, Network::Live),
            "this ledger has version 6; this program knows versions up to 5"
        );
        connection.pragma_update(None, "application_id", 1).unwrap();
        assert!(refusal(&path, Network::Live).ends_with("is not a ledger of DPoW"));

        let text = directory.path().join("text");
        std::fs::write(&text, "anything that is no database, and longer than the header of one".repeat(9))
            .unwrap();
        assert!(refusal(&text, Network::Live).ends_with("is not a ledger of DPoW"));
    }

    #[test]
    fn a_file_left_empty_by_a_crash_becomes_a_ledger() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.sqlite");
        create_file(&path).unwrap();
        assert!(matches!(open_read_only(&path, Network::Live), Err(OpenError::NotALedger { .. })));
        drop(open(&path, Network::Live).unwrap());
        assert!(open_read_only(&path, Network::Live).is_ok());
    }

    #[test]
    fn the_file_itself_refuses_what_no_ledger_may_hold() {
        let directory = tempfile::tempdir().unwrap();
        let connection = open(&directory.path().join("ledger.sqlite"), Network::Live).unwrap();
        connection
            .execute_batch(
                "INSERT INTO party (id, name, balance) VALUES (1, 'issuance', -5), (2, 'granted:a', 5);
                 INSERT INTO journal (transfer, position, kind, debit, credit, amount, at)
                 VALUES (zeroblob(16), 0, 'grant', 1, 2, 5, 0);",
            )
            .unwrap();
        for refused in [
            "UPDATE party SET balance = -1 WHERE id = 2",
            "UPDATE party SET balance = 9007199254740992 WHERE id = 2",
            "UPDATE journal SET amount = 4",
            "DELETE FROM journal",
            "INSERT INTO journal VALUES (2, zeroblob(16), 0, 'grant', 1, 2, 5, 0)",
            "INSERT INTO journal VALUES (2, zeroblob(16), 1, 'grant', 1, 3, 5, 0)",
            "INSERT INTO journal VALUES (2, zeroblob(16), 1, 'grant', 1, 2, 0, 0)",
            "INSERT INTO service_key (key, service, mac, at) VALUES ('key', 'nobody', zeroblob(32), 0)",
            "INSERT INTO service (name, at, state) VALUES ('a', 0, 'gone')",
            "INSERT INTO worker_ban VALUES ('worker', printf('%201s', ''), 0, NULL)",
            "INSERT INTO precache VALUES ('nobody', 1, 1)",
            "INSERT INTO watch VALUES ('nobody', zeroblob(32), 0, NULL, NULL, NULL, NULL, 0)",
            "INSERT INTO work_paid VALUES (zeroblob(32), zeroblob(8), zeroblob(16))",
            "INSERT INTO ledger VALUES (2, 'dev')",
        ] {
            let error = connection.execute(refused, []).unwrap_err();
            assert_eq!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::ConstraintViolation),
                "{refused}"
            );
        }
    }
}
