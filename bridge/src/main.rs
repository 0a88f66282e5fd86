//! `dpow-bridge`: what a service runs beside its wallet or node. It looks like a work server there, asks the network over MQTT, and
//! searches by itself when the network does not answer.

mod cli;
mod configuration;
mod elsewhere;
mod local;
mod recorder;
mod relay;

use std::io::{Write, stderr, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use bridge::{Screened, serve};
use clap::Parser;
use client::{Client, State};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::{Arguments, Task};
use crate::configuration::Settings;
use crate::elsewhere::Elsewhere;
use crate::local::Local;
use crate::relay::{Fallback, Relay};

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr(), "dpow-bridge: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.task()? {
        Task::Run(settings) => {
            settings.log.start()?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            runtime.context("no runtime can be started")?.block_on(bridge_until_stopped(*settings))
        }
        Task::Print(text) => {
            say(&text);
            Ok(())
        }
    }
}

/// A reader that has gone away does not mind.
fn say(text: &str) {
    let _ = stdout().write_all(text.as_bytes());
}

/// What has become of a device.
fn tell_of_opencl(line: &str) {
    say(&format!("opencl     {line}\n"));
}

async fn listen(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address}; choose another address with `{key}`"))
}

async fn bridge_until_stopped(settings: Settings) -> anyhow::Result<()> {
    let mut stopped = shutdown().context("the signals to stop cannot be heard")?;
    let recorder = recorder::install()?;
    let http = listen(settings.http_listen, "http.listen").await?;
    let peers = listen(settings.node_peer_listen, "node_peer.listen").await?;
    let local = settings
        .local
        .map(|local| Local::start(local, tell_of_opencl))
        .transpose()
        .context("no thread can be started")?;
    let fallback = Fallback { local, elsewhere: settings.fallback.map(Elsewhere::new) };
    let server = settings.connection.server.clone();
    let service = settings.connection.service;
    let client = Client::start(settings.connection);
    let state = client.state();
    let relay = Relay::new(client, settings.network, fallback, settings.patience, recorder);
    say(&format!(
        "dpow-bridge {} · {} · {service} on {server}\n",
        env!("CARGO_PKG_VERSION"),
        settings.network
    ));
    say(&format!("node peer  {}\n", peers.local_addr()?));
    say(&format!("http       http://{}\n", http.local_addr()?));
    let narrated = tokio::spawn(narrate(state));

    let edge = bridge::Settings { payer: Some(service), ..bridge::Settings::default() };
    let router = bridge::router(relay.clone(), &edge);
    let allowed = settings.node_peer_allow;
    let allows = move |address| allowed.iter().any(|prefix| prefix.contains(address));
    let peer_router = bridge::node_peer(relay, service);
    let mut also_stopped = stopped.clone();
    tokio::join!(
        serve(http, router, edge.clone(), async move { drop(stopped.wait_for(|stopped| *stopped).await) }),
        serve(Screened { listener: peers, allows }, peer_router, edge, async move {
            drop(also_stopped.wait_for(|stopped| *stopped).await);
        }),
    );
    narrated.abort();
    Ok(())
}

/// Tells people how the connection is.
async fn narrate(mut state: watch::Receiver<State>) {
    while state.changed().await.is_ok() {
        let now = state.borrow_and_update().clone();
        match now {
            State::Connecting => {}
            State::Connected => say("connected\n"),
            State::Disconnected { reason, retry_in } => {
                say(&format!("not connected: {reason}; next attempt in {:.1} s\n", retry_in.as_secs_f64()));
            }
        }
    }
}

/// True once the program is to stop: Ctrl-C, or SIGTERM from a service manager.
fn shutdown() -> std::io::Result<watch::Receiver<bool>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.send_replace(true);
    });
    Ok(stopped)
}
