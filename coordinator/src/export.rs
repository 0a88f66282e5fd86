//! The journal as accountants and other programs read it: every posting in one line, as CSV or as JSON. The columns are those of
//! [`COLUMNS`]; `docs/ledger.md` says what they mean.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use marketplace::ledger::{JournalEntry, Posting};
use serde_json::{Value, json};
use shared::Timestamp;
use thiserror::Error;

use crate::store::{Store, StoreError};

/// How many postings are read at a time.
const PAGE: usize = 1000;
/// What a line says, in this order.
const COLUMNS: [&str; 11] = [
    "sequence",
    "time",
    "time_us",
    "transfer",
    "position",
    "kind",
    "debit",
    "credit",
    "amount_mc",
    "root",
    "nonce",
];

/// How postings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Comma-separated values with a heading (RFC 4180); no field ever needs quotes
    Csv,
    /// One JSON object a line
    Jsonl,
}

/// Why an export is not complete.
#[derive(Debug, Error)]
pub(crate) enum ExportError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Whatever it is written to does not take it.
    #[error("the export cannot be written; check the disk and its rights")]
    Output(#[from] io::Error),
}

/// Writes the postings from a number on, oldest first, and returns how many.
///
/// # Errors
/// [`ExportError`]: what was written is not complete.
pub(crate) async fn write(
    store: &dyn Store,
    format: Format,
    from: u64,
    out: impl Write,
) -> Result<u64, ExportError> {
    let mut out = BufWriter::new(out);
    let (mut from, mut count) = (from, 0);
    if format == Format::Csv {
        out.write_all(COLUMNS.join(",").as_bytes())?;
        out.write_all(b"\r\n")?;
    }
    loop {
        // The journal is only ever added to, and transfers as a whole: pages that are read one after another fit together.
        let page = store.journal(from, PAGE).await?;
        let Some(last) = page.last() else { break };
        from = last.sequence + 1;
        for entry in &page {
            out.write_all(line(entry, format).as_bytes())?;
            count += 1;
        }
    }
    out.flush()?;
    Ok(count)
}

/// Writes a file, in place of what was there, which stays until the export is complete.
///
/// # Errors
/// [`ExportError`]: there is no new file.
pub(crate) async fn write_file(
    store: &dyn Store,
    format: Format,
    from: u64,
    path: &Path,
) -> Result<u64, ExportError> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let write = async {
        let file = std::fs::File::create(&unfinished)?;
        let count = write(store, format, from, &file).await?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        Ok(count)
    };
    let result: Result<u64, ExportError> = write.await;
    if result.is_err() {
        // It may not even have been made.
        let _ = std::fs::remove_file(&unfinished);
    }
    result
}

fn line(entry: &JournalEntry, format: Format) -> String {
    let values = values(entry);
    match format {
        Format::Csv => {
            let fields = values.map(|value| match value {
                Value::String(text) => text,
                Value::Null => String::new(),
                number => number.to_string(),
            });
            fields.join(",") + "\r\n"
        }
        Format::Jsonl => {
            let fields = COLUMNS.iter().zip(values).map(|(name, value)| format!("\"{name}\":{value}"));
            format!("{{{}}}\n", fields.collect::<Vec<_>>().join(","))
        }
    }
}

/// In the order of [`COLUMNS`]. Names of services, addresses and ids hold no comma, quote or end of line.
fn values(JournalEntry { sequence, posting }: &JournalEntry) -> [Value; COLUMNS.len()] {
    let Posting { transfer, position, kind, debit, credit, amount, work, at } = posting;
    [
        json!(sequence),
        json!(time(*at)),
        json!(at.as_micros()),
        json!(transfer),
        json!(position),
        json!(kind.name()),
        json!(debit),
        json!(credit),
        json!(amount.as_u64()),
        json!(work.map(|work| work.root)),
        json!(work.map(|work| work.nonce)),
    ]
}

/// RFC 3339 in UTC, to the microsecond; `None` after the year 9999.
fn time(at: Timestamp) -> Option<String> {
    let time = jiff::Timestamp::from_microsecond(i64::try_from(at.as_micros()).ok()?).ok()?;
    Some(format!("{time:.6}"))
}

#[cfg(test)]
mod tests {
    use marketplace::ledger::{Bucket, Party, PostingKind, WorkKey, grant};
    use shared::pow::{Nonce, Root};
    use shared::{Account, Millicredits, TransferId};

    use super::*;

    /// Other programs read it: what is there stays as it is.
    #[test]
    fn a_posting_is_one_line_of_a_known_form() {
        let (service, at) = ("my-wallet".parse().unwrap(), Timestamp::from_micros(1_764_041_234_000_005));
        let transfer = TransferId::from_u128(1);
        let granted = grant(transfer, service, Bucket::Paid, Millicredits::new(5000), at);
        let earned = Posting {
            kind: PostingKind::Earning,
            debit: Party::Paid(service),
            credit: Party::Payable(Account::from_public_key([2; 32])),
            work: Some(WorkKey { root: Root::new([0xab; 32]), nonce: Nonce::new(3) }),
            at: Timestamp::from_micros(u64::MAX),
            ..granted
        };
        let csv = |sequence, posting| line(&JournalEntry { sequence, posting }, Format::Csv);
        let jsonl = |sequence, posting| line(&JournalEntry { sequence, posting }, Format::Jsonl);
        assert_eq!(
            csv(1, granted),
            "1,2025-11-25T03:27:14.000005Z,1764041234000005,00000000000000000000000000000001,0,grant,issuance,paid:my-wallet,\
             5000,,\r\n"
        );
        assert_eq!(
            jsonl(1, granted),
            "{\"sequence\":1,\"time\":\"2025-11-25T03:27:14.000005Z\",\"time_us\":1764041234000005,\
             \"transfer\":\"00000000000000000000000000000001\",\"position\":0,\"kind\":\"grant\",\"debit\":\"issuance\",\
             \"credit\":\"paid:my-wallet\",\"amount_mc\":5000,\"root\":null,\"nonce\":null}\n"
        );
        let root = "AB".repeat(32);
        let credit = Party::Payable(Account::from_public_key([2; 32]));
        assert_eq!(
            csv(2, earned),
            format!(
                "2,,18446744073709551615,00000000000000000000000000000001,0,earning,paid:my-wallet,{credit},5000,{root},\
                 0000000000000003\r\n"
            )
        );
        let parsed: Value = serde_json::from_str(&jsonl(2, earned)).unwrap();
        assert_eq!((&parsed["root"], &parsed["nonce"]), (&json!(root), &json!("0000000000000003")));
        assert_eq!(csv(2, earned).split(',').count(), COLUMNS.len());
    }
}
