//! Servers of Redis that the tests start, each in a directory of its own, on a socket or on ports that nobody has.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use shared::Network;
use tempfile::TempDir;

use super::super::attachment::Claim;
use super::super::key::Keys;
use super::super::mark::Mark;
use super::super::server::Server;
use super::super::{OpenError, RedisStore};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that ends with this value, or with this process, however that ends.
#[derive(Debug)]
pub(super) struct RedisProcess {
    child: Child,
    /// Whose end ends the server.
    _life: ChildStdin,
    pub(super) url: String,
    pub(super) directory: TempDir,
}

/// Whether the machine has Redis. If not, it is said aloud, and in CI it is a failure.
pub(in crate::store) fn is_there() -> bool {
    static IS_THERE: OnceLock<bool> = OnceLock::new();
    *IS_THERE.get_or_init(|| {
        let is_there = Command::new("redis-server").arg("--version").output().is_ok();
        assert!(
            is_there || std::env::var_os("CI").is_none(),
            "CI has to have redis-server (Debian: redis-server)"
        );
        if !is_there {
            // Past the test harness, which keeps what is printed.
            let _ = writeln!(std::io::stderr(), "SKIPPED for want of redis-server: the ledger in Redis");
        }
        is_there
    })
}

impl RedisProcess {
    /// Starts one on a socket, with further settings that take the place of these.
    pub(super) fn start(settings: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("redis+unix://{}", directory.path().join("socket").display());
        Self::start_in(directory, url, &[&["--unixsocket", "socket", "--port", "0"], settings].concat())
    }

    /// Starts one on a port.
    pub(super) fn start_on_port() -> Self {
        Self::start_listening(&[])
    }

    /// Starts one on a port, which somebody else may take first: then another one.
    fn start_listening(settings: &[&str]) -> Self {
        loop {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            // The nodes talk to each other on a second port.
            if port > 55_000 || TcpListener::bind(("127.0.0.1", port + 10_000)).is_err() {
                continue;
            }
            let url = format!("redis://127.0.0.1:{port}");
            let port = port.to_string();
            let settings = [&["--bind", "127.0.0.1", "--port", &port], settings].concat();
            let mut node = Self::start_in(tempfile::tempdir().unwrap(), url, &settings);
            if node.child.try_wait().unwrap().is_none() {
                return node;
            }
        }
    }

    /// Starts a replica of this server, which is on a port.
    pub(super) fn replica(&self) -> Self {
        let replica = Self::start_listening(&["--replicaof", &self.address().replace(':', " ")]);
        replica.wait_until("it follows", |replica| {
            replica.command(&["INFO", "replication"]).unwrap_or_default().contains("master_link_status:up")
        });
        replica
    }

    /// Starts a Sentinel that watches this server, and waits until it knows of a replica.
    pub(super) fn sentinel(&self) -> Self {
        let (host, port) = self.address().split_once(':').unwrap();
        loop {
            let own = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = format!(
                "bind 127.0.0.1\nport {own}\nsentinel monitor ledger {host} {port} 1\n\
                 sentinel down-after-milliseconds ledger 500\nsentinel failover-timeout ledger 2000\n"
            );
            let directory = tempfile::tempdir().unwrap();
            let mut sentinel = Self::launch(
                directory,
                format!("redis://127.0.0.1:{own}"),
                &config,
                "redis-server \"$PWD/config\" --sentinel",
            );
            if sentinel.child.try_wait().unwrap().is_none() {
                sentinel.wait_until("it knows of the replica", |sentinel| {
                    let known = sentinel.command(&["SENTINEL", "REPLICAS", "ledger"]).unwrap_or_default();
                    known.contains("127.0.0.1")
                });
                return sentinel;
            }
        }
    }

    /// Host and port of a server that is on a port.
    pub(super) fn address(&self) -> &str {
        self.url.trim_start_matches("redis://")
    }

    fn start_in(directory: TempDir, url: String, settings: &[&str]) -> Self {
        let mut config = vec!["save \"\"".into(), "appendonly yes".into(), "appendfsync everysec".into()];
        config.push(format!("dir {}", directory.path().display()));
        for setting in settings.chunks(2) {
            let (name, mut value) = (setting[0].trim_start_matches("--"), setting[1].to_owned());
            if name == "unixsocket" {
                value = directory.path().join(value).display().to_string();
            }
            config.push(format!("{name} {value}"));
        }
        config.push(String::new());
        Self::launch(directory, url, &config.join("\n"), "redis-server - < config")
    }

    /// Starts a server by a command of the shell, with a file `config`, and waits until it answers.
    fn launch(directory: TempDir, url: String, config: &str, command: &str) -> Self {
        // The shell ends the server when its standard input ends, which it does with this process.
        let script = format!(
            "exec 3<&0 2>/dev/null; trap '' XFSZ; {command} > log 2>&1 & server=$!; echo $server > pid; cat <&3 > /dev/null; \
             kill -9 $server; wait $server"
        );
        std::fs::write(directory.path().join("config"), config).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let life = child.stdin.take().unwrap();
        let server = Self { child, _life: life, url, directory };
        server.wait_until("it answers", |process| {
            process.command(&["PING"]).is_some_and(|said| said != "LOADING")
        });
        server
    }

