//! Libraries that have less than OpenCL, compiled from C.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// Compiles a library from this text. It is there as long as the folder.
pub(crate) fn compile(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (source, library) = (folder.path().join("stub.c"), folder.path().join("libOpenCL.so.1"));
    std::fs::write(&source, text).unwrap();
    let output =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (folder, library)
}
