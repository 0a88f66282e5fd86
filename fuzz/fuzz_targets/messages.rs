//! Payloads, as each message of the protocol.

#![no_main]

#[path = "../../shared/tests/corpus/properties.rs"]
#[expect(dead_code, reason = "each target uses one of them")]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::messages(bytes));
