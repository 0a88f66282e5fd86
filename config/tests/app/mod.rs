//! The settings of a program that does not exist, with every kind of key.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses a part of it, and what cannot be set up is a failed test"
)]

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use config::{Configuration, Invalid, Secret, Telemetry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// What it is called.
    #[schemars(extend("flag" = "--name"))]
    pub name: String,
    /// Where it keeps things.
    #[schemars(example = "/var/lib/app", extend("form" = "a path"))]
    pub data_dir: Option<PathBuf>,
    /// How many threads search.
    /// As many as there are cores.
    #[schemars(example = 4, range(min = 1, max = 64), extend("unit" = "threads"))]
    pub threads: Option<u16>,
    /// How much more.
    pub ratio: f64,
    /// Whether others see it.
    pub is_public: bool,
    /// Whom it knows.
    pub peers: Vec<String>,
    /// What it proves itself with.
    pub token: Option<Secret>,
    /// What is logged, and how.
    pub log: Telemetry,
    /// Where it is asked.
    pub http: Http,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where it listens.
    #[schemars(extend("form" = "an address with a port"))]
    pub listen: SocketAddr,
    /// Another port.
    pub port: u16,
    /// Encryption.
    pub tls: Tls,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate.
    #[schemars(example = "/etc/app/cert.pem", extend("form" = "a path"))]
    pub cert: Option<PathBuf>,
}

impl Default for App {
    fn default() -> Self {
        Self {
            name: "default".into(),
            data_dir: None,
            threads: None,
            ratio: 1.0,
            is_public: false,
            peers: vec!["one".into()],
            token: None,
            log: Telemetry::default(),
            http: Http { listen: SocketAddr::from(([127, 0, 0, 1], 1)), port: 1, tls: Tls { cert: None } },
        }
    }
}

impl Configuration for App {
    const PROGRAM: &'static str = "app";
    const PREFIX: &'static str = "APP";
    const OTHER_PREFIXES: &'static [&'static str] = &["APP_OTHER"];

    fn validate(&self) -> Vec<Invalid> {
        let is_twice = self.http.port != 1 && self.http.port == self.http.listen.port();
        let twice = is_twice
            .then(|| Invalid::new(&["http.port", "http.listen"], "`http.port` is the port of `http.listen`"));
        twice.into_iter().chain(self.log.validate()).collect()
    }
}

#[derive(Debug, Default, Serialize)]
pub struct Flags {
    pub name: Option<String>,
    pub http: HttpFlags,
}

#[derive(Debug, Default, Serialize)]
pub struct HttpFlags {
    pub port: Option<u16>,
}

/// A folder with a configuration file.
pub struct Place {
    folder: TempDir,
    pub file: PathBuf,
}

impl Place {
    pub fn new(text: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.toml");
        fs::write(&file, text).unwrap();
        Self { folder, file }
    }

    /// A file beside it with a secret.
    pub fn secret(&self, text: &str, mode: u32) -> PathBuf {
        let path = self.folder.path().join("token");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }
}
