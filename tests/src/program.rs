//! The programs under test, built when they are not.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, anyhow};

/// A program of this workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The coordinator, and what operators do from the command line.
    Dpow,
    /// What a volunteer runs.
    Worker,
    /// What a service runs beside its wallet or node.
    Bridge,
}

impl Program {
    const fn file_name(self) -> &'static str {
        match self {
            Self::Dpow => "dpow",
            Self::Worker => "dpow-worker",
            Self::Bridge => "dpow-bridge",
        }
    }
}

/// A command that starts the program with nothing of this process's environment, so that no setting of the machine's reaches
/// it.
///
/// # Errors
/// When the programs cannot be built.
pub fn program(program: Program) -> anyhow::Result<Command> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    let folder = folder.as_ref().map_err(|error| anyhow!("{error}"))?;
    let mut command = Command::new(folder.join(program.file_name()));
    command.env_clear();
    Ok(command)
}

/// Has cargo bring the programs up to date, with the profile and the target directory of this very test, and says in which
/// folder they are. Cargo gives a test only the programs of its own package.
fn build() -> anyhow::Result<PathBuf> {
    let test = env::current_exe().context("this test does not know where it lies")?;
    // <target directory>/<profile>/deps/<test>
    let folder = test.ancestors().nth(2).context("this test does not lie in a target directory")?;
    let target = folder.parent().context("this test does not lie in a target directory")?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(name) => name,
        None => return Err(anyhow!("the profile of this test has no name")),
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--bins"])
        .args(["--package", "dpow-coordinator", "--package", "dpow-worker", "--package", "dpow-bridge"])
        .args(["--profile", profile, "--target-dir"])
        .arg(target)
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .context("cargo cannot be started")?;
    if output.status.success() {
        Ok(folder.to_path_buf())
    } else {
        Err(anyhow!("the programs do not build:\n{}", String::from_utf8_lossy(&output.stderr)))
    }
}
