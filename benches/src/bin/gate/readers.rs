//! Some sessions read slowly, or not at all: what the others feel of it.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use benches::figures::{Figures, Unit};
use benches::mqtt::{Inbox, connect_narrow, subscribe_as_worker};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Scale;
use crate::client::{WORKER_USER, log_in};
use crate::crowd::{introduce, worker};
use crate::delivery::Asker;
use crate::latency::{Stopwatch, Stream};
use crate::server::Server;

/// Sessions that receive, in turn.
const SESSIONS: usize = 400;
/// Of each twenty sessions: four that become slow, and one that stops.
const GROUP: usize = 20;
const SLOW: usize = 4;
const STOPPED: usize = 1;
/// Lists go to 64 at once, 100 times a second: 16 to each session.
const FAN_OUT: u16 = 64;
const INTERVAL: Duration = Duration::from_millis(10);
/// Length of a full list as JSON.
const LIST_SIZE: usize = 1400;
/// Pause of a slow session after each message: it reads a quarter of what it is sent.
const SLOW_PAUSE: Duration = Duration::from_millis(250);

/// How a session reads once it is told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Prompt,
    Slow,
    Stopped,
}

impl Manner {
    fn of(index: usize) -> Self {
        match index % GROUP {
            place if place < SLOW => Self::Slow,
            place if place < SLOW + STOPPED => Self::Stopped,
            _ => Self::Prompt,
        }
    }
}

pub(crate) async fn measure(server: &Server, scale: Scale, figures: &mut Figures) -> anyhow::Result<()> {
    let stopwatch = Stopwatch::new();
    let begun = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for index in 0..SESSIONS {
        start(server, index, &stopwatch, &begun, &mut readers).await?;
    }
    let mut asker = Asker::log_in(server).await?;
    let mut turn = 0;
    let mut send = async || {
        let next = || {
            turn = (turn + 1) % SESSIONS;
            worker(turn)
        };
        asker.ask(FAN_OUT, &stopwatch.stamp(), LIST_SIZE, next).await
    };
    // Messages to slow sessions are not measured, and so count as lost: the figure says nothing here.
    let duration = scale.duration * 2;
    let stream =
        Stream { server, stopwatch: &stopwatch, interval: INTERVAL, duration, fan_out: usize::from(FAN_OUT) };
    let clean = stream.run(&mut send).await?;
    begun.store(true, Ordering::Relaxed);
    let disturbed = stream.run(&mut send).await?;
    figures.add("readers, all prompt: p99", Unit::Milliseconds, clean.p99_ms);
    figures.add("readers, 20 % slow and 5 % stopped: others' p99", Unit::Milliseconds, disturbed.p99_ms);
    figures.add("readers: others' p99 over clean", Unit::Ratio, disturbed.p99_ms / clean.p99_ms);
    figures.add("readers: others' p50 over clean", Unit::Ratio, disturbed.p50_ms / clean.p50_ms);
    Ok(())
}

/// Opens a session that reads in its manner once that has begun; only prompt ones are measured.
async fn start(
    server: &Server,
    index: usize,
    stopwatch: &Stopwatch,
    begun: &Arc<AtomicBool>,
    readers: &mut JoinSet<()>,
) -> io::Result<()> {
    let manner = Manner::of(index);
    let mut stream = match manner {
        Manner::Prompt => TcpStream::connect(server.address()).await?,
        Manner::Slow | Manner::Stopped => connect_narrow(server.address())?,
    };
    log_in(&mut stream, WORKER_USER, &worker(index).to_string()).await?;
    subscribe_as_worker(&mut stream, worker(index)).await?;
    introduce(server, &mut stream, worker(index)).await?;
    let (read, writer) = stream.into_split();
    let (mut inbox, stopwatch, begun) = (Inbox::new(read), stopwatch.clone(), Arc::clone(begun));
    readers.spawn(async move {
        // Dropping it would close the session.
        let _writer = writer;
        while let Ok(message) = inbox.message().await {
            match manner {
                Manner::Prompt => stopwatch.record(message.payload),
                _ if !begun.load(Ordering::Relaxed) => {}
                Manner::Slow => sleep(SLOW_PAUSE).await,
                Manner::Stopped => pending().await,
            }
        }
    });
    Ok(())
}
