//! The data directory: who owns it, and the secrets in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

/// What is wrong with a data directory.
#[derive(Debug, Error)]
pub enum HomeError {
    /// It cannot be made or read.
    #[error("the data directory {path} cannot be used; check that it is a directory that you may write to")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process uses it.
    #[error(
        "another dpow is running with the data directory {path}; stop it, or choose another with --data-dir"
    )]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// A file in it cannot be made or read.
    #[error("the file {path} cannot be used; check that it belongs to you")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A secret can be read by others.
    #[error("the secret {path} can be read by others; run `chmod 600 {path}`")]
    Exposed {
        /// Which.
        path: PathBuf,
    },
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    Entropy(#[from] getrandom::Error),
}

/// A data directory that belongs to this process until it is dropped.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    /// Holds the lock; the system releases it with the process, however that ends.
    _lock: File,
}

impl Home {
    /// Makes the directory if need be (mode 0700), and takes its lock.
    ///
    /// # Errors
    /// [`HomeError::InUse`] when another process has it.
    pub fn open(path: &Path) -> Result<Self, HomeError> {
        let directory = |source| HomeError::Directory { path: path.into(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(directory)?;
        let lock = path.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock);
        let file = file.map_err(|source| HomeError::File { path: lock.clone(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.into(), _lock: file }),
            Err(TryLockError::WouldBlock) => Err(HomeError::InUse { path: path.into() }),
            Err(TryLockError::Error(source)) => Err(HomeError::File { path: lock, source }),
        }
    }

    /// Where a file of this name is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a secret, if it is there.
    ///
    /// # Errors
    /// [`HomeError::Exposed`] when others can read it too.
    pub fn read_secret(&self, name: &str) -> Result<Option<Zeroizing<String>>, HomeError> {
        read_secret(&self.file(name))
    }

    /// Writes a secret (mode 0600), in place of what was there: to a new file first, so that a crash leaves the old or the new
    /// one, whole.
    ///
    /// # Errors
    /// [`HomeError::File`] when it cannot be written.
    pub fn write_secret(&self, name: &str, secret: &str) -> Result<(), HomeError> {
        let path = self.file(name);
        let written = self.file(&format!("{name}.new"));
        let write = || {
            let mut file =
                OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&written)?;
            file.write_all(secret.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&written, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|source| HomeError::File { path: path.clone(), source })
    }

    /// Reads a secret, or makes one when there is none.
    ///
    /// # Errors
    /// As [`read_secret`](Self::read_secret) and [`write_secret`](Self::write_secret).
    pub fn secret(&self, name: &str) -> Result<Zeroizing<String>, HomeError> {
        if let Some(secret) = self.read_secret(name)? {
            return Ok(secret);
        }
        let secret = crate::entropy::secret_text()?;
        self.write_secret(name, &secret)?;
        Ok(secret)
    }
}

/// Reads the file of a secret, if it is there. Needs no lock: secrets are replaced as a whole.
///
/// # Errors
/// [`HomeError::Exposed`] when others can read it too.
pub fn read_secret(path: &Path) -> Result<Option<Zeroizing<String>>, HomeError> {
    let wrong = |source| HomeError::File { path: path.into(), source };
    match fs::metadata(path) {
        Ok(metadata) if metadata.mode() & 0o077 != 0 => return Err(HomeError::Exposed { path: path.into() }),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error)),
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(wrong)?);
    Ok(Some(Zeroizing::new(text.trim_end().to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        let home = Home::open(&path).unwrap();
        assert!(matches!(Home::open(&path), Err(HomeError::InUse { .. })));
        drop(home);
        Home::open(&path).unwrap();
    }

    #[test]
    fn a_secret_is_made_once_and_kept_from_others() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).unwrap();
        let secret = home.secret("token").unwrap();
        assert_eq!(secret.len(), 52);
        assert_eq!(*home.secret("token").unwrap(), *secret);
        assert_eq!(fs::metadata(home.file("token")).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(home.file("token"), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(home.secret("token"), Err(HomeError::Exposed { .. })));
    }
}
