//! Everything that fuzzing has found worth keeping, once more: `fuzz/corpus/{topic,messages,account}`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "the corpus is read here")]

mod properties;

use std::fs;
use std::path::Path;

/// Runs every file of a corpus through a property.
fn replay(target: &str, property: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut replayed = 0;
    for entry in fs::read_dir(&corpus).unwrap() {
        property(&fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", corpus.display());
}

#[test]
fn topics_filters_and_ids() {
    replay("topic", properties::topic);
}

#[test]
fn messages() {
    replay("messages", properties::messages);
}

#[test]
fn accounts() {
    replay("account", properties::account);
}
