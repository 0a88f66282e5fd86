//! What must hold for any bytes from outside. The fuzz targets `topic`, `messages` and `account` run these very functions.

use std::fmt::Debug;
use std::str::{FromStr, from_utf8};

use shared::account::Prefix;
use shared::protocol::{
    DecodeError, Filter, Form, Message, NetworkStatistics, ServiceCancel, ServiceReply, ServiceRequest,
    Topic, VerdictNotice, WorkList, WorkResult, WorkerHello, WorkerStatus, decode, encode,
};
use shared::{Account, HoldId, JobId, RequestId, ServiceId, TransferId, WorkerId};

/// Longest topic that a gate carries, in bytes.
const TOPIC_MAX: usize = 128;

/// A text is a topic, a filter or an id only as it would be written, so that nothing has two spellings.
pub(crate) fn topic(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    if let Ok(topic) = text.parse::<Topic>() {
        assert_eq!(topic.to_string(), text);
        assert!(text.is_ascii() && text.len() <= TOPIC_MAX && !text.contains(['+', '#', '$', '\0']));
        assert_eq!(text.parse(), Ok(Filter::Exact(topic)), "every topic is a filter");
    }
    reads_back::<Filter>(text, text);
    reads_back::<WorkerId>(text, text);
    reads_back::<ServiceId>(text, text);
    // Numbers are hexadecimal, of which both cases are read.
    let lower = text.to_ascii_lowercase();
    reads_back::<RequestId>(text, &lower);
    reads_back::<TransferId>(text, &lower);
    reads_back::<JobId>(text, &lower);
    reads_back::<HoldId>(text, &lower);
}

/// What is read as a message can be written in both forms, and is then the same message.
pub(crate) fn messages(payload: &[u8]) {
    survives::<WorkList>(payload);
    survives::<WorkResult>(payload);
    survives::<VerdictNotice>(payload);
    survives::<WorkerHello>(payload);
    survives::<WorkerStatus>(payload);
    survives::<ServiceRequest>(payload);
    survives::<ServiceCancel>(payload);
    survives::<ServiceReply>(payload);
    survives::<NetworkStatistics>(payload);
}

/// An address is read only as it would be written, and every public key has one with each prefix.
pub(crate) fn account(bytes: &[u8]) {
    if let Ok(text) = from_utf8(bytes)
        && let Ok((account, prefix)) = Account::parse_with_prefix(text)
    {
        assert_eq!(account.to_address(prefix), text);
    }
    if let Some(key) = bytes.first_chunk::<32>() {
        let account = Account::from_public_key(*key);
        for prefix in [Prefix::Nano, Prefix::Xrb, Prefix::Ban] {
            assert_eq!(Account::parse_with_prefix(&account.to_address(prefix)), Ok((account, prefix)));
        }
    }
}

/// If the text is a value of this type, the value is written like this.
fn reads_back<T: FromStr + ToString>(text: &str, written: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), written);
    }
}

fn survives<M: Message + Debug + PartialEq>(payload: &[u8]) {
    let Ok((message, _)) = decode::<M>(payload) else { return };
    for form in [Form::Binary, Form::Json] {
        match decode::<M>(&encode(&message, form)) {
            Ok((read, read_form)) => {
                assert_eq!(read, message);
                assert_eq!(read_form, form);
            }
            // The other form of a message can be longer than what is read.
            Err(error) => assert!(matches!(error, DecodeError::TooLarge { .. }), "{error}"),
        }
    }
}
