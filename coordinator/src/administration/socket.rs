//! The socket in the data directory: its path, which may be longer than what the system takes, and its permissions.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// Its name.
pub(crate) const SOCKET: &str = "admin.sock";
/// Where it is made before it gets its name: a folder that nobody else can enter, for what is in it has its permissions only a
/// moment after it was made.
const ROOM: &str = "admin.new";
/// The longest path of a socket, in bytes: `sun_path` has 108, the last of which is zero.
const PATH_MAX: usize = 107;

/// A listening socket, removed when it is dropped. Only whoever holds the data directory's lock may have one.
#[derive(Debug)]
pub(super) struct AdminSocket {
    path: PathBuf,
}

impl AdminSocket {
    /// Listens, with mode 0600, in place of what a server has left that did not end by itself.
    ///
    /// # Errors
    /// When the directory cannot be written to.
    pub(super) fn listen(directory: &Path) -> io::Result<(UnixListener, Self)> {
        let (room, path) = (directory.join(ROOM), directory.join(SOCKET));
        remove(&room)?;
        DirBuilder::new().mode(0o700).create(&room)?;
        let listener = {
            let (short, _directory) = short_path(&room, SOCKET)?;
            UnixListener::bind(short)?
        };
        let made = room.join(SOCKET);
        fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        fs::rename(&made, &path)?;
        fs::remove_dir(&room)?;
        Ok((listener, Self { path }))
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the admin socket could not be removed");
        }
    }
}

fn remove(room: &Path) -> io::Result<()> {
    match fs::remove_dir_all(room) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Connects to the server that runs on a data directory.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] or [`io::ErrorKind::ConnectionRefused`] when there is none.
pub(super) async fn connect(directory: &Path) -> io::Result<UnixStream> {
    let (path, _directory) = short_path(directory, SOCKET)?;
    UnixStream::connect(path).await
}

/// A path to a file that a socket's address has room for. Where the file's own is too long, it leads over the open directory,
/// which has to stay open meanwhile.
///
/// # Errors
/// When that way is needed and the system has none: it is Linux's `/proc`.
fn short_path(directory: &Path, name: &str) -> io::Result<(PathBuf, Option<File>)> {
    let path = directory.join(name);
    if path.as_os_str().as_bytes().len() <= PATH_MAX {
        return Ok((path, None));
    }
    let directory = File::open(directory)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    if short.exists() {
        return Ok((short.join(name), Some(directory)));
    }
    let length = path.as_os_str().len();
    let why = format!(
        "the path {} has {length} bytes, a socket's has at most {PATH_MAX}; choose a shorter --data-dir",
        path.display()
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_its_owners_alone_at_every_length() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["short".to_owned(), "long".repeat(50)] {
            let directory = folder.path().join(name);
            fs::create_dir(&directory).unwrap();
            let absent = connect(&directory).await.unwrap_err();
            assert_eq!(absent.kind(), io::ErrorKind::NotFound);
            // As a server leaves it that was killed.
            fs::write(directory.join(SOCKET), "").unwrap();
            fs::create_dir(directory.join(ROOM)).unwrap();
            let (listener, socket) = AdminSocket::listen(&directory).unwrap();
            let mode = fs::metadata(directory.join(SOCKET)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
            connect(&directory).await.unwrap();
            listener.accept().await.unwrap();
            drop(listener);
            let refused = connect(&directory).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            drop(socket);
            assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        }
    }
}
