//! Flags that every command takes, as a layer of the settings, and where to find the server.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use config::{Loaded, LogFlags, Problems};
use serde::Serialize;
use shared::Network;

use crate::administration::{Destination, Token};
use crate::config::Settings;
use crate::coordinator::OPERATOR_TOKEN;

/// The flags.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct Flags {
    /// TOML file with settings
    #[arg(long, global = true, value_name = "FILE", env = "DPOW_CONFIG")]
    config: Option<PathBuf>,
    /// live, beta, test, dev or banano [default: live]
    #[arg(long, global = true)]
    network: Option<Network>,
    /// Where ledger and secrets are kept [default: ./dpow-data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where services ask over HTTP [default: 127.0.0.1:5030]
    #[arg(long, global = true, value_name = "ADDRESS")]
    http_listen: Option<SocketAddr>,
    /// Where workers connect over MQTT [default: 127.0.0.1:1883]
    #[arg(long, global = true, value_name = "ADDRESS")]
    mqtt_listen: Option<SocketAddr>,
    #[command(flatten)]
    log: LogFlags,
    /// The server that commands of operators go to, at its `admin.listen`, such as `http://127.0.0.1:5031` [default: the one
    /// that runs on the data directory]
    #[arg(long, global = true, value_name = "URL")]
    admin: Option<String>,
    /// File with the operator's token for --admin [default: the one in the data directory]
    #[arg(long, global = true, value_name = "FILE", requires = "admin")]
    token_file: Option<PathBuf>,
}

/// The flags in the shape of the settings: what was not given is absent.
#[derive(Serialize)]
struct Layer<'a> {
    network: Option<Network>,
    data_dir: Option<&'a PathBuf>,
    http: Listen,
    mqtt: Listen,
    log: &'a LogFlags,
}

#[derive(Serialize)]
struct Listen {
    listen: Option<SocketAddr>,
}

impl Flags {
    /// All settings, these flags included.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(super) fn load(
        &self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Loaded<Settings>, Problems> {
        let layer = Layer {
            network: self.network,
            data_dir: self.data_dir.as_ref(),
            http: Listen { listen: self.http_listen },
            mqtt: Listen { listen: self.mqtt_listen },
            log: &self.log,
        };
        config::load(self.config.as_deref(), variables, &layer)
    }

    /// Where requests of operators go.
    pub(super) fn destination(&self, settings: &Settings) -> Destination {
        match &self.admin {
            Some(url) => Destination::Remote {
                network: settings.network,
                url: url.clone(),
                token: match (&self.token_file, &settings.operator_token) {
                    (Some(path), _) => Token::File(path.clone()),
                    (None, Some(token)) => Token::Configured(token.clone()),
                    (None, None) => Token::File(settings.data_dir.join(OPERATOR_TOKEN)),
                },
            },
            None => Destination::DataDirectory {
                network: settings.network,
                path: settings.data_dir.clone(),
                ledger: settings.ledger_place(),
            },
        }
    }
}
