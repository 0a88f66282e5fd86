//! What the rules are about: the packages of the workspace and all that they depend on, as cargo sees them, and the files of
//! the repository.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use serde::Deserialize;

/// The output of `cargo metadata`, as far as it matters here.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// Our packages and everything that they depend on.
    pub packages: Vec<Package>,
    /// The ids of our packages.
    pub workspace_members: Vec<String>,
}

/// A package.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Cargo's id for it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its SPDX expression.
    pub license: Option<String>,
    /// Where it comes from; `None` for a folder of this repository.
    pub source: Option<String>,
    /// What it depends on.
    pub dependencies: Vec<Dependency>,
}

/// A dependency of a package.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    /// The name of the package.
    pub name: String,
    /// `None` for normal ones, else `dev` or `build`.
    pub kind: Option<String>,
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Asks cargo for the workspace with all that it depends on here: what other platforms would need has not been fetched.
///
/// # Errors
/// When cargo fails, or says something else than it used to.
pub fn metadata() -> io::Result<Metadata> {
    let version = output("RUSTC", "rustc", &["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    let arguments = ["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host];
    Ok(serde_json::from_str(&output("CARGO", "cargo", &arguments)?)?)
}

/// What a program prints; the variable may name another one than the usual.
fn output(variable: &str, program: &str, arguments: &[&str]) -> io::Result<String> {
    let program = std::env::var(variable).unwrap_or_else(|_| program.into());
    let output = Command::new(program).args(arguments).current_dir(root()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Metadata {
    /// The packages of this repository.
    pub fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }
}

/// All files below a folder of the repository with this extension, build output left out.
///
/// # Errors
/// When a folder cannot be read.
pub fn files(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                found.extend(files(&path, extension)?);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    Ok(found)
}
