//! What work is worth, computed here, and once more by an implementation that shares no line with ours.

use std::fmt::Write as _;

use anyhow::{Context, ensure};
use shared::pow::{Difficulty, Nonce, Root, Threshold, Work};

use crate::process::run;
use crate::tool::Tool;

/// Reads pairs of root and nonce as arguments, and prints the difficulty of each: the BLAKE2b of the nonce (8 bytes, little
/// endian) and the root, 8 bytes long, read as a little-endian integer.
const SCRIPT: &str = "\
import hashlib, sys
for pair in sys.argv[1:]:
    root, nonce = pair.split(':')
    hashed = bytes.fromhex(nonce)[::-1] + bytes.fromhex(root)
    print(hashlib.blake2b(hashed, digest_size=8).digest()[::-1].hex())
";

/// Hashes a nonce, and demands that it meets the threshold.
///
/// # Errors
/// When it does not.
pub fn verify(root: Root, nonce: Nonce, threshold: Threshold) -> anyhow::Result<Work> {
    Work::verify(root, nonce, threshold)
        .with_context(|| format!("the nonce {nonce} does not meet {threshold} for {root}"))
}

/// Hashes all these works with Python, and demands the same difficulties. Says aloud when there is no Python.
///
/// # Errors
/// When the two disagree.
pub fn cross_check(works: &[Work]) -> anyhow::Result<()> {
    if !Tool::Python.is_there("BLAKE2b against another implementation") {
        return Ok(());
    }
    let pairs = works.iter().map(|work| format!("{}:{}", work.root(), work.nonce()));
    let finished = run("python3", Tool::Python.command().args(["-c", SCRIPT]).args(pairs))?;
    let mut expected = String::new();
    for work in works {
        writeln!(expected, "{}", work.difficulty())?;
    }
    ensure!(finished.stdout == expected, "Python computes other difficulties");
    Ok(())
}

/// The first nonce from `start` whose difficulty is wanted.
///
/// # Panics
/// When no nonce has such a difficulty.
pub fn search(root: Root, start: u64, is_wanted: impl Fn(Difficulty) -> bool) -> Nonce {
    (start..=u64::MAX)
        .map(Nonce::new)
        .find(|nonce| is_wanted(shared::pow::difficulty(&root, *nonce)))
        .expect("thresholds of tests are met by one nonce in a thousand")
}
