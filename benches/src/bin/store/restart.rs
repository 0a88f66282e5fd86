//! How long a coordinator takes to start on a store that has many works, and what they are in its memory.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use benches::process::{CpuTime, resident_kb};
use benches::redis_server::RedisServer;
use coordinator::store::redis::{Access, RedisStore};
use coordinator::store::sqlite::SqliteStore;
use coordinator::store::{Answer, Store, Verb};
use shared::{Network, Timestamp};

use crate::sales;

/// Sales that are written at a time.
const BATCH: u64 = 2_000;
/// Time between two sales: a million are within the day for which works are kept.
const APART: Duration = Duration::from_millis(50);

/// What a start has taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Started {
    /// From the start of the process until it says where it listens.
    pub(crate) ready: Duration,
    /// Its processor time until then, in seconds.
    pub(crate) cpu_s: f64,
    /// Its resident memory then, in MB.
    pub(crate) memory_mb: f64,
}

/// Starts a coordinator on an embedded ledger with so many works.
pub(crate) async fn on_sqlite(program: &Path, works: u64, folder: &Path) -> anyhow::Result<Started> {
    let folder = tempfile::tempdir_in(folder)?;
    {
        let store = SqliteStore::open(&folder.path().join("ledger.sqlite"), Network::Dev)?;
        fill(Arc::new(store), works).await?;
    }
    start(program, folder.path(), None)
}

/// Starts a coordinator on a ledger in Redis with so many works.
pub(crate) async fn on_redis(program: &Path, works: u64, folder: &Path) -> anyhow::Result<Started> {
    let folder = tempfile::tempdir_in(folder)?;
    let server = RedisServer::start(folder.path(), "everysec")?;
    {
        let url = server.url().parse()?;
        let access = Access { server: url, network: Network::Dev, allows_unsafe: false, announces: false };
        let store = RedisStore::open(&access, &folder.path().join("ledger-mark")).await?;
        fill(Arc::new(store), works).await?;
    }
    start(program, folder.path(), Some(server.url()))
}

/// Sells so many works, the last of them now.
async fn fill(store: Arc<dyn Store>, works: u64) -> anyhow::Result<()> {
    let answers = store.execute(sales::start()?).await?;
    ensure!(answers.iter().all(|answer| *answer == Answer::Done), "the ledger cannot be made");
    let now =
        Timestamp::from_micros(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?);
    for first in (1..=works).step_by(usize::try_from(BATCH)?) {
        let numbers = first..(first + BATCH).min(works + 1);
        let holds = numbers.clone().map(sales::hold).collect::<anyhow::Result<Vec<Verb>>>()?;
        let settled = numbers.map(|number| {
            let age = APART * u32::try_from(works - number)?;
            Ok(Verb::Settle(coordinator::store::Settlement { at: now - age, ..sales::sale(number)? }))
        });
        let settled = settled.collect::<anyhow::Result<Vec<Verb>>>()?;
        for verbs in [holds, settled] {
            for answer in store.execute(verbs).await? {
                ensure!(
                    matches!(answer, Answer::Held { .. } | Answer::Settled { .. }),
                    "not sold: {answer:?}"
                );
            }
        }
    }
    Ok(())
}

/// A coordinator that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &Path, folder: &Path, store: Option<&str>) -> anyhow::Result<Started> {
    let program: PathBuf = program.canonicalize().with_context(|| format!("no {}", program.display()))?;
    let mut command = Command::new(program);
    command.env_clear().args(["--network", Network::Dev.name(), "--data-dir"]).arg(folder);
    command.args(["serve", "--http-listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0"]);
    if let Some(url) = store {
        command.env("DPOW_STORE__URL", url);
    }
    let began = Instant::now();
    let mut running = Running(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let output = BufReader::new(running.0.stdout.take().context("a pipe was asked for")?);
    for line in output.lines() {
        if line?.contains(" http://") {
            let (ready, pid) = (began.elapsed(), running.0.id());
            let (own, kernel) = CpuTime::of(pid)?.since(CpuTime::default(), 1);
            return Ok(Started {
                ready,
                cpu_s: (own + kernel) / 1e6,
                memory_mb: resident_kb(pid)? * 1.024e-3,
            });
        }
    }
    bail!("the coordinator ended before it said where it listens")
}