    /// Waits for something with a deadline; for ever if the server has ended is not waited.
    pub(super) fn wait_until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{what}: {log}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What the server answers to a command, or the code of its refusal; `None` when it does not answer.
    pub(super) fn command(&self, arguments: &[&str]) -> Option<String> {
        let client = redis::Client::open(self.url.as_str()).unwrap();
        let mut connection = client.get_connection_with_timeout(PATIENCE).ok()?;
        let mut command = redis::cmd(arguments[0]);
        command.arg(&arguments[1..]);
        match command.query::<redis::Value>(&mut connection) {
            Ok(value) => {
                Some(redis::from_redis_value(value.clone()).unwrap_or_else(|_| format!("{value:?}")))
            }
            Err(error) => error.code().map(str::to_owned),
        }
    }

    /// Lets no file of it grow any further, as if its disk were full, or lets it again. `false` where that cannot be done.
    pub(super) fn fill_disk(&self, is_full: bool) -> bool {
        let limit = if is_full { "--fsize=4096:unlimited" } else { "--fsize=unlimited:unlimited" };
        let limited = Command::new("prlimit").args(["--pid", &self.id(), limit]).status();
        limited.is_ok_and(|status| status.success())
    }

    /// Its number in the system.
    pub(super) fn id(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("pid")).unwrap().trim().to_owned()
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, name: &str) {
        let status = Command::new("sh").args(["-c", &format!("kill -s {name} {}", self.id())]).status();
        assert!(status.unwrap().success());
    }

    /// Ends it as a crash does, and leaves its directory.
    pub(super) fn stop(mut self) -> Stopped {
        self.signal("KILL");
        let directory = std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap());
        let url = self.url.clone();
        drop(self);
        Stopped { directory, url }
    }
}

/// What a server leaves behind.
pub(super) struct Stopped {
    directory: TempDir,
    url: String,
}

impl Stopped {
    /// Starts a server with it, and with further settings.
    pub(super) fn start(self, settings: &[&str]) -> RedisProcess {
        let Self { directory, url } = self;
        RedisProcess::start_in(
            directory,
            url,
            &[&["--unixsocket", "socket", "--port", "0"], settings].concat(),
        )
    }
}

impl Drop for RedisProcess {
    fn drop(&mut self) {
        // The shell waits for its standard input, and does the same when that ends.
        if let Ok(pid) = std::fs::read_to_string(self.directory.path().join("pid")) {
            let _ = Command::new("sh")
                .args(["-c", &format!("kill -9 {}", pid.trim())])
                .stderr(Stdio::null())
                .status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A claim to a ledger of this test alone on a server.
pub(super) fn claim(url: &str) -> Claim {
    Claim {
        server: url.parse::<Server>().unwrap(),
        keys: Keys::of_test(),
        network: Network::Dev,
        allows_unsafe: false,
        announces: false,
    }
}

/// A mark of a data directory that is new.
pub(super) fn mark() -> Mark {
    // What is written there is not read again.
    let directory = tempfile::tempdir().unwrap();
    Mark::load(&directory.keep().join("ledger-mark")).unwrap()
}

pub(super) async fn open(claim: Claim) -> Result<RedisStore, OpenError> {
    RedisStore::start(claim, mark()).await
}

/// An empty ledger on a server that all tests share; `None` without Redis.
pub(in crate::store) async fn standalone() -> Option<RedisStore> {
    static SERVER: OnceLock<RedisProcess> = OnceLock::new();
    if !is_there() {
        return None;
    }
    let server = SERVER.get_or_init(|| RedisProcess::start(&[]));
    Some(open(claim(&server.url)).await.unwrap())
}

/// An empty ledger on a cluster of three nodes that all tests share; `None` without Redis.
pub(in crate::store) async fn cluster() -> Option<RedisStore> {
    static NODES: OnceLock<Vec<RedisProcess>> = OnceLock::new();
    if !is_there() {
        return None;
    }
    let nodes = NODES.get_or_init(start_cluster);
    let hosts: Vec<&str> = nodes.iter().map(RedisProcess::address).collect();
    let url = format!("redis+cluster://{}", hosts.join(","));
    Some(open(claim(&url)).await.unwrap())
}

/// Three nodes, a third of the slots each.
fn start_cluster() -> Vec<RedisProcess> {
    let nodes: Vec<RedisProcess> =
        (0..3).map(|_| RedisProcess::start_listening(&["--cluster-enabled", "yes"])).collect();
    for (node, slots) in nodes.iter().zip([["0", "5460"], ["5461", "10922"], ["10923", "16383"]]) {
        assert_eq!(node.command(&["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]]).as_deref(), Some("OK"));
        for other in &nodes {
            let (host, port) = other.address().split_once(':').unwrap();
            node.command(&["CLUSTER", "MEET", host, port]);
        }
    }
    for node in &nodes {
        node.wait_until("the cluster is whole", |node| {
            let info = node.command(&["CLUSTER", "INFO"]).unwrap_or_default();
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        });
    }
    nodes
}
