//! `dpow status`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{Office, foreign_reply, wording};
use crate::administration::reply::{Credits, LedgerFile, NodeDoor, Server, Status};
use crate::administration::{Read, Reply};

/// The exit code where there is a ledger, but no server that answers.
pub(super) const NO_SERVER: u8 = 3;

#[derive(Debug, Args)]
pub(super) struct StatusCommand {
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl StatusCommand {
    /// Does it.
    ///
    /// # Errors
    /// In one sentence, what is wrong and what to do.
    pub(super) async fn run(self, office: &Office<'_>) -> anyhow::Result<ExitCode> {
        let Reply::Status(status) = office.read(Read::Status).await? else { return Err(foreign_reply()) };
        let code = if status.server.is_some() { ExitCode::SUCCESS } else { ExitCode::from(NO_SERVER) };
        if self.json {
            office.console.json(&status)?;
        } else {
            office.console.lines(lines(&status, office));
        }
        Ok(code)
    }
}

fn lines(status: &Status, office: &Office<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(server) = &status.server {
        lines.extend(server_lines(server, status, office));
    } else {
        lines.push(format!("server     none answers on {}", office.settings.data_dir.display()));
        lines.push(format!("network    {}", status.network));
    }
    let Credits { issued_mc, spent_mc, held_mc, outstanding_mc } = status.credits;
    let held = held_mc.map_or_else(String::new, |held| format!(", {held} of them held"));
    lines
        .push(format!("credits    {issued_mc} issued, {spent_mc} spent, {outstanding_mc} outstanding{held}"));
    let LedgerFile { path, size_bytes, services } = &status.ledger;
    let size = size_bytes.map_or_else(String::new, |bytes| format!(", {}", wording::size(bytes)));
    lines.push(format!("ledger     {}{size}", path.display()));
    lines.push(format!("services   {services}"));
    lines
}

fn server_lines(server: &Server, status: &Status, office: &Office<'_>) -> Vec<String> {
    let uptime = wording::age(Duration::from_millis(server.uptime_ms));
    let trouble: Vec<String> = server
        .parts
        .iter()
        .filter_map(|part| Some(format!("{}: {}", part.part, part.trouble.as_ref()?)))
        .collect();
    let parts: Vec<&str> = server.parts.iter().map(|part| part.part.as_str()).collect();
    let ready = if server.ready {
        format!("yes ({})", parts.join(", "))
    } else {
        format!("no: {}", trouble.join("; "))
    };
    let listens = server.listens;
    let mut lines = vec![
        format!("server     dpow {}, up {uptime}", server.version),
        format!("network    {}", status.network),
        format!("ready      {ready}"),
        format!("http       http://{}", listens.http),
        format!("mqtt       mqtt://{}", listens.mqtt),
    ];
    lines.extend(listens.node_peer.map(|address| format!("node peer  {address}")));
    lines.extend(listens.mqtt_websocket.map(|address| format!("           ws://{address}/mqtt")));
    if !office.is_remote() {
        lines.push(format!("admin      {}", office.socket().display()));
    }
    lines.extend(listens.admin.map(|address| format!("admin      http://{address}")));
    lines.extend([
        format!("workers    {}, {}", server.workers, wording::rate(server.hashes_per_second)),
        format!("jobs       {} open, {} of them without a worker", server.jobs_open, server.jobs_unplaced),
        format!(
            "requests   {} open; {} answered and {} refused since the start",
            server.requests_open, server.requests_answered, server.requests_refused
        ),
    ]);
    lines.extend(node_lines(server));
    lines
}

/// What of working ahead works, and what does not.
fn node_lines(server: &Server) -> Vec<String> {
    let mut lines = Vec::new();
    if server.nodes.is_empty() && server.node_callback.is_none() {
        lines.push(
            "node       none: nothing is computed ahead when a block is confirmed; set node.url".into(),
        );
    }
    for NodeDoor { url, works, trouble, .. } in &server.nodes {
        lines.push(match (works, trouble) {
            (true, _) => format!("node       {url}"),
            (false, Some(trouble)) => format!("node       {url}: {trouble}"),
            (false, None) => format!("node       {url}: not reached yet"),
        });
    }
    lines.extend(server.node_callback.map(|address| format!("node       callbacks to http://{address}")));
    lines.push(format!("accounts   {} watched", server.accounts_watched));
    lines
}
