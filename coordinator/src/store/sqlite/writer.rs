//! The one thread that changes a ledger, and its group commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;
use rusqlite::config::DbConfig;
use rusqlite::ffi;
use tokio::sync::{mpsc, oneshot};

use super::ledger::Ledger;
use crate::store::{Answer, StoreError, Verb};

/// Verbs that share a commit, about: a caller's verbs are never divided.
const GROUP_MAX: usize = 256;
/// How long a group takes in more callers. It ends at once when none is waiting, so a lone caller never waits for others.
const GROUP_TIME: Duration = Duration::from_millis(2);

/// Something for the writer to do.
pub(super) enum Job {
    /// Carry out these verbs, and answer when what they moved is durable.
    Execute { verbs: Vec<Verb>, reply: Reply },
    /// Look at the ledger once nothing in it is provisional.
    Look(Look),
}

type Reply = oneshot::Sender<Result<Vec<Answer>, StoreError>>;
type Look = Box<dyn FnOnce(&Ledger) + Send>;

/// One commit's worth of jobs.
#[derive(Default)]
struct Group {
    /// Callers that wait for the commit, with what they will be told if it succeeds.
    waiting: Vec<(Reply, Vec<Answer>)>,
    looks: Vec<Look>,
    verbs: usize,
}

/// Works until the queue is closed, or until the disk can no longer be trusted. What is in the queue then is dropped, which
/// its callers notice.
pub(super) fn run(mut ledger: Ledger, mut queue: mpsc::Receiver<Job>) {
    while let Some(first) = queue.blocking_recv() {
        let mut group = Group::default();
        let result = group.take(first, &mut ledger, &mut queue).and_then(|()| ledger.commit());
        if let Err(error) = result {
            let rolled_back = ledger.roll_back();
            if is_fatal(&error) || rolled_back.is_err() {
                stop(&ledger, &error);
                return group.fail(|| StoreError::Stopped);
            }
            let error = Arc::new(error);
            group.fail(|| StoreError::Unavailable(Box::new(Arc::clone(&error))));
        } else {
            group.answer();
        }
        for look in group.looks {
            look(&ledger);
        }
    }
}

impl Group {
    /// Carries out the first job and those that wait behind it.
    fn take(
        &mut self,
        first: Job,
        ledger: &mut Ledger,
        queue: &mut mpsc::Receiver<Job>,
    ) -> rusqlite::Result<()> {
        let began = Instant::now();
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Look(look) => self.looks.push(look),
                Job::Execute { verbs, reply } => self.execute(&verbs, reply, ledger)?,
            }
            let has_room = self.verbs < GROUP_MAX && began.elapsed() < GROUP_TIME;
            next = if has_room { queue.try_recv().ok() } else { None };
        }
        Ok(())
    }

    fn execute(&mut self, verbs: &[Verb], reply: Reply, ledger: &mut Ledger) -> rusqlite::Result<()> {
        self.verbs += verbs.len();
        match verbs.iter().map(|verb| ledger.execute(verb)).collect() {
            Ok(answers) if ledger.has_written() => self.waiting.push((reply, answers)),
            Ok(answers) => {
                // Holds and releases before the first write depend on nothing that may still fail.
                ledger.commit()?;
                tell(reply, Ok(answers));
            }
            Err(error) => {
                self.waiting.push((reply, Vec::new()));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Everything is durable.
    fn answer(&mut self) {
        self.waiting.drain(..).for_each(|(reply, answers)| tell(reply, Ok(answers)));
    }

    /// Nothing of it happened.
    fn fail(&mut self, error: impl Fn() -> StoreError) {
        self.waiting.drain(..).for_each(|(reply, _)| tell(reply, Err(error())));
    }
}

/// A caller that has gone away is no matter: it asks again with the same ids, or has lost interest.
fn tell(reply: Reply, answers: Result<Vec<Answer>, StoreError>) {
    let _ = reply.send(answers);
}

/// After a failed sync nobody knows what the disk holds: what the system reads back from its cache may never have been
/// written, so the file must be read again by a new process. The last connection of a file otherwise copies the write-ahead
/// log into it.
fn stop(ledger: &Ledger, error: &rusqlite::Error) {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "the ledger's disk cannot be trusted; the ledger stops"
    );
    if let Err(error) = ledger.connection().set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        tracing::error!(error = &error as &dyn std::error::Error, "closing may still write to the ledger");
    }
}

/// Whether trying again could make things worse: a sync failed, the file is damaged, or it refused what had been checked
/// before, which is a fault in this program. All else, a full disk for instance, may pass.
fn is_fatal(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(ffi::Error { code, extended_code }, _) = error else {
        return true;
    };
    match code {
        ErrorCode::SystemIoFailure => matches!(
            *extended_code,
            ffi::SQLITE_IOERR_FSYNC
                | ffi::SQLITE_IOERR_DIR_FSYNC
                | ffi::SQLITE_IOERR_CORRUPTFS
                | ffi::SQLITE_IOERR_DATA
        ),
        ErrorCode::DiskFull
        | ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::ReadOnly
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::OutOfMemory => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (code, fatal) in [
            (ffi::SQLITE_FULL, false),
            (ffi::SQLITE_BUSY, false),
            (ffi::SQLITE_READONLY, false),
            (ffi::SQLITE_IOERR_WRITE, false),
            (ffi::SQLITE_IOERR_READ, false),
            (ffi::SQLITE_IOERR_FSYNC, true),
            (ffi::SQLITE_IOERR_DIR_FSYNC, true),
            (ffi::SQLITE_CORRUPT, true),
            (ffi::SQLITE_NOTADB, true),
            (ffi::SQLITE_CONSTRAINT_CHECK, true),
            (ffi::SQLITE_MISUSE, true),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(is_fatal(&error), fatal, "{error}");
        }
        assert!(is_fatal(&rusqlite::Error::IntegralValueOutOfRange(0, -1)));
    }
}
