//! Programs that are not ours.

use std::env;
use std::io::{Write, stderr};
use std::process::Command;

/// A program of the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// A client for HTTP.
    Curl,
    /// Mosquitto's subscriber.
    MosquittoSub,
    /// Mosquitto's client that sends a request and waits for the reply on the same connection.
    MosquittoRr,
    /// Whose standard library has BLAKE2b.
    Python,
    /// Node.js.
    Node,
    /// The shell that most people have.
    Bash,
    /// The formatter of manual pages.
    Groff,
    /// The server that may keep the ledger.
    RedisServer,
}

impl Tool {
    const fn file_name(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::MosquittoSub => "mosquitto_sub",
            Self::MosquittoRr => "mosquitto_rr",
            Self::Python => "python3",
            Self::Node => "node",
            Self::Bash => "bash",
            Self::Groff => "groff",
            Self::RedisServer => "redis-server",
        }
    }

    /// Whether the machine has it. If not, it is said aloud that `what` is not tested.
    pub fn is_there(self, what: &str) -> bool {
        let path = env::var_os("PATH").unwrap_or_default();
        let is_there = env::split_paths(&path).any(|folder| folder.join(self.file_name()).is_file());
        if !is_there {
            say(&format!("SKIPPED for want of {}: {what}", self.file_name()));
        }
        is_there
    }

    /// A command that starts it.
    pub fn command(self) -> Command {
        bare(self.file_name())
    }
}

/// A command that has a shell run a line as it is, with no more environment than it needs to find programs.
pub fn shell(line: &str) -> Command {
    let mut command = bare("sh");
    command.args(["-c", line]);
    command
}

/// A command whose environment is nothing but where to look for programs: a proxy must not come in between.
pub(crate) fn bare(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
    command
}

/// Says something that is to be read even when the test passes: past the test harness, which would keep it.
pub fn say(sentence: &str) {
    // If nobody can hear it, nobody misses it.
    let _ = writeln!(stderr(), "{sentence}");
}
