//! Some sessions read slowly, or not at all: what the others feel of it.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Scale;
use crate::client::{Inbox, WORKER_USER, log_in, subscribe_as_worker};
use crate::crowd::{introduce, worker};
use crate::delivery::Asker;
use crate::figures::{Figures, Unit};
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
/// What a slow session's system keeps for it, in bytes.
const RECEIVE_BUFFER: usize = 4096;
/// Size of segments, as outside loopback; with loopback's own the system would keep megabytes for each session.
const SEGMENT_SIZE: u32 = 1460;

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
    let mut stream = connect(server.address(), manner)?;
    log_in(&mut stream, WORKER_USER, &worker(index).to_string()).await?;
    subscribe_as_worker(&mut stream, worker(index)).await?;
    introduce(server, &mut stream, worker(index)).await?;
    let (read, writer) = stream.into_split();
    let (mut inbox, stopwatch, begun) = (Inbox::new(read), stopwatch.clone(), Arc::clone(begun));
    readers.spawn(async move {
        // Dropping it would close the session.
        let _writer = writer;
        while let Ok(payload) = inbox.message().await {
            match manner {
                Manner::Prompt => stopwatch.record(payload),
                _ if !begun.load(Ordering::Relaxed) => {}
                Manner::Slow => sleep(SLOW_PAUSE).await,
                Manner::Stopped => pending().await,
            }
        }
    });
    Ok(())
}

/// Connects; for those that will not be prompt, with as little room on the way as a system allows.
fn connect(address: SocketAddr, manner: Manner) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if manner != Manner::Prompt {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.set_tcp_mss(SEGMENT_SIZE)?;
    }
    // On loopback this does not wait for the server's program.
    socket.connect(&address.into())?;
    socket.set_nonblocking(true)?;
    TcpStream::from_std(socket.into())
}
