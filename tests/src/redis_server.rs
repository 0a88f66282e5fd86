//! A Redis server for the ledger, on a socket in a directory of its own.

use std::fs::{self, OpenOptions};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::PATIENCE;
use crate::process::{Process, Signal};
use crate::tool::Tool;

/// When the server syncs its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// At every write.
    Always,
    /// Once a second.
    Everysec,
}

impl Sync {
    /// As Redis calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Everysec => "everysec",
        }
    }
}

/// A server that can be ended, frozen and started again. Killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    folder: TempDir,
    sync: Sync,
    password: Option<String>,
    process: Option<Process>,
}

impl RedisServer {
    /// Starts one without data; `None` without Redis, which is said aloud, and is an error in CI.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start(what: &str, sync: Sync) -> anyhow::Result<Option<Self>> {
        Self::start_with(what, sync, None)
    }

    /// Starts one without data that asks for a password; `None` as above.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_with_password(what: &str, sync: Sync, password: &str) -> anyhow::Result<Option<Self>> {
        Self::start_with(what, sync, Some(password.into()))
    }

    fn start_with(what: &str, sync: Sync, password: Option<String>) -> anyhow::Result<Option<Self>> {
        if !Tool::RedisServer.is_there(what) {
            ensure!(std::env::var_os("CI").is_none(), "CI has to have redis-server (Debian: redis-server)");
            return Ok(None);
        }
        let mut server = Self { folder: tempfile::tempdir()?, sync, password, process: None };
        server.restart()?;
        Ok(Some(server))
    }

    /// What `store.url` is for it.
    pub fn url(&self) -> String {
        let login = self.password.iter().map(|password| format!("?pass={password}"));
        format!("redis+unix://{}{}", self.socket().display(), login.collect::<String>())
    }

    /// Where it keeps its socket and its log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Starts it with what it has written, and waits until it takes connections.
    ///
    /// # Errors
    /// When it does not.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        // A killed server leaves its socket.
        let _ = fs::remove_file(self.socket());
        let mut command = Tool::RedisServer.command();
        command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--unixsocket"]).arg(self.socket());
        command.args(["--appendfsync", self.sync.name(), "--dir"]).arg(self.folder.path());
        if let Some(password) = &self.password {
            command.args(["--requirepass", password]);
        }
        let process = Process::start("redis-server", &mut command)?;
        process.wait_for_line("its readiness", |line| line.contains("ready to accept connections"))?;
        self.process = Some(process);
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(self.socket()).is_err() {
            ensure!(Instant::now() < deadline, "redis-server has no socket");
        }
        Ok(())
    }

    /// Ends it as a crash does.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("redis-server is not running")?;
        process.signal(Signal::Kill)?;
        process.wait().map(drop)
    }

    /// Has it stand still: it is there and answers nothing.
    ///
    /// # Errors
    /// When it is not running.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.process()?.signal(Signal::Stop)
    }

    /// Has it go on.
    ///
    /// # Errors
    /// When it is not running.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.process()?.signal(Signal::Continue)
    }

    fn process(&self) -> anyhow::Result<&Process> {
        self.process.as_ref().context("redis-server is not running")
    }

    /// Takes the last bytes from its log, as a disk does that had not kept them; it must not run. Returns how many.
    ///
    /// # Errors
    /// When there is no log.
    pub fn cut(&self, bytes: u64) -> anyhow::Result<u64> {
        let folder = self.folder.path().join("appendonlydir");
        let manifest = fs::read_to_string(folder.join("appendonly.aof.manifest"))?;
        let last = manifest.lines().rfind(|line| line.ends_with("type i")).context("there is no log")?;
        let log = last.split(' ').nth(1).context("the log has no name")?;
        let file = OpenOptions::new().write(true).open(folder.join(log))?;
        let length = file.metadata()?.len();
        file.set_len(length.saturating_sub(bytes))?;
        Ok(bytes.min(length))
    }
}
