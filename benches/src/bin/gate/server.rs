//! What is measured: the gate or mosquitto, each in a process of its own, so that CPU time and memory are its alone.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use benches::process::{self, CpuTime};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How long a server may take to listen.
const START_WITHIN: Duration = Duration::from_secs(10);

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours.
    Gate,
    /// The yardstick.
    Mosquitto,
}

impl Kind {
    /// Both, in the order in which they are measured.
    pub(crate) const ALL: [Self; 2] = [Self::Gate, Self::Mosquitto];

    /// As it is printed.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Mosquitto => "mosquitto",
        }
    }
}

/// A running server; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    kind: Kind,
    child: Child,
    address: SocketAddr,
    /// Of the gate: how it is asked for its longest delay.
    pipes: Option<(ChildStdin, BufReader<ChildStdout>)>,
    _configuration: Option<TempDir>,
}

impl Server {
    /// Starts a server on a free port of the loopback interface, and waits until it listens.
    pub(crate) async fn start(kind: Kind, mosquitto: &Path) -> anyhow::Result<Self> {
        match kind {
            Kind::Gate => Self::start_gate(),
            Kind::Mosquitto => Self::start_mosquitto(mosquitto).await,
        }
    }

    fn start_gate() -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve-gate")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().context("the gate has an input")?;
        let mut stdout = BufReader::new(child.stdout.take().context("the gate has an output")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let address = line.trim().parse().context("the gate did not say where it listens")?;
        Ok(Self { kind: Kind::Gate, child, address, pipes: Some((stdin, stdout)), _configuration: None })
    }

    async fn start_mosquitto(program: &Path) -> anyhow::Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let folder = TempDir::new()?;
        let file = folder.path().join("mosquitto.conf");
        let port = address.port();
        fs::write(
            &file,
            format!("listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nlog_dest none\n"),
        )?;
        let child = Command::new(program)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}: Debian's package is mosquitto", program.display()))?;
        let configuration = Some(folder);
        let server =
            Self { kind: Kind::Mosquitto, child, address, pipes: None, _configuration: configuration };
        let begin = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            ensure!(begin.elapsed() < START_WITHIN, "mosquitto does not listen");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }

    /// Which it is.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// CPU time of all its threads so far. It advances in steps of 10 ms.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<CpuTime> {
        CpuTime::of(self.child.id())
    }

    /// Memory that it holds, in kB of 1,024 bytes: its resident set. What the kernel holds for its sockets is not in it.
    pub(crate) fn resident_kb(&self) -> anyhow::Result<f64> {
        process::resident_kb(self.child.id())
    }

    /// Begins to watch how long a ready task waits inside the gate. Mosquitto cannot be asked.
    pub(crate) fn watch_delay(&mut self) -> anyhow::Result<()> {
        self.ask().map(drop)
    }

    /// The longest delay since the watch began.
    pub(crate) fn longest_delay(&mut self) -> anyhow::Result<Option<Duration>> {
        let Some(answer) = self.ask()? else { return Ok(None) };
        Ok(Some(Duration::from_micros(answer.trim().parse()?)))
    }

    fn ask(&mut self) -> anyhow::Result<Option<String>> {
        let Some((stdin, stdout)) = &mut self.pipes else { return Ok(None) };
        stdin.write_all(b"\n")?;
        let mut answer = String::new();
        stdout.read_line(&mut answer)?;
        Ok(Some(answer))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It fails only if the server has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
