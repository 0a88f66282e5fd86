//! What a data directory remembers of its ledger in a server: which one it is, who writes to it, and how far it had come.
//!
//! So an emptied server, or another one under the same address, is not taken for a new ledger, and an operator is told when a
//! server has come back with less than was written to it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::trouble::OpenError;

/// The file `ledger-mark`.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    /// Names this data directory.
    pub(super) owner: String,
    /// The ledger's id, once it is known.
    pub(super) ledger: Option<String>,
    /// The revision that it had reached.
    pub(super) revision: u64,
}

impl Mark {
    /// Reads the file, or begins one.
    pub(super) fn load(path: &Path) -> Result<Self, OpenError> {
        let wrong = |source| OpenError::Mark { path: path.display().to_string(), source };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(wrong(error)),
        };
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.map(str::to_owned)
        };
        let owner = match field("owner") {
            Some(owner) => owner,
            None => random_id().map_err(|error| wrong(io::Error::other(error)))?,
        };
        let revision = field("revision").and_then(|revision| revision.parse().ok()).unwrap_or(0);
        Ok(Self { path: path.into(), owner, ledger: field("ledger"), revision })
    }

    /// Where it is, for people.
    pub(super) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// Writes it, beside its place first, so that a crash leaves the old or the new one. Which ledger it is, is kept through a
    /// power cut; how far it had come need not be.
    pub(super) fn write(&self) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        let ledger = self.ledger.as_deref().unwrap_or_default();
        write!(file, "owner {}\nledger {ledger}\nrevision {}\n", self.owner, self.revision)?;
        fs::rename(&new, &self.path)
    }

    /// The same, kept through a power cut.
    pub(super) fn write_durably(&self) -> Result<(), OpenError> {
        let write = || {
            self.write()?;
            File::open(&self.path)?.sync_all()?;
            self.path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
        };
        write().map_err(|source| OpenError::Mark { path: self.shown(), source })
    }
}

/// 128 random bits in hexadecimal digits.
pub(super) fn random_id() -> Result<String, getrandom::Error> {
    Ok(data_encoding::HEXLOWER.encode(&crate::entropy::bytes::<16>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger-mark");
        let mut mark = Mark::load(&path).unwrap();
        assert_eq!((&mark.ledger, mark.revision, mark.owner.len()), (&None, 0, 32));
        (mark.ledger, mark.revision) = (Some("00ff".into()), 17);
        mark.write_durably().unwrap();
        let again = Mark::load(&path).unwrap();
        assert_eq!((again.owner, again.ledger, again.revision), (mark.owner, mark.ledger, 17));
        fs::write(&path, "ledger a\nrevision x\n").unwrap();
        assert_eq!(Mark::load(&path).unwrap().revision, 0);
    }
}
