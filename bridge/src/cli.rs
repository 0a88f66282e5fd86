//! Arguments and configuration of the program.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use config::LogFlags;
use serde::Serialize;
use shared::{Network, ServiceId};

use crate::configuration::{BridgeConfiguration, Settings, SettingsError};

/// Offers a wallet or node on this machine the work of the network, and searches by itself when the network does not answer.
#[derive(Debug, Parser)]
#[command(name = "dpow-bridge", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Bridge (what happens when no command is given).
    Run,
    /// Settings: what is wrong with them, what is in effect, what there is.
    #[command(subcommand)]
    Config(config::Command),
}

/// What the program is asked to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// Bridge.
    Run(Box<Settings>),
    /// Print this.
    Print(String),
}

/// Every flag is optional, so that what is not given leaves the layers below alone.
#[derive(Debug, Args, Serialize)]
struct Flags {
    /// Where the network is.
    #[arg(
        long,
        global = true,
        value_name = "mqtt://HOST:PORT",
        help = "Where the network is [default: mqtt://127.0.0.1:1883]"
    )]
    server: Option<String>,
    /// The service on whose account all work is asked for.
    #[arg(long, global = true, value_name = "NAME")]
    service: Option<ServiceId>,
    /// The file that has its key.
    #[arg(long, global = true, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The network: live, beta, test, dev or banano [default: live].
    #[arg(long, global = true)]
    network: Option<Network>,
    /// A TOML file with these settings. Environment variables such as `DPOW_BRIDGE_SERVER` win over it, flags over both.
    #[arg(long, global = true, value_name = "FILE", env = "DPOW_BRIDGE_CONFIG")]
    #[serde(skip)]
    config: Option<PathBuf>,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    node_peer: NodePeerFlags,
    #[command(flatten)]
    fallback: FallbackFlags,
    #[command(flatten)]
    log: LogFlags,
}

#[derive(Debug, Args, Serialize)]
struct HttpFlags {
    /// Where wallets ask [default: 127.0.0.1:5030].
    #[arg(global = true, long = "http-listen", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

#[derive(Debug, Args, Serialize)]
struct NodePeerFlags {
    /// Where nodes ask [default: 127.0.0.1:7000].
    #[arg(global = true, long = "node-peer-listen", id = "node_peer_listen", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

#[derive(Debug, Args, Serialize)]
struct FallbackFlags {
    /// Another work server, which is asked when the network does not answer.
    #[arg(global = true, long = "fallback-url", value_name = "http://HOST:PORT")]
    url: Option<String>,
}

impl Arguments {
    /// What is to be done, with all layers of the configuration together and checked.
    pub(crate) fn task(self) -> Result<Task, SettingsError> {
        let file = self.flags.config.as_deref();
        let load = || config::load::<BridgeConfiguration>(file, env::vars_os(), &self.flags);
        match self.command {
            None | Some(Command::Run) => Ok(Task::Run(Box::new(load()?.settings.read()?))),
            Some(Command::Config(command)) => Ok(Task::Print(command.run(load)?)),
        }
    }
}
