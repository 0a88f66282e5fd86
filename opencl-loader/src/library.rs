//! The library behind the functions.
#![expect(
    unsafe_code,
    reason = "opening a library runs code of strangers, and its functions have the types we say they have"
)]

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::Library;
use thiserror::Error;

use crate::remark::{Remark, note};

/// Where OpenCL is found, the best first; a bare name is searched for as the system does for every program.
const NAMES: &[&str] = if cfg!(windows) {
    &["OpenCL.dll"]
} else if cfg!(target_os = "macos") {
    &["/System/Library/Frameworks/OpenCL.framework/OpenCL"]
} else {
    &["libOpenCL.so.1", "libOpenCL.so"]
};

/// Why there is no OpenCL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotOpened {
    /// The machine has none.
    #[error("OpenCL is not installed: {} cannot be opened ({reason})", NAMES.join(" and "))]
    Missing {
        /// What the system says about the first name.
        reason: String,
    },
    /// The library that was named cannot be used.
    #[error("the OpenCL library {} cannot be opened ({reason})", path.display())]
    Unusable {
        /// The library.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
}

static LIBRARY: OnceLock<Result<Library, NotOpened>> = OnceLock::new();

/// Opens OpenCL: this library, or without one the system's. The first call decides for the whole process, and so does the first
/// call of any of OpenCL's functions, which takes the system's; further calls only tell how that went. The library stays open
/// until the process ends.
///
/// # Errors
/// [`NotOpened`], in words for a person.
pub fn open(path: Option<&Path>) -> Result<(), NotOpened> {
    LIBRARY.get_or_init(|| load(path)).as_ref().map(|_| ()).map_err(Clone::clone)
}

/// The function, as the library has it; looked up once.
///
/// # Safety
/// `F` is a pointer to a function with the types that OpenCL gives this one.
pub(crate) unsafe fn function<F: Copy>(slot: &'static OnceLock<Option<F>>, name: &'static str) -> Option<F> {
    *slot.get_or_init(|| {
        let library = LIBRARY.get_or_init(|| load(None)).as_ref().ok()?;
        // SAFETY: the caller vouches for the type, and the library is never closed.
        let symbol = unsafe { library.get::<F>(name) };
        if symbol.is_err() {
            note(Remark::MissingFunction { function: name });
        }
        symbol.ok().map(|symbol| *symbol)
    })
}

/// Whether any library is open.
pub(crate) fn is_open() -> bool {
    LIBRARY.get_or_init(|| load(None)).is_ok()
}

/// What the system says, which is below what `libloading` says.
fn reason(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

fn load(path: Option<&Path>) -> Result<Library, NotOpened> {
    // SAFETY: what runs here is OpenCL's start-up, which a program linked with it would run as well.
    let open = |path: &Path| unsafe { Library::new(path) }.map_err(|error| reason(&error));
    if let Some(path) = path {
        return open(path).map_err(|reason| NotOpened::Unusable { path: path.into(), reason });
    }
    let mut first = None;
    for name in NAMES {
        match open(Path::new(name)) {
            Ok(library) => return Ok(library),
            Err(reason) => first = first.or(Some(reason)),
        }
    }
    Err(NotOpened::Missing { reason: first.unwrap_or_default() })
}
