//! The directory that holds a worker's identity.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::Secret;

/// Why a data directory cannot be used.
#[derive(Debug, Error)]
pub enum DataDirectoryError {
    /// Another worker runs with it.
    #[error("another worker uses the data directory {}: give each its own", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Others than the owner may read or change the secret.
    #[error("the secret in {} can be used by others: run `chmod 600` on it, or delete it for a new identity", path.display())]
    Exposed {
        /// The file of the secret.
        path: PathBuf,
    },
    /// The file of the secret holds something else.
    #[error("{} is not a worker's secret (64 lower-case hexadecimal digits): restore it, or delete it for a new identity", path.display())]
    Malformed {
        /// The file of the secret.
        path: PathBuf,
    },
    /// The system has no random numbers for a new secret.
    #[error("no secret can be made")]
    Random(#[source] getrandom::Error),
    /// Reading or writing failed.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// A data directory that belongs to this process until it is dropped: one worker for each identity, for a second one with the
/// same id would close the connection of the first.
#[derive(Debug)]
pub struct DataDirectory {
    secret: Secret,
    /// Locked as long as it is open.
    _lock: File,
}

impl DataDirectory {
    /// Opens the directory, with a new secret if it has none. What does not exist is created, for the owner alone: the
    /// directory with mode 0700, the secret with mode 0600.
    ///
    /// # Errors
    /// [`DataDirectoryError`]; an existing secret is never replaced.
    pub fn open(path: &Path) -> Result<Self, DataDirectoryError> {
        private_directory(path).map_err(|source| io_error(path, source))?;
        let lock = lock(path)?;
        let secret_path = path.join("secret");
        let secret = match File::open(&secret_path) {
            Ok(file) => read_secret(file, secret_path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => write_secret(&secret_path)?,
            Err(source) => return Err(io_error(&secret_path, source)),
        };
        Ok(Self { secret, _lock: lock })
    }

    /// The worker's secret.
    pub const fn secret(&self) -> &Secret {
        &self.secret
    }
}

fn io_error(path: &Path, source: io::Error) -> DataDirectoryError {
    DataDirectoryError::Io { path: path.into(), source }
}

fn lock(directory: &Path) -> Result<File, DataDirectoryError> {
    let path = directory.join("lock");
    let file = private_options().create(true).open(&path).map_err(|source| io_error(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DataDirectoryError::InUse { path: directory.into() }),
        Err(TryLockError::Error(source)) => Err(io_error(&path, source)),
    }
}

fn read_secret(file: File, path: PathBuf) -> Result<Secret, DataDirectoryError> {
    let is_exposed = is_exposed(&file).map_err(|source| io_error(&path, source))?;
    if is_exposed {
        return Err(DataDirectoryError::Exposed { path });
    }
    match io::read_to_string(file).map(Zeroizing::new) {
        Ok(text) => text.trim_ascii_end().parse().map_err(|_| DataDirectoryError::Malformed { path }),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(DataDirectoryError::Malformed { path })
        }
        Err(source) => Err(io_error(&path, source)),
    }
}

/// Makes a secret. It gets its name only when it is complete, so a crash leaves no half of one behind.
fn write_secret(path: &Path) -> Result<Secret, DataDirectoryError> {
    let secret = Secret::generate().map_err(DataDirectoryError::Random)?;
    let unfinished = path.with_extension("new");
    let write = || {
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) | Ok(()) => {}
        }
        let mut file = private_options().create_new(true).open(&unfinished)?;
        file.write_all(secret.to_hex().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().map_err(|source| io_error(path, source))?;
    Ok(secret)
}

#[cfg(unix)]
fn private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

/// For writing, and nobody else's.
#[cfg(unix)]
fn private_options() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

#[cfg(not(unix))]
fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    options
}

/// Whether anybody but the owner has any right to the file.
#[cfg(unix)]
fn is_exposed(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.metadata()?.permissions().mode() & 0o077 != 0)
}

/// Elsewhere the rights are those of the user's own directory.
#[cfg(not(unix))]
fn is_exposed(_: &File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let id = DataDirectory::open(&path).unwrap().secret().worker_id();
        assert_eq!(DataDirectory::open(&path).unwrap().secret().worker_id(), id);
        let other = DataDirectory::open(&folder.path().join("c")).unwrap();
        assert_ne!(other.secret().worker_id(), id);
        assert_eq!(format!("{other:?}").matches("Secret").count(), 1);
    }

    #[test]
    fn a_directory_serves_one_worker() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDirectory::open(folder.path()).unwrap();
        assert!(matches!(DataDirectory::open(folder.path()), Err(DataDirectoryError::InUse { .. })));
        drop(first);
        assert!(DataDirectory::open(folder.path()).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("data");
        drop(DataDirectory::open(&directory).unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let secret = directory.join("secret");
        assert_eq!((mode(&directory), mode(&secret)), (0o700, 0o600));
        for exposed in [0o640, 0o604, 0o620, 0o644] {
            fs::set_permissions(&secret, fs::Permissions::from_mode(exposed)).unwrap();
            assert!(
                matches!(DataDirectory::open(&directory), Err(DataDirectoryError::Exposed { .. })),
                "{exposed:o}"
            );
        }
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(DataDirectory::open(&directory).is_ok());
    }

    #[test]
    fn a_damaged_secret_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        drop(DataDirectory::open(folder.path()).unwrap());
        let secret = folder.path().join("secret");
        let good = fs::read_to_string(&secret).unwrap();
        for bad in [String::new(), good[1..].into(), good.to_uppercase(), format!("{good}0"), "é".repeat(32)]
        {
            fs::write(&secret, &bad).unwrap();
            assert!(
                matches!(DataDirectory::open(folder.path()), Err(DataDirectoryError::Malformed { .. })),
                "{bad}"
            );
            assert_eq!(fs::read_to_string(&secret).unwrap(), bad);
        }
        fs::write(&secret, [0xff; 64]).unwrap();
        assert!(matches!(DataDirectory::open(folder.path()), Err(DataDirectoryError::Malformed { .. })));
    }

    #[test]
    fn an_unfinished_secret_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret.new"), "half").unwrap();
        assert!(DataDirectory::open(folder.path()).is_ok());
    }
}
