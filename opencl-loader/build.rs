//! Satisfies the link of `cl-sys`, which asks for a library called `OpenCL`, with an archive that is empty: the functions
//! themselves are this crate's.

use std::path::PathBuf;
use std::{env, fs, io};

/// An archive without a member (`ar(5)`).
const EMPTY_ARCHIVE: &[u8] = b"!<arch>\n";

fn main() -> io::Result<()> {
    let folder = env::var_os("OUT_DIR").map(PathBuf::from).ok_or(io::ErrorKind::NotFound)?;
    // The second name is the one that Microsoft's linker looks for.
    for name in ["libOpenCL.a", "OpenCL.lib"] {
        fs::write(folder.join(name), EMPTY_ARCHIVE)?;
    }
    println!("cargo::rustc-link-search=native={}", folder.display());
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}
