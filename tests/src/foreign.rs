//! Libraries that others have written, and the small programs in `tests/foreign` that use them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fmt};

use crate::tool::{bare, say};

/// A library, and what its programs need to find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// Eclipse Paho for Python.
    Paho,
    /// MQTT.js for Node.
    MqttJs,
    /// nanopy, for wallets in Python.
    Nanopy,
    /// nano-wallet-js, a wallet for Node.
    NanoWalletJs,
    /// schemathesis, which tries servers against their descriptions.
    Schemathesis,
    /// `@dev-ptera/nano-node-rpc`, a client of a node's RPC for Node.
    NanoNodeRpc,
}

/// One way to connect that a library has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Over what: `tcp` or `ws`.
    pub transport: &'static str,
    /// Of MQTT: `3.1.1` or `5`.
    pub version: &'static str,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MQTT {} over {}", self.version, self.transport)
    }
}

impl Library {
    /// Whether `./check` has installed it. If not, it is said aloud that `what` is not tested.
    pub fn is_there(self, what: &str) -> bool {
        let package = match self {
            Self::Paho => "paho",
            Self::MqttJs => "mqtt",
            Self::Nanopy => "nanopy",
            Self::NanoWalletJs => "nano-wallet-js",
            Self::NanoNodeRpc => "@dev-ptera/nano-node-rpc",
            Self::Schemathesis => "schemathesis",
        };
        let is_there = self.folder().join(package).is_dir();
        if !is_there {
            say(&format!("SKIPPED for want of {self:?}, which ./check installs: {what}"));
        }
        is_there
    }

    /// A command that starts a program of `tests/foreign` (`worker` or `service`) against a server.
    pub fn command(self, program: &str, server: SocketAddr, dialect: Dialect) -> Command {
        let mut command = self.script(program);
        command.args([server.ip().to_string(), server.port().to_string()]);
        command.args([dialect.transport, dialect.version]);
        command
    }

    /// A command that starts a program of `tests/foreign`.
    pub fn script(self, program: &str) -> Command {
        let (interpreter, variable, extension) = match self {
            Self::Paho | Self::Nanopy | Self::Schemathesis => ("python3", "PYTHONPATH", "py"),
            Self::MqttJs | Self::NanoWalletJs | Self::NanoNodeRpc => ("node", "NODE_PATH", "cjs"),
        };
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign").join(program).with_extension(extension);
        let mut command = bare(interpreter);
        command.env(variable, self.folder()).arg(script);
        command
    }

    /// A command that starts a program which the library itself is.
    pub fn module(self, module: &str) -> Command {
        let mut command = bare("python3");
        command.env("PYTHONPATH", self.folder()).args(["-m", module]);
        command
    }

    fn folder(self) -> PathBuf {
        let installed = env::var_os("DPOW_FOREIGN").map_or_else(default_folder, PathBuf::from);
        installed.join(match self {
            Self::Paho | Self::Nanopy | Self::Schemathesis => "python",
            Self::MqttJs | Self::NanoWalletJs | Self::NanoNodeRpc => "node_modules",
        })
    }
}

/// Where `./check` puts them: beside what cargo builds.
fn default_folder() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")).join("foreign")
}
