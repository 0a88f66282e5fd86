//! The commands about configuration, the same in every program.

use crate::document;
use crate::load::{Configuration, Loaded};
use crate::problem::Problems;
use crate::reference::Reference;

/// What can be asked about the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Subcommand)]
pub enum Command {
    /// Read all settings, and say what is wrong with them
    Check,
    /// Print the settings in effect as TOML, without secrets
    Print {
        /// With where each comes from
        #[arg(long)]
        origin: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a file with all settings, what they do, and their defaults
    Generate {
        /// As a reference in Markdown
        #[arg(long)]
        markdown: bool,
    },
}

impl Command {
    /// Carries it out. `load` reads the configuration, where the command is about that. What is to be printed is returned, with
    /// the end of its last line.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration.
    pub fn run<T: Configuration>(
        self,
        load: impl FnOnce() -> Result<Loaded<T>, Problems>,
    ) -> Result<String, Problems> {
        Ok(match self {
            Self::Check => checked(&load()?.origins),
            Self::Print { origin, json: false } => document::effective_toml(&load()?, origin),
            Self::Print { origin, json: true } => {
                format!("{:#}\n", document::effective_json(&load()?, origin))
            }
            Self::Generate { markdown } => {
                let reference = Reference::of::<T>().map_err(|problem| Problems(vec![problem]))?;
                if markdown { document::markdown(&reference) } else { document::commented_file(&reference) }
            }
        })
    }
}

fn checked(origins: &[String]) -> String {
    format!("the configuration is good; it was read from\n  {}\n", origins.join("\n  "))
}
