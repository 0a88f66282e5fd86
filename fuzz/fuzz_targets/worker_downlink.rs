//! What a server says to a worker, and what happens meanwhile.

#![no_main]

#[path = "../../worker/tests/corpus/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::downlink(bytes));
