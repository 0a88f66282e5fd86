//! The process that keeps the books of a run: `tests/bookkeeper.py`.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ChildStdin;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use shared::pow::{Root, Threshold};

use crate::http::Answer;
use crate::process::Process;
use crate::tool::Tool;

/// Writes down what is asked for before it is asked for, and every answer, in a process that shares no code with ours.
#[derive(Debug)]
pub struct Bookkeeper {
    process: Process,
    input: Mutex<ChildStdin>,
}

/// What the books come to when nothing is wrong with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Requests that were answered: all.
    pub answered: u64,
    /// Of these, free ones.
    pub free: u64,
    /// Roots that a service was charged for.
    pub charged: u64,
    /// Of these, those whose first answer was lost with the coordinator: they were given later, free.
    pub healed: u64,
}

impl Bookkeeper {
    /// Starts it with empty books; `None` when the machine has no Python, which is said aloud.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(what: &str) -> anyhow::Result<Option<Self>> {
        if !Tool::Python.is_there(what) {
            return Ok(None);
        }
        let mut command = Tool::Python.command();
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/bookkeeper.py"));
        let (process, input) = Process::start_with_input("bookkeeper", &mut command)?;
        Ok(Some(Self { process, input: Mutex::new(input) }))
    }

    /// A service is about to ask; `is_free`: it has paid for this root before.
    ///
    /// # Errors
    /// When it cannot be written down: then it must not be asked.
    pub fn want(
        &self,
        service: &str,
        request: &str,
        (root, threshold): (Root, Threshold),
        is_free: bool,
    ) -> anyhow::Result<()> {
        self.write(&json!({ "want": {
            "service": service, "request": request, "root": root, "threshold": threshold, "free": is_free,
        }}))
    }

    /// It was answered.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn told(&self, service: &str, request: &str, answer: &Answer) -> anyhow::Result<()> {
        self.write(&json!({ "told": {
            "service": service, "request": request, "work": answer.work.nonce(), "charged_mc": answer.charged_mc,
        }}))
    }

    /// Compares the books with a journal (as `dpow credit journal --json` prints it), with what each service was given and with
    /// what it has left.
    ///
    /// # Errors
    /// With everything that does not fit.
    pub fn judge(
        mut self,
        journal: &str,
        granted: &BTreeMap<String, u64>,
        balances: &BTreeMap<String, u64>,
    ) -> anyhow::Result<Summary> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), journal)?;
        self.write(
            &json!({ "judge": { "journal": file.path(), "granted": granted, "balances": balances } }),
        )?;
        let finished = self.process.wait()?;
        ensure!(finished.stderr.is_empty(), "the bookkeeper failed: {}", finished.stderr);
        if !finished.status.success() {
            bail!("the books do not fit:\n{}", finished.stdout);
        }
        let summary: Value =
            serde_json::from_str(&finished.stdout).context("the bookkeeper has no summary")?;
        let number =
            |field: &str| summary[field].as_u64().with_context(|| format!("no {field} in {summary}"));
        Ok(Summary {
            answered: number("answered")?,
            free: number("free")?,
            charged: number("charged")?,
            healed: number("healed")?,
        })
    }

    fn write(&self, line: &Value) -> anyhow::Result<()> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        // In one write, so that what is written down is out of this process when this returns.
        input.write_all(format!("{line}\n").as_bytes()).context("the bookkeeper has gone")
    }
}
