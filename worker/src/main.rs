//! `dpow-worker`: what a volunteer runs.

mod cli;
mod configuration;
mod console;
mod offline;

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use shared::Payee;
use tokio::signal;
use worker::{DataDirectory, Settings, Worker};

use crate::cli::{Arguments, Task};
use crate::configuration::{DeviceSettings, RunSettings};
use crate::console::Console;

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.task()? {
        Task::Run(settings) => {
            settings.devices.log.start()?;
            runtime()?.block_on(work(*settings))
        }
        Task::Offline(task, settings) => {
            settings.log.start()?;
            runtime()?.block_on(offline::run(task, *settings))
        }
        Task::Print(text) => {
            // A reader that has gone away does not mind.
            let _ = stdout().write_all(text.as_bytes());
            Ok(())
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().context("no runtime can be started")
}

async fn work(settings: RunSettings) -> anyhow::Result<()> {
    let shutdown = shutdown().context("the signals to stop cannot be heard")?;
    // Held until the end: it is what keeps a second worker from this identity.
    let directory = DataDirectory::open(&settings.data_dir)?;
    let DeviceSettings { network, processor, opencl, .. } = settings.devices;
    let address = network.format_address(settings.account);
    let worker = Worker::new(Settings {
        server: settings.server.clone(),
        payee: Payee::Account(settings.account),
        secret: directory.secret().clone(),
        network,
        processor: processor.clone(),
        opencl: Some(opencl),
        threshold_max: settings.threshold_max,
        precache: settings.precache,
        software: concat!("dpow-worker ", env!("CARGO_PKG_VERSION")).into(),
    });
    let mut console = Console::start(worker.id(), &processor, &address, network, settings.server);
    worker.run(|event| console.show(&event), shutdown).await?;
    console.finish();
    Ok(())
}

/// Ready when the worker is to stop: Ctrl-C, or SIGTERM from a service manager.
#[cfg(unix)]
fn shutdown() -> std::io::Result<impl Future<Output = ()>> {
    use signal::unix::{SignalKind, signal};

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ready when the worker is to stop: Ctrl-C.
#[cfg(not(unix))]
fn shutdown() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without the handler, Ctrl-C ends the process by itself.
        if signal::ctrl_c().await.is_err() {
            core::future::pending().await
        }
    })
}
