//! A Redis server of an instrument's own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

/// How long it may take to start.
const WITHIN: Duration = Duration::from_secs(10);

/// A running server on a socket, whose log is all that it writes. Killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    url: String,
}

impl RedisServer {
    /// Starts one without data in a directory, and waits until it takes connections. `sync` is its `appendfsync`.
    ///
    /// # Errors
    /// When there is no redis-server, or it does not start.
    pub fn start(folder: &Path, sync: &str) -> anyhow::Result<Self> {
        let socket = folder.join("socket");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", sync, "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(folder)
            .stdout(Stdio::null())
            // It warns of settings of the machine.
            .stderr(Stdio::null())
            .spawn()
            .context("redis-server is needed: apt-get install redis-server")?;
        let server = Self { child, url: format!("redis+unix://{}", socket.display()) };
        let deadline = Instant::now() + WITHIN;
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            ensure!(Instant::now() < deadline, "redis-server does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    /// What `store.url` is for it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It has ended already, if somebody else has ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
