//! `dpow ledger`: the books, for those who check them. It reads the ledger itself, beside a running server or without one.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use marketplace::ledger::audit::{Audit, Checked, Report, Violation};
use serde_json::json;

use super::Office;
use crate::export::{self, ExportError, Format};
use crate::home::Home;
use crate::store::{self, Place, Store};

#[derive(Debug, Subcommand)]
pub(super) enum LedgerCommand {
    /// Replay the whole ledger and check everything that is kept; exit code 1: something is wrong, 2: it cannot be read
    Audit {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write every posting, oldest first, for accountants and other programs
    Export(Export),
    /// Copy the ledger to an empty place, from a file to a Redis server or back, and audit both; no server may run
    Copy(Copy),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Copy {
    /// Where to: a server as in `store.url`, or the path of a file
    #[arg(long, value_name = "URL or FILE")]
    to: Option<String>,
    /// File that says where to, for a URL with a password
    #[arg(long, value_name = "FILE")]
    to_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// How postings are written
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
    /// Begin with this entry of the journal
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    from: u64,
    /// Write a file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl LedgerCommand {
    /// Does it.
    ///
    /// # Errors
    /// In one sentence, what is wrong and what to do. Something wrong with the ledger is an exit code, not an error.
    pub(super) async fn run(self, office: &Office<'_>) -> anyhow::Result<ExitCode> {
        ensure!(
            !office.is_remote(),
            "the ledger is read from where it is kept: run this on the machine of the server, without --admin"
        );
        let store = match self {
            Self::Copy(copy) => return copy.run(office).await.map(|()| ExitCode::SUCCESS),
            Self::Audit { .. } | Self::Export(_) => office.settings.ledger_place().look().await?,
        };
        match self {
            Self::Copy(_) => Ok(ExitCode::SUCCESS),
            Self::Audit { json } => audit(office, store.as_ref(), json).await,
            Self::Export(export) => export.run(office, store.as_ref()).await.map(|()| ExitCode::SUCCESS),
        }
    }
}

async fn audit(office: &Office<'_>, store: &dyn Store, as_json: bool) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let (_, report) = store.audit(Audit::new()).await.context("the ledger could not be audited")?;
    let took = began.elapsed();
    if as_json {
        office.console.json(&in_json(&report, took))?;
    } else {
        office.console.lines(in_words(&report, took));
    }
    Ok(if report.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Copy {
    async fn run(self, office: &Office<'_>) -> anyhow::Result<()> {
        let settings = office.settings;
        let to = match (self.to, self.to_file) {
            (Some(to), _) => to,
            (None, Some(path)) => {
                let text = std::fs::read_to_string(&path);
                text.with_context(|| format!("the file {} cannot be read", path.display()))?.trim().to_owned()
            }
            (None, None) => anyhow::bail!("say where to, with --to or --to-file"),
        };
        let to = if to.contains("://") {
            let access = settings.access_to(to.parse()?);
            Place::server(&settings.data_dir, access)
        } else {
            Place::File { path: to.into(), network: settings.network }
        };
        // Nobody may write to the ledger meanwhile.
        let _home = Home::open(&settings.data_dir)?;
        let from = settings.ledger_place().quietly();
        let report = store::copy(&from, &to).await?;
        let Checked { postings, settlements, .. } = report.checked;
        office.console.line(&format!(
            "{postings} postings and {settlements} settlements were copied from {from} to {to}"
        ));
        office.console.line("both audits are green; set `store.url` to where the ledger is from now on");
        Ok(())
    }
}

impl Export {
    async fn run(self, office: &Office<'_>, store: &dyn Store) -> anyhow::Result<()> {
        let Self { format, from, out } = self;
        if let Some(path) = out {
            let count = export::write_file(store, format, from, &path).await?;
            office.console.line(&format!("{count} postings are in {}", path.display()));
            return Ok(());
        }
        match export::write(store, format, from, io::stdout()).await {
            // Whoever was to read it has had enough.
            Err(ExportError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => Ok(result.map(drop)?),
        }
    }
}

fn in_words(report: &Report, took: Duration) -> Vec<String> {
    let Checked { postings, grants, settlements, free, works_paid, works_hashed, parties } = report.checked;
    let mut lines = vec![
        format!("postings     replayed: {postings}, grants among them: {grants}"),
        format!("settlements  computed again: {settlements}, free ones among them: {free}"),
        format!("works        hashed again: {works_hashed}, paid for: {works_paid}"),
        format!("balances     compared: {parties}"),
        "file         structure, protections and references".to_owned(),
    ];
    lines.extend(report.violations.iter().map(|violation| format!("- {violation}")));
    let found = report.violations_found;
    let more = found - report.violations.len() as u64;
    if more > 0 {
        lines.push(format!("- and {more} more"));
    }
    let seconds = took.as_secs_f64();
    lines.push(if report.is_green() {
        format!("audit: green, in {seconds:.1} s")
    } else {
        format!("audit: red, in {seconds:.1} s: {found} found, {} mc out of balance", report.imbalance)
    });
    lines
}

fn in_json(report: &Report, took: Duration) -> serde_json::Value {
    let Checked { postings, grants, settlements, free, works_paid, works_hashed, parties } = report.checked;
    let violation =
        |violation: &Violation| json!({ "kind": violation.kind(), "text": violation.to_string() });
    json!({
        "green": report.is_green(),
        "checked": {
            "postings": postings,
            "grants": grants,
            "settlements": settlements,
            "free": free,
            "works_paid": works_paid,
            "works_hashed": works_hashed,
            "parties": parties,
        },
        "violations_found": report.violations_found,
        "violations": report.violations.iter().map(violation).collect::<Vec<_>>(),
        "imbalance_mc": report.imbalance,
        "elapsed_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    })
}
