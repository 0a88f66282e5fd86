//! All sessions lose their connections at once and come back at once.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use benches::figures::{Figures, Unit};
use benches::mqtt::subscribe_as_worker;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::Scale;
use crate::client::{WORKER_USER, log_in};
use crate::crowd::{gather, worker};
use crate::server::Server;

/// How long all of them may take; beyond it the measurement fails.
const BACK_WITHIN: Duration = Duration::from_mins(2);
/// How long one attempt may take.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(10);
/// Pauses after a refused attempt: doubled each time, up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A session that has come back.
struct Returned {
    /// When the server answered its CONNECT.
    at: Instant,
    attempts: u32,
    _stream: TcpStream,
}

#[expect(clippy::cast_precision_loss, reason = "sessions are few")]
pub(crate) async fn measure(server: &mut Server, scale: Scale, figures: &mut Figures) -> anyhow::Result<()> {
    let crowd = gather(server, 0..scale.sessions).await?;
    server.watch_delay()?;
    let cpu = server.cpu_time()?;
    let begin = Instant::now();
    for stream in crowd {
        // A reset, as after a network that was away: the server has to find out by itself.
        stream.set_zero_linger()?;
    }
    let address = server.address();
    let mut storm = JoinSet::new();
    for index in 0..scale.sessions {
        storm.spawn(come_back(address, index));
    }
    let all = timeout(BACK_WITHIN, storm.join_all()).await.context("not all sessions came back")?;
    let back = begin.elapsed();
    let delay = server.longest_delay()?;
    let (own_us, kernel_us) = server.cpu_time()?.since(cpu, scale.sessions);
    let attempts: u32 = all.iter().map(|returned| returned.attempts).sum();
    let mut times: Vec<Instant> = all.iter().map(|returned| returned.at).collect();
    times.sort_unstable();
    let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    let sessions = scale.sessions as f64;
    figures.add(format!("storm of {}: all back", scale.sessions), Unit::Seconds, back.as_secs_f64());
    figures.add("storm: attempts per session", Unit::Ratio, f64::from(attempts) / sessions);
    figures.add("storm: CPU per session", Unit::Microseconds, own_us + kernel_us);
    figures.add("storm: longest time without a CONNACK", Unit::Milliseconds, gap.as_secs_f64() * 1e3);
    if let Some(delay) = delay {
        figures.add("storm: longest delay of a ready task", Unit::Milliseconds, delay.as_secs_f64() * 1e3);
    }
    Ok(())
}

/// Tries until the session is there and subscribed again.
async fn come_back(address: SocketAddr, index: usize) -> Returned {
    let (mut pause, pause_max) = PAUSES;
    let mut attempts = 1;
    loop {
        if let Ok(Ok((at, stream))) = timeout(ATTEMPT_WITHIN, attempt(address, index)).await {
            return Returned { at, attempts, _stream: stream };
        }
        attempts += 1;
        sleep(pause).await;
        pause = (pause * 2).min(pause_max);
    }
}

async fn attempt(address: SocketAddr, index: usize) -> std::io::Result<(Instant, TcpStream)> {
    let mut stream = TcpStream::connect(address).await?;
    log_in(&mut stream, WORKER_USER, &worker(index).to_string()).await?;
    let at = Instant::now();
    subscribe_as_worker(&mut stream, worker(index)).await?;
    Ok((at, stream))
}
