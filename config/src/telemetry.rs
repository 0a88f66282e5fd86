//! The set-up of tracing: to standard error, as text or JSON, filtered by directives.

use std::io::{IsTerminal, stderr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::problem::Invalid;

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people; in colour on a terminal.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// What is logged, and how: the section `log` of a program's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// What is logged to standard error: a level (`error`, `warn`, `info`, `debug`, `trace`, `off`), or directives such as
    /// `warn,worker=debug`.
    #[schemars(extend("flag" = "--log"))]
    pub filter: String,
    /// How a line of the log is written.
    #[schemars(extend("flag" = "--log-format"))]
    pub format: LogFormat,
}

/// The flags for [`Telemetry`], in its shape: what was not given is absent. To clap each is known by a name that no flag of a command
/// has.
#[derive(Debug, clap::Args, Serialize)]
pub struct LogFlags {
    /// What to log to standard error: error, warn, info, debug, or directives [default: warn].
    #[arg(id = "log_filter", global = true, long = "log", value_name = "FILTER")]
    filter: Option<String>,
    /// How to log [default: text].
    #[arg(id = "log_format", global = true, long = "log-format", value_name = "FORMAT")]
    format: Option<LogFormat>,
}

/// Why nothing can be logged.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter is neither a level nor directives.
    #[error(
        "`{filter}` is not a log filter: use a level such as `info`, or directives such as `warn,worker=debug`"
    )]
    Filter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// The process logs somewhere else already.
    #[error("tracing has been set up already")]
    Again(#[source] TryInitError),
}

impl Default for Telemetry {
    /// `info`, as text.
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Text }
    }
}

impl Telemetry {
    /// Sends what the process traces to standard error from now on. To be called once, early in `main`.
    ///
    /// # Errors
    /// [`TelemetryError`] when the filter cannot be read, or it is called again.
    pub fn start(&self) -> Result<(), TelemetryError> {
        let builder = tracing_subscriber::fmt()
            .with_writer(stderr)
            .with_ansi(stderr().is_terminal())
            .with_env_filter(self.env_filter()?);
        match self.format {
            LogFormat::Text => builder.finish().try_init(),
            LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
        }
        .map_err(TelemetryError::Again)
    }

    /// What is wrong with it, as the section `log`.
    pub fn validate(&self) -> Option<Invalid> {
        let error = self.env_filter().err()?;
        Some(Invalid::new(&["log.filter"], format!("`log.filter`: {error}")))
    }

    fn env_filter(&self) -> Result<EnvFilter, TelemetryError> {
        // Not `EnvFilter::new`, which drops what it cannot read and says so on standard error only.
        EnvFilter::builder()
            .parse(&self.filter)
            .map_err(|source| TelemetryError::Filter { filter: self.filter.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_or_directives() {
        for (filter, is_good) in [
            ("info", true),
            ("off", true),
            ("warn,worker=debug", true),
            ("worker[=x", false),
            ("a=loud", false),
        ] {
            let telemetry = Telemetry { filter: filter.into(), ..Telemetry::default() };
            assert_eq!(telemetry.env_filter().is_ok(), is_good, "{filter}");
        }
    }
}
