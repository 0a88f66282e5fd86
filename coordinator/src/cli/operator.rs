//! `dpow operator`.

use std::path::Path;

use anyhow::{Context, ensure};
use clap::Subcommand;

use super::{Office, foreign_reply};
use crate::administration::{Change, Refused, Reply};
use crate::coordinator::OPERATOR_TOKEN;
use crate::home;
use crate::intake::operator_token::TokenText;

#[derive(Debug, Subcommand)]
pub(super) enum OperatorCommand {
    /// Print the operator's token: for the live view over MQTT, and for commands over the network
    Token {
        /// Make a new one first; the old one is worth nothing from then on
        #[arg(long)]
        rotate: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

impl OperatorCommand {
    /// Does it.
    ///
    /// # Errors
    /// In one sentence, what is wrong and what to do.
    pub(super) async fn run(self, office: &Office<'_>) -> anyhow::Result<()> {
        let Self::Token { rotate, json } = self;
        ensure!(
            !office.is_remote(),
            "the operator's token is not sent over the network; run this on the server's own machine, without --admin"
        );
        if let Some(token) = &office.settings.operator_token {
            ensure!(!rotate, Refused::TokenConfigured);
            return print(office, token.expose(), None, json);
        }
        if rotate {
            let change = Change::RotateOperatorToken { token: TokenText::draw()? };
            let Reply::OperatorTokenRotated = office.change(change).await? else {
                return Err(foreign_reply());
            };
        }
        let path = office.settings.data_dir.join(OPERATOR_TOKEN);
        let token = home::read_secret(&path)?.with_context(|| {
            let path = path.display();
            format!(
                "there is no token at {path} yet; the first start of `dpow serve` makes it, or `--rotate`"
            )
        })?;
        print(office, &token, Some(&path), json)
    }
}

/// Prints the token; `path` is that of its file, where it is not configured.
fn print(office: &Office<'_>, token: &str, path: Option<&Path>, json: bool) -> anyhow::Result<()> {
    if json {
        return office.console.json(&serde_json::json!({ "token": token, "path": path }));
    }
    office.console.line(token);
    Ok(())
}
