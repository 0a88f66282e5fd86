//! How long the disk takes to keep what it is given: the part of an answer that no program can do anything about.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use benches::report::Latency;
use hdrhistogram::Histogram;

/// How often it is tried.
const TRIES: usize = 200;
/// What is written at a time: a page of the ledger's log, about what one group needs at the least.
const SIZE: usize = 4096;

/// Appends to a file and waits until the disk has it, again and again, as the ledger does with its log.
pub(crate) fn sync_time(folder: &Path) -> anyhow::Result<Latency> {
    let mut histogram = Histogram::<u64>::new_with_max(60_000_000, 3)?;
    let folder = tempfile::TempDir::new_in(folder).context("no directory for data can be made")?;
    let mut file = OpenOptions::new().append(true).create_new(true).open(folder.path().join("log"))?;
    for _ in 0..TRIES {
        let begin = Instant::now();
        file.write_all(&[7; SIZE])?;
        file.sync_data()?;
        histogram.saturating_record(u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(Latency::of(&histogram))
}
