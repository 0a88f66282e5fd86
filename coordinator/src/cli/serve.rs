//! `dpow serve`, and how a process that serves ends.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Console;
use crate::config::Settings;
use crate::coordinator::{Coordinator, Ledger};
use crate::home::Home;
use crate::metrics;

/// Runs the coordinator without a worker, until Ctrl-C or SIGTERM. Each line is printed when what it says is true.
///
/// # Errors
/// In one sentence, what is wrong and what to do.
pub(super) async fn run(settings: &Settings, console: &Console) -> anyhow::Result<()> {
    let stop = StopSignal::listen()?;
    let recorder = metrics::install()?;
    let home = Arc::new(Home::open(&settings.data_dir)?);
    let ledger = Ledger::open(settings.ledger_place(), &home).await?;
    let mut coordinator = Coordinator::start(settings, &home, &ledger, None, recorder).await?;
    console.line(&format!("dpow {} · network {}", env!("CARGO_PKG_VERSION"), settings.network));
    console.lines(coordinator.banner(&home));
    until_stopped(&mut coordinator, stop, console).await?;
    Ok(coordinator.stop(settings.shutdown_grace()).await?)
}

/// Waits for the signal to stop. After that, a second one ends the process at once.
///
/// # Errors
/// When a part of the coordinator fails first.
pub(crate) async fn until_stopped(
    coordinator: &mut Coordinator,
    mut stop: StopSignal,
    console: &Console,
) -> anyhow::Result<()> {
    tokio::select! {
        () = stop.received() => {}
        error = coordinator.failed() => return Err(error.into()),
    }
    console.line("stopping: what is in flight is finished first; once more stops at once");
    tokio::spawn(async move {
        stop.received().await;
        std::process::exit(130);
    });
    Ok(())
}

/// Ctrl-C and SIGTERM. From its making on they no longer end the process, so it is made before anybody is told that it runs.
pub(crate) struct StopSignal {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignal {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
