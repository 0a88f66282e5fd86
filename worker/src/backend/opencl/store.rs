//! What is remembered about a device between two starts: its built programs, and how its launches are divided.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use data_encoding::HEXLOWER;

/// Begins every file; another version of this program may write other files.
const FORMAT: &[u8] = b"dpow-worker opencl 1\n";
/// Bytes of a digest as it stands in a file.
const DIGEST: usize = 64;
/// A file that is larger was not written here.
const SIZE_MAX: u64 = 64 << 20;

/// Files written by this process: equal cards write equal files at the same time.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// A folder with a file for each thing that is remembered. The file's name is a digest of what the thing belongs to: a new
/// driver, another device or a changed kernel has files of its own. Everything in it can be made anew, so nothing that goes
/// wrong here is an error.
#[derive(Debug, Clone)]
pub(super) struct Store {
    folder: Option<PathBuf>,
}

/// What a thing is, and what it belongs to: kind, device, driver, kernel.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// The ending of the file's name.
    pub(super) kind: &'static str,
    /// All that makes a difference.
    pub(super) parts: Vec<String>,
}

impl Store {
    /// Remembers in this folder, which need not exist; without one, not at all.
    pub(super) fn new(folder: Option<&Path>) -> Self {
        Self { folder: folder.map(Path::to_path_buf) }
    }

    /// What has been saved under the key, if it is whole.
    pub(super) fn load(&self, key: &Key) -> Option<Vec<u8>> {
        let path = self.path(key)?;
        match read(&path) {
            Ok(Some(content)) => Some(content),
            // A driver must not be given half a program: some crash.
            Ok(None) => {
                tracing::warn!(path = %path.display(), "a damaged file is made anew");
                let _ = fs::remove_file(&path);
                None
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "nothing is remembered: the file cannot be read");
                None
            }
        }
    }

    /// Saves it, in place of what has been there.
    pub(super) fn save(&self, key: &Key, content: &[u8]) {
        let Some(path) = self.path(key) else { return };
        if let Err(error) = write(&path, content) {
            tracing::warn!(path = %path.display(), %error, "nothing is remembered: the file cannot be written");
        }
    }

    fn path(&self, key: &Key) -> Option<PathBuf> {
        let name = digest(&key.parts.iter().map(String::as_bytes).collect::<Vec<_>>());
        Some(self.folder.as_ref()?.join(format!("{}.{}", &name[..32], key.kind)))
    }
}

/// The content of a file; `None` if it is not as it was written.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(SIZE_MAX + 1).read_to_end(&mut bytes)?;
    let content = bytes.strip_prefix(FORMAT).and_then(|rest| rest.split_at_checked(DIGEST));
    Ok(content
        .filter(|(sum, content)| *sum == digest(&[content]).as_bytes())
        .map(|(_, content)| content.into()))
}

/// A file gets its name when it is complete.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let unfinished = path.with_added_extension(format!("{}-{number}", process::id()));
    fs::write(&unfinished, [FORMAT, digest(&[content]).as_bytes(), content].concat())?;
    fs::rename(&unfinished, path).inspect_err(|_| drop(fs::remove_file(&unfinished)))
}

/// `BLAKE2b` with 32 bytes over the parts, each with its length before it.
fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Blake2b::<U32>::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    HEXLOWER.encode(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(parts: &[&str]) -> Key {
        Key { kind: "program", parts: parts.iter().map(|part| (*part).into()).collect() }
    }

    #[test]
    fn what_is_saved_is_loaded_under_the_same_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(Some(&folder.path().join("a/b")));
        let (ours, others) =
            (key(&["device", "driver 1"]), [key(&["device", "driver 2"]), key(&["devicedriver 1"])]);
        assert_eq!(store.load(&ours), None);
        for content in [&b"first"[..], b"", &vec![0xff; 100_000]] {
            store.save(&ours, content);
            assert_eq!(store.load(&ours).as_deref(), Some(content));
        }
        assert!(others.iter().all(|other| store.load(other).is_none()));
        assert!(store.load(&Key { kind: "tuning", ..ours.clone() }).is_none());
        assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 1, "nothing unfinished is left");
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let (store, key) = (Store::new(Some(folder.path())), key(&["device"]));
        store.save(&key, b"a program");
        let path = store.path(&key).unwrap();
        let whole = fs::read(&path).unwrap();
        let damaged = (0..whole.len()).flat_map(|place| {
            let mut flipped = whole.clone();
            flipped[place] ^= 0x20;
            [flipped, whole[..place].to_vec()]
        });
        for bytes in damaged.chain([[&whole[..], b"x"].concat()]) {
            fs::write(&path, &bytes).unwrap();
            assert_eq!(store.load(&key), None, "{}", String::from_utf8_lossy(&bytes));
            assert!(!path.exists());
        }
        store.save(&key, b"a program");
        assert_eq!(store.load(&key).as_deref(), Some(&b"a program"[..]));
    }

    #[test]
    fn what_cannot_be_written_or_read_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "no folder").unwrap();
        for store in [Store::new(Some(&file)), Store::new(None)] {
            store.save(&key(&["device"]), b"x");
            assert_eq!(store.load(&key(&["device"])), None);
        }
        let store = Store::new(Some(folder.path()));
        fs::create_dir(store.path(&key(&["device"])).unwrap()).unwrap();
        store.save(&key(&["device"]), b"x");
        assert_eq!(store.load(&key(&["device"])), None);
    }
}
