//! Bytes from a stranger, through the gate's packet reader and decoders.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| broker::fuzzing::read_stream(bytes));
