//! What must hold for any frame that a client sends over `/v1/ws`. The fuzz target `socket_frames` runs [`read_frame`]; so does the
//! replay of its corpus, below.

use serde_json::{Value, json};
use shared::account::Prefix;
use shared::{Network, RequestId};

use crate::limits::REST_BODY_BYTES_MAX;
use crate::source::{TIMEOUT_MAX, WorkRequest};
use crate::v1::socket::frame::{self, Frame, Unread};

/// The longest sentence that tells what is wrong with a frame, in bytes: it repeats nothing that is longer than a name.
const SENTENCE_BYTES_MAX: usize = 256;

/// Reads a frame as a connection does, the first one and every later one, on every network.
///
/// # Panics
/// When what was read is something else once it is written plainly and read again, when it is out of its bounds, or when what is said
/// of a frame that cannot be read repeats much of it.
pub fn read_frame(bytes: &[u8]) {
    // What is longer, and what is no text, is refused beneath.
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    if text.len() > REST_BODY_BYTES_MAX {
        return;
    }
    if let Some(key) = frame::key(text) {
        assert!(text.trim_ascii_start().starts_with('{'), "{text} is no object");
        let plain = json!({ "type": "key", "key": key }).to_string();
        assert_eq!(frame::key(&plain), Some(key));
    }
    for network in Network::ALL {
        match Frame::read(text, network) {
            Ok(Frame::Work(name, asked)) => work(network, name, asked),
            Ok(Frame::Withdraw(name)) => {
                let plain = json!({ "type": "withdraw", "request_id": name }).to_string();
                assert!(matches!(Frame::read(&plain, network), Ok(Frame::Withdraw(again)) if again == name));
            }
            Ok(Frame::Ping) => {}
            Err(Unread { malformed, .. }) => {
                let sentence = malformed.to_string();
                assert!(sentence.len() <= SENTENCE_BYTES_MAX, "{sentence}");
            }
        }
    }
}

fn work(network: Network, name: RequestId, asked: WorkRequest) {
    assert_eq!(asked.request, Some(name));
    assert!(!asked.timeout.is_zero() && asked.timeout <= TIMEOUT_MAX, "{asked:?}");
    let mut plain = json!({
        "type": "work",
        "request_id": name,
        "root": asked.root,
        "threshold": asked.threshold,
        "timeout_ms": u64::try_from(asked.timeout.as_millis()).unwrap_or(u64::MAX),
        "class": asked.class.as_str(),
    });
    if let Some(account) = asked.account {
        let prefix = if network == Network::Banano { Prefix::Ban } else { Prefix::Nano };
        plain["account"] = Value::String(account.to_address(prefix));
    }
    let again = Frame::read(&plain.to_string(), network);
    assert!(matches!(again, Ok(Frame::Work(_, again)) if again == asked), "{plain}");
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Files that once broke something, or reach code that others do not. `./check --full` fuzzes the same function.
    #[test]
    fn the_corpus_of_the_fuzz_target_is_survived() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/socket_frames");
        let mut replayed = 0;
        for entry in fs::read_dir(folder).unwrap() {
            read_frame(&fs::read(entry.unwrap().path()).unwrap());
            replayed += 1;
        }
        assert!(replayed >= 8, "{replayed} files");
    }
}
