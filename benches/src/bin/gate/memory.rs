//! Memory of idle subscribed sessions, and how fast they come.

use std::time::{Duration, Instant};

use benches::figures::{Figures, Unit};
use tokio::time::sleep;

use crate::Scale;
use crate::crowd::gather;
use crate::server::Server;

/// Sizes of the crowd at which memory is read, besides the largest.
const STEPS: [usize; 2] = [1000, 5000];
/// How long the server rests before its memory is read.
const REST: Duration = Duration::from_millis(500);

#[expect(clippy::cast_precision_loss, reason = "sessions are few")]
pub(crate) async fn measure(server: &Server, scale: Scale, figures: &mut Figures) -> anyhow::Result<()> {
    // The first sessions bring buffers and threads that later ones share.
    drop(gather(server, 0..10).await?);
    sleep(REST).await;
    let empty = server.resident_kb()?;
    let mut crowd = Vec::with_capacity(scale.sessions);
    let mut connecting = Duration::ZERO;
    let before = server.cpu_time()?;
    for size in STEPS.into_iter().filter(|size| *size < scale.sessions).chain([scale.sessions]) {
        let begin = Instant::now();
        crowd.extend(gather(server, crowd.len()..size).await?);
        connecting += begin.elapsed();
        sleep(REST).await;
        let each = (server.resident_kb()? - empty) / size as f64;
        figures.add(format!("memory per session, {size} idle"), Unit::Kilobytes, each);
    }
    let (own_us, kernel_us) = server.cpu_time()?.since(before, scale.sessions);
    let sessions = scale.sessions as f64;
    figures.add(
        format!("connects to {}", scale.sessions),
        Unit::PerSecond,
        sessions / connecting.as_secs_f64(),
    );
    figures.add("CPU per connect", Unit::Microseconds, own_us + kernel_us);
    Ok(())
}
